// SPDX-License-Identifier: Apache-2.0
// The live camera, the reference image over it, and how well they match.

import {match, small} from './match.js';

const PERIOD = 100, SCORE_PERIOD = 350, RETRY = 1000;  // [ms]
const EDGE = 40, EDGE_COLOUR = [64, 224, 255];
const find = id => document.getElementById(id);
const live = find('live'), ghost = find('ghost');
const pen = live.getContext('2d', {willReadFrequently: true});
const tolerance = Number(document.body.dataset.tolerance);

let condition = null, wanted = false, reference = null, planes = null, scored = 0;
let mode = localStorage.getItem('ghost') || 'ghost';

const pause = time => new Promise(done => setTimeout(done, time));

async function bitmap(path) {
  const answer = await fetch(path, {cache: 'no-store'});
  return answer.status === 200 ? createImageBitmap(await answer.blob()) : null;
}

function edgesOf(image) {
  const {width, height, data} = image, out = new ImageData(width, height);
  const grey = place => data[place] * 0.3 + data[place + 1] * 0.6 + data[place + 2] * 0.1;
  for (let row = 1; row < height - 1; row++) {
    for (let column = 1; column < width - 1; column++) {
      const place = (row * width + column) * 4, line = width * 4;
      const slope = Math.hypot(grey(place + 4) - grey(place - 4),
                               grey(place + line) - grey(place - line));
      if (slope > EDGE) {
        out.data.set([...EDGE_COLOUR, 255], place);
      }
    }
  }
  return out;
}

// Draw the reference image as the chosen mode shows it.
function dress() {
  const shown = reference !== null && wanted && mode !== 'off';
  ghost.hidden = !shown;
  find('ghost-tools').hidden = reference === null || !wanted;
  for (const button of document.querySelectorAll('[data-mode]')) {
    button.setAttribute('aria-checked', String(button.dataset.mode === mode));
  }
  find('opacity').disabled = mode !== 'ghost';
  if (!shown) {
    return;
  }
  const brush = ghost.getContext('2d', {willReadFrequently: true});
  [ghost.width, ghost.height] = [reference.width, reference.height];
  brush.drawImage(reference, 0, 0);
  if (mode === 'edges') {
    brush.putImageData(edgesOf(brush.getImageData(0, 0, ghost.width, ghost.height)), 0, 0);
  }
  ghost.style.opacity = mode === 'ghost' ? find('opacity').value / 100 : 1;
  ghost.classList.toggle('blink', mode === 'blink');
}

function keepReference(image) {
  reference = image;
  planes = null;
  if (image !== null) {
    const paper = new OffscreenCanvas(image.width, image.height);
    const brush = paper.getContext('2d');
    brush.drawImage(image, 0, 0);
    planes = small(brush.getImageData(0, 0, image.width, image.height));
  }
  dress();
}

async function fetchReference(of) {
  for (;;) {
    try {
      const image = await bitmap('reference.jpg');
      if (of === condition) {
        keepReference(image);
      }
      return;
    } catch {
      await pause(RETRY);
      if (of !== condition) {
        return;
      }
    }
  }
}

function score() {
  const badge = find('match'), view = find('view');
  if (planes === null || !wanted) {
    badge.hidden = true;
    delete view.dataset.match;
    return;
  }
  if (performance.now() - scored < SCORE_PERIOD) {
    return;
  }
  scored = performance.now();
  const value = match(small(pen.getImageData(0, 0, live.width, live.height)), planes);
  const percent = Math.round(100 * value), fits = value >= tolerance;
  badge.hidden = false;
  badge.textContent = fits ? `match ${percent} \u2713` : `match ${percent}`;
  badge.setAttribute('aria-valuenow', String(percent));
  view.dataset.match = fits ? 'good' : 'poor';
}

async function frame() {
  const image = await bitmap('camera.jpg');
  find('no-picture').hidden = image !== null;
  if (image === null) {
    find('match').hidden = true;
    delete find('view').dataset.match;
    return;
  }
  if (live.width !== image.width || live.height !== image.height) {
    [live.width, live.height] = [image.width, image.height];
    find('picture').style.setProperty('--ratio', image.width / image.height);
  }
  pen.drawImage(image, 0, 0);
  image.close();
  score();
}

async function run() {
  for (;;) {
    const before = performance.now();
    try {
      if (!document.hidden) {
        await frame();
      }
      await pause(Math.max(20, PERIOD - (performance.now() - before)));
    } catch {
      find('no-picture').hidden = false;
      await pause(RETRY);
    }
  }
}

// Follow the state: which reference image belongs to it, and whether it helps now.
export function showCamera(state) {
  const now = state.condition.has_reference ? `${state.condition.id} ${state.code}` : '';
  const helps = state.phase === 'arrange';
  if (now !== condition) {
    condition = now;
    keepReference(null);
    if (now) {
      fetchReference(now);
    }
  }
  if (helps !== wanted) {
    wanted = helps;
    dress();
  }
}

for (const button of document.querySelectorAll('[data-mode]')) {
  button.addEventListener('click', () => {
    mode = button.dataset.mode;
    localStorage.setItem('ghost', mode);
    dress();
  });
}
find('opacity').addEventListener('input', dress);
run();
