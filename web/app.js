// SPDX-License-Identifier: Apache-2.0
// The live page: everything from GET /v1/now and the events of GET /v1/stream.  Whatever the
// fleet sends is text and stays text: only textContent, never markup.
'use strict';

const $ = (id) => document.getElementById(id);
const SHAPES = { proceed: '▶', hold: '◆', halt: '⬣' };
const KEEP = 600;	// seconds in the chart
const LATE_MS = 5000, LOST_MS = 30000;

let state = null;		// the last /v1/now
let arrivals = [];		// crash reports of each second, oldest first
let lastNews = 0;		// performance.now() of the last byte heard
let lastEventId = '';
let clockOffset = 0;		// server time - ours
let refreshing = false, refreshAgain = false, refreshTimer = 0;
let stream = null;

// ---- talking to the server ----

function headers(more) {
	const token = sessionStorage.getItem('token');
	return Object.assign(token ? { Authorization: 'Bearer ' + token } : {}, more);
}

class Unauthorized extends Error {}

async function get(path) {
	const answer = await fetch(path, { headers: headers(), cache: 'no-store' });
	if (answer.status === 401)
		throw new Unauthorized();
	if (!answer.ok)
		throw new Error('the server answered ' + answer.status);
	return answer.json();
}

function askForToken() {
	const again = sessionStorage.getItem('token') !== null;
	sessionStorage.removeItem('token');
	$('sign-in-error').textContent = again ? 'The server does not know this token.' : '';
	$('sign-in').hidden = false;
	$('token').focus();
}

// Many events ask for few refreshes.
function refreshSoon(ms) {
	if (!refreshTimer)
		refreshTimer = setTimeout(() => { refreshTimer = 0; refresh(); }, ms);
}

async function refresh() {
	if (refreshing) {
		refreshAgain = true;
		return;
	}
	refreshing = true;
	try {
		const now = await get('/v1/now');
		clockOffset = Date.parse(now.time) - Date.now();
		if (state === null || now.uptime_seconds < state.uptime_seconds)
			arrivals = now.arrivals.reports.slice(-KEEP);
		state = now;
		lastNews = performance.now();
		show();
	} catch (error) {
		if (error instanceof Unauthorized)
			askForToken();
	}
	refreshing = false;
	if (refreshAgain) {
		refreshAgain = false;
		refreshSoon(150);
	}
}

// Server-sent events over fetch: EventSource cannot send the token.
async function listen() {
	const abort = new AbortController();
	stream = abort;
	let wait = 500;
	while (stream === abort) {
		try {
			const answer = await fetch('/v1/stream', {
				headers: headers(lastEventId ? { 'Last-Event-ID': lastEventId } : {}),
				cache: 'no-store', signal: abort.signal,
			});
			if (answer.status === 401)
				return;
			if (answer.ok) {
				wait = 500;
				await read(answer.body.getReader());
			}
		} catch (error) {
			if (abort.signal.aborted)
				return;
		}
		await new Promise((done) => setTimeout(done, wait));
		wait = Math.min(wait * 2, 8000);
	}
}

async function read(reader) {
	const decoder = new TextDecoder();
	let text = '';
	for (;;) {
		const { done, value } = await reader.read();
		if (done)
			return;
		lastNews = performance.now();
		text += decoder.decode(value, { stream: true });
		let end;
		while ((end = text.indexOf('\n\n')) >= 0) {
			frame(text.slice(0, end));
			text = text.slice(end + 2);
		}
	}
}

function frame(text) {
	let name = 'message', data = '';
	for (const line of text.split('\n')) {
		if (line.startsWith('id: '))
			lastEventId = line.slice(4);
		else if (line.startsWith('event: '))
			name = line.slice(7);
		else if (line.startsWith('data: '))
			data += line.slice(6);
	}
	if (data === '')
		return;
	if (name === 'counters')
		second(JSON.parse(data));
	else
		refreshSoon(100);	// hello, reset, signature, verdict, deployment: look at the whole
}

