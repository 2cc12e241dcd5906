//! Folders: what of them is scored, and that nothing is passed over in silence.

use super::stills::paint;
use super::*;

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
    let inputs = expand(folder.path()).unwrap().inputs;
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
fn a_series_of_frames_is_one_video_whatever_is_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=6 {
        for series in ["one/f_", "two/x_", "two/y_", "clip/s", "cam/IMG_", "few/"] {
            if series != "few/" || number < 4 {
                paint(&folder, &format!("{series}{number:04}.png"), [1, 2, 3]);
            }
        }
        let large = image::RgbImage::from_pixel(20 + number, 20, image::Rgb([9, 9, 9]));
        std::fs::create_dir_all(folder.path().join("trip")).unwrap();
        large.save(folder.path().join(format!("trip/photo{number}.png"))).unwrap();
    }
    for beside in ["one/thumb.png", "cam/cover.png", "few/thumb.png", "trip/map.png"] {
        paint(&folder, beside, [1, 2, 3]);
    }
    std::fs::write(folder.path().join("clip/clip.mp4"), "x").unwrap();
    let found = named(&expand(folder.path()).unwrap().inputs, &folder);
    let of = |name: &str| -> Vec<String> {
        let within = |input: &&String| input.trim_start_matches("frames ").starts_with(name);
        found.iter().filter(within).map(|input| input.replace(&format!("{name}/"), "")).collect()
    };
    assert_eq!(of("one"), ["frames f_0001-0006.png", "thumb.png"]);
    assert_eq!(of("two"), ["frames x_0001-0006.png", "frames y_0001-0006.png"]);
    assert_eq!(of("clip"), ["clip.mp4", "frames s0001-0006.png"]);
    // Photographs of a camera, of sizes of their own, and a handful are pictures each.
    assert_eq!(of("cam").len(), 7);
    assert_eq!(of("trip").len(), 7);
    assert_eq!(of("few").len(), 4);
    assert_eq!(found.iter().filter(|name| name.starts_with("frames")).count(), 4);
}

/// The names of what was left out of `folder`, with the reasons.
fn left_out(found: &Found, folder: &TempDir) -> Vec<(String, &'static str)> {
    let short =
        |file: &LeftOut| (file.path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned(), file.reason);
    found.left_out.iter().map(short).collect()
}

#[test]
fn whatever_of_a_folder_is_no_input_is_listed_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    paint(&folder, "a.png", [1, 2, 3]);
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    write(".git/config", b"x");
    write("BMW.txt", b"BMW prices went up\n");
    write("archive.zip", b"PK\x03\x04\x14\0\0\0");
    write("blank", b"");
    let found = expand(folder.path()).unwrap();
    assert_eq!(named(&found.inputs, &folder), ["a.png"]);
    let unknown = "no known kind of video or image";
    let expected = [(".git", "hidden"), ("BMW.txt", "text"), ("archive.zip", unknown), ("blank", "empty")];
    let mut listed = left_out(&found, &folder);
    listed.sort();
    assert_eq!(listed, expected.map(|(name, reason)| (name.to_owned(), reason)));
    assert!(found.failures.is_empty());
}

#[test]
fn the_content_of_a_folders_files_counts_and_not_their_names() {
    let Some(folder) = workshop(&["aac", "libvorbis"]) else { return };
    let source = "-f lavfi -i testsrc2=s=64x48:r=5:d=1";
    for (made, renamed) in [("a.mp4", "without_ending"), ("b.mkv", "b.dat"), ("c.ts", "c.bin"), ("d.jpg", "d.part")] {
        let path = make(&folder, made, &format!("{source} {}", if made == "d.jpg" { "-frames:v 1" } else { "" }));
        std::fs::rename(path, folder.path().join(renamed)).unwrap();
    }
    make(&folder, "song.m4a", "-f lavfi -i sine=d=1 -c:a aac");
    make(&folder, "song.ogg", "-f lavfi -i sine=d=1 -c:a libvorbis");
    std::fs::write(folder.path().join("letter.mp4"), "Dear editor").unwrap();
    let found = expand(folder.path()).unwrap();
    let expected = ["b.dat", "c.bin", "d.part", "letter.mp4", "without_ending"];
    assert_eq!(named(&found.inputs, &folder), expected);
    let sound = "no video in it, only sound or the like";
    assert_eq!(left_out(&found, &folder), [("song.m4a".to_owned(), sound), ("song.ogg".to_owned(), sound)]);
    for name in ["without_ending", "b.dat", "c.bin", "d.part"] {
        assert!(!frames(&folder.path().join(name), options(2)).unwrap().is_empty(), "{name}");
    }
    // What is named as a video and is none fails by name.
    assert!(sentence(&folder.path().join("letter.mp4")).contains("neither a video nor an image"));
}

#[cfg(unix)]
#[test]
fn loops_dangling_links_and_closed_folders_stop_nothing_else() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    paint(&folder, "sub/a.png", [1, 2, 3]);
    paint(&folder, "z.png", [1, 2, 3]);
    symlink(folder.path(), at("sub/loop")).unwrap();
    symlink("nowhere", at("gone")).unwrap();
    symlink("nowhere.mp4", at("lost.mp4")).unwrap();
    paint(&folder, "closed/b.png", [1, 2, 3]);
    std::fs::set_permissions(at("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let is_closed = std::fs::read_dir(at("closed")).is_err();
    if !is_closed {
        println!("skipped in part: this user may read every folder");
    }
    let found = expand(folder.path()).unwrap();
    std::fs::set_permissions(at("closed"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let named: Vec<String> = named(&found.inputs, &folder);
    assert!(named.contains(&"sub/a.png".to_owned()) && named.contains(&"z.png".to_owned()), "{named:?}");
    let mut listed = left_out(&found, &folder);
    listed.sort();
    let (around, nowhere) = ("a link to a folder around it", "a link that leads nowhere");
    assert_eq!(listed, [("gone".to_owned(), nowhere), ("sub/loop".to_owned(), around)]);
    let failures: Vec<String> = found.failures.iter().map(MediaError::to_string).collect();
    assert_eq!(failures.len(), if is_closed { 2 } else { 1 }, "{failures:?}");
    assert!(failures.iter().any(|failure| failure.contains("lost.mp4: this is a link to a file that is not there")));
}

#[test]
#[cfg(unix)]
fn links_that_lead_above_the_folder_that_is_named_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    paint(&folder, "real/sub/a.png", [1, 2, 3]);
    paint(&folder, "fake/b.png", [1, 2, 3]);
    std::os::unix::fs::symlink("../..", folder.path().join("real/sub/up")).unwrap();
    let found = expand(&folder.path().join("real")).unwrap();
    assert_eq!(named(&found.inputs, &folder), ["real/sub/a.png"]);
    assert_eq!(left_out(&found, &folder), [("real/sub/up".to_owned(), "a link to a folder around it")]);
}

#[test]
fn links_to_pages_are_not_read_and_said_so() {
    for link in ["https://example.org/clip.mp4", "rtsp://camera/1", "http://127.0.0.1:9/x.ts"] {
        let said = expand(Path::new(link)).unwrap_err().to_string();
        assert!(said.contains(link) && said.contains("links are not read"), "{said}");
    }
    assert!(matches!(expand(Path::new("/no/such/file")), Err(MediaError::NotFound { .. })));
}
