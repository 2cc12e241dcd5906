//! Who counts, and what is kept until that is known.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::face::alignment::CropGeometry;

const SPEC: CropSpec = CropSpec { geometry: CropGeometry::Dfb, size: 32, margin: 1.3 };

/// A face whose box has its upper left corner at `(x, y)`.
fn face(x: f32, y: f32, side: f32) -> Face {
    let landmarks = template(CropGeometry::Dfb, 1000, 1.3).map(|point| point.map(|part| part / 1000.0 * side));
    Face {
        bounds: Rect { x, y, width: side, height: side },
        landmarks: landmarks.map(|[across, down]| [x + across, y + down]),
        confidence: 0.99,
    }
}

/// A picture full of edges, in which every crop is sharp.
fn sharp() -> RgbImage {
    picture(|index| (index / 3 * 7919 % 251) as u8)
}

/// A picture of one grey, in which no crop is sharp.
fn flat() -> RgbImage {
    picture(|_| 90)
}

fn picture(level: impl Fn(usize) -> u8) -> RgbImage {
    RgbImage::new(400, 200, (0..400 * 200 * 3).map(level).collect()).unwrap()
}

/// The frames of the crops that count, where nothing is taken before the end.
fn frames_of_counted(mut people: People) -> Vec<usize> {
    people.seal();
    let clips = people.take(usize::MAX);
    clips.iter().flat_map(|clip| &clip.crops).map(|crop| crop.frame).collect()
}

#[test]
fn the_largest_face_and_the_one_in_the_middle_are_different_people() {
    let (large, middle) = (face(0.0, 0.0, 100.0), face(170.0, 70.0, 60.0));
    for (faces, expected) in [(Faces::Largest, vec![0]), (Faces::Centre, vec![1]), (Faces::All, vec![0, 1])] {
        let mut people = People::new(faces, SPEC, 1);
        let sightings = people.push(0.0, &sharp(), &[middle, large]);
        assert_eq!(sightings.iter().map(|sighting| sighting.face).collect::<Vec<_>>(), [large, middle]);
        people.seal();
        assert_eq!(people.counted(), Some(&expected[..]), "{faces:?}");
    }
}

#[test]
fn the_same_person_counts_in_frames_where_another_is_larger() {
    let mut people = People::new(Faces::Largest, SPEC, 1);
    for index in 0..3 {
        let passer_by = [face(250.0, 20.0, 120.0)];
        let others: &[Face] = if index == 1 { &passer_by } else { &[] };
        people.push(f64::from(index), &sharp(), &[&[face(50.0, 50.0, 100.0)], others].concat());
    }
    assert_eq!(frames_of_counted(people), [0, 1, 2]);
}

/// The left half is sharp, the right one a slope of grey.
fn half_sharp() -> RgbImage {
    let level = |index: usize| if index / 3 % 400 < 180 { (index / 3 * 7919 % 251) as u8 } else { 90 };
    picture(level)
}

#[test]
fn a_sharp_face_counts_before_larger_blurred_ones() {
    for faces in [Faces::Largest, Faces::Centre] {
        let mut people = People::new(faces, SPEC, 1);
        for index in 0..4 {
            people.push(f64::from(index), &half_sharp(), &[face(20.0, 20.0, 60.0), face(200.0, 10.0, 180.0)]);
        }
        people.seal();
        let clip = people.take(1).pop().unwrap();
        assert_eq!((clip.track, clip.crops[0].face), (1, 1), "{faces:?}: the second largest of the frame");
    }
}

#[test]
fn where_nobody_is_sharp_the_largest_counts() {
    let mut people = People::new(Faces::Largest, SPEC, 1);
    people.push(0.0, &flat(), &[face(20.0, 20.0, 60.0), face(200.0, 10.0, 180.0)]);
    people.seal();
    assert_eq!(people.counted(), Some(&[0][..]));
}

#[test]
fn of_two_who_weigh_alike_the_first_counts() {
    let mut people = People::new(Faces::Largest, SPEC, 1);
    people.push(0.0, &sharp(), &[face(20.0, 20.0, 60.0), face(200.0, 20.0, 60.0)]);
    people.seal();
    assert_eq!(people.counted(), Some(&[0][..]));
}

#[test]
fn nobody_counts_where_nobody_was_seen() {
    let mut people = People::new(Faces::Largest, SPEC, 1);
    people.push(0.0, &sharp(), &[]);
    let broken = Face { landmarks: [[5.0; 2]; 5], ..face(0.0, 0.0, 50.0) };
    let nowhere = Face { bounds: Rect { x: 0.0, y: 0.0, width: f32::NAN, height: 1.0 }, ..face(0.0, 0.0, 50.0) };
    assert!(people.push(1.0, &sharp(), &[broken, nowhere]).is_empty());
    assert_eq!(people.frames(), 2);
    assert!(frames_of_counted(people).is_empty());
}

