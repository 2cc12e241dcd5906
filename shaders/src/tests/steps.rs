//! Each shader alone against a short reference on the CPU.

use unmask_core::image::RgbImage;

use super::frames::{noise, padded, photograph, size};
use super::gpu::{Gpu, gpu};
use crate::normalise::{NORMALISE, NormaliseParameters};
use crate::resize::{Kernel, RESIZE, Taps};
use crate::runner::{Step, image, storage, uniform};
use crate::warp::{Similarity, WARP_BUFFER, WARP_TEXTURE, WarpParameters};

/// Colour of a pixel of words as the shaders have it, alpha left out.
fn colours(words: &[u8]) -> Vec<[u8; 3]> {
    words.as_chunks::<4>().0.iter().map(|&[red, green, blue, _]| [red, green, blue]).collect()
}

/// The largest difference between two levels.
fn worst(found: &[[u8; 3]], expected: &[[u8; 3]]) -> u8 {
    assert_eq!(found.len(), expected.len());
    let levels = found.as_flattened().iter().zip(expected.as_flattened());
    levels.map(|(found, expected)| found.abs_diff(*expected)).max().unwrap_or(0)
}

/// The colour of a frame at a place, bilinearly between its neighbours, black outside.
fn colour_at(frame: &RgbImage, x: f64, y: f64) -> [u8; 3] {
    let pixels = frame.pixels().as_chunks::<3>().0;
    let mut sum = [0.0; 3];
    for (column, row) in
        [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].map(|(dx, dy)| (x.floor() + dx, y.floor() + dy))
    {
        if column < 0.0 || row < 0.0 || column >= frame.width() as f64 || row >= frame.height() as f64 {
            continue;
        }
        let weight = (1.0 - (x - column).abs()) * (1.0 - (y - row).abs());
        let pixel = pixels[row as usize * frame.width() + column as usize];
        sum = [0, 1, 2].map(|channel| sum[channel] + weight * f64::from(pixel[channel]));
    }
    sum.map(|level| level.round() as u8)
}

fn warp_on_cpu(frame: &RgbImage, Similarity { a, b, dx, dy }: Similarity, crop_size: u32) -> Vec<[u8; 3]> {
    let places = (0..crop_size).flat_map(|y| (0..crop_size).map(move |x| (f64::from(x), f64::from(y))));
    places.map(|(x, y)| colour_at(frame, a * x - b * y + dx, b * x + a * y + dy)).collect()
}

fn warp_on_gpu(gpu: &Gpu, source: &str, frame: wgpu::BindingResource<'_>, parameters: &WarpParameters) -> Vec<[u8; 3]> {
    let step = Step::new(&gpu.device, "warp", source);
    let crop = image(&gpu.device, [parameters.crop_size; 2]);
    let uniform = uniform(&gpu.device, &parameters.to_bytes());
    let resources = [uniform.as_entire_binding(), crop.as_entire_binding(), frame];
    gpu.run(|encoder| step.encode(&gpu.device, encoder, &resources, [parameters.crop_size; 2]));
    colours(&gpu.read(&crop))
}

/// Turned by `degrees`, `scale` pixels of the frame to one of the crop, the crop's centre at `centre`.
fn about(degrees: f64, scale: f64, centre: [f64; 2], crop_size: u32) -> Similarity {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let (a, b, middle) = (scale * cosine, scale * sine, f64::from(crop_size - 1) / 2.0);
    Similarity { a, b, dx: centre[0] - (a - b) * middle, dy: centre[1] - (b + a) * middle }
}

#[test]
fn warping_samples_a_buffer_and_a_texture_where_the_transform_says() {
    let Some(gpu) = gpu() else { return };
    let cases = [
        (noise(320, 200), 0.0, 1.0, [160.0, 100.0], 64),
        (noise(320, 200), 33.0, 0.37, [100.5, 80.25], 96),
        (noise(320, 200), -121.0, 2.9, [10.0, 190.0], 100),
        (noise(320, 200), 180.0, 1.0, [319.5, 199.5], 65),
        (noise(320, 200), 12.0, 1.5, [-500.0, 1e5], 16),
        (noise(3840, 1080), 7.0, 1.3, [3700.125, 1000.375], 256),
        (noise(1, 1), 0.0, 0.125, [0.0, 0.0], 32),
    ];
    for (frame, degrees, scale, centre, crop_size) in cases {
        let to_frame = about(degrees, scale, centre, crop_size);
        let parameters = WarpParameters { to_frame, frame_size: size(&frame), crop_size };
        let expected = warp_on_cpu(&frame, to_frame, crop_size);
        let (buffer, texture) = (storage(&gpu.device, &padded(&frame)), gpu.texture(size(&frame), &padded(&frame)));
        let from_buffer = warp_on_gpu(gpu, WARP_BUFFER, buffer.as_entire_binding(), &parameters);
        let from_texture = warp_on_gpu(gpu, WARP_TEXTURE, wgpu::BindingResource::TextureView(&texture), &parameters);
        assert!(worst(&from_buffer, &expected) <= 1, "{parameters:?}: {}", worst(&from_buffer, &expected));
        assert_eq!(from_texture, from_buffer, "{parameters:?}");
    }
}

