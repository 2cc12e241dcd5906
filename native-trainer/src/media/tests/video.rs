//! Videos: the right frames, at their times, in their shape and colours.

use super::super::notes::Notes;
use super::super::probe::VideoInfo;
use super::super::video::VideoFrames;
use super::super::{packets, plan, probe};
use super::*;
use crate::shared_data::shared_data;

/// Frames of `path` by the plan for runs that cost as much to start as decoding `start_cost` frames, and how many
/// runs it has.
fn by_plan(path: &Path, count: usize, start_cost: usize) -> (Vec<TimedFrame>, usize) {
    let programs = Programs::from_environment();
    let (info, reading) = probe::probe_and_read(&programs, path).unwrap();
    let listing = packets::list(path, &info, reading).unwrap();
    let plan = plan::with_start_cost(&info, &listing, count, start_cost);
    let runs = plan.segments.len();
    let frames = VideoFrames::start(&programs, path, info, plan, &options(count), Notes::default());
    (frames.collect::<Result<_, _>>().unwrap(), runs)
}

pub(super) fn assert_both_ways_agree(path: &Path, count: usize) {
    let (passed, passes) = by_plan(path, count, usize::MAX);
    let (sought, seeks) = by_plan(path, count, 0);
    assert!(passes == 1 && seeks > 1, "{}: {passes} and {seeks} runs", path.display());
    assert_eq!((passed.len(), sought.len()), (count, count), "{}", path.display());
    for (a, b) in passed.iter().zip(&sought) {
        assert!((a.time_s - b.time_s).abs() < 2e-3, "{}: {} and {}", path.display(), a.time_s, b.time_s);
        assert!(a.image == b.image, "{}: the frames at {} s differ", path.display(), a.time_s);
    }
}

#[test]
fn one_call_of_ffprobe_tells_what_two_do() {
    let Some(folder) = workshop(&["aac", "libx264", "libx265", "mpeg4"]) else { return };
    let source = "-f lavfi -i testsrc2=s=160x120:r=25:d=3";
    make(&folder, "plain.mp4", &format!("{source} -c:v libx264"));
    make(
        &folder,
        "sound.mp4",
        &format!("-f lavfi -i sine=d=3 {source} -c:v libx265 -x265-params log-level=error -c:a aac"),
    );
    make(&folder, "turned.mov", "-i plain.mp4 -c copy -metadata:s:v rotate=90");
    make(&folder, "pieces.mp4", "-i plain.mp4 -c copy -movflags frag_keyframe+empty_moov");
    make(&folder, "later.mp4", "-ss 0.5 -i sound.mp4 -c copy");
    make(&folder, "two.mp4", &format!("{source} -i plain.mp4 -map 0 -map 1 -c:v mpeg4"));
    let programs = Programs::from_environment();
    for name in ["plain.mp4", "sound.mp4", "turned.mov", "pieces.mp4", "later.mp4", "two.mp4"] {
        let path = folder.path().join(name);
        let (info, reading) = probe::probe_and_read(&programs, &path).unwrap();
        let expected = probe::probe(&programs, &path).unwrap();
        let apart = packets::read(&programs, &path, &expected).unwrap();
        let listing = packets::list(&path, &info, reading).unwrap();
        assert_eq!(listing, packets::list(&path, &expected, apart).unwrap(), "{name}");
        assert_eq!(info.header_duration_s.is_some(), expected.header_duration_s.is_some(), "{name}");
        // The duration of a file in pieces is known once they are read.
        assert_eq!(
            VideoInfo { header_duration_s: None, ..info },
            VideoInfo { header_duration_s: None, ..expected },
            "{name}"
        );
    }
}

#[test]
fn one_pass_and_seeking_give_the_same_frames() {
    let Some(folder) = workshop(&["libsvtav1", "libvpx", "libvpx-vp9", "libx264", "libx265", "mjpeg", "mpeg4"]) else {
        return;
    };
    let source = "-f lavfi -i testsrc2=s=160x120:r=25:d=6";
    let x264 = "-c:v libx264 -x264-params open-gop=1:keyint=40:bframes=3";
    make(&folder, "h264.mp4", &format!("{source} {x264}"));
    for name in ["copy.mkv", "copy.ts", "copy.avi"] {
        make(&folder, name, "-i h264.mp4 -c copy");
    }
    make(&folder, "late.mkv", "-i h264.mp4 -c copy -output_ts_offset 3.5");
    make(&folder, "hevc.mp4", &format!("{source} -c:v libx265 -x265-params log-level=error:open-gop=1:keyint=40"));
    make(&folder, "hevc.ts", "-i hevc.mp4 -c copy");
    make(&folder, "vp9.webm", &format!("{source} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 40"));
    make(&folder, "vp8.webm", &format!("{source} -c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -cpu-used 4 -g 40"));
    make(&folder, "av1.mp4", &format!("{source} -c:v libsvtav1 -preset 12 -g 40"));
    make(&folder, "mpeg4.avi", &format!("{source} -c:v mpeg4 -g 40"));
    make(&folder, "mjpeg.avi", &format!("{source} -c:v mjpeg"));
    for name in [
        "h264.mp4",
        "copy.mkv",
        "copy.ts",
        "late.mkv",
        "hevc.mp4",
        "hevc.ts",
        "vp9.webm",
        "vp8.webm",
        "av1.mp4",
        "mpeg4.avi",
        "mjpeg.avi",
    ] {
        assert_both_ways_agree(&folder.path().join(name), 7);
    }
    // No presentation times in an AVI with B-frames: the frames are taken by number.
    assert_eq!(frames(&folder.path().join("copy.avi"), options(7)).unwrap().len(), 7);
}

