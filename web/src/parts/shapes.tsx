// SPDX-License-Identifier: Apache-2.0
// The shapes of the status vocabulary: paths on currentColor, 16 units wide.
import type { Status } from '../types';

const OCTAGON = 'M5 1h6l4 4v6l-4 4H5l-4-4V5z';
const DIAMOND = 'M8 .8 15.2 8 8 15.2.8 8z';

export type Shape = 'triangle' | 'bars' | 'diamond' | 'octagon' | 'octagon-hollow' | 'octagon-tick' | 'question' | 'circle' | 'square' | 'up' | 'down' | 'dots' | 'tick' | 'triangle-hollow' | 'square-hollow';

export function ShapeMark({ shape, size = 14 }: { shape: Shape; size?: number }) {
	return <svg class={'shape ' + shape} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">{draw(shape)}</svg>;
}

function draw(shape: Shape) {
	const hole = { class: 'hole' };
	switch (shape) {
	case 'triangle': return <path d="M3 1.5v13L14.5 8z" />;
	case 'triangle-hollow': return <path class="stroke" d="M3.5 2.5v11L13.5 8z" />;
	case 'bars': return <path d="M3 2h3.6v12H3zM9.4 2H13v12H9.4z" />;
	case 'diamond': return <><path d={DIAMOND} /><path {...hole} d="M7.1 4.2h1.8L8.6 9H7.4zM7.1 10.2h1.8V12H7.1z" /></>;
	case 'octagon': return <><path d={OCTAGON} /><path {...hole} d="M4 6.8h8v2.4H4z" /></>;
	case 'octagon-hollow': return <path class="stroke" d={OCTAGON} />;
	case 'octagon-tick': return <><path d={OCTAGON} /><path class="hole-stroke" d="M4.5 8.2 7 10.7l4.6-5" /></>;
	case 'question': return <><circle class="stroke" cx="8" cy="8" r="6.6" /><path class="stroke" d="M5.9 6.2a2.1 2.1 0 1 1 3.2 1.8c-.8.5-1.1.9-1.1 1.7" /><circle cx="8" cy="11.8" r="1" /></>;
	case 'circle': return <circle class="stroke" cx="8" cy="8" r="5" />;
	case 'square': return <path d="M3 3h10v10H3z" />;
	case 'square-hollow': return <path class="stroke" d="M3.5 3.5h9v9h-9z" />;
	case 'up': return <path d="M8 3l6 10H2z" />;
	case 'down': return <path d="M8 13L2 3h12z" />;
	case 'dots': return <path d="M2 7h2.4v2.4H2zM6.8 7h2.4v2.4H6.8zM11.6 7H14v2.4h-2.4z" />;
	case 'tick': return <path class="stroke" d="M2.5 8.5 6 12l7.5-8" />;
	}
}

export const STATUS: Record<Status, { word: string; shape: Shape }> = {
	proceed: { word: 'PROCEED', shape: 'triangle' },
	hold: { word: 'HOLD', shape: 'bars' },
	watch: { word: 'WATCH', shape: 'diamond' },
	halt: { word: 'HALT', shape: 'octagon' },
	halt_uncertified: { word: 'HALT · UNCERTIFIED', shape: 'octagon' },
	halt_recovered: { word: 'HALT · RECOVERED', shape: 'octagon-tick' },
	would_halt: { word: 'WOULD HALT', shape: 'octagon-hollow' },
	unknown: { word: 'UNKNOWN', shape: 'question' },
};

export function known(status: string | null | undefined): Status {
	return status && status in STATUS ? status as Status : 'unknown';
}

// The verdict as shape, word, colour and fill.  `word` replaces the word ("HALTED", "1 HALTED").
export function Chip({ status, word, certified = true }: { status: string | null | undefined; word?: string; certified?: boolean }) {
	const s = known(status);
	return (
		<span class={`chip ${s}${certified ? '' : ' uncertified'}`} data-status={s}>
			<ShapeMark shape={STATUS[s].shape} size={13} /><span>{word ?? STATUS[s].word}</span>
		</span>
	);
}
