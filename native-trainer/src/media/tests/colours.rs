//! High dynamic range, wide colours, and where samples of colour lie.

use super::*;

#[test]
fn high_dynamic_range_and_wide_colours_are_mapped_to_what_detectors_know() {
    let Some(folder) = workshop(&["libx265"]) else { return };
    // 58 % of PQ and 75 % of HLG are both the brightness of white paper; what they map to is tested in the core.
    for (name, grey, transfer, level) in [
        ("pq", "0x949494", "smpte2084", 175),
        ("hlg", "0xbfbfbf", "arib-std-b67", 175),
        ("wide", "0x949494", "bt2020-10", 148),
    ] {
        let source = format!("-f lavfi -i color=c={grey}:s=64x48:r=5:d=0.6,format=gbrp");
        let scale = "-vf scale=out_color_matrix=bt2020:out_range=tv,format=yuv420p10le";
        // Encoders of ffmpeg 9 take this from the frames, those of older ones from the options.
        let scale = format!("{scale},setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc");
        let tags = format!("-color_primaries bt2020 -color_trc {transfer} -colorspace bt2020nc");
        let x265 = "-c:v libx265 -x265-params log-level=error:lossless=1";
        let path = make(&folder, &format!("{name}.mp4"), &format!("{source} {scale} {x265} {tags}"));
        let (_, frames, caveats) = looked_at(&path, options(3)).unwrap();
        let shown = pixel(&frames[2], 30, 20);
        assert!(close(shown, [level; 3], 3), "{name}: {shown:?}");
        assert_eq!(caveats, [CaveatCode::ToneMapped], "{name}");
    }
}

#[test]
fn a_saturated_colour_of_bt2020_stays_its_hue() {
    let Some(folder) = workshop(&["libx265"]) else { return };
    let source = "-f lavfi -i color=c=0x806040:s=64x48:r=5:d=0.4,format=gbrp";
    let scale = "-vf scale=out_color_matrix=bt2020:out_range=tv,format=yuv420p10le";
    let scale = format!("{scale},setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc");
    let tags = "-color_primaries bt2020 -color_trc arib-std-b67 -colorspace bt2020nc";
    let x265 = "-c:v libx265 -x265-params log-level=error:lossless=1";
    let path = make(&folder, "a.mp4", &format!("{source} {scale} {x265} {tags}"));
    let [red, green, blue] = pixel(&frames(&path, options(1)).unwrap()[0], 30, 20);
    assert!(red > green + 20 && green > blue + 20, "{red} {green} {blue}");
}

#[test]
fn what_a_stream_says_of_where_its_colours_lie_changes_no_pixel() {
    let Some(folder) = workshop(&["libx264"]) else { return };
    let seen = |location: &str| {
        let source = "-f lavfi -i testsrc2=s=96x64:r=5:d=0.4 -c:v libx264 -qp 10";
        let path = make(&folder, "a.mp4", &format!("{source} -chroma_sample_location {location}"));
        frames(&path, options(1)).unwrap().remove(0).image
    };
    let unsaid = seen("unspecified");
    for location in ["left", "topleft", "center"] {
        assert!(seen(location) == unsaid, "{location}");
    }
}

#[test]
fn colours_are_filled_in_as_ffmpeg_does_where_a_stream_says_nothing() {
    let Some(folder) = workshop(&["ffv1"]) else { return };
    let planes = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv440p", "yuva420p", "yuv420p12le"];
    for format in planes.into_iter().chain(["gray", "bgr0", "gbrp10le"]) {
        let source = format!("-f lavfi -i testsrc2=s=96x64:r=5:d=0.4,format={format}");
        let path = make(&folder, &format!("{format}.nut"), &format!("{source} -c:v ffv1"));
        let ours = frames(&path, options(1)).unwrap().remove(0).image;
        let scale = "scale=96:64:flags=bicubic+accurate_rnd+full_chroma_int:in_color_matrix=bt601,format=rgb24";
        let arguments = ["-frames:v", "1", "-vf", scale, "-f", "rawvideo", "-"];
        let output = Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(&path).args(arguments).output().unwrap();
        assert!(output.stdout == ours.pixels(), "{format}");
    }
}
