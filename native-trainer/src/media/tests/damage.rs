//! Files that are not what they should be: one sentence each.

use super::*;

const SOURCE: &str = "-f lavfi -i testsrc2=s=320x240:r=25:d=8";

fn overwrite(path: &Path, range: std::ops::Range<usize>) {
    let mut bytes = std::fs::read(path).unwrap();
    for (i, byte) in bytes[range].iter_mut().enumerate() {
        *byte = (i * 167 % 251) as u8;
    }
    std::fs::write(path, bytes).unwrap();
}

fn cut_to(path: &Path, part: f64) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..(bytes.len() as f64 * part) as usize]).unwrap();
}

/// The caveats but that for two fields in a frame, which tapes have.
pub(super) fn beside_fields(mut caveats: Vec<CaveatCode>) -> Vec<CaveatCode> {
    caveats.retain(|code| *code != CaveatCode::Interlaced);
    caveats
}

#[test]
fn files_that_hold_no_video_are_told_apart() {
    let Some(folder) = workshop(&["aac", "mpeg4"]) else { return };
    assert!(sentence(&folder.path().join("none.mp4")).contains("there is no such file"));
    let text = folder.path().join("text.mp4");
    std::fs::write(&text, "").unwrap();
    assert!(sentence(&text).contains("empty"));
    std::fs::write(&text, "I am only text, whatever my name says.\n".repeat(40)).unwrap();
    assert!(sentence(&text).contains("neither a video nor an image"), "{}", sentence(&text));
    let sound = make(&folder, "sound.mp4", "-f lavfi -i sine=d=1 -c:a aac");
    assert!(sentence(&sound).contains("no video, only audio"), "{}", sentence(&sound));
    make(&folder, "cover.png", "-f lavfi -i color=c=red:s=32x32 -frames:v 1");
    let cover = make(&folder, "cover.mp3", "-f lavfi -i sine=d=1 -i cover.png -map 0 -map 1 -c:v copy");
    assert!(sentence(&cover).contains("cover picture"), "{}", sentence(&cover));
    let nothing = make(&folder, "nothing.mp4", &format!("{SOURCE} -frames:v 0 -c:v mpeg4 -movflags +empty_moov"));
    assert!(!sentence(&nothing).is_empty());
}

#[test]
fn truncated_videos_are_refused_in_every_container() {
    let Some(folder) = workshop(&["dvvideo", "libtheora", "libvpx", "libx264", "mjpeg", "mpeg4"]) else { return };
    make(&folder, "whole.mp4", &format!("{SOURCE} -c:v libx264 -g 50"));
    for (name, arguments) in [
        ("end_index.mp4", "-i whole.mp4 -c copy"),
        ("start_index.mp4", "-i whole.mp4 -c copy -movflags +faststart"),
        ("cut.mkv", "-i whole.mp4 -c copy"),
        ("cut.avi", "-i whole.mp4 -c:v mpeg4"),
        ("cut.ogv", "-i whole.mp4 -c:v libtheora"),
        ("cut.y4m", "-i whole.mp4 -t 2"),
        ("cut.mjpeg", "-i whole.mp4 -t 2 -c:v mjpeg"),
        ("cut.dv", "-i whole.mp4 -t 1 -s 720x576 -pix_fmt yuv420p -c:v dvvideo"),
        ("cut.ivf", "-i whole.mp4 -t 2 -c:v libvpx -deadline realtime -cpu-used 8"),
    ] {
        let path = make(&folder, name, arguments);
        assert!(frames(&path, options(4)).is_ok(), "{name} is read where it is whole");
        cut_to(&path, 0.61);
        assert!(sentence(&path).contains("damaged"), "{name}: {}", sentence(&path));
        if !name.contains("index") {
            let skipping = OpenOptions { frames: 8, damage: Damage::Skip };
            let (_, frames, caveats) = looked_at(&path, skipping).unwrap();
            let caveats = beside_fields(caveats);
            assert!(!frames.is_empty() && caveats == [CaveatCode::DamageSkipped], "{name}: {caveats:?}");
        }
    }
}

#[test]
fn an_avi_is_damaged_wherever_it_is_cut_off() {
    let Some(folder) = workshop(&["mpeg4"]) else { return };
    let whole = std::fs::read(make(&folder, "whole.avi", &format!("{SOURCE} -c:v mpeg4 -g 50"))).unwrap();
    for part in 5..20 {
        let path = folder.path().join("cut.avi");
        std::fs::write(&path, &whole[..whole.len() * part / 20 + part]).unwrap();
        assert!(sentence(&path).contains("damaged"), "{part} of 20: {}", sentence(&path));
    }
}

#[test]
fn a_gif_that_is_cut_off_in_its_second_picture_is_no_still() {
    let Some(folder) = workshop(&[]) else { return };
    let path = make(&folder, "a.gif", "-f lavfi -i testsrc2=s=64x48:r=5:d=0.4");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 200]).unwrap();
    assert!(sentence(&path).contains("a.gif"), "{}", sentence(&path));
}

