// SPDX-License-Identifier: Apache-2.0
import { exact, FORMATS, type Format } from '../format';

// A number of the API: `k` is where it stands in the page's document (main's data-doc), "now:…" in /v1/now.
export function Num({ k, v, f = 'count', class: name }: { k: string; v: number | null | undefined; f?: Format; class?: string }) {
	const text = FORMATS[f](v);
	return <span class={name ? 'num ' + name : 'num'} data-k={k} data-f={f}
		title={f === 'count' && typeof v === 'number' && Math.abs(v) >= 1e6 ? exact(v) : undefined}>{text}</span>;
}
