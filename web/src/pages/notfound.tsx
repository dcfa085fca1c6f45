// SPDX-License-Identifier: Apache-2.0
import { place } from '../router';
import { Hostile } from '../parts/text';
import { useTitle } from '../shell';

export function NotFound() {
	useTitle('Not found');
	return (
		<div class="lonely">
			<h1 tabIndex={-1}>There is no such page</h1>
			<p><code><Hostile text={place.value.path} /></code> is no page of this dashboard. <a href="/">Now</a> shows the fleet; the search above finds signatures.</p>
		</div>
	);
}