#[test]
fn whatever_a_decoder_or_a_container_reports_as_broken_is_damage() {
    let Some(folder) =
        workshop(&["dvvideo", "flv", "libaom-av1", "libtheora", "libx264", "mjpeg", "mpeg2video", "mpeg4", "png"])
    else {
        return;
    };
    let mpeg2 = "-c:v mpeg2video -b:v 1M";
    for (name, codec) in [
        ("h264.flv", "-c:v libx264 -g 50"),
        ("sorenson.flv", "-c:v flv -b:v 1M"),
        ("theora.ogv", "-c:v libtheora -g 50"),
        ("motion.avi", "-c:v mjpeg"),
        ("motion.mjpeg", "-c:v mjpeg"),
        ("program.mpg", mpeg2),
        ("transport.ts", mpeg2),
        ("tape.dv", "-t 1 -s 720x576 -pix_fmt yuv420p -c:v dvvideo"),
        ("part4.avi", "-c:v mpeg4 -g 50"),
        ("h264.nut", "-c:v libx264 -g 50"),
        ("av1.webm", "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 50 -t 4"),
        ("png.mov", "-c:v png -t 1"),
    ] {
        let path = make(&folder, name, &format!("{SOURCE} {codec}"));
        let (_, seen, caveats) = looked_at(&path, options(8)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(seen.len() == 8 && beside_fields(caveats.clone()).is_empty(), "{name}: {caveats:?}");
        let length = std::fs::metadata(&path).unwrap().len() as usize;
        overwrite(&path, length / 2..length / 2 + 3000);
        // All frames are decoded, so that the damaged one is among them.
        let all = |damage| looked_at(&path, OpenOptions { frames: 400, damage });
        let said = all(Damage::Refuse).map(|(_, frames, _)| frames.len()).unwrap_err().to_string();
        assert!(said.contains("damaged"), "{name}: {said}");
        assert_eq!(beside_fields(all(Damage::Skip).unwrap().2), [CaveatCode::DamageSkipped], "{name}");
    }
}

#[test]
fn sentences_about_damage_fit_what_was_given() {
    let Some(folder) = workshop(&["libvpx", "libx264"]) else { return };
    let skipping = OpenOptions { frames: 4, damage: Damage::Skip };
    let both = |path: &Path| {
        [options(4), skipping].map(|options| frames(path, options).map(|frames| frames.len()).unwrap_err().to_string())
    };
    let video = make(&folder, "a.mp4", &format!("{SOURCE} -c:v libx264"));
    cut_to(&video, 0.6);
    let stream = make(&folder, "a.ivf", &format!("{SOURCE} -t 1 -c:v libvpx -deadline realtime -cpu-used 8"));
    std::fs::write(&stream, &std::fs::read(&stream).unwrap()[..20]).unwrap();
    for path in [video, stream] {
        for said in both(&path) {
            assert!(said.contains("the video is damaged") && !said.contains("--damaged"), "{said}");
        }
    }
    for (name, codec) in
        [("a.avif", "libaom-av1 -still-picture 1 -cpu-used 8"), ("a.jxl", "libjxl"), ("a.jp2", "jpeg2000")]
    {
        if !has_encoders(FFMPEG, &codec.split(' ').take(1).collect::<Vec<_>>()) {
            continue;
        }
        let mut command = Command::new(FFMPEG);
        let source = "-v error -f lavfi -i testsrc2=s=320x240 -frames:v 1 -c:v";
        command.current_dir(folder.path()).args(source.split(' ')).args(codec.split(' ')).arg(name);
        if !command.status().unwrap().success() {
            println!("skipped: this ffmpeg does not write {name}");
            continue;
        }
        let path = folder.path().join(name);
        cut_to(&path, 0.6);
        let [said, skipped] = both(&path);
        assert!(said.contains("the picture is damaged") && !said.contains("--damaged"), "{said}");
        assert!(!skipped.contains("--damaged") && !skipped.contains("does not read"), "{skipped}");
    }
}

#[test]
fn a_corrupt_frame_in_the_middle_is_refused_or_skipped_as_asked() {
    let Some(folder) = workshop(&["libx264", "libx265"]) else { return };
    for (name, codec) in [("a.mp4", "libx264 -g 50"), ("b.mp4", "libx265 -x265-params log-level=error:keyint=50")] {
        let path = make(&folder, name, &format!("{SOURCE} -c:v {codec}"));
        let length = std::fs::metadata(&path).unwrap().len() as usize;
        overwrite(&path, length / 2..length / 2 + 3000);
        let said = sentence(&path);
        assert!(said.contains("damaged near") && said.contains("--damaged skip"), "{name}: {said}");
        let skipping = OpenOptions { frames: 8, damage: Damage::Skip };
        assert!(frames(&path, skipping).unwrap().len() >= 6, "{name}");
    }
}

#[test]
fn playlists_reach_neither_the_network_nor_other_files() {
    let Some(folder) = workshop(&["mpeg2video"]) else { return };
    make(&folder, "secret.ts", &format!("{SOURCE} -c:v mpeg2video"));
    let lists = [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\nsecret.ts\n#EXT-X-ENDLIST\n"),
        ("b.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"),
        ("c.txt", "ffconcat version 1.0\nfile secret.ts\n"),
        ("d.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
    ];
    for (name, text) in lists {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert!(sentence(&path).contains("neither a video nor an image"), "{name}: {}", sentence(&path));
    }
}

#[test]
fn a_missing_ffmpeg_is_named_with_the_way_to_get_it() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let path = make(&folder, "a.mp4", "-f lavfi -i testsrc2=s=64x64:r=5:d=1 -c:v libx264");
    let without = |programs| {
        let opened = open_with(&programs, &Input::Video(path.clone()), &options(2));
        opened.and_then(|opened| opened.frames.collect::<Result<Vec<_>, _>>()).unwrap_err().to_string()
    };
    assert!(without(Programs::at("ffmpeg", "no-such-ffprobe")).contains("set UNMASK_FFPROBE"));
    assert!(without(Programs::at("no-such-ffmpeg", "ffprobe")).contains("apt install ffmpeg"));
}
