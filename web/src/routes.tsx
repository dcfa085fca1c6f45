// SPDX-License-Identifier: Apache-2.0
// Path to page.  A page has its identifier decoded; what does not decode is not found.
import type { ComponentChildren } from 'preact';
import { AboutPage } from './pages/about';
import { DeploymentPage } from './pages/deployment';
import { DeploymentsPage } from './pages/deployments';
import { HaltPage, HaltsPage } from './pages/halts';
import { HealthPage } from './pages/health';
import { HostPage } from './pages/host';
import { HostsPage } from './pages/hosts';
import { NotFound } from './pages/notfound';
import { NowPage } from './pages/now';
import { SignaturePage } from './pages/signature';
import { SignaturesPage } from './pages/signatures';
import { SignIn } from './pages/signin';

const ROUTES: [RegExp, (id: string) => ComponentChildren][] = [
	[/^\/$/, () => <NowPage />],
	[/^\/deployments\/?$/, () => <DeploymentsPage />],
	[/^\/deployments\/([^/]+)\/?$/, (id) => <DeploymentPage key={id} id={id} />],
	[/^\/signatures\/?$/, () => <SignaturesPage />],
	[/^\/signatures\/([^/]+)\/?$/, (id) => <SignaturePage key={id} id={id} />],
	[/^\/hosts\/?$/, () => <HostsPage />],
	[/^\/hosts\/([^/]+)\/?$/, (id) => <HostPage key={id} id={id} />],
	[/^\/halts\/?$/, () => <HaltsPage />],
	[/^\/halts\/([^/]+)\/?$/, (id) => <HaltPage key={id} id={id} />],
	[/^\/health\/?$/, () => <HealthPage />],
	[/^\/signin\/?$/, () => <SignIn />],
	[/^\/about\/?$/, () => <AboutPage />],
];

export function page(path: string): ComponentChildren {
	for (const [pattern, make] of ROUTES) {
		const m = pattern.exec(path);
		if (!m)
			continue;
		try {
			return make(decodeURIComponent(m[1] ?? ''));
		} catch {
			break;
		}
	}
	return <NotFound />;
}
