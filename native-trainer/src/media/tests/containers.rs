//! Containers as people have them: cut, pasted together, with clocks and streams of their own kind.

use super::damage::beside_fields;
use super::video::assert_both_ways_agree;
use super::*;

fn codes(path: &Path, options: OpenOptions) -> Vec<CaveatCode> {
    looked_at(path, options).unwrap().2
}

fn skipping(frames: usize) -> OpenOptions {
    OpenOptions { frames, damage: Damage::Skip }
}

#[test]
fn a_video_whose_size_changes_is_seen_over_its_whole_length_each_frame_in_its_own_shape() {
    let Some(folder) = workshop(&["libvpx", "libx264"]) else { return };
    let lying = "-f lavfi -i testsrc2=s=160x90:r=25:d=2";
    let standing = "-f lavfi -i testsrc2=s=90x160:r=25:d=2";
    let vp8 = "-c:v libvpx -deadline realtime -cpu-used 8 -g 25";
    make(&folder, "a.webm", &format!("{lying} {vp8}"));
    make(&folder, "b.webm", &format!("{standing} {vp8}"));
    std::fs::write(folder.path().join("list.txt"), "file a.webm\nfile b.webm\n").unwrap();
    for name in ["c.webm", "c.mkv", "c.ivf"] {
        make(&folder, name, "-f concat -i list.txt -c copy");
    }
    let x264 = "-c:v libx264 -g 25 -bf 2";
    make(&folder, "a.ts", &format!("{lying} {x264}"));
    make(&folder, "b.ts", &format!("{standing} {x264}"));
    std::fs::write(folder.path().join("streams.txt"), "file a.ts\nfile b.ts\n").unwrap();
    make(&folder, "c.ts", "-f concat -i streams.txt -c copy");
    for name in ["c.webm", "c.mkv", "c.ivf", "c.ts"] {
        let (_, frames, caveats) = looked_at(&folder.path().join(name), options(8)).unwrap();
        let sizes: Vec<_> = frames.iter().map(|frame| (frame.image.width(), frame.image.height())).collect();
        assert_eq!(sizes, [[(160, 90); 4], [(90, 160); 4]].concat(), "{name}");
        assert!(frames[7].time_s > 3.8 && frames.windows(2).all(|pair| pair[0].time_s < pair[1].time_s), "{name}");
        assert_eq!(caveats, [CaveatCode::SizeChanges], "{name}");
    }
}

#[test]
fn frames_of_another_size_and_the_same_shape_are_brought_to_that_of_the_video() {
    let Some(folder) = workshop(&["libvpx"]) else { return };
    let vp8 = "-c:v libvpx -deadline realtime -cpu-used 8";
    for (name, size) in [("large.webm", "320x180"), ("small.webm", "160x90")] {
        make(&folder, name, &format!("-f lavfi -i testsrc2=s={size}:r=25:d=0.4 {vp8}"));
    }
    for (order, expected) in [("large small", (320, 180)), ("small large", (160, 90))] {
        let list: String = order.split(' ').map(|name| format!("file {name}.webm\n")).collect();
        std::fs::write(folder.path().join("list.txt"), list).unwrap();
        let joined = make(&folder, "joined.webm", "-f concat -i list.txt -c copy");
        let (_, frames, caveats) = looked_at(&joined, options(4)).unwrap();
        let sizes: Vec<_> = frames.iter().map(|frame| (frame.image.width(), frame.image.height())).collect();
        assert_eq!(sizes, [expected; 4], "{order}");
        assert_eq!(caveats, [CaveatCode::SizeChanges], "{order}");
    }
}

#[test]
fn a_video_whose_frames_become_much_flatter_is_seen_over_its_whole_length() {
    let Some(folder) = workshop(&["libvpx-vp9"]) else { return };
    let vp9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8";
    make(&folder, "high.webm", &format!("-f lavfi -i testsrc2=s=480x480:r=25:d=0.4 {vp9}"));
    make(&folder, "flat.webm", &format!("-f lavfi -i testsrc2=s=480x64:r=25:d=0.4 {vp9}"));
    std::fs::write(folder.path().join("list.txt"), "file high.webm\nfile flat.webm\n").unwrap();
    let joined = make(&folder, "joined.webm", "-f concat -i list.txt -c copy");
    let (_, frames, caveats) = looked_at(&joined, options(4)).unwrap();
    assert_eq!(frames.iter().map(|frame| frame.image.height()).collect::<Vec<_>>(), [480, 480, 64, 64]);
    assert_eq!(caveats, [CaveatCode::SizeChanges]);
}

