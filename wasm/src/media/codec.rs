//! Codecs by the names that WebCodecs knows them by.

use std::fmt;

/// What a video is coded in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codec {
    /// Its name for people.
    pub name: String,
    /// Its name in WebCodecs with profile and level; `None` for one that no browser decodes.
    pub string: Option<String>,
    /// What the decoder has to know before the first frame, where that is not in the stream.
    pub description: Option<Vec<u8>>,
}

impl fmt::Display for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.string {
            Some(string) => write!(formatter, "{} ({string})", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

impl Codec {
    /// A codec that has no name in WebCodecs.
    pub(super) fn unknown(name: &str) -> Self {
        Self { name: name.to_owned(), string: None, description: None }
    }

    /// A codec by its name in WebCodecs. H.264 and H.265 have a container's description, unless the stream itself says what the
    /// decoder has to know, as that of others does.
    pub(super) fn named(string: String, description: Option<Vec<u8>>) -> Self {
        let (name, described) = match string.get(..4).unwrap_or(&string) {
            "avc1" | "avc3" => ("H.264", true),
            "hvc1" | "hev1" => ("H.265 (HEVC)", true),
            "av01" => ("AV1", false),
            "vp09" => ("VP9", false),
            _ => ("VP8", false),
        };
        Self { name: name.to_owned(), string: Some(string), description: description.filter(|_| described) }
    }

    /// A codec by Matroska's name for it, its private data, and the first bytes of its first frame.
    pub(super) fn matroska(id: &str, private: Option<&[u8]>, frame: &[u8]) -> Self {
        let bytes = private.unwrap_or_default();
        let string = match id {
            "V_MPEG4/ISO/AVC" => avc(bytes),
            "V_MPEGH/ISO/HEVC" => hevc(bytes),
            "V_AV1" => av1(bytes),
            "V_VP8" => Some("vp8".to_owned()),
            "V_VP9" => Some(vp9(frame)),
            _ => None,
        };
        string.map_or_else(|| Self::unknown(id), |string| Self::named(string, private.map(<[u8]>::to_vec)))
    }

    /// H.264 of this profile, these constraints and this level, between start codes.
    pub(super) fn h264([profile, constraints, level]: [u8; 3]) -> Self {
        Self::named(format!("avc1.{profile:02X}{constraints:02X}{level:02X}"), None)
    }

    /// VP8, VP9 or AV1 by the four letters that stand for it in IVF, and its first frame.
    pub(super) fn ivf(letters: [u8; 4], frame: &[u8]) -> Self {
        match &letters {
            b"VP80" => Self::named("vp8".to_owned(), None),
            b"VP90" => Self::named(vp9(frame), None),
            b"AV01" => {
                let string = super::av1::sequence(frame).map(|sequence| sequence.codec_string());
                string.map_or_else(|| Self::unknown("AV1"), |string| Self::named(string, None))
            }
            letters => Self::unknown(String::from_utf8_lossy(letters).trim()),
        }
    }
}

/// From an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3).
fn avc(record: &[u8]) -> Option<String> {
    let [_, profile, constraints, level, ..] = record else { return None };
    Some(format!("avc1.{profile:02X}{constraints:02X}{level:02X}"))
}

/// From an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3 and annex E.3).
fn hevc(record: &[u8]) -> Option<String> {
    let [_, general, a, b, c, d, constraints @ ..] = record else { return None };
    let (constraints, level) = (constraints.get(..6)?, constraints.get(6)?);
    let space = ["", "A", "B", "C"][usize::from(general >> 6)];
    let tier = if general & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([*a, *b, *c, *d]).reverse_bits();
    let mut string = format!("hvc1.{space}{}.{compatibility:X}.{tier}{level}", general & 0x1F);
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    constraints[..used].iter().for_each(|byte| string += &format!(".{byte:X}"));
    Some(string)
}

/// From an `AV1CodecConfigurationRecord` (AV1 in ISO BMFF, 2.3).
fn av1(record: &[u8]) -> Option<String> {
    let [_, profile_level, flags, ..] = record else { return None };
    let (profile, level) = (profile_level >> 5, profile_level & 0x1F);
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(format!("av01.{profile}.{level:02}{tier}.{depth:02}"))
}

/// From a frame's header (VP9 bitstream, 6.2): after the marker come the profile's low and high bit. Profiles 2 and 3
/// have 10 or 12 bits a channel; which, and the level, browsers do not ask about.
fn vp9(frame: &[u8]) -> String {
    let first = frame.first().copied().unwrap_or(0b1000_0000);
    let profile = ((first >> 5) & 1) | ((first >> 3) & 2);
    let depth = if profile < 2 { 8 } else { 10 };
    format!("vp09.{profile:02}.41.{depth:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_give_the_names_that_their_specifications_show() {
        assert_eq!(avc(&[1, 0x64, 0, 0x1F, 0xFF]).as_deref(), Some("avc1.64001F"));
        let main = [1, 1, 0x60, 0, 0, 0, 0xB0, 0, 0, 0, 0, 0, 93];
        assert_eq!(hevc(&main).as_deref(), Some("hvc1.1.6.L93.B0"));
        assert_eq!(av1(&[0x81, 0x04, 0x0C, 0]).as_deref(), Some("av01.0.04M.08"));
        assert_eq!(av1(&[0x81, 0x24, 0xCC, 0]).as_deref(), Some("av01.1.04H.10"));
        assert_eq!(vp9(&[0b1000_0010]), "vp09.00.41.08");
        assert_eq!(vp9(&[0b1001_0010]), "vp09.02.41.10");
    }

    #[test]
    fn records_that_are_too_short_name_no_codec() {
        assert_eq!(avc(&[1, 2, 3]), None);
        assert_eq!(hevc(&[1; 12]), None);
        assert_eq!(av1(&[]), None);
        assert_eq!(Codec::matroska("V_MPEG4/ISO/AVC", None, &[]).to_string(), "V_MPEG4/ISO/AVC");
    }

    #[test]
    fn only_codecs_without_it_in_the_stream_get_a_description() {
        let description = Some(vec![1, 0x42, 0xC0, 0x1E]);
        assert_eq!(Codec::named("vp09.00.41.08".into(), description.clone()).description, None);
        let codec = Codec::matroska("V_MPEG4/ISO/AVC", description.as_deref(), &[]);
        assert_eq!((codec.to_string().as_str(), codec.description), ("H.264 (avc1.42C01E)", description));
    }
}
