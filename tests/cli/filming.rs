//! Training images that went through real video codecs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::encoders::has_encoders;
use crate::support::{FFMPEG, PATIENCE, Place, sample, text};
use crate::training::{arguments, easy_set, killed_after, metrics, recipe_from, timeless};

/// The encoders of the codecs that recipes film with.
const ENCODERS: [&str; 4] = ["libx264", "libx265", "libvpx-vp9", "libsvtav1"];

#[test]
fn a_killed_run_on_frames_of_videos_ends_as_one_that_was_not() {
    if !has_encoders(FFMPEG, &ENCODERS) {
        return;
    }
    let place = Place::new();
    let data = easy_set(&place);
    let recipe = recipe_from(&place, &place.detector_of_small_crops(), "full", 2);
    let train = |out: &Path| -> Vec<String> {
        let mut all: Vec<String> = arguments(&recipe, &data, out).into_iter().map(str::to_owned).collect();
        for setting in
            ["data.self_blended=true", "augmentation.video.probability=0.5", "augmentation.video.factor=[1, 1]"]
        {
            all.extend(["--set".to_owned(), setting.to_owned()]);
        }
        all
    };
    let (undisturbed, killed) = (place.path("undisturbed"), place.path("killed"));
    place.succeed(train(&undisturbed));
    let steps = metrics(&undisturbed).iter().filter(|measure| measure["kind"] == "step").count();
    assert_eq!(steps, 2 * 24 * 2 / 8);

    let mut arguments = train(&killed);
    killed_after(&place, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &killed, 4);
    arguments.push("--resume".to_owned());
    place.succeed(&arguments);
    assert_eq!(timeless(&undisturbed), timeless(&killed));
    let read = |folder: &Path| fs::read(folder.join("detector.safetensors")).expect("a detector");
    assert!(read(&undisturbed) == read(&killed), "the weights differ");
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_a_terminal_stops_the_run_after_its_step_although_ffmpeg_runs() {
    use std::os::unix::process::CommandExt;
    if !has_encoders(FFMPEG, &ENCODERS) {
        return;
    }
    let place = Place::new();
    let (data, out) = (easy_set(&place), place.path("run"));
    let recipe = recipe_from(&place, &place.detector_of_small_crops(), "full", 400);
    let mut command = place.unmask();
    command.args(arguments(&recipe, &data, &out)).args(["--set", "augmentation.video.probability=1"]);
    // A terminal sends the signal to all processes of a group.
    let run = command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn().expect("it starts");
    let since = Instant::now();
    while metrics(&out).iter().filter(|measure| measure["kind"] == "step").count() < 3 {
        assert!(since.elapsed() < PATIENCE, "the run hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
    let group = format!("-{}", run.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().expect("kill runs").success());
    let output = run.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(130) && said.contains("--resume"), "{:?}: {said}", output.status);
}

#[cfg(unix)]
#[test]
fn a_missing_ffmpeg_or_encoder_is_refused_before_anything_is_trained() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let (data, out, script) = (easy_set(&place), place.path("run"), place.path("ffmpeg"));
    let recipe = recipe_from(&place, &place.detector_of_small_crops(), "head", 1);
    fs::write(&script, "#!/bin/sh\necho ' V....D libx264  H.264'\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it can be run");
    let refusal = |ffmpeg: &Path, codecs: &str| {
        let mut command = place.unmask();
        command.args(arguments(&recipe, &data, &out)).args(["--set", "augmentation.video.probability=0.1"]);
        let set = format!("augmentation.video.codecs={codecs}");
        let output = command.args(["--set", &set]).env("UNMASK_FFMPEG", ffmpeg).output().expect("it starts");
        assert!(!output.status.success() && !out.exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refusal(&place.path("nowhere"), "{}");
    assert!(said.contains("nowhere") && said.contains("UNMASK_FFMPEG"), "{said}");
    let said = refusal(&script, "{ h264 = 0, h265 = 0, av1 = 0 }");
    assert!(said.contains("libvpx-vp9") && said.contains("augmentation.video.codecs.vp9"), "{said}");
}

#[test]
fn a_preview_shows_both_images_of_a_pair_after_the_codec() {
    if !has_encoders(FFMPEG, &ENCODERS) {
        return;
    }
    let place = Place::new();
    let (picture, config) = (place.path("portrait.png"), place.path("recipe.toml"));
    place.ffmpeg(&["-i", text(&sample("real.mp4")), "-frames:v", "1", text(&picture)]);
    let sheet = |name: &str, probability: u8| {
        let off =
            ["rotate", "blur", "brightness_contrast", "jpeg"].map(|name| format!("{name}.probability = 0\n")).concat();
        let video = format!("video = {{ probability = {probability}, factor = [2, 2], twice = 0 }}\n");
        fs::write(&config, format!("[augmentation]\nflip = 0\n{off}{video}")).expect("written");
        let output = place.path(name);
        let all = ["preview", "--data", text(&picture), "--sbi", "--rows", "2", "--size", "128", "--seed", "1"];
        place.succeed(all.iter().chain(&["--config", text(&config), "--output", text(&output)]));
        image::open(output).expect("a picture").into_rgb8()
    };
    let (plain, filmed, again) = (sheet("plain.png", 0), sheet("filmed.png", 1), sheet("again.png", 1));
    assert_eq!(filmed, again);
    let tile = |sheet: &image::RgbImage, column: u32| {
        image::imageops::crop_imm(sheet, 4 + column * 132, 4, 128, 128).to_image().into_raw()
    };
    let distance = |one: &[u8], other: &[u8]| {
        one.iter().zip(other).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / one.len() as f64
    };
    assert_eq!(tile(&plain, 0), tile(&filmed, 0), "the face itself");
    for column in [1, 3] {
        let apart = distance(&tile(&plain, column), &tile(&filmed, column));
        assert!((0.5..12.0).contains(&apart), "column {column}: {apart}");
    }
}