#[test]
fn frames_are_those_of_the_floor_rule_at_their_own_times() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let path = make(&folder, "a.mp4", "-f lavfi -i testsrc2=s=64x64:r=10:d=2 -c:v libx264");
    let times: Vec<f64> = frames(&path, options(4)).unwrap().iter().map(|frame| frame.time_s).collect();
    assert_eq!(times.iter().map(|time| (time * 10.0).round() as usize).collect::<Vec<_>>(), [0, 6, 12, 19]);
    assert_eq!(frames(&path, options(32)).unwrap().len(), 20);
    assert_eq!(frames(&path, options(1)).unwrap().len(), 1);
}

#[test]
fn more_frames_than_one_selection_holds_are_all_given() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let path = make(&folder, "a.mp4", "-f lavfi -i testsrc2=s=64x64:r=25:d=48 -c:v libx264 -preset veryfast");
    let frames = frames(&path, options(1100)).unwrap();
    assert_eq!(frames.len(), 1100);
    assert!(frames.windows(2).all(|pair| pair[0].time_s < pair[1].time_s));
}

#[test]
fn frames_of_a_variable_rate_count_by_their_number_and_keep_their_times() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let filter = "-f lavfi -i testsrc2=s=64x64:r=10:d=4 -vf settb=1/1000,setpts='(N+N*N/4)/10/TB' -fps_mode vfr -enc_time_base 1/1000";
    let path = make(&folder, "a.mkv", &format!("{filter} -c:v libx264 -bf 2 -g 8"));
    for (count, numbers) in [(40, (0..40).collect::<Vec<_>>()), (4, vec![0, 13, 26, 39])] {
        let frames = frames(&path, options(count)).unwrap();
        assert_eq!(frames.len(), count);
        for (frame, n) in frames.iter().zip(numbers) {
            let n = f64::from(n);
            assert!((frame.time_s - (n + n * n / 4.0) / 10.0).abs() < 0.03, "frame {n} at {}", frame.time_s);
        }
    }
    // A long file is read by seeks, and gives the same frames.
    assert_both_ways_agree(&path, 7);
}

#[test]
fn known_colours_come_back_within_three_levels() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let colours: [[u8; 3]; 4] = [[200, 40, 60], [30, 180, 90], [50, 70, 210], [220, 170, 140]];
    let ways = [
        ("bt601", "64x48", "out_color_matrix=bt601:out_range=tv,format=yuv420p", "-colorspace smpte170m"),
        ("bt709", "64x48", "out_color_matrix=bt709:out_range=tv,format=yuv420p", "-colorspace bt709"),
        ("full", "64x48", "out_color_matrix=bt601:out_range=pc,format=yuvj420p", "-colorspace bt470bg -color_range pc"),
        ("444", "64x48", "out_color_matrix=bt709:out_range=tv,format=yuv444p", "-colorspace bt709"),
        ("422", "64x48", "out_color_matrix=bt709:out_range=tv,format=yuv422p", "-colorspace bt709"),
        ("10bit", "64x48", "out_color_matrix=bt709:out_range=tv,format=yuv420p10le", "-colorspace bt709"),
        ("untagged_small", "64x48", "out_color_matrix=bt601:out_range=tv,format=yuv420p", ""),
        ("untagged_large", "1280x720", "out_color_matrix=bt709:out_range=tv,format=yuv420p", ""),
    ];
    for (name, size, scale, tags) in ways {
        for colour in colours {
            let hex = format!("0x{:02x}{:02x}{:02x}", colour[0], colour[1], colour[2]);
            let source = format!("-f lavfi -i color=c={hex}:s={size}:r=5:d=0.4,format=gbrp");
            let filter = format!("-vf scale=flags=accurate_rnd+full_chroma_int:{scale}");
            let path = make(&folder, &format!("{name}.mp4"), &format!("{source} {filter} -c:v libx264 -qp 4 {tags}"));
            let got = pixel(&frames(&path, options(1)).unwrap()[0], 20, 20);
            assert!(close(got, colour, 3), "{name}: {colour:?} came back as {got:?}");
        }
    }
}

