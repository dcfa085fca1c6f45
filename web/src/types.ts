// SPDX-License-Identifier: Apache-2.0
// What the API answers (docs/API.md).  Every member may be missing: an older server, or a half-known state.

export type Status = 'proceed' | 'hold' | 'watch' | 'halt' | 'halt_uncertified' | 'halt_recovered' | 'would_halt' | 'unknown';

export interface Freshness {
	position?: string;
	ledger?: string;
	database?: string | null;
	behind_s?: { ledger?: number | null; database?: number | null };
	state?: 'live' | 'database_behind' | 'database_down' | 'restarting' | 'blind' | 'failed';
	time?: string;
}

// What every page document carries.
export interface Page {
	as_of?: string;
	position?: string;
	freshness?: Freshness;
	role?: string | null;
	can?: string[];
}

export interface Part {
	text: string;
	kind: 'text' | 'count' | 'rate' | 'odds' | 'deployment' | 'signature' | 'module' | 'time' | 'break' | string;
	value?: number;
	id?: string;
	at?: string;
}

export interface Series {
	t0: string;
	step_s: number;
	open?: boolean;
	v: (number | null)[];
}

export interface Acknowledged {
	at: string;
	actor: string | null;
	reason: string;
	position?: string;
}

export interface Annotation {
	t: string;
	kind: string;
	deployment?: string;
}

export interface Ring {
	n?: number;
	name?: string;
	size: number | null;
	served: number;
	state: string;
	started?: string | null;
	certified_hazard?: number | null;
	text?: string;
}

export interface DeploymentRow {
	id: string;
	open?: boolean;
	verdict?: string;
	state?: string;
	status?: Status;
	reason?: string;
	because?: string;
	because_parts?: Part[];
	since?: string;
	certified?: boolean;
	mode?: string;
	log10_odds?: number | null;
	log10_watch?: number;
	log10_halt?: number;
	exposed?: number;
	harmed?: number;
	silent?: number;
	next_ring_max?: number | null;
	watch_until?: string | null;
	acknowledged?: Acknowledged | null;
	rings?: Ring[];
	last_served?: string | null;
	created?: string;
}

export interface Banner {
	state?: string;
	status?: Status;
	headline?: string;
	summary?: string;
	summary_parts?: Part[];
	copy_text?: string;
	deployment?: string | null;
	alarm?: number | null;
	since?: string | null;
	acknowledged?: Acknowledged | null;
	others?: { deployment: string; status?: Status; headline?: string }[];
	halted?: number;
	watched?: number;
	running?: number;
}

export interface Tile {
	value: number | null;
	usual: number | null;
	usual_from?: string | null;
	spark?: Series;
}

export interface NewSignature {
	id: string;
	title: string;
	title_len?: number;
	kind?: string;
	reason?: string;
	hosts?: number;
	sites?: number;
	first_seen?: string;
	deployment?: string | null;
	status?: Status | null;
}

export interface Rates {
	t0: string;
	step_s: number;
	open?: boolean;
	all: (number | null)[];
	kernel: (number | null)[];
	annotations?: Annotation[];
}

export interface Now extends Page {
	version?: string;
	verdict?: Banner;
	fleet?: { alive?: Tile; dark?: Tile; boot_loop?: Tile; crashing_10m?: Tile };
	deployments?: DeploymentRow[];
	deployments_total?: number;
	rates?: Rates;
	new_signatures?: NewSignature[];
	ingest?: {
		heartbeats_per_s?: number; reports_per_s?: number; journal_p99_ms?: number | null; verdict_lag_s?: number | null;
		database_lag_s?: number | null; database?: string; refused_1h?: number; workers?: { up: number; of: number };
		receiving?: boolean;
	};
}

export interface Deployments extends Page {
	facets?: { status?: Partial<Record<Status, number>>; open?: number; closed?: number };
	total?: number;
	deployments?: DeploymentRow[];
	next?: string | null;
}