#[test]
fn transport_streams_put_one_after_the_other_are_no_damage_and_streams_with_a_gap_are() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let source = "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -g 25 -bf 2";
    let first = std::fs::read(make(&folder, "a.ts", source)).unwrap();
    let second = std::fs::read(make(&folder, "b.ts", &format!("{source} -output_ts_offset 2"))).unwrap();
    let path = folder.path().join("joined.ts");
    std::fs::write(&path, [&first[..], &second].concat()).unwrap();
    let (_, frames, caveats) = looked_at(&path, options(50)).unwrap();
    assert_eq!((frames.len(), caveats), (50, Vec::new()));
    assert!(frames[49].time_s > 3.8, "{}", frames[49].time_s);
    // Packets of 188 bytes are missing amid the first of two groups of pictures.
    let gap = first.len() / 4 / 188 * 188;
    std::fs::write(&path, [&first[..gap], &first[gap + 188 * 5..]].concat()).unwrap();
    assert!(sentence(&path).contains("damaged"), "{}", sentence(&path));
}

#[test]
fn a_stream_cut_off_amid_a_group_of_pictures_is_seen_from_its_first_key_frame_on() {
    let Some(folder) = workshop(&["libx264", "mpeg2video"]) else { return };
    let source = "-f lavfi -i testsrc2=s=160x120:r=25:d=8 -g 50 -bf 2";
    for (name, codec) in [("h264.ts", "libx264"), ("mpeg2.ts", "mpeg2video"), ("mpeg2.mpg", "mpeg2video")] {
        let path = make(&folder, name, &format!("{source} -c:v {codec}"));
        let bytes = std::fs::read(&path).unwrap();
        // Neither at a packet's start nor at a key frame.
        std::fs::write(&path, &bytes[bytes.len() / 3 + 77..]).unwrap();
        let (info, frames, _) = looked_at(&path, options(8)).unwrap();
        // A program stream gives no times to some frames, so that the two that refer to what is lost are counted.
        assert!((7..=8).contains(&frames.len()), "{name}: {}", frames.len());
        assert!(info.duration_s.is_some_and(|duration| (2.9..6.1).contains(&duration)), "{name}: {info:?}");
    }
}

#[test]
fn a_transport_stream_may_end_anywhere_and_its_last_frame_is_not_looked_at() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let path = make(&folder, "a.ts", "-f lavfi -i testsrc2=s=320x240:r=25:d=4 -g 25 -bf 2 -c:v libx264");
    let bytes = std::fs::read(&path).unwrap();
    let whole = looked_at(&path, options(200)).unwrap().1;
    assert_eq!(whole.len(), 99, "of 100 frames");
    for packets in 1..20 {
        std::fs::write(&path, &bytes[..bytes.len() - 188 * packets + 50]).unwrap();
        let (_, frames, caveats) = looked_at(&path, options(200)).unwrap_or_else(|error| panic!("{packets}: {error}"));
        assert!((95..=99).contains(&frames.len()), "{packets}: {} frames", frames.len());
        assert!(beside_fields(caveats.clone()).is_empty(), "{packets}: {caveats:?}");
        let same = whole.iter().zip(&frames).take(95).all(|(one, other)| one.image == other.image);
        assert!(same, "{packets}: what came before the end is as it was");
    }
}

