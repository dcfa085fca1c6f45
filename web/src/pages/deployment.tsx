// SPDX-License-Identifier: Apache-2.0
export function DeploymentPage({ id }: { id: string }) {
	return <h1>{id}</h1>;
}
