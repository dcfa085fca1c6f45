// SPDX-License-Identifier: Apache-2.0
// What a person may do to a deployment, each with its consequence in hosts.
import { count } from '../format';
import type { Action } from '../parts/dialog';
import { Hostile } from '../parts/text';
import type { Deployment } from '../types';

const at = (id: string, verb: string) => `/v1/deployments/${encodeURIComponent(id)}/${verb}`;

export function ackAction(id: string, position?: string): Action {
	return {
		path: at(id, 'ack'), title: <>Acknowledge <Hostile text={id} /></>, button: 'Acknowledge', position,
		consequence: <p>Says that a person looks after it. It changes no verdict and serves no host.</p>,
	};
}

export function haltAction(d: Deployment): Action {
	return {
		path: at(d.id, 'halt'), title: <>Halt <Hostile text={d.id} /></>, button: 'Halt serving', danger: true, position: d.position,
		consequence: <p>No further host is served; {count(d.blast?.exposed)} have it already, and {count(d.blast?.never_served)} never got it. A person has to release it.</p>,
	};
}

export function resumeAction(d: Deployment, halted: boolean): Action {
	const b = d.blast, more = b?.projected_if_resumed;
	return {
		path: at(d.id, 'resume'), title: <>Resume <Hostile text={d.id} /></>, button: 'Resume serving', cancel: halted ? 'Keep it halted' : 'Keep it paused',
		danger: true, position: d.position, confirm: halted ? d.id : undefined,
		consequence: (
			<>
				{typeof more === 'number' && <p class="harm">Expected harm if it is served to everyone: <b>≈ {count(more)} hosts</b>.</p>}
				<p>So far {count(b?.harmed)} of {count(b?.exposed)} served hosts are harmed; {count(b?.never_served)} never got it. A resume spends error budget: the next halt needs stronger evidence.</p>
			</>
		),
	};
}

export function pauseAction(d: Deployment): Action {
	return {
		path: at(d.id, 'pause'), title: <>Pause <Hostile text={d.id} /></>, button: 'Pause serving', position: d.position,
		consequence: <p>No further host is served until a person releases it; {count(d.blast?.exposed)} have it.</p>,
	};
}

export function releaseAction(d: Deployment): Action {
	return {
		path: at(d.id, 'release'), title: <>Release <Hostile text={d.id} /></>, button: 'Release', position: d.position,
		consequence: <p>Ends the pause. The verdict goes on by the evidence; up to {count(d.blast?.never_served)} more hosts may be served.</p>,
	};
}

export function muteAction(d: Deployment, signature: string, title: string, verb: 'mute' | 'accept' | 'release'): Action {
	const word = { mute: 'Mute', accept: 'Accept', release: 'Judge again' }[verb];
	return {
		path: at(d.id, verb), title: <>{word} <Hostile text={title} mono /></>, button: word, position: d.position, more: { signature },
		field: verb === 'mute' ? { name: 'for', label: 'For how long (30m, 4h, 2d)', value: '4h' } : undefined,
		consequence: <p>{verb === 'release' ? 'The key counts again towards this deployment\'s verdict.'
			: `Crashes with this key no longer count towards this deployment's verdict${verb === 'mute' ? ' until then' : ''}. They are still received and shown.`}</p>,
	};
}