/// The arguments of each start of ffmpeg by `path` being looked at, which a script notes, and the times of the frames.
#[cfg(unix)]
fn starts(folder: &TempDir, path: &Path, frames: usize) -> (Vec<String>, Vec<f64>) {
    use std::os::unix::fs::PermissionsExt;
    let (script, log) = (folder.path().join("counted.sh"), folder.path().join("starts"));
    std::fs::write(&log, "").unwrap();
    std::fs::write(&script, format!("#!/bin/sh\necho \"$*\" >> {}\nexec ffmpeg \"$@\"\n", log.display())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let programs = Programs::at(script.to_str().unwrap(), "ffprobe");
    let opened = open_with(&programs, &input(path).unwrap(), &options(frames)).unwrap();
    let times = opened.frames.map(|frame| frame.unwrap().time_s).collect::<Vec<f64>>();
    assert_eq!(times.len(), frames);
    (std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect(), times)
}

/// Most seconds that are read before a frame: a group of pictures of ten seconds, and a run-up.
#[cfg(unix)]
const MOST_READ_S: f64 = 13.0;

#[cfg(unix)]
#[test]
fn a_long_video_starts_ffmpeg_once_a_seek_and_once_in_all_where_seeking_saves_nothing() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    // Ten minutes, with a key frame every ten seconds, and with one alone.
    let source = "-f lavfi -i testsrc2=s=32x32:r=15:d=600 -c:v libx264 -preset ultrafast -sc_threshold 0";
    make(&folder, "often.mp4", &format!("{source} -g 150"));
    make(&folder, "once.mp4", &format!("{source} -g 100000"));
    for name in ["often.ts", "often.mkv"] {
        make(&folder, name, "-i often.mp4 -c copy");
    }
    for name in ["often.mp4", "often.ts", "often.mkv"] {
        let (starts, times) = starts(&folder, &folder.path().join(name), 16);
        assert_eq!(starts.len(), 16, "{name}");
        // Each begins at the key frame before what it is for, or little earlier, so that a long file costs no more than a
        // short one: nothing is read from its start.
        let sought = |line: &String| line.split_once("-ss ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        let mut places: Vec<f64> = starts.iter().map(|line| sought(line).unwrap_or(0.0)).collect();
        places.sort_by(f64::total_cmp);
        for (place, time) in places.iter().zip(&times) {
            assert!((time - MOST_READ_S..=time + 0.1).contains(place), "{name}: {place} s is read from for {time} s");
        }
    }
    assert_eq!(starts(&folder, &folder.path().join("once.mp4"), 16).0.len(), 1);
    assert_both_ways_agree(&folder.path().join("often.ts"), 6);
}

#[test]
fn a_container_that_starts_late_lasts_as_long_as_its_frames() {
    let Some(folder) = workshop(&["libvpx", "libx264"]) else { return };
    make(&folder, "plain.mp4", "-f lavfi -i testsrc2=s=64x48:r=25:d=4 -c:v libx264 -bf 2");
    for name in ["late.mkv", "late.ts", "late.mp4", "late.webm"] {
        let codec = if name == "late.webm" { "-c:v libvpx -cpu-used 8 -deadline realtime" } else { "-c copy" };
        let path = make(&folder, name, &format!("-i plain.mp4 {codec} -output_ts_offset 1000"));
        let (info, frames, caveats) = looked_at(&path, options(5)).unwrap();
        assert!(info.duration_s.is_some_and(|duration| (duration - 4.0).abs() < 0.1), "{name}: {info:?}");
        assert_eq!(frames.len(), 5, "{name}");
        assert!(frames[4].time_s - frames[0].time_s > 3.8 && caveats.is_empty(), "{name}: {caveats:?}");
    }
}

#[test]
fn the_length_is_the_videos_own_whatever_sound_and_tags_say() {
    let Some(folder) = workshop(&["aac", "libx264"]) else { return };
    let both = "-f lavfi -i testsrc2=s=64x48:r=25:d=2 -f lavfi -i sine=d=20 -c:v libx264 -c:a aac";
    for name in ["long_sound.ts", "long_sound.mkv", "long_sound.mp4"] {
        let path = make(&folder, name, both);
        let (info, frames, _) = looked_at(&path, options(4)).unwrap();
        assert!(info.duration_s.is_some_and(|duration| (duration - 2.0).abs() < 0.1), "{name}: {info:?}");
        assert!(frames[3].time_s > 1.9, "{name}");
    }
    let path = folder.path().join("long_sound.mkv");
    let mut bytes = std::fs::read(&path).unwrap();
    // The tags that ffprobe takes for the streams' durations.
    let tags: Vec<usize> = (0..bytes.len() - 8).filter(|at| bytes[*at..].starts_with(b"00:00:0")).collect();
    assert!(!tags.is_empty());
    tags.into_iter().for_each(|tag| bytes[tag + 1] = b'1');
    std::fs::write(&path, bytes).unwrap();
    assert!(looked_at(&path, options(4)).unwrap().0.duration_s.is_some_and(|duration| duration < 2.1));
}

#[test]
fn frames_are_spread_by_number_where_their_times_cannot_be_right() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    make(&folder, "plain.mp4", "-f lavfi -i testsrc2=s=64x48:r=25:d=4 -c:v libx264 -bf 0 -g 25");
    let plain = frames(&folder.path().join("plain.mp4"), options(5)).unwrap();
    // The last frame of a transport stream is not looked at.
    let shorter = make(&folder, "shorter.mp4", "-i plain.mp4 -c copy -frames:v 99");
    let shorter = frames(&shorter, options(5)).unwrap();
    let equal = "setts=ts=0";
    let jumping = r"setts=ts='TS+if(gte(N\,50)\,20000/TB\,0)'";
    for (name, stamps) in [
        ("equal.mkv", equal),
        ("equal.mp4", equal),
        ("equal.ts", equal),
        ("jumping.mkv", jumping),
        ("jumping.mp4", jumping),
        ("jumping.ts", jumping),
    ] {
        let path = make(&folder, name, &format!("-i plain.mp4 -c copy -bsf:v {stamps}"));
        let (video, frames, caveats) = looked_at(&path, options(5)).unwrap();
        assert_eq!(caveats, [CaveatCode::BadTimes], "{name}");
        assert_eq!(frames.len(), 5, "{name}");
        let expected = if name.ends_with(".ts") { &shorter } else { &plain };
        for (frame, expected) in frames.iter().zip(expected) {
            assert!(frame.image == expected.image, "{name}: another frame than at {} s", expected.time_s);
            // Where most gaps are right, the times are those of the whole video.
            let is_near = (frame.time_s - expected.time_s).abs() < 0.05;
            assert!(is_near || stamps == equal, "{name}: {} s where it is {} s", frame.time_s, expected.time_s);
        }
        let (duration_s, fps) = (video.duration_s.unwrap(), video.fps.unwrap());
        assert!(
            (fps - 25.0).abs() < 0.5 && (duration_s - 4.0).abs() < 0.1 || stamps == equal,
            "{name}: {duration_s}, {fps}"
        );
    }
}

