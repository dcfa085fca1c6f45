// SPDX-License-Identifier: Apache-2.0
// The documents of Signatures, Signature, Hosts, Halts and Health (docs/API.md).  Every member may be missing.
import type { Annotation, Decision, Page, Part, Series, Status } from './types';

export interface Term { field: string; op: string; value: string; negated?: boolean; at: number; length: number; without?: number | null }

export interface SignatureRow {
	id: string;
	title: string;
	title_len?: number;
	rung?: string;
	kind?: string;
	kinds?: string[];
	hosts?: number;
	sites?: number;
	crashes?: number;
	reports?: number;
	trend?: number;
	first_seen?: string;
	last_seen?: string;
	module?: string;
	module_id?: string;
	offset?: string;
	reason_class?: string;
	reason?: string;
	rank?: number;
	rank_before?: number | null;
	hours?: (number | null)[];
	builds?: number | null;
	merged_into?: string | null;
	deployment?: { id: string; status?: Status } | null;
}

export interface Facet { value: string; signatures: number }

export interface SignatureList extends Page {
	sort?: string;
	group?: string;
	q?: string;
	parsed?: Term[];
	total?: number;
	offset?: number;
	signatures?: SignatureRow[];
	next?: string | null;
	facets?: Record<string, Facet[]>;
}

export interface Frame {
	n?: number;
	module?: string | null;
	offset?: string | null;
	module_offset?: string | null;
	address?: string | null;
	function?: string | null;
	trust?: string;
	blamed?: boolean;
	messenger?: boolean;
}

export interface Ranked { total?: number; unknown?: number; rows?: { name: string; hosts: number }[] }

export interface Advice {
	text: string;
	link?: string | null;
	actor?: string | null;
	reason?: string;
	at?: string;
	position?: string;
	inherited_from?: string | null;
}

export interface Told {
	at: string;
	position: string;
	action: string;
	actor?: string | null;
	reason?: string;
	text?: string | null;
	link?: string | null;
	into?: string | null;
}

export interface Fact {
	kind: string;
	fact: string;
	hosts: number;
	share?: number;
	fleet_hosts?: number;
	fleet_share?: number;
	lift?: number | null;
	low?: number | null;
	high?: number | null;
	over_represented?: boolean;
	cannot_be_told_from?: number | null;
	reading?: string;
}

export interface LadderRow {
	rung: string;
	id?: string | null;
	key?: string;
	hosts?: number;
	exposed?: number | null;
	exposed_of?: number | null;
	control?: number | null;
	control_of?: number | null;
	tested?: boolean;
	log10_odds?: number | null;
	threshold_log10?: number | null;
	note?: string;
}

export interface DumpRow {
	sha256: string;
	report?: string;
	received?: string;
	size?: number;
	kept?: boolean;
	outcome?: string;
	partial?: boolean;
	format?: string;
}

export interface Over { source?: string; state?: string; complete_from?: string; hosts?: Series; sites?: Series; crashes?: Series }

export interface SignaturePage extends Page, SignatureRow {
	confirmed?: boolean;
	dumps?: number;
	versions?: string[];
	summary?: string;
	summary_parts?: Part[];
	deployments?: {
		id: string; status?: Status; served_with?: number; served?: number; unserved_with?: number; unserved?: number;
		log10_odds?: number | null; threshold_log10?: number | null;
	}[];
	stack?: {
		from?: { source?: string; report?: string; sha256?: string | null; received?: string } | null;
		frames?: Frame[]; skipped?: { count: number; rule?: string; frames?: number[] } | null; state?: string;
	};
	over_time?: { minutes?: Over | null; hours?: Over | null; annotations?: Annotation[] };
	correlations?: { state?: string; statement?: string; hosts?: number; fleet_hosts?: number; fleet_counted?: string; facts_compared?: number; facts?: Fact[] };
	ladder?: LadderRow[];
	ladder_deployment?: string | null;
	site_list?: Ranked;
	os_builds?: Ranked;
	products?: Ranked;
	hw_classes?: Ranked;
	hosts_list?: { id: string; site?: string; os_build?: string; state?: string; last_seen?: string }[];
	dump_samples?: { state?: string; rows?: DumpRow[] };
	advice?: Advice | null;
	alias?: unknown;
	merged?: { id: string; title?: string; hosts?: number; actor?: string | null; reason?: string; at?: string }[];
	alias_history?: { triage_alias?: string | null; claimed_as?: { id: string; reports?: number }[]; state?: string };
	history?: Told[];
	issue_links?: { name: string; url: string }[];
}

// What differs from the row of the list.
export interface SignatureDoc extends Omit<SignaturePage, 'merged_into' | 'builds'> {
	merged_into?: { id: string; title?: string; actor?: string | null; reason?: string; at?: string } | null;
	builds?: { id: string; module_id?: string; hosts?: number; crashes?: number; first_seen?: string; last_seen?: string; this?: boolean }[];
}

export interface AdviceDoc extends Page { signature: string; advice: Advice | null; history?: Told[] }

export interface Module { name?: string; path?: string | null; code_id?: string | null; debug_id?: string | null; version?: string | null; base?: string; size?: number }

