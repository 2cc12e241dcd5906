// A JPEG of four inks, which no tool that the tests need makes: baseline, one scan, each block its own.

/** Where each coefficient of a block stands in the file (ITU-T T.81, figure 5). */
const ZIGZAG = [
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43,
  36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];
const STEP = 4;
const END_OF_BLOCK = 0;
const SIXTEEN_ZEROS = 0xf0;

/** Codes of one length, so that a symbol's code is its place: sizes of the first coefficient, and runs with sizes of the others. */
const FIRST = { bits: 4, symbols: [...Array(12).keys()] };
const REST = {
  bits: 8,
  symbols: [END_OF_BLOCK, SIXTEEN_ZEROS, ...[...Array(16).keys()].flatMap((run) => [...Array(10).keys()].map((size) => run * 16 + size + 1))],
};

const COSINES = [...Array(64).keys()].map((at) => Math.cos((((at >> 3) * 2 + 1) * (at & 7) * Math.PI) / 16) * (at & 7 ? 0.5 : Math.SQRT1_2 / 2));

/** The coefficients of 64 levels about zero, row by row. */
function transformed(levels) {
  const rows = levels.map((_, at) => levels.slice(at & 56, (at & 56) + 8).reduce((sum, level, x) => sum + level * COSINES[x * 8 + (at & 7)], 0));
  return rows.map((_, at) => [...Array(8).keys()].reduce((sum, y) => sum + rows[y * 8 + (at & 7)] * COSINES[y * 8 + (at >> 3)], 0));
}

class Bits {
  bytes = [];
  #held = 0;
  #count = 0;

  put(value, count) {
    for (let bit = count - 1; bit >= 0; bit--) {
      this.#held = (this.#held << 1) | ((value >> bit) & 1);
      if (++this.#count < 8) continue;
      this.bytes.push(this.#held);
      // A marker would begin so.
      if (this.#held === 0xff) this.bytes.push(0);
      [this.#held, this.#count] = [0, 0];
    }
  }

  /** A symbol, and the value whose size its lower half tells. */
  code({ bits, symbols }, symbol, value = 0) {
    this.put(symbols.indexOf(symbol), bits);
    const size = symbol & 15;
    if (size) this.put(value < 0 ? value + (1 << size) - 1 : value, size);
  }

  end() {
    while (this.#count) this.put(1, 1);
    return this.bytes;
  }
}

const sizeOf = (value) => (value ? 32 - Math.clz32(Math.abs(value)) : 0);

function putBlock(bits, values, before) {
  const [first, ...rest] = ZIGZAG.map((at) => Math.round(values[at] / STEP));
  bits.code(FIRST, sizeOf(first - before), first - before);
  let run = 0;
  const last = rest.findLastIndex((value) => value !== 0);
  for (const value of rest.slice(0, last + 1)) {
    if (value === 0) {
      run++;
      continue;
    }
    for (; run > 15; run -= 16) bits.put(REST.symbols.indexOf(SIXTEEN_ZEROS), REST.bits);
    bits.code(REST, run * 16 + sizeOf(value), value);
    run = 0;
  }
  if (last < 62) bits.code(REST, END_OF_BLOCK);
  return first;
}

function segment(marker, ...bytes) {
  const content = bytes.flat();
  return [0xff, marker, (content.length + 2) >> 8, (content.length + 2) & 255, ...content];
}

const lengths = ({ bits, symbols }) => [...Array(16).keys()].map((length) => (length === bits - 1 ? symbols.length : 0));

/**
 * RGB pixels as cyan, magenta, yellow and black, inverted as Adobe's programs store them; both sides are multiples of 8.
 *
 * @param {Uint8Array} rgb
 */
export function cmykJpeg(rgb, width, height) {
  // All that is common to the three inks is black ink.
  const inks = (pixel) => {
    const [red, green, blue] = rgb.subarray(3 * pixel, 3 * pixel + 3);
    const black = Math.max(red, green, blue);
    return [red, green, blue].map((level) => (black ? Math.round((255 * level) / black) : 255)).concat(black);
  };
  const planes = [...Array(width * height).keys()].map(inks);
  const [bits, before] = [new Bits(), [0, 0, 0, 0]];
  for (let top = 0; top < height; top += 8) {
    for (let left = 0; left < width; left += 8) {
      for (const ink of before.keys()) {
        const level = (at) => planes[(top + (at >> 3)) * width + left + (at & 7)][ink] - 128;
        before[ink] = putBlock(bits, transformed([...Array(64).keys()].map(level)), before[ink]);
      }
    }
  }
  const sides = [height >> 8, height & 255, width >> 8, width & 255];
  const components = (of) => [1, 2, 3, 4].flatMap(of);
  return Buffer.from([
    0xff, 0xd8,
    // Adobe's, with the transform "none".
    segment(0xee, [...Buffer.from('Adobe')], [0, 100, 0, 0, 0, 0, 0]),
    segment(0xdb, 0, Array(64).fill(STEP)),
    segment(0xc0, 8, sides, 4, components((id) => [id, 0x11, 0])),
    segment(0xc4, 0x00, lengths(FIRST), FIRST.symbols),
    segment(0xc4, 0x10, lengths(REST), REST.symbols),
    segment(0xda, 4, components((id) => [id, 0]), 0, 63, 0),
    bits.end(),
    0xff, 0xd9,
  ].flat());
}