#[test]
fn damaged_matroska_is_noticed_by_its_structure_and_skipped_with_a_caveat() {
    let Some(folder) = workshop(&["libvpx", "libvpx-vp9"]) else { return };
    let source = "-f lavfi -i testsrc2=s=320x240:r=25:d=4 -deadline good -cpu-used 8 -threads 1 -g 50";
    for (name, codec) in [("vp8.webm", "libvpx"), ("vp9.webm", "libvpx-vp9")] {
        let path = make(&folder, name, &format!("{source} -c:v {codec}"));
        let whole = std::fs::read(&path).unwrap();
        // Amid frames that are smaller than what is overwritten: inside of one frame nothing of Matroska's is hit.
        let place = whole.len() / 4 * 3;
        let zeroed = [&whole[..place], &[0; 6000], &whole[place + 6000..]].concat();
        let removed = [&whole[..place], &whole[place + 700..]].concat();
        for bytes in [zeroed, removed] {
            std::fs::write(&path, bytes).unwrap();
            assert!(sentence(&path).contains("damaged"), "{name}: {}", sentence(&path));
            assert!(codes(&path, skipping(8)).contains(&CaveatCode::DamageSkipped), "{name}");
        }
    }
}

#[test]
fn of_several_video_streams_one_that_moves_counts_then_the_default_one_then_the_largest() {
    let Some(folder) = workshop(&["libx264", "mjpeg"]) else { return };
    let red = "-f lavfi -i color=c=red:s=96x64:r=5:d=1";
    let blue = "-f lavfi -i color=c=blue:s=64x48:r=5:d=1";
    let both = format!("{red} {blue} -map 0 -map 1 -c:v libx264");
    let colour = |path: &Path| {
        let (_, frames, caveats) = looked_at(path, options(2)).unwrap();
        assert_eq!(caveats, [CaveatCode::OtherStreams], "{}", path.display());
        let [red, _, blue] = pixel(&frames[0], 5, 5);
        if red > 150 {
            "red"
        } else if blue > 150 {
            "blue"
        } else {
            "neither"
        }
    };
    let default = "-disposition:v:0 0 -disposition:v:1 default";
    for name in ["default.mkv", "default.mp4"] {
        assert_eq!(colour(&make(&folder, name, &format!("{both} {default}"))), "blue", "{name}");
    }
    assert_eq!(colour(&make(&folder, "equals.ts", &both)), "red");
    // A thumbnail that claims as much, first and larger.
    make(&folder, "thumbnail.jpg", "-f lavfi -i color=c=red:s=320x240 -frames:v 1");
    let claims =
        "-i thumbnail.jpg -map 1 -map 0 -c:v:0 mjpeg -c:v:1 libx264 -disposition:v:0 default -disposition:v:1 default";
    assert_eq!(colour(&make(&folder, "thumbnail.mp4", &format!("{blue} {claims}"))), "blue");
}

