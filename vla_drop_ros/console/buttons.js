// SPDX-License-Identifier: Apache-2.0
// The buttons: when each may be pressed, what a press sends, and the sheets that ask for more.

import {clearNote, farthest, judgement, judgingKey, placeRubric, renew, showJudging}
  from './judging.js';
import {beep, toast} from './voice.js';

const PATIENCE = 15000, SETTLE = 400;  // [ms]
const INCIDENTS = ['intervention', 'near_miss', 'collision'];
const ASIDES = [...INCIDENTS, 'forget'];  // said beside what goes on; none holds STOP up
const VERBS = ['start', 'stop', 'success', 'failure', 'partial', 'invalid', 'undo', 'finish',
               'rehearse', 'reset', 'leave', 'arranged', ...ASIDES];
const JUDGEMENTS = ['success', 'failure', 'partial', 'invalid'];
const KEYS = {a: 'arranged', r: 'reset', s: 'success', f: 'failure', p: 'partial', i: 'invalid',
              u: 'undo',
              v: 'intervention', m: 'near_miss', c: 'collision', x: 'forget'};
const find = id => document.getElementById(id);
const words = name => name.replaceAll('_', ' ');
const sheet = find('sheet');

let state = null, linked = false, waiting = '', noting = '', settled = true, shown = '';
let settling = 0, trial = '';

export const myName = () => (localStorage.getItem('name') || state?.operator || '').trim();

// Which buttons are on the screen, and which of them can be pressed.
function allowed() {
  const {phase, ready, condition, estop} = state, arrange = phase === 'arrange';
  const all = ready.policy && ready.robot && ready.scene;
  const judge = phase === 'judge', happening = judge || phase === 'running';
  return {
    ...Object.fromEntries(INCIDENTS.map(kind => [kind, {seen: happening, open: true}])),
    forget: {seen: happening, open: state.incidents.length > 0},
    start: {seen: arrange, open: all && !estop && Boolean(condition)},
    stop: {seen: phase === 'running', open: true},
    success: {seen: judge, open: true},
    failure: {seen: judge, open: true},
    partial: {seen: judge && state.rubric.length > 0, open: true},
    invalid: {seen: judge, open: true},
    undo: {seen: (arrange || phase === 'finished') && state.undo !== '', open: true},
    finish: {seen: arrange && (state.may_stop || state.may_finish), open: true},
    arranged: {seen: arrange && state.arranged === false, open: true},
    rehearse: {seen: true, open: arrange},
    leave: {seen: !state.rehearsal && phase !== 'finished', open: arrange},
    reset: {seen: arrange && (!all || state.problem !== ''), open: true},
  };
}

function label(verb) {
  if (verb === 'undo') {
    return state.undo ? `Undo trial ${state.undo}` : 'Undo';
  }
  if (verb === 'leave') {
    return state.leaving ? 'Stay' : 'Leave for today';
  }
  return verb === 'rehearse' && state.rehearsal ? 'End the rehearsal' : null;
}

const blocked = verb => waiting !== '' || (noting !== '' && verb !== 'stop');

// How often each incident of this trial was noted.
function count() {
  for (const kind of INCIDENTS) {
    const noted = state.incidents.filter(one => one.kind === kind).length;
    find(kind).dataset.count = noted || '';
    find(kind).setAttribute(
      'aria-label', find(kind).textContent + (noted ? `, ${noted} noted` : ''));
  }
}

// Bring the buttons in line with the state, the connection and a press on its way.
function dress() {
  const rules = state === null ? null : allowed();
  for (const verb of VERBS) {
    const button = find(verb), rule = rules?.[verb];
    button.hidden = !rule?.seen;
    button.disabled = !(rule?.seen && rule.open && linked && settled && !blocked(verb));
    button.classList.toggle('sent', waiting === verb || noting === verb);
    button.classList.toggle('suggested', rule?.seen && state.suggestion?.verb === verb);
    const text = rules && label(verb);
    if (text && button.textContent !== text) {
      button.textContent = text;
    } else if (rules && verb === 'rehearse' && !text) {
      button.textContent = 'Rehearse';
    }
  }
  for (const button of document.querySelectorAll('#guess-list button, #chips button')) {
    button.disabled = !linked || blocked('');
  }
  find('incidents').hidden = !rules?.forget.seen;
  if (state !== null) {
    count();
  }
}

// After a change of phase a double tap must not hit the button that came up under the finger.
function settle() {
  settled = false;
  clearTimeout(settling);
  settling = setTimeout(() => {
    settled = true;
    dress();
  }, SETTLE);
}

export function showButtons(next, connected) {
  state = next;
  linked = connected;
  const now = state === null ? '' : `${state.phase} ${state.code}`;
  if (now !== shown) {
    if (sheet.open) {
      sheet.close();
    }
    shown = now;
    renew();
    settle();
  }
  const current = state === null ? trial : `${state.rehearsal} ${state.code}`;
  if (current !== trial) {  // somebody else may have judged the one that the note was for
    trial = current;
    clearNote();
  }
  if (state !== null) {
    showJudging(state);
  }
  dress();
}

