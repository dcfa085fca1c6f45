// SPDX-License-Identifier: Apache-2.0
// What is around every page: the bar, states of the whole, the help, the one region that speaks.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { refused, session, signOut } from './api';
import { offsetSeconds, serverNow, tick } from './clock';
import { clock, duration, zoneName } from './format';
import { label } from './hostile';
import { paths } from './href';
import { keys, useKeys } from './keys';
import { connected, contact, freshness, missed, paused, silence } from './live';
import { now } from './now';
import { level } from './parts/banner';
import { Dialog } from './parts/dialog';
import { Chip } from './parts/shapes';
import { shortcuts, theme, zoneChoice, type Theme } from './prefs';
import { go, place, query, visits } from './router';
import { said } from './say';

const NAV = [['/', 'Now'], ['/deployments', 'Deployments'], ['/signatures', 'Signatures'], ['/hosts', 'Hosts'], ['/halts', 'Halts'], ['/health', 'Health']] as const;

// A page says its name; the state goes first.
let pageName = '';
export function useTitle(name: string) {
	pageName = name;
	useEffect(() => { pageName = name; setTitle(); }, [name]);
}
function setTitle() {
	const v = now.value?.verdict, l = level(v);
	const state = l === 'halt' ? `HALTED · ${v?.deployment ?? 'alarm'}` : l === 'watch' ? `WATCH · ${v?.deployment ?? ''}` :
		l === 'unknown' ? 'UNKNOWN' : l === 'hold' ? v?.headline ?? 'HOLD' : 'All clear';
	document.title = label([state, pageName, 'Faultline'].filter((s, i, a) => s && a.indexOf(s) === i).join(' · '), 120);
	const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]');
	const file = `/favicon-${l === 'hold' ? 'watch' : l}.svg`;
	if (icon && !icon.href.endsWith(file))
		icon.href = file;
}

function Freshness() {
	const f = freshness.value, c = contact.value, behind = f?.behind_s?.ledger ?? 0;
	const age = behind + silence.value;
	const text = c === 'starting' ? 'connecting' : c === 'live' ? `${f?.state === 'live' || !f?.state ? 'live' : f.state.replaceAll('_', ' ')}, ${duration(Math.min(age, 9.9) < 9.9 ? age : Math.floor(age))}` :
		`last news ${duration(silence.value)} ago`;
	return <span class={'fresh ' + c} id="fresh" data-state={c} title={connected.value ? 'one event stream is open' : 'no event stream'}><i class="dot" />{text}</span>;
}

function Clock() {
	tick.value;
	const ms = serverNow(), z = zoneChoice.value;
	return (
		<button type="button" class="bare clock" id="zone" title="UTC or local time (u)" aria-label={`times are ${z === 'utc' ? 'UTC' : 'local'}; switch`}
			onClick={() => { zoneChoice.value = z === 'utc' ? 'local' : 'utc'; }}>
			<span class="digits">{clock(ms, z)}</span> {zoneName(ms, z)}
		</button>
	);
}

const THEMES: Record<Theme, { next: Theme; word: string }> = {
	system: { next: 'light', word: 'Auto' }, light: { next: 'dark', word: 'Light' }, dark: { next: 'system', word: 'Dark' },
};

function Chips() {
	const v = now.value?.verdict;
	if (place.value.path === '/' || !v)
		return null;
	if (contact.value === 'lost')
		return <a class="chips" href="/"><Chip status="unknown" /></a>;
	return (
		<a class="chips" href="/" aria-label={`${v.halted ?? 0} halted, ${v.watched ?? 0} on watch: to Now`}>
			{(v.halted ?? 0) > 0 && <Chip status="halt" word={`${v.halted} HALTED`} />}
			{(v.watched ?? 0) > 0 && <Chip status="watch" word={String(v.watched)} />}
			{v.state === 'alarm' && <Chip status="halt" word="ALARM" />}
		</a>
	);
}

function Search() {
	const input = useRef<HTMLInputElement>(null);
	const q = place.value.path === '/signatures' ? query.value.get('q') ?? '' : '';
	useKeys([{ key: '/', does: 'search', act: () => input.current?.select() }]);
	return (
		<form role="search" class="search" action="/signatures" onSubmit={(e) => {
			e.preventDefault();
			go(paths.signatures(input.current!.value.trim()));
		}}>
			<input key={q} ref={input} type="search" name="q" placeholder="Search   /" aria-label="search signatures" defaultValue={q}
				onKeyDown={(e) => { if (e.key === 'Escape') e.currentTarget.blur(); }} />
		</form>
	);
}

function Pause() {
	const is = paused.value;
	return <button type="button" class="bare" id="pause" aria-pressed={is} title="pause live updates (p)" onClick={() => { paused.value = !is; }}>
		{is ? `paused, ${missed.value} ${missed.value === 1 ? 'change' : 'changes'}` : 'Pause'}</button>;
}

