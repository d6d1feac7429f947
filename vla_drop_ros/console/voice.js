// SPDX-License-Identifier: Apache-2.0
// What the page says: toasts, beeps, a spoken prompt, a buzz of the phone.

const TOAST_TIME = 3000, REFUSAL_TIME = 7000;  // [ms]
const find = id => document.getElementById(id);
let sounds = null, hiding = 0;

export const setting = name => localStorage.getItem(name) !== 'off';

// Browsers allow sound only after the first touch of the page.
function unlock() {
  sounds ??= new AudioContext();
  sounds.resume();
}
for (const kind of ['pointerdown', 'keydown']) {
  addEventListener(kind, unlock, {capture: true});
}

export function toast(text, good) {
  const line = find('toast');
  line.textContent = text;
  line.dataset.good = String(good);
  line.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { line.hidden = true; }, good ? TOAST_TIME : REFUSAL_TIME);
}

export function beep(tone, times = 1) {
  if (!setting('sound')) {
    return;
  }
  navigator.vibrate?.(Array(times * 2 - 1).fill(120));
  if (sounds?.state !== 'running') {
    return;
  }
  for (let at = 0; at < times; at++) {
    const source = sounds.createOscillator(), volume = sounds.createGain();
    const begin = sounds.currentTime + at * 0.25;
    source.frequency.value = tone;
    volume.gain.setValueAtTime(0.2, begin);
    volume.gain.exponentialRampToValueAtTime(0.001, begin + 0.2);
    source.connect(volume).connect(sounds.destination);
    source.start(begin);
    source.stop(begin + 0.2);
  }
}

export function speak(text) {
  if (!setting('speech') || !('speechSynthesis' in window)) {
    return;
  }
  speechSynthesis.cancel();
  const words = new SpeechSynthesisUtterance(text);
  words.lang = 'en';
  speechSynthesis.speak(words);
}

for (const name of ['sound', 'speech']) {
  find(name).checked = setting(name);
  find(name).addEventListener('change', () => {
    localStorage.setItem(name, find(name).checked ? 'on' : 'off');
  });
}
