// SPDX-License-Identifier: Apache-2.0
// Path to page.  A page has its identifier decoded; what does not decode is not found.
import type { ComponentChildren } from 'preact';
import { AboutPage } from './pages/about';
import { DeploymentPage } from './pages/deployment';
import { DeploymentsPage } from './pages/deployments';
import { NotFound } from './pages/notfound';
import { NowPage } from './pages/now';
import { SignIn } from './pages/signin';

const ROUTES: [RegExp, (id: string) => ComponentChildren][] = [
	[/^\/$/, () => <NowPage />],
	[/^\/deployments\/?$/, () => <DeploymentsPage />],
	[/^\/deployments\/([^/]+)\/?$/, (id) => <DeploymentPage key={id} id={id} />],
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
