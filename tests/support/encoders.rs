//! The encoders that tests make their videos with: not every ffmpeg was built with all of them.

use std::ffi::OsStr;
use std::process::Command;

use crate::shared_data::absent;

/// Whether `ffmpeg` runs and has all of `encoders`, by its names for them. One that is missing is said aloud, and where
/// nothing may be missing it is a failure.
pub(crate) fn has_encoders(ffmpeg: impl AsRef<OsStr>, encoders: &[&str]) -> bool {
    let ffmpeg = ffmpeg.as_ref();
    let missing = match Command::new(ffmpeg).args(["-hide_banner", "-encoders"]).output() {
        Ok(output) => {
            let listed = String::from_utf8_lossy(&output.stdout);
            let missing = missing(&listed, encoders);
            missing.map(|name| format!("{} has no encoder {name}", ffmpeg.display()))
        }
        Err(_) => Some(format!("{} is not installed", ffmpeg.display())),
    };
    missing.inspect(|what| absent(what)).is_none()
}

/// The first of `encoders` that is not in a list of `ffmpeg -encoders`.
fn missing<'a>(listed: &str, encoders: &[&'a str]) -> Option<&'a str> {
    let is_listed = |name: &str| listed.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
    encoders.iter().copied().find(|name| !is_listed(name))
}

#[test]
fn an_encoder_is_there_only_where_its_whole_name_is_listed() {
    let listed =
        "Encoders:\n V..... = Video\n ------\n V....D libx264rgb  libx264 H.264 RGB\n V....D libvpx-vp9  libvpx VP9\n";
    assert_eq!(missing(listed, &["libvpx-vp9", "libx264rgb"]), None);
    assert_eq!(missing(listed, &["libvpx-vp9", "libx264", "libvpx"]), Some("libx264"));
    assert_eq!(missing(listed, &["libvpx"]), Some("libvpx"));
    assert_eq!(missing("", &[]), None);
}
