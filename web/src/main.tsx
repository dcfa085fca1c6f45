// SPDX-License-Identifier: Apache-2.0
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './style/index.css';
import { learnSession, refused } from './api';
import { start } from './live';
import { startNow } from './now';
import { place } from './router';
import { page } from './routes';
import { Shell } from './shell';
import { SignIn } from './pages/signin';
import { watchVersion } from './version';

function App() {
	const path = place.value.path;
	return <Shell>{refused.value && path !== '/about' ? <SignIn /> : page(path)}</Shell>;
}

void learnSession();
start();
startNow();
watchVersion();
render(<App />, document.getElementById('app')!);
