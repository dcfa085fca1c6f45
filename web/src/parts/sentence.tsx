// SPDX-License-Identifier: Apache-2.0
// The server's sentence, with its parts made links and bold numbers.  The page never words a verdict.
import { paths } from '../href';
import { zoneChoice } from '../prefs';
import type { Part } from '../types';
import { Hostile } from './text';
import { Time } from './time';

function One({ part, k }: { part: Part; k?: string }) {
	switch (part.kind) {
	case 'count':
	case 'rate':
	case 'odds':
		return <b data-p={k}><Hostile text={part.text} /></b>;
	case 'module':
		return <b><Hostile text={part.text} mono /></b>;
	case 'deployment':
		return <a href={paths.deployment(part.id ?? part.text)}><Hostile text={part.text} /></a>;
	case 'signature':
		return <a href={paths.signature(part.id ?? part.text)}><Hostile text={part.text} mono /></a>;
	case 'time':
		return zoneChoice.value === 'utc' || !part.at ? <time dateTime={part.at}>{part.text}</time> : <Time at={part.at} zone />;
	default:
		return <Hostile text={part.text} most={0} />;
	}
}

// Lines end where the server put a break.
export function Sentence({ parts, text, class: name }: { parts?: Part[]; text?: string; class?: string }) {
	if (!parts?.length)
		return text ? <p class={name}><Hostile text={text} most={0} /></p> : null;
	const lines: Part[][] = [[]];
	for (const p of parts)
		if (p.kind === 'break')
			lines.push([]);
		else
			lines[lines.length - 1]!.push(p);
	return <>{lines.map((line) => <p class={name}>{line.map((p) => <One part={p} />)}</p>)}</>;
}

export function Inline({ parts, text }: { parts?: Part[]; text?: string }) {
	return parts?.length ? <>{parts.map((p) => <One part={p} />)}</> : <Hostile text={text ?? ''} most={300} />;
}
