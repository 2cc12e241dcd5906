//! Images, folders of them, and folders of frames.

use image::{DynamicImage, ImageFormat, Rgb, Rgba};

use super::*;

fn paint(folder: &TempDir, name: &str, colour: [u8; 3]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(8, 6, Rgb(colour)).save(&path).unwrap();
    path
}

fn named(inputs: &[Input], folder: &TempDir) -> Vec<String> {
    let short = |input: &Input| {
        let name = input.path().strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned();
        if matches!(input, Input::Frames { .. }) { format!("frames {name}") } else { name }
    };
    inputs.iter().map(short).collect()
}

#[test]
fn a_folder_gives_its_media_in_natural_order_and_tells_frames_from_photographs() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["f/frame_0001.png", "f/frame_0012.png", "sparse/000.png", "sparse/015.png", "sparse/030.png"] {
        paint(&folder, name, [1, 2, 3]);
    }
    for name in
        ["cam/IMG_0001.png", "cam/IMG_0002.png", "mixed/a.png", "mixed/b10.png", "mixed/b9.png", ".hidden/a.png"]
    {
        paint(&folder, name, [1, 2, 3]);
    }
    std::fs::write(folder.path().join("clip10.mp4"), "x").unwrap();
    std::fs::write(folder.path().join("clip2.MP4"), "x").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
    let inputs = expand(folder.path()).unwrap();
    let expected = [
        "cam/IMG_0001.png",
        "cam/IMG_0002.png",
        "clip2.MP4",
        "clip10.mp4",
        "frames f",
        "mixed/a.png",
        "mixed/b9.png",
        "mixed/b10.png",
        "frames sparse",
    ];
    let mut found = named(&inputs, &folder);
    // Files of one folder stay together, so the two clips come at the place of the first.
    found.sort_by(|a, b| natord::compare(a.trim_start_matches("frames "), b.trim_start_matches("frames ")));
    assert_eq!(found, expected);
}

#[test]
fn a_folder_with_nothing_to_score_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(expand(folder.path()), Err(MediaError::EmptyFolder { .. })));
}

#[test]
fn frames_of_a_folder_come_sampled_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..20_u8 {
        paint(&folder, &format!("{n:03}.png"), [n, 0, 0]);
    }
    let reds: Vec<u8> = frames(folder.path(), options(4)).unwrap().iter().map(|frame| pixel(frame, 0, 0)[0]).collect();
    assert_eq!(reds, [0, 6, 12, 19]);
}

#[test]
fn a_broken_frame_of_a_folder_is_refused_or_skipped_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..4_u8 {
        paint(&folder, &format!("{n:03}.png"), [n, 0, 0]);
    }
    std::fs::write(folder.path().join("002.png"), "no image").unwrap();
    assert!(sentence(folder.path()).contains("002.png"));
    assert_eq!(frames(folder.path(), OpenOptions { frames: 4, damage: Damage::Skip }).unwrap().len(), 3);
}

#[test]
fn an_image_is_told_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let png = paint(&folder, "a.png", [10, 20, 30]);
    let lying = folder.path().join("b.jpg");
    std::fs::rename(png, &lying).unwrap();
    assert_eq!(input(&lying).unwrap(), Input::Image(lying.clone()));
    assert_eq!(pixel(&frames(&lying, options(32)).unwrap()[0], 3, 3), [10, 20, 30]);
}

#[test]
fn transparency_lies_over_black_and_sixteen_bits_become_eight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    image::RgbaImage::from_pixel(4, 4, Rgba([200, 100, 0, 128])).save(&path).unwrap();
    assert_eq!(pixel(&frames(&path, options(1)).unwrap()[0], 0, 0), [100, 50, 0]);
    let deep = image::ImageBuffer::from_pixel(4, 4, Rgb([0xffff_u16, 0x8080, 0]));
    DynamicImage::ImageRgb16(deep).save_with_format(&path, ImageFormat::Png).unwrap();
    assert_eq!(pixel(&frames(&path, options(1)).unwrap()[0], 0, 0), [255, 128, 0]);
}

#[test]
fn exif_orientation_turns_the_image() {
    use image::ImageEncoder;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let mut picture = image::RgbImage::from_pixel(8, 6, Rgb([0, 0, 255]));
    picture.put_pixel(0, 0, Rgb([255, 0, 0]));
    // A little-endian TIFF header and one entry: tag 0x112, orientation 6, to be turned clockwise by 90 degrees.
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0".to_vec();
    exif.extend([0; 4]);
    let mut encoder = image::codecs::png::PngEncoder::new(std::fs::File::create(&path).unwrap());
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(&picture, 8, 6, image::ExtendedColorType::Rgb8).unwrap();
    let frame = &frames(&path, options(1)).unwrap()[0];
    assert_eq!((frame.image.width(), frame.image.height()), (6, 8));
    assert_eq!(pixel(frame, 5, 0), [255, 0, 0]);
}

#[test]
fn a_huge_image_is_refused_by_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = paint(&folder, "a.bmp", [0, 0, 0]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[18..22].copy_from_slice(&16_384_u32.to_le_bytes());
    bytes[22..26].copy_from_slice(&16_384_u32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    assert!(
        sentence(&path).contains("16384x16384 pixels are more than the limit of 100 megapixels"),
        "{}",
        sentence(&path)
    );
}
