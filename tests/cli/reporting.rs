//! The sample clips, and the pages that people look at.

use std::path::Path;

use serde_json::Value;

use crate::support::{Place, sample, text};

/// How many frames of a report have a face.
fn frames_with_a_face(report: &Value) -> usize {
    let frames = report["frames"].as_array().expect("frames");
    frames.iter().filter(|frame| frame["faces"].as_array().is_some_and(|faces| !faces.is_empty())).count()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_sample_clips_have_one_face_in_every_frame_or_none_and_a_page_each() {
    let place = Place::new();
    let folder = place.path("report");
    let [real, fake, nobody] = ["real.mp4", "fake.mp4", "no_face.mp4"].map(sample);
    let reports = place.score(&[
        text(&real),
        text(&fake),
        text(&nobody),
        "--faces",
        "all",
        "--frames",
        "8",
        "--report",
        text(&folder),
    ]);
    for report in &reports[..2] {
        assert_eq!((frames_with_a_face(report), report["tracks"].as_array().map(Vec::len)), (8, Some(1)), "{report}");
        assert!(report["score"].is_number(), "{report}");
    }
    assert_eq!((&reports[2]["verdict"], frames_with_a_face(&reports[2])), (&"no_face".into(), 0));
    for (name, words) in
        [("real.mp4", "The score over time"), ("fake.mp4", "The score over time"), ("no_face.mp4", "No face")]
    {
        let page = read(&folder.join(format!("{name}.html")));
        assert!(page.contains(words) && page.contains(&format!("<h1>{name}</h1>")), "{page}");
    }
    let index = read(&folder.join("index.html"));
    assert!(index.contains("3 inputs") && index.contains("href=\"no_face.mp4.html\""), "{index}");
    let written: Value = serde_json::from_str(&read(&folder.join("fake.mp4.json"))).expect("JSON");
    let keys = |document: &Value| document.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    // The file says where it comes from, too.
    let expected: Vec<String> = keys(&reports[1]).into_iter().chain(["provenance".to_owned()]).collect();
    assert_eq!((keys(&written), &written["verdict"]), (expected, &reports[1]["verdict"]));
    assert!(!written.to_string().contains("base64"), "pictures are in the pages alone");
}

#[test]
fn the_fake_sample_differs_from_the_real_one_in_the_face_alone() {
    let place = Place::new();
    let frame = |name: &str| {
        let output = place.path(&format!("{name}.png"));
        place.ffmpeg(&["-i", text(&sample(name)), "-frames:v", "1", text(&output)]);
        image::open(output).expect("a picture").into_rgb8()
    };
    let (real, fake) = (frame("real.mp4"), frame("fake.mp4"));
    // Both are encoded, so that they differ by noise everywhere; the face is in this part of the first frame.
    let in_face = |x: u32, y: u32| (140..310).contains(&x) && (70..260).contains(&y);
    let mean = |inside: bool| {
        let differences: Vec<f64> = real
            .enumerate_pixels()
            .filter(|(x, y, _)| in_face(*x, *y) == inside)
            .map(|(x, y, pixel)| f64::from(pixel.0[1].abs_diff(fake.get_pixel(x, y).0[1])))
            .collect();
        differences.iter().sum::<f64>() / differences.len() as f64
    };
    let (inside, outside) = (mean(true), mean(false));
    assert!(inside > 3.0 && outside < 1.5, "{inside} levels in the face, {outside} outside");
}

#[cfg(unix)]
#[test]
fn a_file_name_with_markup_in_it_is_shown_as_text() {
    let place = Place::new();
    let (path, folder) = (place.path("<b onload=x>&.mp4"), place.path("report"));
    std::fs::copy(sample("no_face.mp4"), &path).expect("copied");
    place.score(&[text(&path), "--frames", "2", "--report", text(&folder)]);
    let page = read(&folder.join("<b onload=x>&.mp4.html"));
    assert!(!page.contains("<b onload") && page.contains("<h1>&#60;b onload=x&#62;&#38;.mp4</h1>"), "{page}");
}

#[test]
fn an_input_that_failed_stands_in_the_index_and_the_page_is_named_at_the_end() {
    let place = Place::new();
    let (folder, missing, detector) = (place.path("report"), place.path("gone.mp4"), place.detector());
    let clip = sample("no_face.mp4");
    let arguments = ["score", text(&clip), text(&missing), "--model", text(&detector), "--frames", "2"];
    let output = place.run(arguments.iter().chain(&["--report", text(&folder)]));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("report: {}", folder.join("index.html").display())), "{said}");
    let index = read(&folder.join("index.html"));
    assert!(index.contains("1 failed") && index.contains("Not judged") && index.contains("gone.mp4"), "{index}");
}