export interface DumpDoc {
	sha256: string;
	size?: number;
	outcome?: string;
	error?: string | null;
	triage?: {
		format?: string; os?: string; os_version?: string; arch?: string; summary?: string; reason?: string; address?: string | null;
		crashing_thread?: number | null; thread_count?: number; module_count?: number; frames?: Frame[]; stack_end?: string;
		signature?: { id: string; title?: string; rule?: string; frame?: number } | null;
		registers?: { name: string; value: string }[];
		threads?: { id?: number; name?: string | null; frames?: Frame[]; stack_end?: string }[];
		bugcheck?: { code?: string; name?: string; params?: { value: string; meaning?: string | null; text?: string | null }[] } | null;
		kernel?: Record<string, unknown> | null; process?: Record<string, unknown> | null; annotations?: Record<string, unknown> | null;
		modules?: Module[]; modules_left_out?: number; threads_left_out?: number; partial?: boolean; partial_reason?: string | null;
	} | null;
}

export interface HostRow {
	id: string;
	number?: number;
	state?: string;
	last_seen?: string;
	site?: string;
	product?: string;
	os_build?: string;
	hw_class?: string;
	silence?: { limit_seconds?: number; deadline?: string } | null;
}

export interface HostList extends Page { hosts?: HostRow[]; next?: string | null }

export interface Happening {
	at: string;
	kind: string;
	source?: string;
	text: string;
	signature?: string;
	report?: string;
	crash_kind?: string;
	deployment?: string;
	from?: string;
	seconds?: number;
	uptime_seconds?: number;
}

export interface HostDoc extends Page, Omit<HostRow, 'silence'> {
	first_seen?: string;
	silent_seconds?: number;
	interval_seconds?: number;
	silence?: {
		deadline?: string | null; limit_seconds?: number | null; missed?: number; interval_seconds?: number; grace_seconds?: number;
		not_listened_seconds?: number; relayed?: boolean;
	} | null;
	goodbye?: boolean;
	cloned?: boolean;
	boots?: number;
	reports?: number;
	last_report?: string | null;
	last_signature?: string | null;
	content?: { name: string; value: string }[];
	labels?: { name: string; value: string }[];
	served?: { deployment: string; at: string }[];
	summary?: string;
	summary_parts?: Part[];
	votes?: { deployment: string; votes?: boolean; why: string }[];
	timeline?: { state?: string; rows?: Happening[]; next?: string | null; note?: string | null };
}

export interface DecisionRow extends Decision {
	n: string;
	deployment?: string;
	certified?: boolean | null;
	mode?: string | null;
	evidence?: {
		log10_odds?: number | null; threshold_log10?: number | null; key?: string; signature?: string | null; served_with?: number; served?: number;
		unserved_with?: number; unserved?: number; votes?: number;
	} | null;
	replay_token?: string | null;
	signature_valid?: boolean | null;
}

export interface DecisionList extends Page { state?: string; decisions?: DecisionRow[]; next?: string | null }

export interface ProofVote {
	n: number;
	t: string;
	crashed?: string;
	served?: string | null;
	host_number?: number;
	exposed: boolean;
	counted?: boolean;
	site_number?: number;
	at_risk_served?: number;
	at_risk_unserved?: number;
	q?: number;
	factor?: number;
	log_factor?: number;	// natural
	log10_odds?: number;
}

export interface DecisionDoc extends Page {
	state?: string;
	decision?: DecisionRow;
	summary?: string;
	summary_parts?: Part[];
	proof?: {
		signature?: string | null; title?: string; pool?: string; log10_weight?: number; threshold_log10?: number; rho?: number;
		hosts_needed?: number; sites_needed?: number; served?: number; unserved?: number; votes_total?: number; votes?: ProofVote[];
	} | null;
	replay_token?: string | null;
	replay?: string | null;
	related?: DecisionRow[];
}

export interface Delivery { id: string; at?: string; state?: string; status?: number | null; attempts?: number; event?: string; error?: string }

export interface HealthDoc extends Page {
	status?: string;
	summary?: string;
	summary_parts?: Part[];
	problems?: { kind: string; level?: string; text: string }[];
	version?: string;
	started?: string;
	uptime_seconds?: number;
	time?: string;
	ledger?: { state?: string; behind_seconds?: number; behind_batches?: number; records?: number; hosts?: number; signatures?: number; deployments?: number };
	log?: { first?: string; end?: string; bytes?: number; flush_p99_ms?: number | null; stopped?: boolean };
	database?: { state?: string; position?: string | null; behind_seconds?: number | null; behind_records?: number | null };
	queues?: { name: string; waiting: number; what?: string }[];
	workers?: { configured?: number; up?: number; busy?: number; waiting?: number; done?: number; killed?: number; restarts?: number };
	rates?: {
		reports_per_s?: number; heartbeats_per_s?: number; refused_per_s?: number; over_seconds?: number;
		series?: { reports?: Series; heartbeats?: Series; refused?: Series };
	};
	ingest?: { heartbeats_per_s?: number; reports_per_s?: number; refused_1h?: number };
	discards?: { code: string; status?: number; count: number; last_hour?: number; help?: string }[];
	webhooks?: { name: string; url?: string; last?: Delivery[]; dead?: Delivery[]; dead_letters?: Delivery[]; waiting?: number }[];
	disk?: {
		free?: number; total?: number; used?: Record<string, number | null>; limits?: Record<string, number | null>; growth_bytes_per_day?: number | null;
		horizon_days?: number | null; horizon_text?: string;
	};
	tokens?: { configured?: boolean; count?: number };
	settings?: { name: string; value: string | number | boolean | null }[];
	counters?: Record<string, number>;
}
