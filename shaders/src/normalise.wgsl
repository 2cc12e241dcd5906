// Turns 8-bit levels into a model's input: (level / 255 - mean) / standard deviation, channel after channel.

struct Normalise {
    mean: vec3<f32>,
    // side of the image in pixels
    size: u32,
    deviation: vec3<f32>,
    // where in `batch` the image begins, in numbers
    offset: u32,
}

@group(0) @binding(0) var<uniform> parameters: Normalise;
// [size, size], red in the lowest byte, then green and blue
@group(0) @binding(1) var<storage, read> image: array<u32>;
// [n, 3, size, size]
@group(0) @binding(2) var<storage, read_write> batch: array<f32>;

@compute @workgroup_size(8, 8)
fn normalise(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= parameters.size || id.y >= parameters.size {
        return;
    }
    let pixel = id.y * parameters.size + id.x;
    let word = image[pixel];
    let levels = vec3<f32>(vec3<u32>(word, word >> 8u, word >> 16u) & vec3<u32>(255u));
    let values = (levels / 255.0 - parameters.mean) / parameters.deviation;
    let channel = parameters.size * parameters.size;
    let first = parameters.offset + pixel;
    batch[first] = values.x;
    batch[first + channel] = values.y;
    batch[first + 2u * channel] = values.z;
}