/// Rows of an image convolved with the kernel, in f64.
fn resize_rows_on_cpu(rows: &[Vec<[u8; 3]>], length: usize, kernel: fn(f64) -> f64, support: f64) -> Vec<Vec<[u8; 3]>> {
    let scale = rows[0].len() as f64 / length as f64;
    let stretch = scale.max(1.0);
    let resized_pixel = |row: &[[u8; 3]], position: usize| {
        let centre = (position as f64 + 0.5) * scale;
        let near = row.iter().enumerate().filter(|(i, _)| (*i as f64 + 0.5 - centre).abs() < support * stretch);
        let weighted: Vec<(f64, &[u8; 3])> =
            near.map(|(i, pixel)| (kernel((i as f64 + 0.5 - centre).abs() / stretch), pixel)).collect();
        let total: f64 = weighted.iter().map(|(weight, _)| weight).sum();
        [0, 1, 2].map(|channel| {
            let sum: f64 = weighted.iter().map(|(weight, pixel)| weight * f64::from(pixel[channel])).sum();
            (sum / total).round().clamp(0.0, 255.0) as u8
        })
    };
    rows.iter().map(|row| (0..length).map(|position| resized_pixel(row, position)).collect()).collect()
}

fn triangle(x: f64) -> f64 {
    1.0 - x
}

fn cubic(x: f64) -> f64 {
    if x < 1.0 { 1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0 } else { -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0 }
}

#[test]
fn resizing_convolves_rows_with_the_widened_kernel_and_transposes() {
    let Some(gpu) = gpu() else { return };
    let step = Step::new(&gpu.device, "resize", RESIZE);
    let kernels = [(Kernel::Bilinear, triangle as fn(f64) -> f64, 1.0), (Kernel::Bicubic, cubic, 2.0)];
    let sizes = [(256, 31, 224), (256, 16, 112), (112, 9, 224), (300, 8, 7), (5, 3, 64), (64, 64, 64), (1, 4, 9)];
    for (kernel, value, support) in kernels {
        for (length, rows, resized_length) in sizes {
            let frame = noise(length as usize, rows as usize);
            let pixels: Vec<Vec<[u8; 3]>> =
                frame.pixels().as_chunks::<3>().0.chunks(length as usize).map(<[_]>::to_vec).collect();
            let expected = resize_rows_on_cpu(&pixels, resized_length as usize, value, support);

            let taps = Taps::new(length, resized_length, kernel);
            let parameters = uniform(&gpu.device, &taps.parameters(rows).to_bytes());
            let (table, source) = (storage(&gpu.device, &taps.to_bytes()), storage(&gpu.device, &padded(&frame)));
            let resized = image(&gpu.device, [rows, resized_length]);
            let resources = [&parameters, &table, &source, &resized].map(wgpu::Buffer::as_entire_binding);
            gpu.run(|encoder| step.encode(&gpu.device, encoder, &resources, [rows, resized_length]));
            let found = colours(&gpu.read(&resized));

            for (index, row) in expected.iter().enumerate() {
                let column: Vec<[u8; 3]> = found.iter().skip(index).step_by(rows as usize).copied().collect();
                assert!(worst(&column, row) <= 1, "{kernel:?} {length} to {resized_length}, row {index}");
            }
        }
    }
}

#[test]
fn normalising_fills_the_channels_at_the_offset_and_nothing_else() {
    let Some(gpu) = gpu() else { return };
    let step = Step::new(&gpu.device, "normalise", NORMALISE);
    let frame = photograph();
    let side = 37;
    let levels: Vec<[u8; 3]> = frame.pixels().as_chunks::<3>().0[..side * side].to_vec();
    let words: Vec<u8> = levels.iter().flat_map(|&[red, green, blue]| [red, green, blue, 255]).collect();
    let (mean, std) = ([0.481, 0.458, 0.408], [0.269, 0.261, 0.276]);
    let (before, after) = (11, 5);
    let parameters = NormaliseParameters { size: side as u32, mean, std, offset: before as u32 };
    let parameters = uniform(&gpu.device, &parameters.to_bytes());
    let source = storage(&gpu.device, &words);
    let batch = storage(&gpu.device, &7.0f32.to_le_bytes().repeat(before + 3 * side * side + after));
    let resources = [&parameters, &source, &batch].map(wgpu::Buffer::as_entire_binding);
    gpu.run(|encoder| step.encode(&gpu.device, encoder, &resources, [side as u32; 2]));

    let found = gpu.read_numbers(&batch);
    assert!(found[..before].iter().chain(&found[found.len() - after..]).all(|number| *number == 7.0));
    for (channel, plane) in found[before..found.len() - after].chunks(side * side).enumerate() {
        for (found, pixel) in plane.iter().zip(&levels) {
            let expected = (f32::from(pixel[channel]) / 255.0 - mean[channel]) / std[channel];
            assert!((found - expected).abs() < 2e-6, "{found} is not {expected}");
        }
    }
}