/// The first frame of `path` as ffmpeg shows it.
fn shown_by_ffmpeg(path: &Path) -> Vec<u8> {
    let arguments = ["-v", "error", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    Command::new("ffmpeg").arg("-i").arg(path).args(arguments).output().unwrap().stdout
}

#[test]
fn a_display_matrix_turns_and_mirrors_the_frame_as_in_ffmpeg() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let plain = make(&folder, "plain.mp4", "-f lavfi -i testsrc=s=64x48:r=5:d=0.4 -c:v libx264 -qp 4");
    let bytes = std::fs::read(&plain).unwrap();
    let header = bytes.windows(4).position(|window| window == b"tkhd").unwrap();
    for matrix in [[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]], [[1, 0], [0, -1]]] {
        let mut bytes = bytes.clone();
        // The matrix follows 40 bytes of numbers; its rows have three, in 1/65536.
        for (place, value) in [0, 4, 12, 16].into_iter().zip(matrix.as_flattened()) {
            let at = header + 44 + place;
            bytes[at..at + 4].copy_from_slice(&(value * 65_536_i32).to_be_bytes());
        }
        let path = folder.path().join("turned.mp4");
        std::fs::write(&path, bytes).unwrap();
        let opened = open(&input(&path).unwrap(), &options(1)).unwrap();
        let size = if matrix[0][0] == 0 { (48, 64) } else { (64, 48) };
        assert_eq!((opened.info.width, opened.info.height), size, "{matrix:?}");
        let frame = opened.frames.collect::<Result<Vec<_>, _>>().unwrap().remove(0);
        assert_eq!((frame.image.width(), frame.image.height()), size, "{matrix:?}");
        let theirs = shown_by_ffmpeg(&path);
        let differences = frame.image.pixels().iter().zip(&theirs).map(|(a, b)| u64::from(a.abs_diff(*b)));
        let mean = differences.sum::<u64>() / theirs.len() as u64;
        assert!(theirs.len() == frame.image.pixels().len() && mean <= 4, "{matrix:?}: {mean} levels apart");
    }
}

#[test]
fn pixels_that_are_not_square_stretch_the_frame() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    for (aspect, size) in [("2/1", (128, 48)), ("1/2", (64, 96))] {
        let arguments = format!("-f lavfi -i testsrc2=s=64x48:r=5:d=0.4 -vf setsar={aspect} -c:v libx264");
        let path = make(&folder, "a.mp4", &arguments);
        let frame = &frames(&path, options(1)).unwrap()[0];
        assert_eq!((frame.image.width(), frame.image.height()), size);
    }
}

#[test]
fn awkward_file_names_are_only_names() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let plain = make(&folder, "plain.mp4", "-f lavfi -i testsrc2=s=64x64:r=5:d=1 -c:v libx264");
    let mut names: Vec<std::ffi::OsString> =
        ["a b.mp4", "it's \"so\".mp4", "-i.mp4", "%d%03d.mp4", "http:x.mp4", "concat:a|b.mp4"].map(Into::into).into();
    #[cfg(unix)]
    names.push(std::os::unix::ffi::OsStringExt::from_vec(b"\xff\xfe.mp4".to_vec()));
    for name in names {
        let path = folder.path().join(&name);
        std::fs::copy(&plain, &path).unwrap();
        assert_eq!(frames(&path, options(3)).unwrap().len(), 3, "{name:?}");
    }
}

#[test]
fn every_sample_clip_gives_its_frames() {
    let (Some(_), Some(clips)) = (workshop(&[]), shared_data("clips")) else { return };
    for input in expand(&clips).unwrap().inputs {
        // Few are sought, many come of one pass; both end with the last frame, and some decoders need the first.
        let lasts = [4, 32].map(|count| {
            let opened = open(&input, &options(count)).unwrap();
            let expected = opened.info.frame_count.map_or(count, |frames| count.min(frames as usize));
            let mut frames: Vec<TimedFrame> = opened.frames.collect::<Result<_, _>>().unwrap();
            assert_eq!(frames.len(), expected, "{}", input.path().display());
            frames.pop().unwrap()
        });
        assert!(lasts[0] == lasts[1], "{}: the last frame depends on the way to it", input.path().display());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn dropping_the_frames_ends_every_child() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let path = make(&folder, "a.mp4", "-f lavfi -i testsrc2=s=640x480:r=25:d=20 -c:v libx264 -preset ultrafast");
    let mut opened = open(&input(&path).unwrap(), &options(400)).unwrap();
    assert!(opened.frames.next().is_some());
    drop(opened);
    // The clip's folder has a name of its own, so no other test's child is meant.
    let marker = folder.path().to_str().unwrap();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(marker), "a child is left");
    }
}
