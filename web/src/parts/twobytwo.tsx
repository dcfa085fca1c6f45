// SPDX-License-Identifier: Apache-2.0
import { count, rate } from '../format';
import type { Deployment } from '../types';
import { Num } from './num';
import { ShapeMark } from './shapes';
import { Card, Empty } from './states';
import { Hostile } from './text';

const HOW: Record<string, string> = { hash: 'hosts assigned at random', random: 'hosts assigned at random', plan: 'hosts chosen by the plan' };

export function TwoByTwo({ d }: { d: Deployment }) {
	const t = d.table, e = t?.exposed, c = t?.control;
	if (!t || !e || !c)
		return <Card title="Exposed against control" id="table"><Empty>Nothing to compare yet.</Empty></Card>;
	const share = (x: { crashed: number; at_risk: number }) => x.at_risk > 0 ? rate(x.crashed / x.at_risk) : '–';
	const verb = d.key?.kind === 'dark' ? 'went dark' : d.key?.id === 'boot' ? 'boot-looped' : 'crashed';
	return (
		<Card title="Exposed against control" id="table" note={<>hosts; key <code><Hostile text={d.key?.title ?? ''} most={32} /></code></>}>
			<table>
				<caption class="sr">Exposed hosts against control hosts</caption>
				<thead><tr><td /><th scope="col" class="r">{verb}</th><th scope="col" class="r">at risk</th><th scope="col" class="r">rate</th></tr></thead>
				<tbody>
					<tr><th scope="row"><span class="arm exposed"><ShapeMark shape="square" size={12} /> Exposed</span></th>
						<td class="r bad"><Num k="table.exposed.crashed" v={e.crashed} /></td><td class="r"><Num k="table.exposed.at_risk" v={e.at_risk} /></td><td class="r bad">{share(e)}</td></tr>
					<tr><th scope="row"><span class="arm control"><ShapeMark shape="circle" size={12} /> Control</span></th>
						<td class="r good"><Num k="table.control.crashed" v={c.crashed} /></td><td class="r"><Num k="table.control.at_risk" v={c.at_risk} /></td><td class="r good">{share(c)}</td></tr>
				</tbody>
			</table>
			<p class="note">{typeof t.ratio === 'number' && <>Rate ratio <b><Num k="table.ratio" v={t.ratio} f="decimal" /></b>, </>}
				{typeof t.ratio_low === 'number' && <>at least <b><Num k="table.ratio_low" v={t.ratio_low} f="decimal" /></b> (anytime-valid, {Math.round((t.confidence ?? 0) * 1000) / 10} %). </>}
				<Num k="table.sites" v={t.sites} /> {t.sites === 1 ? 'site' : 'sites'}, {count(t.strata)} {t.strata === 1 ? 'stratum' : 'strata'}; {HOW[t.assignment ?? ''] ?? `assignment: ${t.assignment ?? 'not known'}`}{t.held_back && '; against the part that was held back'}.</p>
		</Card>
	);
}
