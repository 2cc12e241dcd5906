// The frame in a storage buffer: [height, width] words, red in the lowest byte, then green and blue; the highest byte is
// not looked at.
@group(0) @binding(2) var<storage, read> frame: array<u32>;

fn frame_pixel(place: vec2<u32>) -> vec3<f32> {
    let word = frame[place.y * parameters.frame_size.x + place.x];
    return vec3<f32>(vec3<u32>(word, word >> 8u, word >> 16u) & vec3<u32>(255u));
}
