// The frame in the upper left corner of a texture of 8 bits a channel, such as rgba8unorm.
@group(0) @binding(2) var frame: texture_2d<f32>;

fn frame_pixel(place: vec2<u32>) -> vec3<f32> {
    return round(textureLoad(frame, place, 0).rgb * 255.0);
}
