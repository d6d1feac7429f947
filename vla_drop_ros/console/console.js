// SPDX-License-Identifier: Apache-2.0
// The page: follows the state of the study and shows it; presses are in buttons.js.

import {myName, press, showButtons} from './buttons.js';
import {showCamera} from './camera.js';
import {beep, speak} from './voice.js';

const SILENCE = 2500, STALE = 4, AGAIN = 1000, GIVE_UP = 8000;  // [ms], STALE in [s]
const find = id => document.getElementById(id);

let state = null, source = null, heard = 0, opened = 0, received = 0, before = null, stale = false;

function write(id, text) {
  const element = find(id);
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

const sentence = text => text.charAt(0).toUpperCase() + text.slice(1);

function banner(id, text) {
  find(id).hidden = !text;
  write(id, text);
}

function lasting(minutes) {
  if (minutes === null || minutes === undefined) {
    return '';
  }
  const whole = Math.max(1, Math.round(minutes)), hours = Math.floor(whole / 60);
  return hours ? `, about ${hours} h ${whole % 60} left` : `, about ${whole} min left`;
}

function showProgress() {
  const {pairs_done: done, pairs_planned: planned} = state;
  find('progress').hidden = planned === 0;
  find('progress').max = Math.max(1, planned);
  find('progress').value = done;
  const {study_pairs_done: all, study_pairs_planned: whole} = state;
  const shared = whole && whole !== planned  // several robots share the study
    ? `, ${all === null || all === undefined ? '' : `${all} of `}${whole} in the whole study` : '';
  write('progress-text', (planned ? `${done} of ${planned} pairs` : `${done} pairs`) + shared
    + (state.phase === 'finished' ? '' : lasting(state.minutes_left)));
  find('rule-line').hidden = state.phase === 'finished';
  write('rule', state.may_stop ? 'you may stop' : 'continue');
}

function showScene() {
  const {condition, phase, code} = state, finished = phase === 'finished';
  write('study', state.study);
  find('study').title = state.question;
  write('trial', finished ? 'Finished' : state.rehearsal
    ? `Rehearsal ${code.replace('R', '')}` : `Trial ${code}`);
  find('scene').hidden = find('picture').hidden = finished;
  write('setup', phase === 'arrange' ? condition.setup : '');
  find('setup').hidden = find('setup').textContent === '';
  write('instruction', condition.instruction);
  for (const part of ['policy', 'robot', 'scene']) {
    find(`ready-${part}`).className = state.ready[part] ? 'yes' : 'no';
    find(`ready-${part}`).setAttribute(
      'aria-label', `${part} ${state.ready[part] ? 'ready' : 'not ready'}`);
  }
  find('ready').hidden = phase !== 'arrange';
}

function showBanners() {
  const why = state.gate.replace(/^estopped[:, ]*/, '');
  banner('estop', state.estop ? `Emergency stop${why && `: ${why}`}` : '');
  banner('problem', stale ? 'The trial node does not answer' : state.problem);
  find('rehearsal').hidden = !state.rehearsal;
  banner('rest', state.rest.due && state.phase === 'arrange'
    ? `${state.rest.minutes_worked} min without a break: rest for five, the study waits` : '');
  banner('waiting', state.waiting ? sentence(state.waiting) : '');
}

function hint() {
  const {phase, suggestion, last, code, elapsed} = state;
  if (phase === 'judge') {
    const time = elapsed > 0 ? ` (${elapsed.toFixed(1)} s)` : '';
    return suggestion ? `${sentence(suggestion.why)}${time}. Please confirm.`
      : `How did trial ${code} go?${time}`;
  }
  if (phase === 'arrange') {
    return last ? `Trial ${last.code} was noted: ${last.verdict}` : '';
  }
  return phase === 'finished' ? 'The study is finished. Thank you.' : '';
}

function showClock() {
  const running = state?.phase === 'running';
  find('clock').hidden = !running;
  if (running) {
    const gone = state.elapsed + (performance.now() - received) / 1000;
    const elapsed = Math.min(gone, state.timeout);
    find('clock-bar').max = state.timeout;
    find('clock-bar').value = elapsed;
    write('clock-text', `${elapsed.toFixed(1)} s of ${state.timeout.toFixed(0)} s`);
  }
}

function guessRow(code) {
  const row = document.createElement('li'), name = document.createElement('span');
  row.dataset.code = code;
  name.textContent = `Trial ${code}`;
  row.append(name, ...[['baseline', 'baseline'], ['pruned', 'pruned'],
                       ['unsure', 'cannot tell']].map(([reason, text]) => {
    const button = document.createElement('button');
    button.textContent = text;
    button.className = 'chip';
    button.setAttribute('aria-label', `Trial ${code}: ${text}`);
    button.addEventListener('click', () => press('guess', {code, reason}));
    return button;
  }));
  return row;
}

function showGuesses() {
  const wanted = state.phase === 'finished' || state.leaving ? state.guesses_wanted : [];
  const list = find('guess-list');
  find('guesses').hidden = wanted.length === 0;
  if ([...list.children].map(row => row.dataset.code).join() !== wanted.join()) {
    list.replaceChildren(...wanted.map(guessRow));
  }
}

// Tell people who do not look at the screen.
function announce() {
  if (before !== null) {
    const news = `${state.phase} ${state.code}` !== `${before.phase} ${before.code}`;
    if (state.estop && !before.estop) {
      beep(330, 3);
      speak('Emergency stop');
    } else if (news && state.phase === 'arrange' && before.code !== state.code) {
      beep(660, 2);
      speak(`Trial ${state.code}. ${state.condition.setup}. ${state.condition.instruction}.`);
    } else if (news && state.phase === 'judge' && before.phase === 'running') {
      beep(440, 2);
    }
  }
  before = state;
}

function show() {
  if (state === null) {
    return;
  }
  document.body.dataset.phase = state.phase;
  write('who-name', myName() || 'Who are you?');
  showProgress();
  showScene();
  showBanners();
  write('hint', hint());
  find('judging').hidden = state.phase !== 'judge';
  showClock();
  showGuesses();
  showCamera(state);
  showButtons(state, !stale && document.body.dataset.link === 'up');
}

function link(now, why = '') {
  find('lost').hidden = now !== 'lost';
  write('lost-why', why || 'Trying again\u2026');
  if (document.body.dataset.link !== now) {
    document.body.dataset.link = now;
    showButtons(state, now === 'up' && !stale);
  }
}

function take(event) {
  const message = JSON.parse(event.data);
  heard = received = performance.now();
  stale = message.age > STALE;
  link('up');
  if (message.state?.phase) {
    state = message.state;
    announce();
    show();
  }
}

async function lost() {
  let why = '';
  try {
    if ((await fetch('state', {cache: 'no-store'})).status === 403) {
      why = 'This screen is not let in any more: open the printed address again';
    }
  } catch {
    // The server is away, which the page says already.
  }
  link('lost', why);
}

function connect() {
  source?.close();
  opened = performance.now();
  source = new EventSource('events');
  source.onmessage = take;
  source.onerror = lost;
}

function watch() {
  const now = performance.now();
  if (now - heard > SILENCE && now - opened > SILENCE) {
    link('lost', find('lost').hidden ? '' : find('lost-why').textContent);
    if (source.readyState === EventSource.CLOSED || now - Math.max(opened, heard) > GIVE_UP) {
      connect();
    }
  } else if (source.readyState === EventSource.CLOSED && now - opened > AGAIN) {
    connect();
  }
  showClock();
}

for (const [opener, dialog] of [['who', 'settings']]) {
  find(opener).addEventListener('click', () => find(dialog).showModal());
}
find('name').value = localStorage.getItem('name') || '';
find('name').addEventListener('input', () => {
  localStorage.setItem('name', find('name').value.trim());
});
find('settings-close').addEventListener('click', () => find('settings').close());
find('settings').addEventListener('close', show);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && performance.now() - heard > SILENCE) {
    connect();
  }
  if (!document.hidden) {
    navigator.wakeLock?.request('screen').catch(() => {});
  }
});
navigator.wakeLock?.request('screen').catch(() => {});
history.replaceState(null, '', location.pathname);  // the token is in the cookie now
connect();
setInterval(watch, 100);
