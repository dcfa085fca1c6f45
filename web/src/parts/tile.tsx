// SPDX-License-Identifier: Apache-2.0
import { count, signed } from '../format';
import type { Tile } from '../types';
import { Num } from './num';
import { ShapeMark } from './shapes';
import { Spark } from './spark';
import { Time } from './time';

// `worse`: in which direction the value goes when things go bad.
export function FleetTile({ name, k, tile, worse }: { name: string; k: string; tile: Tile | undefined; worse: 'up' | 'down' }) {
	const value = tile?.value ?? null, usual = tile?.usual ?? null;
	const diff = value !== null && usual !== null ? value - usual : null;
	const bad = diff !== null && (worse === 'up' ? diff > 0 : diff < 0);
	const far = bad && Math.abs(diff) > Math.max(3, 0.05 * Math.abs(usual!));
	return (
		<div class="card tile" role="group" aria-label={name}>
			<div class="name">{name}</div>
			<div class="value"><Num k={k + '.value'} v={value} /></div>
			<div class="usual">
				{diff !== null && diff !== 0 && <b class={far ? 'bad' : undefined}><ShapeMark shape={diff > 0 ? 'up' : 'down'} size={10} /> {signed(diff)}</b>}
				{diff === 0 && <b>as usual</b>}
				{usual !== null ? <span> usual: <Num k={k + '.usual'} v={usual} /></span>
					: tile?.usual_from ? <span>no usual value yet; the first at <Time at={tile.usual_from} /></span>
					: <span>{value === null ? 'not known' : 'usual: not known yet'}</span>}
			</div>
			<Spark series={tile?.spark} name={`${name}, 24 hours`} />
			{value !== null && Math.abs(value) >= 1e6 && <span class="sr">{count(value)}</span>}
		</div>
	);
}
