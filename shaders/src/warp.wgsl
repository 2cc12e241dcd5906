// Samples a frame at the places to which a similarity transform takes the pixels of a square, bilinearly; outside
// the frame is black. `frame_pixel` is in frame_buffer.wgsl or frame_texture.wgsl, one of which is appended.

struct Warp {
    // a, b, dx, dy: pixel (x, y) of the crop shows (a·x - b·y + dx, b·x + a·y + dy) of the frame
    transform: vec4<f32>,
    // what a, b, dx, dy exceed the whole number below by, in units of 2^-32
    fractions: vec4<u32>,
    // width, height
    frame_size: vec2<u32>,
    crop_size: u32,
}

@group(0) @binding(0) var<uniform> parameters: Warp;
// [crop_size, crop_size], red in the lowest byte of a word, then green and blue, 255 in the highest
@group(0) @binding(1) var<storage, read_write> crop: array<u32>;

// A place on one axis: the last pixel whose centre is not behind it, and how far behind that centre it lies.
struct Place {
    pixel: i32,
    beyond: f32,
}

// In f32, places in a large frame are off by up to a thousandth of a pixel. Fractions are exact to 2^-20 of a pixel,
// since what overflows are whole pixels; so `coarse` has only to say which whole pixel it is.
fn place(coarse: f32, fraction: u32, length: u32) -> Place {
    let beyond = f32(fraction) * 0x1p-32;
    // Far outside, any place outside will do, and fits an integer.
    let near = clamp(coarse, -2.0, f32(length) + 1.0);
    return Place(i32(round(near - beyond)), beyond);
}

fn level_at(column: i32, row: i32) -> vec3<f32> {
    let size = vec2<i32>(parameters.frame_size);
    if column < 0 || row < 0 || column >= size.x || row >= size.y {
        return vec3<f32>(0.0);
    }
    return frame_pixel(vec2<u32>(u32(column), u32(row)));
}

@compute @workgroup_size(8, 8)
fn warp(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= parameters.crop_size || id.y >= parameters.crop_size {
        return;
    }
    let transform = parameters.transform;
    let coarse = transform.x * vec2<f32>(id.xy) + transform.y * vec2<f32>(-f32(id.y), f32(id.x)) + transform.zw;
    let fractions = parameters.fractions;
    let column = place(coarse.x, fractions.x * id.x - fractions.y * id.y + fractions.z, parameters.frame_size.x);
    let row = place(coarse.y, fractions.y * id.x + fractions.x * id.y + fractions.w, parameters.frame_size.y);

    let level = level_at(column.pixel, row.pixel) * ((1.0 - column.beyond) * (1.0 - row.beyond))
        + level_at(column.pixel + 1, row.pixel) * (column.beyond * (1.0 - row.beyond))
        + level_at(column.pixel, row.pixel + 1) * ((1.0 - column.beyond) * row.beyond)
        + level_at(column.pixel + 1, row.pixel + 1) * (column.beyond * row.beyond);
    let rounded = vec3<u32>(level + 0.5);
    crop[id.y * parameters.crop_size + id.x] = rounded.x | (rounded.y << 8u) | (rounded.z << 16u) | (255u << 24u);
}
