// Resizes the rows of an image and transposes it, so that two runs resize rows and columns: the first leaves columns as
// rows, the second puts them back. Sums are of whole numbers and therefore the same on every GPU.

struct Resize {
    // rows of the image
    rows: u32,
    // pixels in a row
    length: u32,
    // pixels in a resized row
    resized_length: u32,
    // words of `taps` for each resized pixel
    stride: u32,
    // weights are in units of 2^-weight_bits
    weight_bits: u32,
}

@group(0) @binding(0) var<uniform> parameters: Resize;
// for each pixel of a resized row: the first pixel it is made of, how many pixels, and the weight of each
@group(0) @binding(1) var<storage, read> taps: array<i32>;
// [rows, length], red in the lowest byte, then green and blue
@group(0) @binding(2) var<storage, read> image: array<u32>;
// [resized_length, rows], likewise
@group(0) @binding(3) var<storage, read_write> resized: array<u32>;

@compute @workgroup_size(8, 8)
fn resize(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    let position = id.y;
    if row >= parameters.rows || position >= parameters.resized_length {
        return;
    }
    let tap = position * parameters.stride;
    let start = row * parameters.length + u32(taps[tap]);
    let count = u32(taps[tap + 1u]);
    // One half, so that cutting off rounds.
    var sum = vec3<i32>(1 << (parameters.weight_bits - 1u));
    for (var i = 0u; i < count; i++) {
        let word = image[start + i];
        let levels = vec3<i32>(vec3<u32>(word, word >> 8u, word >> 16u) & vec3<u32>(255u));
        sum += taps[tap + 2u + i] * levels;
    }
    let levels = vec3<u32>(clamp(sum >> vec3<u32>(parameters.weight_bits), vec3<i32>(0), vec3<i32>(255)));
    resized[position * parameters.rows + row] = levels.x | (levels.y << 8u) | (levels.z << 16u) | (255u << 24u);
}
