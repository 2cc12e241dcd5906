//! The index of a file equals what ffprobe reads in it, over a table of files that ffmpeg makes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::*;

/// Runs ffmpeg or ffprobe; `None`, saying so, where it is absent or cannot do this.
fn run(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(program).args(["-v", "error"]).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => Some(output.stdout),
        Ok(output) => {
            eprintln!("skipped: {program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            eprintln!("skipped: {program}: {error}");
            None
        }
    }
}

/// A file of two seconds made with these options.
fn made(folder: &Path, name: &str, options: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let source = ["-y", "-f", "lavfi", "-i", "testsrc2=s=96x64:d=2:r=25"];
    let options: Vec<&str> = options.split_whitespace().collect();
    run("ffmpeg", &[&source[..], &options, &[path.to_str()?]].concat()).map(|_| path)
}

fn opened(path: &Path) -> Result<Video, MediaError> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    open(&mut file, size)
}

struct Probed {
    /// Start and size of each packet in the file, whether it is a key frame, its time from the start of the file, and
    /// whether it is shown.
    packets: Vec<(u64, u32, bool, f64, bool)>,
    rotation: u32,
    size: (usize, usize),
}

fn probed(path: &Path) -> Option<Probed> {
    let entries = ["-show_packets", "-show_streams", "-show_format", "-of", "json", "-select_streams", "v:0"];
    let json: Value = serde_json::from_slice(&run("ffprobe", &[&entries[..], &[path.to_str()?]].concat())?).ok()?;
    let seconds = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let origin = seconds(&json["format"]["start_time"])?;
    let packet = |packet: &Value| {
        let number = |name: &str| packet[name].as_str()?.parse::<u64>().ok();
        let flags = packet["flags"].as_str()?;
        let time = seconds(&packet["pts_time"])? - origin;
        Some((number("pos")?, number("size")? as u32, flags.contains('K'), time, !flags.contains('D')))
    };
    let stream = &json["streams"][0];
    let turned = stream["side_data_list"][0]["rotation"].as_i64().unwrap_or(0);
    let size = |name: &str| stream[name].as_u64().map(|size| size as usize);
    Some(Probed {
        packets: json["packets"].as_array()?.iter().map(packet).collect::<Option<_>>()?,
        rotation: (-turned).rem_euclid(360) as u32,
        size: (size("width")?, size("height")?),
    })
}

fn assert_equals_ffprobe(path: &Path) {
    let (Ok(video), Some(probed)) = (opened(path), probed(path)) else {
        panic!("{}: {:?}", path.display(), opened(path).err());
    };
    let name = path.display();
    assert_eq!((video.coded_width, video.coded_height), probed.size, "{name}");
    assert_eq!(video.rotation, probed.rotation, "{name}");
    let ours: Vec<(u64, u32, bool)> = video.samples.iter().map(|s| (s.offset, s.size, s.key)).collect();
    let theirs: Vec<(u64, u32, bool)> = probed.packets.iter().map(|(pos, size, key, ..)| (*pos, *size, *key)).collect();
    // In Matroska ffprobe gives where the block begins, which is up to 12 bytes before its frame.
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!((ours.1, ours.2), (theirs.1, theirs.2), "{name}");
        assert!((theirs.0..=theirs.0 + 12).contains(&ours.0), "{name}: at {} instead of {}", ours.0, theirs.0);
    }
    let mut times: Vec<f64> = probed.packets.iter().filter(|packet| packet.4).map(|packet| packet.3).collect();
    times.sort_by(f64::total_cmp);
    assert_eq!(video.shown.len(), times.len(), "{name}: frames shown");
    for (shown, time) in video.shown.iter().zip(times) {
        assert!((shown.time_s - time).abs() < 0.002, "{name}: {} s instead of {time} s", shown.time_s);
    }
}

#[test]
fn the_index_of_every_kind_of_file_is_what_ffprobe_reads() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        ("plain.mp4", "-c:v libx264 -g 10"),
        ("no_b_frames.mov", "-c:v libx264 -bf 0"),
        ("fast.mp4", "-c:v libx264 -g 10 -movflags faststart"),
        ("fragments.mp4", "-c:v libx264 -g 10 -movflags frag_keyframe+empty_moov"),
        ("based.mp4", "-c:v libx264 -g 10 -movflags frag_keyframe+empty_moov+default_base_moof"),
        ("negative.mp4", "-c:v libx264 -g 10 -movflags negative_cts_offsets"),
        ("vp9.mp4", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 10"),
        ("plain.mkv", "-c:v libx264 -g 10"),
        ("vp8.webm", "-c:v libvpx -deadline realtime -g 10"),
        ("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 10"),
        ("live.webm", "-c:v libvpx -deadline realtime -g 10 -live 1 -f webm"),
        ("small_clusters.mkv", "-c:v libx264 -g 10 -cluster_time_limit 200"),
        ("aspect.mp4", "-c:v libx264 -vf setsar=4/3"),
    ];
    for path in table.iter().filter_map(|(name, options)| made(folder.path(), name, options)) {
        assert_equals_ffprobe(&path);
    }
    let Some(plain) = made(folder.path(), "keys.mp4", "-c:v libx264 -g 10 -bf 2") else { return };
    let plain = plain.to_str().unwrap();
    for (name, arguments) in [
        ("cut.mp4", ["-ss", "0.7", "-i", plain, "-c", "copy"]),
        // How ffmpeg 6 and later are told to turn a video, and how those before are.
        ("turned.mp4", ["-display_rotation", "270", "-i", plain, "-c", "copy"]),
        ("tagged.mp4", ["-i", plain, "-c", "copy", "-metadata:s:v:0", "rotate=180"]),
    ] {
        let path = folder.path().join(name);
        let made = run("ffmpeg", &[&["-y"], &arguments[..], &[path.to_str().unwrap()]].concat());
        if made.is_some() {
            assert_equals_ffprobe(&path);
        }
    }
}

