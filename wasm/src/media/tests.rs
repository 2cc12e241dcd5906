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
    orientation: u32,
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
        orientation: [1, 6, 3, 8][(-turned).rem_euclid(360) as usize / 90],
        size: (size("width")?, size("height")?),
    })
}

fn assert_equals_ffprobe(path: &Path) {
    let (Ok(video), Some(probed)) = (opened(path), probed(path)) else {
        panic!("{}: {:?}", path.display(), opened(path).err());
    };
    let name = path.display();
    assert_eq!((video.coded_width, video.coded_height), probed.size, "{name}");
    assert_eq!(video.orientation.number(), probed.orientation, "{name}");
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

/// Colours by their numbers in ITU-T H.273, and whether the range is full, as ffprobe names them.
fn probed_colours(path: &Path) -> Option<Colours> {
    let entries = ["-show_streams", "-of", "json", "-select_streams", "v:0"];
    let json: Value = serde_json::from_slice(&run("ffprobe", &[&entries[..], &[path.to_str()?]].concat())?).ok()?;
    let stream = &json["streams"][0];
    let names = [
        ("gbr", 0),
        ("bt709", 1),
        ("bt470bg", 5),
        ("smpte170m", 6),
        ("bt2020nc", 9),
        ("bt2020", 9),
        ("smpte2084", 16),
        ("arib-std-b67", 18),
    ];
    let number = |key: &str| names.iter().find(|(known, _)| stream[key] == *known).map(|(_, number)| *number);
    Some(Colours {
        primaries: number("color_primaries"),
        transfer: number("color_transfer"),
        matrix: number("color_space"),
        full_range: stream["color_range"] == "pc",
    })
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
        ("vp8_709.webm", "-t 0.1 -c:v libvpx -deadline realtime", "-colorspace bt709"),
        ("hlg.mp4", h264, "-pix_fmt yuv420p10le -colorspace bt2020nc -color_primaries bt2020 -color_trc arib-std-b67"),
        ("hlg.mkv", h264, "-pix_fmt yuv420p10le -colorspace bt2020nc -color_primaries bt2020 -color_trc arib-std-b67"),
        (
            "pq.webm",
            vp9,
            "-pix_fmt yuv420p10le -profile:v 2 -colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084",
        ),
        ("pq_av1.mp4", av1, "-pix_fmt yuv420p10le -colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084"),
        ("named.ts", h264, "-colorspace bt709 -color_primaries bt709 -color_trc bt709"),
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

/// The times of frames in a file from its start, as ffprobe reads them, in the order of display, and which are key frames.
fn probed_times(path: &Path) -> Option<Vec<(f64, bool)>> {
    let entries = ["-show_packets", "-show_format", "-of", "json", "-select_streams", "v:0"];
    let json: Value = serde_json::from_slice(&run("ffprobe", &[&entries[..], &[path.to_str()?]].concat())?).ok()?;
    let seconds = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let origin = seconds(&json["format"]["start_time"])?;
    let time = |packet: &Value| {
        let key = packet["flags"].as_str()?.contains('K');
        Some((seconds(&packet["pts_time"])? - origin, key))
    };
    let mut times = json["packets"].as_array()?.iter().map(time).collect::<Option<Vec<_>>>()?;
    // The last frame of a transport stream is not looked at.
    if path.extension().is_some_and(|ending| ending == "ts" || ending == "mts") {
        times.pop();
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    Some(times)
}

#[test]
fn transport_streams_and_ivf_have_the_frames_that_ffprobe_reads() {
    let folder = tempfile::tempdir().unwrap();
    let sound = "-f lavfi -i sine=d=2 -c:a mp2";
    for (name, options) in [
        ("plain.ts", "-c:v libx264 -g 10".to_owned()),
        ("sound.ts", format!("{sound} -c:v libx264 -g 10")),
        ("late.ts", format!("{sound} -c:v libx264 -output_ts_offset 1000")),
        ("wraps.ts", "-c:v libx264 -output_ts_offset 95442".to_owned()),
        ("camera.mts", "-c:v libx264 -g 10 -mpegts_m2ts_mode 1 -f mpegts".to_owned()),
        ("vp8.ivf", "-c:v libvpx -deadline realtime -g 10".to_owned()),
        ("vp9.ivf", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 10".to_owned()),
        ("av1.ivf", "-c:v libsvtav1 -preset 12 -g 10".to_owned()),
    ] {
        let Some(path) = made(folder.path(), name, &options) else { continue };
        let (video, times) = (opened(&path).unwrap(), probed_times(&path).unwrap());
        assert_eq!((video.coded_width, video.coded_height), (96, 64), "{name}");
        assert_eq!(video.shown.len(), times.len(), "{name}: frames shown");
        for (shown, (time, key)) in video.shown.iter().zip(times) {
            assert!((shown.time_s - time).abs() < 0.002, "{name}: {} s instead of {time} s", shown.time_s);
            assert_eq!(video.samples[shown.sample].key, key, "{name} at {time} s");
        }
        assert!((video.duration_s.unwrap() - 2.0).abs() < 0.05, "{name}: {:?} s", video.duration_s);
        assert!(video.codec.string.is_some(), "{name}: {}", video.codec);
    }
}

#[test]
fn a_frame_of_a_transport_stream_is_unpacked_to_its_own_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "a.ts", "-f lavfi -i sine=d=2 -c:a mp2 -c:v libx264 -g 10") else { return };
    let stream =
        run("ffmpeg", &["-i", path.to_str().unwrap(), "-map", "0:v", "-c", "copy", "-f", "h264", "-"]).unwrap();
    let (bytes, video) = (std::fs::read(&path).unwrap(), opened(&path).unwrap());
    let unpacked: Vec<u8> = video
        .samples
        .iter()
        .flat_map(|sample| {
            let start = sample.offset as usize;
            video.packing.unpack(bytes[start..start + sample.size as usize].to_vec())
        })
        .collect();
    // But for the last frame, which is not looked at.
    assert!(stream.starts_with(&unpacked) && unpacked.len() * 50 > stream.len() * 45, "{} bytes", unpacked.len());
}

#[test]
fn a_stream_that_was_cut_amid_a_group_of_pictures_begins_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "a.ts", "-c:v libx264 -g 10 -bf 2") else { return };
    let bytes = std::fs::read(path).unwrap();
    let cut = &bytes[bytes.len() / 4 + 77..];
    let video = open(&mut std::io::Cursor::new(cut), cut.len() as u64).unwrap();
    let first = video.shown.first().unwrap();
    assert!(video.samples[first.sample].key && first.sample > 0, "it begins with sample {}", first.sample);
    assert!(video.shown.iter().all(|shown| shown.sample >= first.sample));
    assert_eq!(first.time_s, 0.0, "times count from it");
    assert!(video.begins_s > 0.3 && amid(&video, 0.0) > video.begins_s, "a player begins {} s earlier", video.begins_s);
    let expected_s = video.shown.len() as f64 / 25.0;
    // The frame that is not looked at is decoded last and shown before others.
    assert!((video.duration_s.unwrap() - expected_s).abs() < 0.05, "{:?} s", video.duration_s);
}

