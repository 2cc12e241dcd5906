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

#[test]
fn files_that_hold_no_video_are_told_apart() {
    let Some(folder) = workshop() else { return };
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
    let Some(folder) = workshop() else { return };
    make(&folder, "whole.mp4", &format!("{SOURCE} -c:v libx264 -g 50"));
    for (name, arguments) in [
        ("end_index.mp4", "-i whole.mp4 -c copy"),
        ("start_index.mp4", "-i whole.mp4 -c copy -movflags +faststart"),
        ("cut.mkv", "-i whole.mp4 -c copy"),
        ("cut.avi", "-i whole.mp4 -c:v mpeg4"),
    ] {
        let path = make(&folder, name, arguments);
        cut_to(&path, 0.6);
        assert!(sentence(&path).contains("damaged"), "{name}: {}", sentence(&path));
    }
}

#[test]
fn a_corrupt_frame_in_the_middle_is_refused_or_skipped_as_asked() {
    let Some(folder) = workshop() else { return };
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
    let Some(folder) = workshop() else { return };
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
    let Some(folder) = workshop() else { return };
    let path = make(&folder, "a.mp4", "-f lavfi -i testsrc2=s=64x64:r=5:d=1 -c:v libx264");
    let without = |programs| {
        let opened = open_with(&programs, &Input::Video(path.clone()), &options(2));
        opened.and_then(|opened| opened.frames.collect::<Result<Vec<_>, _>>()).unwrap_err().to_string()
    };
    assert!(without(Programs::at("ffmpeg", "no-such-ffprobe")).contains("set UNMASK_FFPROBE"));
    assert!(without(Programs::at("no-such-ffmpeg", "ffprobe")).contains("apt install ffmpeg"));
}
