// SPDX-License-Identifier: Apache-2.0
import { serverNow, tick } from '../clock';
import { dateTime, duration, moment, parseTime, UNKNOWN, zoneName } from '../format';
import { zoneChoice } from '../prefs';

export function Time({ at, k, zone = false }: { at: string | null | undefined; k?: string; zone?: boolean }) {
	const ms = parseTime(at);
	if (ms === null)
		return <>{UNKNOWN}</>;
	const z = zoneChoice.value;
	return <time dateTime={at!} data-t={k} title={`${dateTime(ms, z)}:${at!.slice(17, 23)} ${zoneName(ms, z)}`}>
		{moment(ms, serverNow(), z)}{zone && ' ' + zoneName(ms, z)}</time>;
}

// "11 min 02 s ago", by the server's clock.
export function Age({ at, ago = true, until = false }: { at: string | null | undefined; ago?: boolean; until?: boolean }) {
	tick.value;
	const ms = parseTime(at);
	if (ms === null)
		return <>{UNKNOWN}</>;
	const s = (serverNow() - ms) / 1000 * (until ? -1 : 1);
	return <time dateTime={at!} class="age">{until && s <= 0 ? 'now' : duration(Math.floor(Math.max(0, s)))}{ago && !until && ' ago'}</time>;
}