#[test]
fn transport_streams_that_were_joined_are_whole_and_those_with_gaps_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "a.ts", "-c:v libx264 -g 10") else { return };
    let bytes = std::fs::read(path).unwrap();
    let opened = |bytes: &[u8]| open(&mut std::io::Cursor::new(bytes), bytes.len() as u64);
    let joined = opened(&[&bytes[..], &bytes].concat()).unwrap();
    // The last frames before the joint and at the end are left out, since their ends may be missing.
    assert_eq!(joined.shown.len(), 2 * 50 - 2);
    let middle = bytes.len() / 188 / 2 * 188;
    let gap = [&bytes[..middle], &bytes[middle + 188..]].concat();
    assert!(matches!(opened(&gap), Err(MediaError::Damaged(_))));
}

#[test]
fn a_stream_in_which_no_browser_can_begin_names_no_codec_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let open_groups = "-c:v libx264 -x264-params open-gop=1:keyint=10:bframes=2";
    let cut = |name: &str, options: &str| {
        let bytes = std::fs::read(made(folder.path(), name, options)?).unwrap();
        let cut = &bytes[bytes.len() / 8..];
        Some(open(&mut std::io::Cursor::new(cut), cut.len() as u64).unwrap())
    };
    let Some(video) = cut("points.ts", open_groups) else { return };
    let keys = video.samples.iter().filter(|sample| sample.key).count();
    assert!(video.codec.string.is_some() && keys >= 4, "{keys} recovery points");
    // Without what calls them so.
    let Some(video) = cut("silent.ts", &format!("{open_groups} -bsf:v filter_units=remove_types=6")) else { return };
    assert_eq!((video.codec.string, video.codec.name.as_str()), (None, "H.264 without a picture to begin with"));
}