#[test]
fn pixels_that_are_not_square_stretch_the_frame() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options, size) in [
        ("wide.mp4", "-c:v libx264 -vf setsar=4/3", (128, 64)),
        ("wide.mkv", "-c:v libx264 -vf setsar=4/3", (128, 64)),
        ("high.mp4", "-c:v libx264 -vf setsar=1/2", (96, 128)),
    ] {
        let Some(path) = made(folder.path(), name, options) else { return };
        assert_eq!(opened(&path).unwrap().displayed_size(), size, "{name}");
    }
}

/// The matrix by its number in ITU-T H.273, and whether the range is full, as ffprobe names them.
fn probed_colours(path: &Path) -> Option<Colours> {
    let entries = ["-show_streams", "-of", "json", "-select_streams", "v:0"];
    let json: Value = serde_json::from_slice(&run("ffprobe", &[&entries[..], &[path.to_str()?]].concat())?).ok()?;
    let stream = &json["streams"][0];
    let matrix = match stream["color_space"].as_str() {
        None | Some("unknown") => None,
        Some(name) => {
            let names = [("gbr", 0), ("bt709", 1), ("bt470bg", 5), ("smpte170m", 6), ("bt2020nc", 9)];
            names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
        }
    };
    Some(Colours { matrix, full_range: stream["color_range"] == "pc" })
}

#[test]
fn the_colours_of_every_codec_are_what_ffprobe_reads() {
    let folder = tempfile::tempdir().unwrap();
    let h264 = "-t 0.1 -c:v libx264";
    let vp9 = "-t 0.1 -c:v libvpx-vp9 -deadline realtime -cpu-used 8";
    let av1 = "-t 0.1 -c:v libsvtav1 -preset 12";
    let table = [
        ("h264.mp4", h264, ""),
        ("h264_709.mp4", h264, "-colorspace bt709 -color_primaries bt709 -color_trc bt709"),
        ("h264_601.mkv", h264, "-colorspace smpte170m"),
        ("h264_baseline.mkv", h264, "-pix_fmt yuv420p -profile:v baseline -colorspace bt470bg"),
        ("h264_full.mp4", h264, "-pix_fmt yuvj420p"),
        ("h264_scaling.mp4", h264, "-pix_fmt yuv444p -x264-params cqm=jvt:colormatrix=bt709"),
        ("h264_aspect.mp4", h264, "-vf setsar=1021/1000 -colorspace bt709"),
        ("h264_interlaced.mp4", h264, "-flags +ildct -x264-params tff=1:colormatrix=bt709"),
        ("vp9.webm", vp9, ""),
        ("vp9_709.webm", vp9, "-colorspace bt709"),
        ("vp9_full.mp4", vp9, "-vf scale=out_range=full -color_range pc -colorspace smpte170m"),
        ("vp9_10.webm", vp9, "-pix_fmt yuv420p10le -profile:v 2 -colorspace bt2020nc"),
        ("av1.mp4", av1, ""),
        ("av1_709.mkv", av1, "-colorspace bt709"),
        ("vp8.webm", "-t 0.1 -c:v libvpx -deadline realtime", ""),
    ];
    for (name, codec, colours) in table {
        let Some(path) = made(folder.path(), name, &format!("{codec} {colours}")) else { continue };
        assert_eq!(opened(&path).unwrap().colours, probed_colours(&path), "{name}");
    }
}

#[test]
fn every_truncation_is_refused_or_indexed_without_a_frame_beyond_the_end() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [("a.mp4", "-c:v libx264 -movflags faststart"), ("b.mkv", "-c:v libx264")] {
        let Some(path) = made(folder.path(), name, options) else { return };
        let bytes = std::fs::read(path).unwrap();
        for length in (0..bytes.len()).step_by(101) {
            let opened = open(&mut std::io::Cursor::new(&bytes[..length]), length as u64);
            assert!(opened.is_err(), "{name} cut to {length} of {} bytes was accepted", bytes.len());
        }
    }
}

#[test]
fn a_damaged_matroska_file_gives_an_error_or_an_index_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "a.mkv", "-c:v libx264 -t 0.2") else { return };
    let bytes = std::fs::read(path).unwrap();
    for index in 0..bytes.len() {
        for value in [0, 1, 0x7F, 0xFF] {
            let mut changed = bytes.clone();
            changed[index] = value;
            // Only the walk and the crate that reads the tracks can break on this; both have to end.
            let _ = open(&mut std::io::Cursor::new(&changed), changed.len() as u64);
        }
    }
}

#[test]
fn files_are_told_by_their_first_bytes() {
    assert_eq!(kind(b"\0\0\0\x20ftypisom").unwrap(), Kind::Mp4);
    assert_eq!(kind(b"\x1A\x45\xDF\xA3...").unwrap(), Kind::Matroska);
    for image in [&b"\xFF\xD8\xFF\xE0"[..], b"\x89PNG\r\n", b"RIFF....WEBPVP8 ", b"\0\0\0\x1Cftypavif"] {
        assert_eq!(kind(image).unwrap(), Kind::Image);
    }
    assert!(matches!(kind(b""), Err(MediaError::Empty)));
    assert!(matches!(kind(b"WEBVTT\n"), Err(MediaError::NotMedia)));
    assert!(matches!(kind(b"RIFF....AVI LIST"), Err(MediaError::OtherContainer("an AVI file"))));
}