#[test]
fn raw_streams_are_videos_whatever_their_names() {
    let Some(folder) = workshop(&["libx264", "mjpeg", "mpeg4"]) else { return };
    let source = "-f lavfi -i testsrc2=s=64x48:r=25:d=1";
    for (name, options_) in [
        ("a.mjpeg", format!("{source} -c:v mjpeg")),
        ("a.dv", "-f lavfi -i testsrc2=s=720x576:r=25:d=1 -target pal-dv".to_owned()),
        ("a.y4m", format!("{source} -pix_fmt yuv420p")),
        ("a.nut", format!("{source} -c:v mpeg4")),
        ("a.h264", format!("{source} -c:v libx264 -bf 2")),
    ] {
        let path = make(&folder, name, &options_);
        let renamed = folder.path().join(name.replace("a.", "renamed_"));
        std::fs::copy(&path, &renamed).unwrap();
        for path in [path, renamed] {
            let (info, frames, caveats) = looked_at(&path, options(5)).unwrap();
            assert_eq!((frames.len(), info.kind), (5, InputKind::Video), "{}", path.display());
            assert!(!caveats.contains(&CaveatCode::BadTimes), "{}", path.display());
        }
    }
    // By its name alone ffmpeg would take a stream of JPEGs for one.
    let stream = folder.path().join("still.jpg");
    std::fs::copy(folder.path().join("a.mjpeg"), &stream).unwrap();
    assert_eq!(frames(&stream, options(5)).unwrap().len(), 5);
}

#[test]
fn a_raw_stream_of_any_rate_has_the_frames_of_its_video() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    for rate in ["5", "12.5", "16", "60"] {
        // Larger than what a pipe holds, so that a frame too many would be waited for.
        let source = format!("-f lavfi -i testsrc2=s=320x240:r={rate}:d=2 -c:v libx264 -bf 2");
        let [raw, whole] = ["h264", "mp4"].map(|ending| make(&folder, &format!("r{rate}.{ending}"), &source));
        let pixels = |path| -> Vec<Vec<u8>> {
            let frames = frames(path, options(4)).unwrap();
            frames.into_iter().map(|frame| frame.image.pixels().to_vec()).collect()
        };
        let (raw, whole) = (pixels(&raw), pixels(&whole));
        assert_eq!(raw.len(), whole.len(), "{rate} a second");
        assert!(raw == whole, "{rate} a second");
    }
}

