// SPDX-License-Identifier: Apache-2.0
// Runs before the first paint, as a file: the policy allows nothing inline.
try {
	const theme = localStorage.getItem('faultline.theme');
	if (theme === 'light' || theme === 'dark')
		document.documentElement.dataset.theme = theme;
} catch { /* no storage: the system's choice */ }
if (new URLSearchParams(location.search).get('kiosk') === '1')
	document.documentElement.dataset.kiosk = '';
