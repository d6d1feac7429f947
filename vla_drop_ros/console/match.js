// SPDX-License-Identifier: Apache-2.0
// How well the scene matches the reference image, 0..1: the same arithmetic as match.py.

const WIDTH = 96, HEIGHT = 72, WINDOW = 8, STRIDE = 4, WORST = 20, CONTRAST = 100;
const GAINS = [0.7, 1.4];

// Return, for every output cell, which input cells it covers and how much of each.
function coverage(from, to) {
  const cells = [], scale = from / to;
  for (let cell = 0; cell < to; cell++) {
    const low = cell * scale, high = Math.min(from, low + scale), parts = [];
    for (let at = Math.floor(low); at < high - 1e-9; at++) {
      parts.push([at, (Math.min(at + 1, high) - Math.max(at, low)) / scale]);
    }
    cells.push(parts);
  }
  return cells;
}

// Average an ImageData down to three planes of WIDTH x HEIGHT, colours interleaved.
export function small(image) {
  const {width, height, data} = image;
  const across = coverage(width, WIDTH), down = coverage(height, HEIGHT);
  const narrow = new Float64Array(height * WIDTH * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < WIDTH; column++) {
      let red = 0, green = 0, blue = 0;
      for (const [at, share] of across[column]) {
        const pixel = (row * width + at) * 4;
        red += share * data[pixel];
        green += share * data[pixel + 1];
        blue += share * data[pixel + 2];
      }
      narrow.set([red, green, blue], (row * WIDTH + column) * 3);
    }
  }
  const planes = new Float64Array(HEIGHT * WIDTH * 3), line = WIDTH * 3;
  for (let row = 0; row < HEIGHT; row++) {
    for (const [at, share] of down[row]) {
      for (let place = 0; place < line; place++) {
        planes[row * line + place] += share * narrow[at * line + place];
      }
    }
  }
  return planes;
}

function statistics(planes) {
  const means = [0, 0, 0];
  let sum = 0, squares = 0;
  planes.forEach((value, place) => {
    means[place % 3] += value * 3 / planes.length;
    sum += value;
    squares += value * value;
  });
  const mean = sum / planes.length;
  return {means, spread: Math.sqrt(Math.max(0, squares / planes.length - mean * mean))};
}

// Undo what auto-exposure changed: a gain within limits, and an offset for each colour.
function exposedAs(ours, theirs) {
  const a = statistics(ours), b = statistics(theirs);
  const gain = Math.min(GAINS[1], Math.max(GAINS[0], (b.spread + 1) / (a.spread + 1)));
  return ours.map((value, place) => (value - a.means[place % 3]) * gain + b.means[place % 3]);
}

function windowSimilarity(ours, theirs, top, left, colour) {
  const count = WINDOW * WINDOW;
  let a = 0, b = 0, aa = 0, bb = 0, ab = 0;
  for (let row = top; row < top + WINDOW; row++) {
    for (let column = left; column < left + WINDOW; column++) {
      const place = (row * WIDTH + column) * 3 + colour, x = ours[place], y = theirs[place];
      a += x; b += y; aa += x * x; bb += y * y; ab += x * y;
    }
  }
  a /= count; b /= count;
  const structure = (2 * (ab / count - a * b) + CONTRAST)
    / (aa / count - a * a + bb / count - b * b + CONTRAST);
  return structure * CONTRAST / (CONTRAST + (a - b) ** 2);
}

// Compare two results of small(): 1 the same, 0 nothing alike in the worst places.
export function match(live, reference) {
  const ours = exposedAs(live, reference), similar = [];
  for (let top = 0; top + WINDOW <= HEIGHT; top += STRIDE) {
    for (let left = 0; left + WINDOW <= WIDTH; left += STRIDE) {
      similar.push(Math.min(...[0, 1, 2].map(
        colour => windowSimilarity(ours, reference, top, left, colour))));
    }
  }
  const worst = similar.sort((a, b) => a - b).slice(0, WORST);
  return Math.min(1, Math.max(0, worst.reduce((sum, one) => sum + one) / WORST));
}