// Bars over every page: what of it is old, and why.
function States() {
	const f = freshness.value, lag = f?.behind_s?.database;
	const offset = offsetSeconds.value;
	return (
		<>
			{f?.state === 'database_behind' && <p class="bar amber" id="bar-database">History is {duration(lag)} behind. Verdicts and counts are live; charts and tables of the past come from the database.</p>}
			{f?.state === 'database_down' && <p class="bar amber" id="bar-database">The database does not answer. Verdicts and counts are live; what is past cannot be read.</p>}
			{f?.state === 'restarting' && <p class="bar amber" id="bar-restart">The server is reading its log after a restart; until then every gate holds.</p>}
			{f?.state === 'failed' && <p class="bar red" id="bar-failed">The server cannot write its log: nothing new is taken. See Health.</p>}
			{f?.state === 'blind' && <p class="bar amber" id="bar-blind">Under half the expected heartbeats arrive; silence is not being judged.</p>}
			{contact.value === 'lost' && place.value.path !== '/' && <p class="bar hatch" id="bar-unknown">UNKNOWN: no contact for {duration(silence.value)}. What stands here is old.</p>}
			{offset !== null && Math.abs(offset) > 5 && <p class="bar plain" id="bar-clock">This computer's clock is {duration(Math.abs(offset))} {offset > 0 ? 'ahead of' : 'behind'} the server's; times and ages here are the server's.</p>}
		</>
	);
}

function Help({ close }: { close: () => void }) {
	const seen = new Map(keys.value.map((k) => [k.key, k.does]));
	return (
		<Dialog title="Keys" close={close}>
			<table class="plain"><caption class="sr">Keys on this page</caption>
				<thead><tr><th scope="col">Key</th><th scope="col">Does</th></tr></thead>
				<tbody>{[...seen].map(([key, does]) => <tr><td><kbd>{key}</kbd></td><td>{does}</td></tr>)}
					<tr><td><kbd>← → Home End</kbd></td><td>step through a focused chart</td></tr>
					<tr><td><kbd>Esc</kbd></td><td>close a dialog</td></tr></tbody></table>
			<label class="check"><input type="checkbox" checked={shortcuts.value === 'on'} onChange={(e) => { shortcuts.value = e.currentTarget.checked ? 'on' : 'off'; }} /> single-key shortcuts</label>
			<div class="buttons"><button type="button" data-first onClick={close}>Close</button></div>
		</Dialog>
	);
}

function Said() {
	const s = said.value;
	return <>
		<div class="sr" role="status" id="said">{s.how === 'polite' ? label(s.text, 300) : ''}</div>
		<div class="sr" role="alert" id="alarm">{s.how === 'alert' ? label(s.text, 300) : ''}</div>
	</>;
}

// Focus goes to the heading of a page that one came to.
function useArrival() {
	const first = useRef(true);
	useEffect(() => {
		if (first.current) {
			first.current = false;
			return;
		}
		const look = (tries: number) => {
			const h = document.querySelector<HTMLElement>('main h1');
			if (h) {
				h.tabIndex = -1;
				h.focus({ preventScroll: true });
			} else if (tries > 0) {
				setTimeout(() => look(tries - 1), 50);
			}
		};
		look(40);
	}, [visits.value]);
}

const section = (path: string) => NAV.find(([to]) => to !== '/' && (path === to || path.startsWith(to + '/')))?.[0] ?? (path === '/' ? '/' : '');

export function Shell({ children }: { children: ComponentChildren }) {
	const [help, showHelp] = useState(false);
	const here = section(place.value.path), s = session.value;
	useKeys([
		{ key: '?', does: 'this list', act: () => showHelp(true) },
		{ key: 'u', does: 'UTC or local time', act: () => { zoneChoice.value = zoneChoice.value === 'utc' ? 'local' : 'utc'; } },
		{ key: 'p', does: 'pause or resume live updates', act: () => { paused.value = !paused.value; } },
	]);
	useArrival();
	now.value;
	contact.value;
	useEffect(setTitle);
	return (
		<>
			<a class="skip" href="#main" data-plain>Skip to the content</a>
			<header class="top">
				<a class="brand" href="/"><svg width="22" height="16" viewBox="0 0 22 16" aria-hidden="true"><path d="M1 5h7l6 6h7" /></svg><span>Faultline</span></a>
				<nav aria-label="pages">{NAV.map(([to, name]) => <a href={to} aria-current={here === to ? 'page' : undefined}>{name}</a>)}</nav>
				<div class="right">
					<Chips />
					<Search />
					<Freshness />
					<Pause />
					<Clock />
					<button type="button" class="bare" id="theme" title="light, dark, or as the system" aria-label={`colours: ${theme.value}; switch`} onClick={() => { theme.value = THEMES[theme.value].next; }}>{THEMES[theme.value].word}</button>
					<button type="button" class="bare" id="help" aria-label="keys and help" onClick={() => showHelp(true)}>?</button>
				</div>
			</header>
			<States />
			<main id="main" tabIndex={-1}>{children}</main>
			<footer class="foot">
				<span>Faultline {now.value?.version ?? ''}</span>
				<a href={paths.about}>About and licences</a>
				<a href="/v1/now" data-plain>API</a>
				{s?.needed && (s.signed_in ? <button type="button" class="bare" id="sign-out" onClick={() => void signOut()}>Sign out ({s.role})</button> : !refused.value && <a href={paths.signin(place.value.path + place.value.search)}>Sign in to act</a>)}
			</footer>
			<Said />
			{help && <Help close={() => showHelp(false)} />}
		</>
	);
}
