//! Images, folders of them, and folders of frames.

use image::{DynamicImage, ImageFormat, Rgb, Rgba};
use unmask_core::pipeline::report::InputKind;

use super::*;

pub(super) fn paint(folder: &TempDir, name: &str, colour: [u8; 3]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(8, 6, Rgb(colour)).save(&path).unwrap();
    path
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
fn frames_of_two_sizes_are_said_to_be_and_an_empty_one_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let caveats = || looked_at(folder.path(), options(4)).unwrap().2;
    for n in 0..4_u8 {
        paint(&folder, &format!("{n:03}.png"), [n, 0, 0]);
    }
    assert_eq!(caveats(), []);
    image::RgbImage::from_pixel(16, 12, Rgb([3, 0, 0])).save(folder.path().join("003.png")).unwrap();
    assert_eq!(caveats(), [CaveatCode::SizeChanges]);
    std::fs::write(folder.path().join("003.png"), "").unwrap();
    assert!(sentence(folder.path()).contains("003.png: the file is empty"), "{}", sentence(folder.path()));
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

#[test]
fn a_tiff_of_brightness_and_colours_is_seen_in_the_range_that_it_says() {
    let Some(folder) = workshop(&[]) else { return };
    let path = make(&folder, "a.tif", "-f lavfi -i color=c=red:s=64x48 -frames:v 1 -pix_fmt yuv444p");
    let (info, seen, _) = looked_at(&path, options(1)).unwrap();
    assert_eq!((info.kind, info.width), (InputKind::Still, 64));
    assert!(close(pixel(&seen[0], 9, 9), [254, 0, 0], 4), "{:?}", pixel(&seen[0], 9, 9));
    // The same samples, and black at 0 in place of 15.
    let mut bytes = std::fs::read(&path).unwrap();
    let black: Vec<u8> = [15_u32, 1, 235, 1].iter().flat_map(|number| number.to_le_bytes()).collect();
    let place = bytes.windows(black.len()).position(|window| window == black).unwrap();
    bytes[place] = 0;
    std::fs::write(&path, bytes).unwrap();
    let full = pixel(&frames(&path, options(1)).unwrap()[0], 9, 9);
    assert!(close(full, [238, 14, 14], 4), "{full:?}");
}
