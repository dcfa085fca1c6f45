// SPDX-License-Identifier: Apache-2.0
import { href } from '../href';
import { cut, label, LONGEST, pieces, plain } from '../hostile';
import type { ComponentChildren } from 'preact';

// Long names in capitals break after their underscores rather than within a word.  Not in very long ones: an element each.
function broken(s: string): ComponentChildren {
	if (s.length > 400 || !s.includes('_'))
		return s;
	return s.split(/(?<=_)(?=[^_])/).flatMap((word, i) => i ? [<wbr />, word] : [word]);
}

// Every text that a host, a dump or a person sent.  `most` 0: in full.
export function Hostile({ text, most = LONGEST, mono = false, len }: { text: string | null | undefined; most?: number; mono?: boolean; len?: number }) {
	if (text === null || text === undefined)
		return <>–</>;
	const short = most > 0 ? cut(text, most) : text;
	const all = pieces(short);
	return (
		<bdi dir="ltr" class={mono ? 'mono hostile' : 'hostile'} title={short === text ? undefined : label(text, 1000)}>
			{all.length === 1 && !all[0]!.mark ? broken(all[0]!.text)
				: all.map((p) => p.mark ? <span class="mark" title="a character that cannot be seen">{p.text}</span> : broken(p.text))}
			{len !== undefined && len > new TextEncoder().encode(text).length && <span class="dim" title={`${len} bytes`}>…</span>}
		</bdi>
	);
}

// Long hostile text in full, inside its own scroll.
export function HostileBlock({ text, caption }: { text: string; caption: string }) {
	return <pre class="block" tabIndex={0} role="region" aria-label={caption}><Hostile text={text} most={0} /></pre>;
}

// A link to an identifier: mono, one line, in full in the accessible name.
export function IdLink({ to, text, most = 48, open = false }: { to: string; text: string; most?: number; open?: boolean }) {
	return (
		<a class="id mono" href={href(to)} data-open={open ? '' : undefined} aria-label={text.length > most ? plain(text).slice(0, 1000) : undefined}>
			<Hostile text={text} most={most} />
		</a>
	);
}

// An address that an administrator wrote (issue trackers): never with our window, never with our address.
export function OutLink({ to, children }: { to: string; children: ComponentChildren }) {
	const at = href(to);
	return at ? <a href={at} target="_blank" rel="noopener noreferrer">{children}</a> : <span>{children}</span>;
}
