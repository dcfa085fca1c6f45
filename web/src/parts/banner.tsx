// SPDX-License-Identifier: Apache-2.0
// The first thing one reads: fine or not.  A server that is not heard from is never an all-clear.
import type { ComponentChildren } from 'preact';
import { contact, silence } from '../live';
import { duration } from '../format';
import { paths } from '../href';
import type { Banner as Verdict } from '../types';
import { Chip, known, ShapeMark, STATUS, type Shape } from './shapes';
import { Inline, Sentence } from './sentence';
import { Hostile } from './text';
import { Age, Time } from './time';

export type Level = 'halt' | 'watch' | 'hold' | 'clear' | 'unknown';

// What the title, the favicon and the banner go by.
export function level(v: Verdict | undefined | null): Level {
	if (contact.value === 'lost' || !v || v.state === 'unknown')
		return 'unknown';
	const s = known(v.status);
	if (s === 'halt' || s === 'halt_uncertified' || s === 'halt_recovered')
		return 'halt';
	return s === 'watch' ? 'watch' : s === 'proceed' ? 'clear' : v.state === 'clear' ? 'clear' : 'hold';
}

export function Banner({ verdict, actions }: { verdict: Verdict | undefined | null; actions?: ComponentChildren }) {
	const l = level(verdict);
	if (l === 'unknown' && verdict && contact.value === 'lost')
		return (
			<section class="banner unknown" id="banner" data-level="unknown" aria-label="state of the fleet">
				<ShapeMark shape="question" size={56} />
				<div>
					<h1 tabIndex={-1}>UNKNOWN: no contact for {duration(silence.value)}.</h1>
					<p>Last verdict{verdict.since ? <> (since <Time at={verdict.since} zone />)</> : null}: <Hostile text={verdict.headline} />. <Inline text={verdict.summary} /></p>
					<p>What stands below is old. The halt works without this page: gates that cannot ask hold.</p>
				</div>
			</section>
		);
	const shape: Shape = l === 'unknown' ? 'question' : STATUS[known(verdict?.status)].shape;
	const others = verdict?.others ?? [];
	const same = others.filter((o) => known(o.status) === known(verdict?.status)).length;
	return (
		<section class={`banner ${l} ${known(verdict?.status)}`} id="banner" data-level={l} aria-label="state of the fleet">
			<ShapeMark shape={shape} size={56} />
			<div>
				<h1 tabIndex={-1}><Hostile text={verdict?.headline ?? 'Waiting for the server'} />{same > 0 && l !== 'clear' && <small> and {same} more</small>}</h1>
				<Sentence parts={verdict?.summary_parts} text={verdict?.summary} />
				{(l === 'halt' || l === 'watch') && verdict?.since && <p class="since"><Age at={verdict.since} />
					{verdict.acknowledged && <> · acknowledged by <Hostile text={verdict.acknowledged.actor ?? 'somebody'} /> at <Time at={verdict.acknowledged.at} />: <Hostile text={verdict.acknowledged.reason} most={200} /></>}</p>}
				{others.length > 0 && l !== 'clear' && <p class="others">{others.slice(0, 4).map((o) => <a href={paths.deployment(o.deployment)}><Chip status={o.status} /> <Hostile text={o.deployment} most={40} /></a>)}</p>}
			</div>
			{actions && <div class="banner-actions">{actions}</div>}
		</section>
	);
}