#[test]
fn clips_are_taken_when_they_are_whole_or_their_track_is_over() {
    let mut people = People::new(Faces::All, SPEC, 4);
    for index in 0..5 {
        people.push(f64::from(index), &sharp(), &[face(20.0, 20.0, 90.0)]);
    }
    assert_eq!((people.ready(), people.take(9)[0].crops.len()), (1, 4));
    assert_eq!(people.ready(), 0, "the fifth crop waits for three more");
    (5..11).for_each(|index| {
        people.push(f64::from(index), &sharp(), &[]);
    });
    assert_eq!((people.ready(), people.take(9)[0].crops.len()), (1, 1), "nobody comes any more");
}

/// Faces in ten columns; the eighth is somewhat larger than all others.
fn crowd(people: usize) -> Vec<Face> {
    let side = |index: usize| if index == 7 { 36.0 } else { 20.0 + (index % 7) as f32 };
    (0..people).map(|index| face((index % 10 * 40) as f32, (index / 10 * 40) as f32, side(index))).collect()
}

#[test]
fn a_crowd_of_any_length_takes_bounded_memory_and_the_largest_is_whole() {
    for (faces, frames) in [(50, 40), (10, 300)] {
        let mut people = People::new(Faces::Largest, SPEC, 1);
        let image = sharp();
        for index in 0..frames {
            let sightings = people.push(index as f64, &image, &crowd(faces));
            assert_eq!(sightings.len(), faces, "everybody is followed");
            assert_eq!(sightings.iter().filter(|sighting| sighting.quality.is_some()).count(), MAX_CANDIDATES);
            assert!(people.crops.len() <= MAX_WAITING + index + 1, "beside the leader's");
        }
        assert!(!people.is_crowded());
        assert_eq!(frames_of_counted(people), (0..frames).collect::<Vec<_>>());
    }
}

#[test]
fn the_crops_of_a_leader_can_be_taken_as_they_come_and_those_of_others_never_are() {
    let mut people = People::new(Faces::Largest, SPEC, 1);
    let image = sharp();
    let mut taken = Vec::new();
    for index in 0..200 {
        people.push(f64::from(index), &image, &crowd(20));
        taken.extend(people.take(usize::MAX));
        assert!(people.crops.len() <= MAX_WAITING);
    }
    assert_eq!(taken.len(), 200);
    assert!(taken.iter().all(|clip| clip.track == taken[0].track));
}

#[test]
fn whoever_comes_late_and_large_is_scored_over_all_their_time() {
    let mut people = People::new(Faces::Largest, SPEC, 1);
    let image = sharp();
    let mut taken = Vec::new();
    for index in 0..900 {
        let mut faces = crowd(10);
        if index >= 300 {
            // Twice the area of the person who leads until then, for long enough to pass them.
            faces[0] = face(0.0, 0.0, 51.0);
        }
        people.push(f64::from(index), &image, &faces);
        taken.extend(people.take(usize::MAX));
    }
    people.seal();
    taken.extend(people.take(usize::MAX));
    let counted = people.counted().unwrap();
    let mut frames: Vec<usize> =
        taken.iter().filter(|clip| counted.contains(&clip.track)).map(|clip| clip.crops[0].frame).collect();
    frames.sort_unstable();
    assert!(frames[0] == 300 && frames.len() > 400, "{} of 600 frames", frames.len());
    assert!(frames.windows(2).all(|pair| pair[1] - pair[0] <= 2), "{frames:?}");
}

#[test]
fn a_rival_whose_crops_are_too_many_keeps_some_of_all_their_time() {
    let mut people = People::new(Faces::Largest, SPEC, 1);
    let image = sharp();
    let (mut index, mut lead) = (0, 0);
    // The rival passes the leader at the very end.
    loop {
        let rival = if index < 600 { 59.0 } else { 110.0 };
        people.push(f64::from(index), &image, &[face(20.0, 20.0, 60.0), face(210.0, 10.0, rival)]);
        assert!(people.crops.len() <= MAX_WAITING + 1, "beside the leader's");
        if people.leader == Some(1) {
            break;
        }
        lead += people.take(usize::MAX).len();
        index += 1;
        assert!(index < 700, "the rival should lead by now");
    }
    assert!(lead >= 600);
    let frames = frames_of_counted(people);
    assert!(frames.len() > MAX_WAITING / 3, "{} crops", frames.len());
    let gaps = frames.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(frames[0] == 0 && gaps.max().unwrap() <= 8, "{frames:?}");
}