#[test]
fn interlaced_frames_are_said_to_be() {
    let Some(folder) = workshop(&["libx264", "mpeg2video"]) else { return };
    let source = "-f lavfi -i testsrc2=s=128x96:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff";
    for (name, codec) in
        [("a.ts", "mpeg2video -flags +ildct+ilme"), ("a.mp4", "libx264 -flags +ildct+ilme -x264opts tff")]
    {
        let path = make(&folder, name, &format!("{source} -c:v {codec}"));
        assert_eq!(codes(&path, options(4)), [CaveatCode::Interlaced], "{name}");
    }
    let progressive = make(&folder, "b.mp4", "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -c:v libx264");
    assert!(codes(&progressive, options(4)).is_empty());
}

#[test]
fn skipped_damage_is_said() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let path = make(&folder, "a.mp4", "-f lavfi -i testsrc2=s=320x240:r=25:d=4 -c:v libx264 -g 50");
    assert!(codes(&path, skipping(8)).is_empty());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    for (index, byte) in bytes[middle..middle + 3000].iter_mut().enumerate() {
        *byte = (index * 167 % 251) as u8;
    }
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(codes(&path, skipping(8)), [CaveatCode::DamageSkipped]);
}

#[test]
fn a_stream_of_one_picture_before_the_video_is_not_taken_for_it() {
    let Some(folder) = workshop(&["libx264", "mjpeg", "png"]) else { return };
    let sources = "-f lavfi -i testsrc2=s=64x48:r=5:d=0.2 -f lavfi -i testsrc2=s=96x64:r=5:d=2 -map 0 -map 1";
    for (name, arguments) in [
        ("png.mkv", "-c:v:0 png -c:v:1 libx264 -disposition:v:0 0 -disposition:v:1 0"),
        ("default_png.mkv", "-c:v:0 png -c:v:1 libx264 -disposition:v:0 default -disposition:v:1 0"),
        ("motion.mkv", "-c:v:0 mjpeg -c:v:1 libx264 -disposition:v:0 default -disposition:v:1 0"),
        ("one_frame.mp4", "-c:v libx264 -disposition:v:0 default -disposition:v:1 0"),
        ("one_frame.ts", "-c:v libx264"),
    ] {
        let path = make(&folder, name, &format!("{sources} {arguments}"));
        let (info, seen, caveats) = looked_at(&path, options(8)).unwrap();
        assert_eq!((info.width, seen.len()), (96, 8), "{name}");
        assert_eq!(caveats, [CaveatCode::OtherStreams], "{name}");
    }
}

#[test]
fn of_a_stream_that_refreshes_bit_by_bit_all_wanted_frames_come_from_where_its_picture_is_whole() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let refresh = "-c:v libx264 -x264-params intra-refresh=1:keyint=30";
    let path = make(&folder, "a.ts", &format!("-f lavfi -i testsrc2=s=320x240:r=25:d=8 {refresh}"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[bytes.len() / 3 + 77..]).unwrap();
    let (info, seen, _) = looked_at(&path, options(12)).unwrap();
    assert_eq!(seen.len(), 12);
    let times: Vec<f64> = seen.iter().map(|frame| frame.time_s).collect();
    let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(times[0] < 0.1 && steps.iter().all(|step| (step - steps[0]).abs() < 0.1), "{times:?}");
    let lasts_s = info.duration_s.unwrap();
    assert!((lasts_s - times[11]).abs() < 0.1 && lasts_s > 2.0, "{lasts_s} s, {times:?}");
}

#[test]
fn an_avi_whose_frames_empty_packets_follow_has_the_rate_of_its_frames() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let source = "-f lavfi -i testsrc2=s=64x48:r=30:d=4 -c:v libx264 -bf 2 -g 20";
    let whole = make(&folder, "a.mp4", source);
    let path = make(&folder, "a.avi", "-i a.mp4 -c copy");
    let (expected, theirs, _) = looked_at(&whole, options(6)).unwrap();
    let (info, ours, _) = looked_at(&path, options(6)).unwrap();
    assert!((info.fps.unwrap() - 30.0).abs() < 0.5, "{info:?}");
    assert!((info.duration_s.unwrap() - expected.duration_s.unwrap()).abs() < 0.05, "{info:?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(ours.image == theirs.image, "at {} s and {} s", ours.time_s, theirs.time_s);
    }
}
