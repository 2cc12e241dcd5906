//! Pictures that move, pictures of formats that are left to ffmpeg, and files of several pictures.

use unmask_core::pipeline::report::InputKind;

use super::stills::paint;
use super::*;

#[test]
fn animated_gif_png_and_webp_are_videos() {
    let Some(folder) = workshop(&["libwebp_anim"]) else { return };
    let source = "-f lavfi -i testsrc2=s=64x48:r=5:d=2";
    for (name, options_) in [
        ("a.gif", ""),
        ("a.apng", "-plays 0"),
        ("a.png", "-f apng"),
        ("a.webp", "-c:v libwebp_anim -lossless 1 -loop 0"),
    ] {
        let path = make(&folder, name, &format!("{source} {options_}"));
        assert_eq!(input(&path).unwrap(), Input::Video(path.clone()), "{name}");
        let (info, frames, caveats) = looked_at(&path, options(4)).unwrap();
        assert_eq!((info.kind, info.frame_count, info.width), (InputKind::Video, Some(10), 64), "{name}");
        assert!((info.duration_s.unwrap() - 2.0).abs() < 0.05 && caveats.is_empty(), "{name}: {info:?}");
        let times: Vec<usize> = frames.iter().map(|frame| (frame.time_s * 5.0).round() as usize).collect();
        assert_eq!(times, [0, 3, 6, 9], "{name}");
        assert!(frames[0].image != frames[3].image, "{name}");
        if name.ends_with("png") {
            let shown = make(&folder, "still.png", &format!("{source} -vf select=eq(n\\,9) -frames:v 1"));
            let expected = self::frames(&shown, options(1)).unwrap().remove(0).image;
            let close = expected.pixels().iter().zip(frames[3].image.pixels()).all(|(a, b)| a.abs_diff(*b) <= 2);
            assert!(close, "{name}");
        }
    }
}

#[test]
fn an_animation_of_one_frame_is_a_still() {
    let Some(folder) = workshop(&["libwebp"]) else { return };
    for (name, options_) in [("a.gif", ""), ("a.apng", ""), ("a.webp", "-c:v libwebp")] {
        let path = make(&folder, name, &format!("-f lavfi -i color=c=red:s=32x32 -frames:v 1 {options_}"));
        let (info, frames, _) = looked_at(&path, options(4)).unwrap();
        assert_eq!((info.kind, frames.len()), (InputKind::Still, 1), "{name}");
    }
}

#[test]
fn an_animation_cut_off_is_refused_or_taken_as_far_as_it_goes() {
    let Some(folder) = workshop(&["libwebp_anim"]) else { return };
    let source = "-f lavfi -i testsrc2=s=64x48:r=5:d=2";
    for (name, options_) in [("a.gif", ""), ("a.apng", "-plays 0"), ("a.webp", "-c:v libwebp_anim -loop 0")] {
        let path = make(&folder, name, &format!("{source} {options_}"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() * 6 / 10]).unwrap();
        assert!(sentence(&path).contains(name), "{name}: {}", sentence(&path));
        let skipped = looked_at(&path, OpenOptions { frames: 32, damage: Damage::Skip });
        if let Ok((_, frames, caveats)) = skipped {
            assert!((1..10).contains(&frames.len()), "{name}");
            assert_eq!(caveats, [CaveatCode::DamageSkipped], "{name}");
        }
    }
}

#[test]
fn pictures_that_ffmpeg_does_not_read_are_refused_by_the_name_of_their_format() {
    let Some(folder) = workshop(&[]) else { return };
    let cases: [(&[u8], &str); 4] = [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08meta", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic\0\0\0\x08meta", "HEIC"),
        (b"\0\0\0\x1Cftypavif\0\0\0\0avifmif1miaf\0\0\0\x08meta", "AVIF"),
        (b"\0\0\0\x0CJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ", "JPEG XL"),
    ];
    for (start, format) in cases {
        let path = folder.path().join("picture.jpg");
        std::fs::write(&path, start).unwrap();
        let said = sentence(&path);
        assert!(said.contains(&format!("format {format}")) && said.contains("JPEG or PNG"), "{said}");
        assert_eq!(expand(folder.path()).unwrap().inputs.len(), 1, "a folder holds it as an input");
    }
}

#[test]
fn avif_and_jpeg_xl_are_stills_where_ffmpeg_reads_them() {
    let Some(folder) = workshop(&[]) else { return };
    for (name, codec) in [("a.avif", "libaom-av1 -still-picture 1 -cpu-used 8"), ("a.jxl", "libjxl")] {
        if !has_encoders(FFMPEG, &codec.split(' ').take(1).collect::<Vec<_>>()) {
            continue;
        }
        let mut command = Command::new(FFMPEG);
        command.current_dir(folder.path()).args("-v error -f lavfi -i color=c=red:s=64x48 -frames:v 1 -c:v".split(' '));
        if !command.args(codec.split(' ')).arg(name).status().unwrap().success() {
            println!("skipped: this ffmpeg does not write {name}");
            continue;
        }
        let (info, frames, _) = looked_at(&folder.path().join(name), options(4)).unwrap();
        assert_eq!((info.kind, frames.len(), info.fps), (InputKind::Still, 1, None), "{name}");
        assert!(close(pixel(&frames[0], 9, 9), [254, 0, 0], 6), "{name}: {:?}", pixel(&frames[0], 9, 9));
    }
}

