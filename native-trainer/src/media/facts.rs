//! What a file says of itself, as ffprobe and its container have it: facts, of which nothing is concluded.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::content::{self, Content};
use super::edits;
use super::programs::Programs;

/// Streams that are described.
const MAX_STREAMS: usize = 32;
/// Tags of a file or of a stream that are kept, and characters of each.
const MAX_TAGS: usize = 64;
const MAX_TEXT: usize = 300;

/// What a file is made of. What is absent is not known, or not stated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaFacts {
    /// ffmpeg's names of the container.
    pub container: String,
    /// Length in seconds, as the file states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// Bits a second, over the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u64>,
    /// What the container says in words: brands, encoder, time of creation, device.
    pub tags: BTreeMap<String, String>,
    /// Of each track of an MP4 or QuickTime file that has an edit list, how many edits it holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edit_lists: Vec<u32>,
    /// Its streams in order.
    pub streams: Vec<StreamFacts>,
    /// Further streams, which are not described.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_streams: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What a stream is. Names are ffmpeg's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamFacts {
    /// `video`, `audio`, `subtitle`, `data` or `attachment`.
    pub kind: String,
    /// Whether it is a cover or a thumbnail.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_cover: bool,
    /// Names and figures: codec, profile, pixel format, colours, bit rate and so on.
    pub facts: BTreeMap<String, String>,
    /// Width and height in pixels as coded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[u64; 2]>,
    /// Packets, which are frames in most codecs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Degrees by which players turn the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<f64>,
    /// What it says in words: encoder, handler, language, time of creation.
    pub tags: BTreeMap<String, String>,
}

/// Entries of ffprobe's that are kept as they are.
const KEPT: [&str; 16] = [
    "codec_name",
    "profile",
    "codec_tag_string",
    "pix_fmt",
    "color_range",
    "color_space",
    "color_transfer",
    "color_primaries",
    "field_order",
    "sample_aspect_ratio",
    "avg_frame_rate",
    "r_frame_rate",
    "bit_rate",
    "duration",
    "sample_rate",
    "channels",
];

/// What ffprobe writes where it, or the file, knows nothing.
const NOTHING: [&str; 5] = ["unknown", "reserved", "N/A", "0/0", "[0][0][0][0]"];

/// Describes the file at `path`, which is read once to its end. The error is a sentence without the file's name.
pub fn facts(path: &Path) -> Result<MediaFacts, String> {
    let content = content::of(path).map_err(|error| error.to_string())?;
    let demuxer = (content == Content::MotionJpeg).then_some("mjpeg");
    let arguments = ["-count_packets", "-show_format", "-show_streams", "-of", "json"];
    let output = Programs::from_environment().ffprobe(path, demuxer, &arguments).map_err(|error| error.to_string())?;
    let described: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if described["format"]["format_name"].as_str().is_none_or(str::is_empty) {
        return Err("ffprobe does not say what the file is".to_owned());
    }
    // A file that cannot be read here is one that ffprobe did read: nothing is known of its edits.
    let edit_lists =
        if content == Content::IsoMedia { edits::edit_lists(path).unwrap_or_default() } else { Vec::new() };
    Ok(MediaFacts { edit_lists, ..of_probe(&described) })
}

fn of_probe(described: &Value) -> MediaFacts {
    let format = &described["format"];
    let streams = described["streams"].as_array().map(Vec::as_slice).unwrap_or_default();
    MediaFacts {
        container: text(&format["format_name"]).unwrap_or_default(),
        duration_s: number(&format["duration"]),
        bit_rate: number(&format["bit_rate"]),
        tags: tags(&format["tags"]),
        edit_lists: Vec::new(),
        streams: streams.iter().take(MAX_STREAMS).map(stream).collect(),
        more_streams: streams.len().saturating_sub(MAX_STREAMS),
    }
}

fn stream(described: &Value) -> StreamFacts {
    let disposition = |name: &str| described["disposition"][name].as_u64() == Some(1);
    let kept = |name: &&str| {
        let said = text(&described[*name]).filter(|said| !NOTHING.contains(&said.as_str()));
        Some(((*name).to_owned(), said?))
    };
    let side_data = described["side_data_list"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_tag = || number(&described["tags"]["rotate"]).map(|degrees: f64| -degrees);
    let rotation = side_data.iter().find_map(|data| data["rotation"].as_f64()).or_else(of_tag);
    StreamFacts {
        kind: text(&described["codec_type"]).unwrap_or_else(|| "unknown".to_owned()),
        is_cover: disposition("attached_pic") || disposition("timed_thumbnails"),
        facts: KEPT.iter().filter_map(kept).collect(),
        size: described["width"].as_u64().zip(described["height"].as_u64()).map(<[u64; 2]>::from),
        packets: number(&described["nb_read_packets"]),
        // Counter-clockwise in ffprobe's words.
        rotation: rotation.map(|degrees| -degrees).filter(|degrees| *degrees != 0.0),
        tags: tags(&described["tags"]),
    }
}

fn tags(described: &Value) -> BTreeMap<String, String> {
    let entries = described.as_object().into_iter().flatten().take(MAX_TAGS);
    let said = |value: &Value| text(value).filter(|said| !NOTHING.contains(&said.as_str()));
    entries.filter_map(|(name, value)| Some((clipped(name), said(value)?))).collect()
}

/// A text or a number as ffprobe wrote it, within bounds.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(clipped(text)).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn number<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str().and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_clip_is_described_by_what_its_file_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/fake.mp4");
        let facts = facts(&path).unwrap();
        assert!(facts.container.contains("mp4") && facts.duration_s == Some(4.0), "{facts:?}");
        assert_eq!(facts.tags["major_brand"], "isom");
        let [video] = &facts.streams[..] else { panic!("one stream and no sound: {facts:?}") };
        assert_eq!((video.kind.as_str(), video.packets, video.size), ("video", Some(100), Some([480, 480])));
        let named = ["codec_name", "profile", "pix_fmt", "avg_frame_rate"].map(|name| video.facts[name].as_str());
        assert_eq!(named, ["h264", "High", "yuv420p", "25/1"]);
        assert_eq!(video.tags["encoder"], "Lavc libx264");
        assert!(!video.facts.contains_key("color_space"), "what is not stated is absent");
        // ffmpeg writes an edit list that makes up for the reordering of frames.
        assert_eq!(facts.edit_lists, [1]);
    }

    #[test]
    fn what_a_file_says_is_kept_within_bounds() {
        let long = "ä".repeat(5000);
        let many: serde_json::Map<String, Value> =
            (0..500).map(|index| (format!("tag {index:03}"), Value::from(long.clone()))).collect();
        let streams = vec![serde_json::json!({ "codec_type": "data", "tags": many.clone() }); 100];
        let facts = of_probe(&serde_json::json!({ "format": { "tags": many }, "streams": streams }));
        assert_eq!((facts.streams.len(), facts.more_streams, facts.tags.len()), (MAX_STREAMS, 68, MAX_TAGS));
        assert!(facts.tags.values().all(|text| text.chars().count() == MAX_TEXT + 1));
    }

    #[test]
    fn rotation_is_clockwise_from_either_source() {
        let matrix = serde_json::json!({ "side_data_list": [{ "rotation": -90 }] });
        let tag = serde_json::json!({ "tags": { "rotate": "90" } });
        assert_eq!([matrix, tag].map(|described| stream(&described).rotation), [Some(90.0), Some(90.0)]);
    }

    #[test]
    fn what_is_no_media_has_no_facts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "to do: everything").unwrap();
        assert!(facts(file.path()).is_err());
    }
}