#[test]
fn of_several_video_streams_one_that_moves_is_taken_then_the_default_one_and_else_the_largest() {
    let folder = tempfile::tempdir().unwrap();
    let second = "-f lavfi -i testsrc2=s=128x96:d=1:r=25 -map 0 -map 1 -c:v libx264";
    for (name, options, width) in [
        ("second.mp4", "-disposition:v:0 0 -disposition:v:1 default", 128),
        ("first.mp4", "-disposition:v:0 default -disposition:v:1 0", 96),
        ("second.mkv", "-disposition:v:0 0 -disposition:v:1 default", 128),
        ("first.mkv", "-disposition:v:0 default -disposition:v:1 0", 96),
        ("both.mkv", "-disposition:v:0 default -disposition:v:1 default", 128),
        ("thumbnail.mp4", "-filter:v:0 trim=end_frame=1 -disposition:v:0 default -disposition:v:1 default", 128),
        ("still.mp4", "-filter:v:0 trim=end_frame=1 -disposition:v:0 default -disposition:v:1 0", 128),
        ("still.mkv", "-filter:v:0 trim=end_frame=1 -disposition:v:0 default -disposition:v:1 0", 128),
    ] {
        let Some(path) = made(folder.path(), name, &format!("{second} {options}")) else { continue };
        let video = opened(&path).unwrap();
        assert_eq!((video.width, video.facts.other_streams), (width, true), "{name}");
    }
}

#[test]
fn pictures_for_chapters_are_no_video() {
    let folder = tempfile::tempdir().unwrap();
    let two = "-f lavfi -i testsrc2=s=128x96:d=1:r=25 -map 0 -map 1 -c:v libx264";
    let Some(path) = made(folder.path(), "a.mp4", two) else { return };
    let mut bytes = std::fs::read(path).unwrap();
    // A reference from the second track to the first in place of its edit list, which is as long.
    let reference =
        [&36u32.to_be_bytes()[..], b"tref", &28u32.to_be_bytes(), b"chap", &1u32.to_be_bytes(), &[0; 16]].concat();
    let track = bytes.windows(4).rposition(|name| name == b"edts").unwrap() - 4;
    bytes[track..track + 36].copy_from_slice(&reference);
    let video = open(&mut std::io::Cursor::new(&bytes), bytes.len() as u64).unwrap();
    assert_eq!((video.width, video.facts.other_streams), (128, false));
}

#[test]
fn interlaced_material_is_known_by_its_headers() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options, interlaced) in [
        ("woven.mp4", "-c:v libx264 -flags +ildct+ilme -x264-params tff=1", true),
        ("woven.ts", "-c:v libx264 -flags +ildct+ilme -x264-params tff=1", true),
        ("flagged.mkv", "-c:v libvpx -deadline realtime -field_order tt", true),
        ("plain.mp4", "-c:v libx264", false),
        ("plain.ts", "-c:v libx264", false),
    ] {
        let Some(path) = made(folder.path(), name, options) else { continue };
        assert_eq!(opened(&path).unwrap().facts.interlaced, interlaced, "{name}");
    }
}

#[test]
fn frames_a_second_of_matroska_are_the_mean_where_times_vary_and_what_is_stated_where_they_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let even = "-c:v libvpx -deadline realtime -cpu-used 8";
    let varied = format!("-vf setpts='if(lt(N,25),N*0.02,0.5+(N-25)*0.2)/TB' -fps_mode vfr {even}");
    for (name, options, expected) in [("even.webm", even.to_owned(), 25.0), ("varied.webm", varied, 37.0 / 5.28)] {
        let Some(path) = made(folder.path(), name, &options) else { continue };
        let fps = opened(&path).unwrap().fps.unwrap();
        assert!((fps - expected).abs() < 0.2, "{name}: {fps}");
    }
}

#[test]
fn times_that_cannot_be_right_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "still.mkv", "-c:v libx264 -bf 0 -bsf:v setts=pts=100:dts=100") else {
        return;
    };
    let video = opened(&path).unwrap();
    assert!(video.facts.bad_times);
    let steps = video.shown.windows(2).map(|pair| pair[1].time_s - pair[0].time_s);
    assert!(steps.clone().count() > 40 && steps.clone().all(|step| (step - 0.04).abs() < 1e-6));
}

#[test]
fn every_truncation_of_a_transport_stream_ends_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "a.ts", "-c:v libx264 -t 0.2") else { return };
    let bytes = std::fs::read(path).unwrap();
    for length in (0..bytes.len()).step_by(53) {
        let opened = open(&mut std::io::Cursor::new(&bytes[..length]), length as u64);
        assert!(opened.is_err() || !opened.unwrap().shown.is_empty());
    }
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 0xFF;
        let _ = open(&mut std::io::Cursor::new(&changed), changed.len() as u64);
    }
}