function second(c) {
	if (state === null)
		return;
	arrivals.push(c.arrivals);
	arrivals = arrivals.slice(-KEEP);
	state.hosts.recent = c.hosts_recent;
	state.hosts.known = c.hosts;
	state.signatures = c.signatures;
	state.counters = c.counters;
	state.server = c.server;
	state.stale_seconds = c.stale_seconds;
	showTiles();
	drawChart();
}

// ---- showing ----

function number(n) {
	return n.toLocaleString('en');
}

function plural(n, one, many) {
	return number(n) + ' ' + (n === 1 ? one : many);
}

function ago(time) {
	const s = Math.max(0, (Date.now() + clockOffset - Date.parse(time)) / 1000);
	if (s < 60)
		return Math.floor(s) + ' s ago';
	if (s < 3600)
		return Math.floor(s / 60) + ' min ago';
	if (s < 86400)
		return Math.floor(s / 3600) + ' h ago';
	return Math.floor(s / 86400) + ' d ago';
}

function set(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

function attribute(node, name, value) {
	if (node.dataset[name] !== value)
		node.dataset[name] = value;
}

// Rows are kept by key, so that a selection or a hover survives an update.
const seen = new Map();
function rows(id, items, key, fill) {
	const table = $(id), body = table.tBodies[0];
	const first = !seen.has(id);
	const old = seen.get(id) || new Map(), now = new Map();
	let at = body.firstChild;
	for (const item of items) {
		let row = old.get(key(item));
		if (!row) {
			row = document.createElement('tr');
			for (const head of table.tHead.rows[0].cells) {
				const cell = document.createElement('td');
				cell.className = head.className;
				row.append(cell);
			}
			if (!first)
				row.className = 'fresh-row';
		}
		old.delete(key(item));
		now.set(key(item), row);
		fill(row.cells, item);
		if (row !== at)
			body.insertBefore(row, at);
		else
			at = at.nextSibling;
	}
	for (const row of old.values())
		row.remove();
	seen.set(id, now);
	table.classList.toggle('filled', items.length > 0);
}

function child(cell, tag) {
	return cell.querySelector(tag) || cell.appendChild(document.createElement(tag));
}

function when(cell, time) {
	const node = child(cell, 'time');
	cell.classList.add('when');
	if (time === null) {
		set(node, '');
		return;
	}
	if (node.dateTime !== time) {
		node.dateTime = time;
		node.title = time;
	}
	set(node, ago(time));
}

function title(cell, s) {
	cell.classList.add('title');
	set(child(cell, 'span'), s.title);
	set(child(cell, 'small'), s.id || '');
}

function kind(cell, s) {
	cell.classList.add('kind');
	attribute(cell, 'kind', s.kind);
	set(cell, s.kind);
}

function chip(cell, verdict) {
	const node = child(cell, 'span');
	node.className = 'chip';
	attribute(node, 'verdict', verdict);
	set(node, SHAPES[verdict] + ' ' + verdict.toUpperCase());
}

function showTables() {
	rows('deployments', state.deployments, (d) => d.id, (cells, d) => {
		chip(cells[0], d.verdict);
		cells[1].classList.add('title');
		set(cells[1], d.id);
		cells[2].classList.add('because');
		set(cells[2], d.reason + (d.open ? '' : ' (closed)') + (d.shadow ? ' (shadow mode)' : ''));
		set(cells[3], number(d.served));
		set(cells[4], number(d.resolved));
		set(cells[5], number(d.bad));
		when(cells[6], d.since);
	});
	rows('newest', state.newest, (s) => s.id, (cells, s) => {
		title(cells[0], s);
		kind(cells[1], s);
		set(cells[2], number(s.hosts));
		set(cells[3], number(s.sites));
		when(cells[4], s.first_seen);
	});
	rows('largest', state.largest, (s) => s.id, (cells, s) => {
		title(cells[0], s);
		kind(cells[1], s);
		set(cells[2], number(s.hosts));
		set(cells[3], number(s.crashes));
		when(cells[4], s.last_seen);
	});
}

function showTiles() {
	const open = state.deployments.filter((d) => d.open).length;
	const halted = state.deployments.filter((d) => d.verdict === 'halt').length;
	const c = state.counters;
	set($('hosts-recent'), number(state.hosts.recent));
	set($('hosts-known'), plural(state.hosts.known, 'host', 'hosts') + ' known at ' + plural(state.hosts.sites, 'site', 'sites'));
	set($('arrivals-minute'), number(arrivals.slice(-60).reduce((sum, n) => sum + n, 0)));
	set($('reports-counted'), number(state.reports.counted) + ' counted in all');
	set($('signatures'), number(state.signatures));
	set($('signatures-extra'), state.newest.length > 0 && state.newest[0].first_seen ? 'newest ' + ago(state.newest[0].first_seen) : '');
	set($('deployments-open'), number(open));
	set($('deployments-halted'), halted > 0 ? SHAPES.halt + ' ' + halted + ' halted' : '');
	set($('version'), state.version);
	const lines = [
		plural(c.reports, 'report', 'reports') + ' and ' + plural(c.heartbeats, 'heartbeat', 'heartbeats') + ' since the start',
		plural(c.dumps, 'dump', 'dumps') + ' stored, ' + number(c.triage_done) + ' triaged',
		'log: ' + number(c.log_records) + ' records, ' + number(c.log_syncs) + ' syncs',
		'ledger ' + number(c.ledger_lag_records) + ' records behind' + (state.database === 'none' ? ', no database' :
			c.database_up ? ', database ' + number(c.projector_lag_records) : ', database down'),
	];
	const footer = $('footer');
	while (footer.childNodes.length < lines.length)
		footer.append(document.createElement('span'));
	lines.forEach((line, i) => set(footer.childNodes[i], line));
}

function banner(level, shape, heading, text) {
	attribute($('banner'), 'level', level);
	set($('banner-shape'), shape);
	set($('banner-title'), heading);
	set($('banner-text'), text);
}

function showBanner() {
	const silent = performance.now() - lastNews;
	if (state === null) {
		document.title = 'Faultline';
		return;
	}
	const halted = state.deployments.filter((d) => d.verdict === 'halt' && d.open)
		.sort((a, b) => (a.since < b.since ? 1 : -1));
	const open = state.deployments.filter((d) => d.open);
	const held = open.filter((d) => d.verdict === 'hold');
	if (silent > LOST_MS) {
		banner('unknown', '?', 'UNKNOWN: no contact for ' + Math.floor(silent / 1000) + ' s',
			'What is below is the last that was heard.');
		document.title = '? Faultline';
	} else if (halted.length > 0) {
		banner('halt', SHAPES.halt, 'HALTED: ' + halted[0].id + (halted.length > 1 ? ' and ' + (halted.length - 1) + ' more' : ''),
			halted[0].reason.replace(/\.$/, '') + ' · ' + plural(halted[0].served, 'host was', 'hosts were') + ' served, ' +
			number(halted[0].unserved) + ' never got it.');
		document.title = 'HALTED · ' + halted[0].id;
	} else if (state.server !== 'live') {
		banner('hold', SHAPES.hold, state.server === 'failed' ? 'The ledger has stopped' : 'Catching up with the log',
			'No deployment is told to proceed until that is over.');
		document.title = 'HOLD · Faultline';
	} else if (open.length === 0) {
		banner('proceed', SHAPES.proceed, 'No deployment is running', 'Crashes are counted all the same.');
		document.title = 'Faultline';
	} else if (held.length > 0) {
		banner('hold', SHAPES.hold, 'No halt. ' + plural(held.length, 'deployment is', 'deployments are') + ' on hold',
			held[0].id + ': ' + held[0].reason);
		document.title = 'HOLD · Faultline';
	} else {
		banner('proceed', SHAPES.proceed, 'All clear', plural(open.length, 'deployment', 'deployments') + ' may proceed.');
		document.title = 'Faultline';
	}
}

function showFresh() {
	const silent = performance.now() - lastNews, node = $('fresh');
	if (lastNews === 0)
		return;
	if (silent < LATE_MS) {
		attribute(node, 'state', 'live');
		set($('fresh-text'), state !== null && state.stale_seconds > 5
			? 'ledger ' + Math.floor(state.stale_seconds) + ' s behind' : 'live');
	} else {
		attribute(node, 'state', silent < LOST_MS ? 'late' : 'lost');
		set($('fresh-text'), 'last news ' + Math.floor(silent / 1000) + ' s ago');
	}
}

function show() {
	$('sign-in').hidden = true;
	showTables();
	showTiles();
	showBanner();
	showFresh();
	drawChart();
}

// ---- the chart: one bar a second, the newest at the right ----

function drawChart() {
	const canvas = $('chart'), ratio = window.devicePixelRatio || 1;
	const width = canvas.clientWidth, height = canvas.clientHeight;
	const style = getComputedStyle(document.documentElement);
	const colour = (name) => style.getPropertyValue(name).trim();
	if (width === 0)
		return;
	if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
		canvas.width = Math.round(width * ratio);
		canvas.height = Math.round(height * ratio);
	}
	const g = canvas.getContext('2d');
	g.setTransform(ratio, 0, 0, ratio, 0, 0);
	g.clearRect(0, 0, width, height);
	const left = 44, bottom = 18, plot = height - bottom - 6;
	const top = ceiling(Math.max(4, ...arrivals));
	g.font = '11px system-ui, sans-serif';
	g.fillStyle = colour('--soft');
	g.strokeStyle = colour('--line');
	g.textBaseline = 'middle';
	for (const share of [0, 0.5, 1]) {
		const y = Math.round(6 + plot * (1 - share)) + 0.5;
		g.beginPath();
		g.moveTo(left, y);
		g.lineTo(width, y);
		g.stroke();
		g.textAlign = 'right';
		g.fillText(number(top * share), left - 6, y);
	}
	const step = (width - left) / KEEP;
	g.textAlign = 'center';
	for (let minutes = 2; minutes < 10; minutes += 2)
		g.fillText('−' + minutes + ' min', width - minutes * 60 * step, height - 7);
	g.textAlign = 'right';
	g.fillText('now', width, height - 7);
	g.fillStyle = colour('--harm');
	arrivals.forEach((n, i) => {
		const h = n / top * plot;
		if (n > 0)
			g.fillRect(width - (arrivals.length - i) * step, 6 + plot - h, Math.max(step, 1.5), Math.max(h, 1.5));
	});
}

function ceiling(n) {
	const power = 10 ** Math.floor(Math.log10(n));
	return [1, 2, 4, 5, 10].map((m) => m * power).find((v) => v >= n);
}

// ---- start ----

function start() {
	if (stream !== null)
		stream.abort();
	refresh();
	listen();
}

$('sign-in').addEventListener('submit', (event) => {
	event.preventDefault();
	sessionStorage.setItem('token', $('token').value.trim());
	$('token').value = '';
	start();
});
$('theme').addEventListener('click', () => {
	const root = document.documentElement;
	const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
	root.dataset.theme = dark ? 'light' : 'dark';
	localStorage.setItem('theme', root.dataset.theme);
	drawChart();
});
if (localStorage.getItem('theme'))
	document.documentElement.dataset.theme = localStorage.getItem('theme');
window.addEventListener('resize', drawChart);
setInterval(() => {
	if (state !== null) {
		showTables();
		showBanner();
	}
	showFresh();
}, 1000);
setInterval(refresh, 2000);
start();