#[test]
fn everybody_asked_for_and_too_many_to_keep_is_said() {
    let mut people = People::new(Faces::All, SPEC, 64);
    let image = sharp();
    (0..20).for_each(|index| {
        people.push(f64::from(index), &image, &crowd(50));
    });
    assert!(people.is_crowded() && people.crops.len() <= MAX_WAITING);
    let mut people = People::new(Faces::Largest, SPEC, 1);
    let many: Vec<Face> =
        (0..100).map(|index| face((index % 20 * 20) as f32, (index / 20 * 40) as f32, 19.0)).collect();
    assert_eq!(people.push(0.0, &image, &many).len(), MAX_FACES);
    assert!(people.is_crowded());
}

/// A person of this colour of skin before a background.
fn portrait(skin: [u8; 3], background: [u8; 3]) -> RgbImage {
    let pixels = (0..400 * 200).flat_map(|index: usize| {
        let (x, y) = ((index % 400) as f32, (index / 400) as f32);
        let colour = if (x - 100.0).hypot(y - 100.0) < 45.0 { skin } else { background };
        let shade = 0.75 + (index * 7919 % 251) as f32 / 1000.0;
        colour.map(|level| (f32::from(level) * shade) as u8)
    });
    RgbImage::new(400, 200, pixels.collect()).unwrap()
}

#[test]
fn a_cut_to_another_person_in_the_same_place_begins_a_track_and_who_comes_back_goes_on() {
    let one = portrait([220, 170, 150], [60, 90, 140]);
    let other = portrait([120, 80, 60], [150, 140, 90]);
    let mut people = People::new(Faces::Largest, SPEC, 1);
    let shots = [(&one, 4), (&other, 5), (&one, 3)];
    let shown = shots.iter().flat_map(|(picture, frames)| core::iter::repeat_n(*picture, *frames));
    let tracks: Vec<usize> = shown
        .enumerate()
        .map(|(index, picture)| people.push(index as f64, picture, &[face(50.0, 50.0, 100.0)])[0].track)
        .collect();
    assert_eq!(tracks, [0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]);
    assert_eq!(frames_of_counted(people), [0, 1, 2, 3, 9, 10, 11], "who fills more of the whole video counts");
}

/// Two people of these colours of skin before one wall, the first on the left; nobody where there is no colour.
fn two_before_a_wall(skins: [Option<[u8; 3]>; 2]) -> RgbImage {
    let pixels = (0..400 * 200).flat_map(|index: usize| {
        let (x, y) = ((index % 400) as f32, (index / 400) as f32);
        let is_at = |middle: f32| (x - middle).hypot(y - 100.0) < 45.0;
        let skin = if is_at(100.0) { skins[0] } else { skins[1].filter(|_| is_at(300.0)) };
        let shade = 0.75 + (index * 7919 % 251) as f32 / 1000.0;
        skin.unwrap_or([90, 110, 130]).map(|level| (f32::from(level) * shade) as u8)
    });
    RgbImage::new(400, 200, pixels.collect()).unwrap()
}

const LIGHT: [u8; 3] = [220, 170, 150];
const DARK: [u8; 3] = [110, 65, 45];

#[test]
fn two_people_who_change_places_in_one_shot_keep_their_tracks() {
    let (left, right) = (face(50.0, 50.0, 100.0), face(250.0, 50.0, 100.0));
    let mut people = People::new(Faces::All, SPEC, 1);
    let mut tracks = |time: f64, skins: [[u8; 3]; 2]| {
        let seen = people.push(time, &two_before_a_wall(skins.map(Some)), &[left, right]);
        let track = |wanted: Face| seen.iter().find(|sighting| sighting.face == wanted).unwrap().track;
        [track(left), track(right)]
    };
    let before = tracks(0.0, [LIGHT, DARK]);
    assert_eq!(tracks(1.0, [LIGHT, DARK]), before);
    let after = tracks(2.0, [DARK, LIGHT]);
    assert!(after[0] != before[0] && after[1] != before[1], "{before:?}, then {after:?}");
}

#[test]
fn who_takes_anothers_seat_in_the_same_room_begins_a_track() {
    let seat = face(50.0, 50.0, 100.0);
    let mut people = People::new(Faces::Largest, SPEC, 1);
    let mut track = |time: f64, skin: Option<[u8; 3]>| {
        let faces: &[Face] = if skin.is_some() { &[seat] } else { &[] };
        people.push(time, &two_before_a_wall([skin, None]), faces).first().map(|sighting| sighting.track)
    };
    assert_eq!(track(0.0, Some(LIGHT)), Some(0));
    assert_eq!(track(1.0, Some(LIGHT)), Some(0));
    assert_eq!(track(2.0, None), None);
    assert_eq!(track(3.0, Some(DARK)), Some(1));
    assert_eq!(track(4.0, Some(LIGHT)), Some(0), "who comes back goes on");
}