#[test]
fn a_jpeg_cut_off_is_refused_or_shown_as_far_as_it_goes() {
    use jpeg_encoder::{ColorType, Encoder};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let pixels: Vec<u8> = (0..64 * 64 * 3).map(|index| (index * 7 % 251) as u8).collect();
    for progressive in [false, true] {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 90);
        encoder.set_progressive(progressive);
        encoder.encode(&pixels, 64, 64, ColorType::Rgb).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(frames(&path, options(1)).unwrap().len(), 1);
        for kept in [bytes.len() / 2, bytes.len() * 9 / 10, bytes.len() - 2] {
            std::fs::write(&path, &bytes[..kept]).unwrap();
            assert!(sentence(&path).contains("cut off"), "{progressive} {kept}: {}", sentence(&path));
        }
        let (_, frames, caveats) = looked_at(&path, OpenOptions { frames: 1, damage: Damage::Skip }).unwrap();
        assert_eq!((frames.len(), caveats), (1, vec![CaveatCode::DamageSkipped]));
    }
}

#[test]
fn a_jpeg_whose_data_are_damaged_is_refused_or_shown_as_far_as_it_goes() {
    use jpeg_encoder::{ColorType, Encoder};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let pixels: Vec<u8> = (0..256 * 256 * 3_u64).map(|index| (index * index / 7 % 251) as u8).collect();
    let encoded = |progressive: bool, restarts: u16| {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 90);
        encoder.set_progressive(progressive);
        encoder.set_restart_interval(restarts);
        encoder.encode(&pixels, 256, 256, ColorType::Rgb).unwrap();
        bytes
    };
    for (progressive, restarts) in [(false, 0), (true, 0), (false, 8), (true, 8)] {
        let whole = encoded(progressive, restarts);
        std::fs::write(&path, [&whole[..], b"appended"].concat()).unwrap();
        assert!(looked_at(&path, options(1)).unwrap().2.is_empty());
        let middle = whole.len() / 2;
        let mut zeros = whole.clone();
        zeros[middle..middle + 300].fill(0);
        let mut overwritten = whole.clone();
        overwritten[middle..middle + 300].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 167 % 251) as u8);
        let shortened = [&whole[..middle], &whole[middle + 300..]].concat();
        let ended_early = [&whole[..middle], b"\xFF\xD9"].concat();
        let mut damaged = vec![zeros, overwritten, shortened, ended_early];
        if restarts > 0 {
            let mark = (middle..).find(|at| whole[*at] == 0xFF && (0xD0..0xD8).contains(&whole[*at + 1])).unwrap();
            damaged.push([&whole[..mark], &whole[mark + 2..]].concat());
        }
        for (case, bytes) in damaged.iter().enumerate() {
            std::fs::write(&path, bytes).unwrap();
            let said = sentence(&path);
            let sound = said.contains("the picture is damaged") && said.contains("--damaged skip");
            assert!(sound, "{progressive} {restarts} {case}: {said}");
        }
        let (_, frames, caveats) = looked_at(&path, OpenOptions { frames: 1, damage: Damage::Skip }).unwrap();
        assert_eq!((frames.len(), caveats), (1, vec![CaveatCode::DamageSkipped]));
    }
}

#[test]
fn of_a_file_of_several_pictures_the_first_is_read_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let jpeg = std::fs::read(paint(&folder, "a.jpg", [200, 30, 30])).unwrap();
    let index = |kind: [u8; 3]| {
        // A little-endian directory of one field: two entries of 16 bytes, 26 bytes from its start.
        let mut index = b"MPF\0II*\0\x08\0\0\0\x01\0\x02\xB0\x07\0\x20\0\0\0\x1A\0\0\0\0\0\0\0".to_vec();
        (0..2).for_each(|_| index.extend([kind[0], kind[1], kind[2], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        let segment = [&[0xFF, 0xE2][..], &(index.len() as u16 + 2).to_be_bytes(), &index].concat();
        [&jpeg[..2], &segment, &jpeg[2..], &jpeg].concat()
    };
    let path = folder.path().join("b.jpg");
    // Two views, and a picture with a map of its brightness.
    for (kind, expected) in [([2, 0, 2], vec![CaveatCode::FirstPictureOnly]), ([0, 0, 0], vec![])] {
        std::fs::write(&path, index(kind)).unwrap();
        assert_eq!(looked_at(&path, options(1)).unwrap().2, expected, "{kind:?}");
    }
    let page = |next: u8, subfile: u8| {
        let entry = |tag: u16, kind: u8, value: u32| {
            let tag = tag.to_le_bytes();
            [&[tag[0], tag[1], kind, 0, 1, 0, 0, 0][..], &value.to_le_bytes()].concat()
        };
        let fields = [
            (254, 4, u32::from(subfile)),
            (256, 3, 1),
            (257, 3, 1),
            (258, 3, 8),
            (259, 3, 1),
            (262, 3, 1),
            (273, 4, 8),
            (278, 3, 1),
            (279, 4, 1),
        ];
        let fields: Vec<u8> = fields.iter().flat_map(|(tag, kind, value)| entry(*tag, *kind, *value)).collect();
        [&[9, 0][..], &fields, &[next, 0, 0, 0]].concat()
    };
    let path = folder.path().join("c.tif");
    // A header, a pixel and its padding, then directories of 114 bytes.
    let start = b"II*\0\x0A\0\0\0\x80\0";
    let (two, alone) = ([&start[..], &page(124, 0), &page(0, 0)].concat(), [&start[..], &page(0, 0)].concat());
    for (bytes, expected) in [(two, vec![CaveatCode::FirstPictureOnly]), (alone, vec![])] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(looked_at(&path, options(1)).unwrap().2, expected);
    }
    std::fs::write(&path, [&start[..], &page(124, 1), &page(0, 0)].concat()).unwrap();
    assert!(sentence(&path).contains("only a preview"), "{}", sentence(&path));
}