// Send a press; the answer is shown, and says why where it was refused.
export async function press(verb, more = {}) {
  if (!linked || blocked(verb) || state === null) {
    return false;
  }
  const aside = ASIDES.includes(verb);
  [waiting, noting] = aside ? [waiting, verb] : [verb, noting];
  dress();
  const body = {verb, code: verb === 'undo' ? state.undo : state.code, who: myName(), ...more};
  let done = false;
  try {
    const answer = await fetch('press', {
      method: 'POST', headers: {'content-type': 'application/json'},
      body: JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE)});
    const reply = await answer.json().catch(() => ({done: false, text: answer.statusText}));
    done = answer.ok && reply.done;
    toast(done ? reply.text : `Refused: ${reply.text}`, done);
  } catch {
    toast('No answer came: look whether the press counted, then press again', false);
  }
  beep(done ? 880 : 220);
  [waiting, noting] = aside ? [waiting, ''] : ['', noting];
  dress();
  return done;
}

async function judge(verb, more = {}) {
  if (await press(verb, {...more, ...judgement()})) {
    clearNote();
  }
}

// Ask for one more thing: chips are {text, value, quiet}; the chosen value goes to `then`.
function ask(title, text, chips, preferred, then, withRubric = false) {
  if (withRubric) {
    placeRubric(find('chips'));
  }
  find('sheet-title').textContent = title;
  find('sheet-text').textContent = text;
  find('chips').replaceChildren(...chips.map((chip, place) => {
    const button = document.createElement('button');
    button.textContent = chip.text;
    button.dataset.digit = String(place + 1);
    button.className = chip.quiet ? 'chip quiet' : 'chip';
    button.classList.toggle('suggested', preferred !== '' && chip.value === preferred);
    button.addEventListener('click', () => {
      sheet.close();
      then(chip.value);
    });
    return button;
  }));
  sheet.showModal();
  const chosen = find('chips').querySelector('.suggested') ?? find('chips').firstElementChild;
  chosen?.focus();
}

const ASKING = {
  failure: () => ask(
    `Trial ${state.code} failed: why?`, 'The first thing that went wrong.',
    [...state.failure_reasons.map(one => ({text: words(one), value: one})),
     {text: 'no reason', value: '', quiet: true}],
    state.suggestion?.verb === 'failure' ? state.suggestion.reason : '',
    reason => judge('failure', {reason}), true),
  partial: () => ask(
    `Trial ${state.code}: how far did it come?`, 'The last step that was reached.',
    state.rubric.map(one => ({text: one.text, value: one.id})), farthest(),
    stage => judge('partial', {stage}), true),
  invalid: () => ask(
    `Leave trial ${state.code} out?`,
    'Only for these reasons, and never because of how it went. The scene comes again.',
    state.invalid_reasons.map(one => ({text: words(one), value: one})),
    state.suggestion?.verb === 'invalid' ? state.suggestion.reason : '',
    reason => judge('invalid', {reason})),
  finish: () => ask(
    'Finish the study?', (state.may_stop ? 'The stopping rule allows it.'
      : 'The stopping rule has no answer yet, and will have none.') + ' Undo takes it back.',
    [{text: 'Finish', value: ''}], '', () => press('finish')),
  rehearse: () => {
    find('settings').close();
    press('rehearse', {value: !state.rehearsal});
  },
  leave: () => {
    find('settings').close();
    press('leave', {value: !state.leaving});
  },
};

function activate(verb) {
  if (find(verb).disabled || find(verb).hidden) {
    return;
  }
  if (ASKING[verb]) {
    ASKING[verb]();
  } else if (JUDGEMENTS.includes(verb)) {
    judge(verb);
  } else {
    press(verb);
  }
}

for (const verb of VERBS) {
  find(verb).addEventListener('click', () => activate(verb));
}
find('sheet-cancel').addEventListener('click', () => sheet.close());
sheet.addEventListener('close', () => placeRubric(null));

function onKey(event) {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (sheet.open) {
    find('chips').querySelector(`[data-digit="${event.key}"]:enabled`)?.click();
    judgingKey(event.key);
    return;
  }
  const typing = event.target.closest('input, textarea');
  if (typing && event.key === 'Escape') {
    typing.blur();
  }
  const pressing = event.target.closest('button') && [' ', 'Enter'].includes(event.key);
  if (typing || pressing || find('settings').open || judgingKey(event.key)) {
    return;
  }
  const verb = event.key === ' ' ? (state?.phase === 'running' ? 'stop' : 'start')
    : event.key === 'Enter' ? state?.suggestion?.verb : KEYS[event.key.toLowerCase()];
  if (verb && VERBS.includes(verb)) {
    event.preventDefault();
    activate(verb);
  }
}
addEventListener('keydown', onKey);

// A button that was clicked keeps no focus, so that the space bar goes on starting and stopping.
addEventListener('click', event => {
  if (event.detail > 0 && !document.querySelector('dialog[open]')) {
    event.target.closest('button')?.blur();
  }
});