export interface KeyRow {
	id: string;
	key?: string;
	kind?: string;
	title?: string;
	tested?: boolean;
	log10_odds?: number | null;
	log10_at_halt?: number | null;
	reaches?: boolean;
	exposed?: number;
	control?: number;
}

export interface KeyDetail extends KeyRow {
	grid?: string;
	pool?: string;
	severity?: string;
	weight?: number;
	log10_weight?: number;
	rho?: number;
	floors?: { hosts?: [number, number]; sites?: [number, number] };
	materiality_met?: boolean;
	in_manifest?: boolean | null;
	muted?: boolean;
	votes_possible?: number;
	votes_needed?: number;
	log10_needed?: number;
	why?: string;
	resumes?: number;
}

export interface Vote {
	n: number;
	t: string;
	crashed?: string;
	exposed: boolean;
	counted?: boolean;
	host?: string;
	site?: string;
	stratum?: string;
	os_build?: string;
	since_served_s?: number | null;
	at_risk?: [number, number];
	q?: number;
	factor?: number;
	log10_odds?: number;
	reached?: 'watch' | 'halt' | null;
	report?: string;
}

export interface Decision {
	position: string;
	at: string;
	action: string;
	automatic?: boolean;
	actor?: string | null;
	reason?: string;
	signature?: string | null;
	alpha_spent?: number | null;
}

export interface Deployment extends Page {
	id: string;
	artefact?: string;
	version?: string;
	manifest?: string[];
	mode?: string;
	open?: boolean;
	created?: string;
	actor?: string | null;
	verdict?: string;
	state?: string;
	status?: Status;
	certified?: boolean;
	latched?: boolean;
	sticky?: boolean;
	since?: string;
	watch_until?: string | null;
	headline?: string;
	summary?: string;
	summary_parts?: Part[];
	copy_text?: string;
	acknowledged?: Acknowledged | null;
	needed?: { kind: string; have?: number; need?: number; until?: string; text: string }[];
	thresholds?: { watch_log10?: number; halt_log10?: number; alpha?: number; alpha_watch?: number; alpha_spent?: number };
	keys?: KeyRow[];
	key?: KeyDetail | null;
	table?: {
		exposed?: { crashed: number; at_risk: number };
		control?: { crashed: number; at_risk: number };
		ratio?: number | null; ratio_low?: number | null; ratio_high?: number | null; confidence?: number;
		sites?: number; strata?: number; assignment?: string; held_back?: boolean;
	} | null;
	votes?: Vote[];
	votes_total?: number;
	votes_kept?: number;
	votes_next?: number | null;
	rings?: Ring[];
	per_minute?: {
		t0: string; step_s: number; open?: boolean;
		served?: (number | null)[]; crashed?: (number | null)[]; dark?: (number | null)[];
	};
	annotations?: Annotation[];
	blast?: {
		exposed?: number; harmed?: number; harmed_back?: number; boot_loop?: number; silent?: number; silent_usual?: number | null;
		projected_if_resumed?: number | null; never_served?: number; served_before_stop?: number | null;
		served_after_stop?: number | null; last_served?: string | null; last_served_after_s?: number | null;
		none_since?: boolean; next_ring_max?: number | null;
	};
	doubts?: { kind: string; state: string; text: string }[];
	co_suspects?: { id: string; log10_odds?: number; separation_log10?: number; shared_hosts?: number; paused?: boolean }[];
	receipts?: string;
	rules?: Record<string, number | boolean | string | null>;
	decisions?: Decision[];
	resumes?: Decision[];
	replay_token?: string | null;
	replay_command?: string | null;
	signatures?: {
		id: string; title: string; kind?: string; reason?: string; in_manifest?: boolean | null; hosts?: number; sites?: number;
		first_seen?: string; first_seen_ever?: boolean;
	}[];
}

export interface Session {
	signed_in: boolean;
	needed: boolean;
	by?: string;
	role: string | null;
	can: string[];
	expires?: string | null;
}
