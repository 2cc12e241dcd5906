// CLIP vision towers of any size, with weights that mean nothing, and detectors whose weights are integers.

import { closeSync, openSync, writeSync } from 'node:fs';

/** Names and shapes of a tower of one layer as `transformers` writes it. */
function shapes({ width, inner, patch, tokens }) {
  const layer = 'vision_model.encoder.layers.0';
  const linear = (name, out, into) => [[`${name}.weight`, [out, into]], [`${name}.bias`, [out]]];
  const norm = (name) => [[`${name}.weight`, [width]], [`${name}.bias`, [width]]];
  return [
    ['vision_model.embeddings.class_embedding', [width]],
    ['vision_model.embeddings.patch_embedding.weight', [width, 3, patch, patch]],
    ['vision_model.embeddings.position_embedding.weight', [tokens, width]],
    ...norm('vision_model.pre_layrnorm'),
    ...['q', 'k', 'v', 'out'].flatMap((name) => linear(`${layer}.self_attn.${name}_proj`, width, width)),
    ...norm(`${layer}.layer_norm1`),
    ...norm(`${layer}.layer_norm2`),
    ...linear(`${layer}.mlp.fc1`, inner, width),
    ...linear(`${layer}.mlp.fc2`, width, inner),
    ...norm('vision_model.post_layernorm'),
  ];
}

/** Writes a safetensors file of such a tower; weights are numbers that look random, within half of `spread`, norms begin at one. */
export function writeTower(path, sizes, spread = 0.08) {
  const header = {};
  let end = 0;
  for (const [name, shape] of shapes(sizes)) {
    const begin = end;
    end += 4 * shape.reduce((product, side) => product * side);
    header[name] = { dtype: 'F32', shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(path, 'w');
  for (const part of [length, json]) writeSync(file, part);
  let state = 1;
  // The generator of Lehmer with Park and Miller's factor.
  const next = () => (state = (state * 48271) % 0x7fffffff) / 0x7fffffff - 0.5;
  for (const [name, shape] of shapes(sizes)) {
    const values = new Float32Array(shape.reduce((product, side) => product * side));
    const isNorm = /norm\d?\.weight$/.test(name);
    for (let index = 0; index < values.length; index++) values[index] = isNorm ? 1 : spread * next();
    writeSync(file, Buffer.from(values.buffer));
  }
  closeSync(file);
}

/**
 * The detector file with the weights of its layers as 8-bit integers: what `unmask quantize --dtype int8` writes where nothing speaks
 * against it, which a detector that means nothing leaves to chance. `change` is given its description.
 */
export function withIntegers(bytes, change = () => {}) {
  const length = Number(bytes.readBigUInt64LE());
  const { __metadata__: metadata, ...tensors } = JSON.parse(bytes.subarray(8, 8 + length));
  const description = JSON.parse(metadata.unmask);
  change(description);
  const header = { __metadata__: { ...metadata, unmask: JSON.stringify(description) } };
  const parts = [];
  let end = 0;
  const add = (name, dtype, shape, content) => {
    header[name] = { dtype, shape, data_offsets: [end, end + content.length] };
    parts.push(content);
    end += content.length;
  };
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(tensors)) {
    const content = bytes.subarray(8 + length + from, 8 + length + to);
    if (!/layers\.\d+\..*weight$/.test(name) || shape.length !== 2 || /^head/.test(name)) {
      add(name, dtype, shape, content);
      continue;
    }
    const [rows, columns] = shape;
    const values = new Float32Array(Uint8Array.from(content).buffer);
    const row = (index) => values.subarray(index * columns, (index + 1) * columns);
    // As many steps as are multiplied exactly.
    const scales = Float32Array.from({ length: rows }, (_, index) => Math.max(...row(index).map(Math.abs)) / 64);
    const integers = Int8Array.from(values, (value, index) => Math.round(value / scales[Math.floor(index / columns)]));
    add(name, 'I8', shape, Buffer.from(integers.buffer));
    add(`${name}_scale`, 'F32', [rows], Buffer.from(scales.buffer));
  }
  return assembled(header, parts);
}

/** A safetensors file of this header and the tensors behind it. */
export function assembled(header, parts) {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...parts]);
}
