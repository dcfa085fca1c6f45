// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState } from 'preact/hooks';
import { now } from '../now';
import { Card } from '../parts/states';
import { useTitle } from '../shell';

export function AboutPage() {
	const [text, set] = useState<string | null>(null);
	useTitle('About');
	useEffect(() => {
		void fetch('/assets/licences.txt').then((a) => a.ok ? a.text() : 'The licence texts cannot be read.').then(set, () => set('No contact.'));
	}, []);
	return (
		<>
			<h1 tabIndex={-1}>About</h1>
			<Card><p>Faultline {now.value?.version ?? ''}: fleet outage telemetry and crash-dump triage. This page asks its own server alone, by the documented <code>/v1</code> API; whatever it shows, a script can ask for.</p></Card>
			<Card title="Licences" id="licences" note={<a href="/assets/licences.txt" data-plain>as text</a>}>
				<pre class="block tall" tabIndex={0} role="region" aria-label="licence texts">{text ?? 'Loading'}</pre>
			</Card>
		</>
	);
}
