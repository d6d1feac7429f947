// SPDX-License-Identifier: Apache-2.0
// What may go with a verdict: how sure it is, the stages one by one, a note. None of it is needed.

const find = id => document.getElementById(id);
const words = name => name.replaceAll('_', ' ');
const note = find('note'), rubric = find('rubric'), judging = find('judging');
const LONGEST = note.maxLength;

let stages = [], answers = {}, unsure = false, chips = '';

const unanswered = () => stages.find(stage => !(stage.id in answers));

// The stage that was reached last, as far as it was said.
export const farthest = () => stages.findLast(stage => answers[stage.id])?.id ?? '';

export const judgement = () => ({
  note: note.value, confidence: unsure ? 'unsure' : 'sure', answers});

function dress() {
  const stage = unanswered(), place = stages.indexOf(stage) + 1;
  const text = stage ? `${place}/${stages.length} ${stage.text}`
    : stages.map(one => `${words(one.id)}: ${answers[one.id] ? 'yes' : 'no'}`).join(', ');
  if (find('asked').textContent !== text) {
    find('asked').textContent = text;
  }
  find('yes').hidden = find('no').hidden = !stage;
  find('ask-again').hidden = Object.keys(answers).length === 0;
  rubric.hidden = stages.length === 0;
  find('unsure').setAttribute('aria-pressed', String(unsure));
  for (const chip of find('notes').children) {
    chip.setAttribute('aria-pressed', String(parts().includes(chip.textContent)));
  }
}

// Another trial, or the same one judged again.
export function renew() {
  answers = {};
  unsure = false;
  dress();
}

export function clearNote() {
  note.value = '';
  dress();
}

// Move the questions into the sheet that asks for a reason or a stage, and back.
export function placeRubric(before) {
  (before?.parentElement ?? judging).insertBefore(rubric, before ?? judging.firstElementChild);
}

const parts = () => note.value.split(';').map(part => part.trim()).filter(Boolean);

// A chip is part of the note, or not.
function toggleNote(text) {
  const there = parts();
  note.value = (there.includes(text) ? there.filter(part => part !== text) : [...there, text])
    .join('; ').slice(0, LONGEST);
  dress();
}

export function showJudging(state) {
  stages = state.rubric;
  for (const id of Object.keys(ACTS)) {
    find(id).disabled = false;
  }
  if (chips !== state.notes.join('\n')) {
    chips = state.notes.join('\n');
    find('notes').replaceChildren(...state.notes.map(text => {
      const chip = document.createElement('button');
      chip.textContent = chip.title = text;
      chip.className = 'chip';
      chip.addEventListener('click', () => toggleNote(text));
      return chip;
    }));
  }
  dress();
}

function answer(said) {
  const stage = unanswered();
  if (stage) {
    answers = {...answers, [stage.id]: said};
    dress();
  }
}

function toggleUnsure() {
  unsure = !unsure;
  dress();
}

const ACTS = {yes: () => answer(true), no: () => answer(false), unsure: toggleUnsure,
              'ask-again': renewAnswers};
const KEYS = {y: 'yes', n: 'no', d: 'unsure'};

function renewAnswers() {
  answers = {};
  dress();
}

for (const [id, act] of Object.entries(ACTS)) {
  find(id).addEventListener('click', act);
}
note.addEventListener('input', dress);

// Do what a key means here; say whether it means anything.
export function judgingKey(key) {
  const button = find(KEYS[key.toLowerCase()] ?? 'none');
  if (!button || button.offsetParent === null) {
    return false;
  }
  button.click();
  return true;
}
