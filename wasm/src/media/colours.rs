//! How a stream's colours are coded, from its own headers. Browsers do not agree on what holds where a stream says only a
//! part of it, or nothing, so they are told what the native program takes.

use super::Codec;
use super::bits::Bits;

/// The matrix between YCbCr and RGB by its number in ITU-T H.273 (8.3), and the range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colours {
    /// `None` where the stream does not say.
    pub matrix: Option<u8>,
    /// Whether all values of a byte are used, as in JPEG, and not those from 16 to 235.
    pub full_range: bool,
}

/// Numbers of ITU-T H.273 (table 4).
const RGB: u8 = 0;
const BT709: u8 = 1;
const UNSPECIFIED: u8 = 2;
const BT470BG: u8 = 5;
const SMPTE170M: u8 = 6;
const SMPTE240M: u8 = 7;
const BT2020: u8 = 9;

/// Lines from which a video is taken to be in high definition, which BT.709 is for.
const HIGH_DEFINITION: usize = 720;

impl Colours {
    /// What a stream says, in the decoder's description or at the start of its first frame. `None` for codecs whose headers
    /// are not read here, or are not in these places.
    pub(super) fn read(codec: &Codec, frame: &[u8]) -> Option<Self> {
        match codec.name.as_str() {
            "H.264" => avc(codec.description.as_deref()?),
            "VP9" => vp9(frame),
            "AV1" => av1(frame),
            "VP8" => Some(Self::default()),
            _ => None,
        }
    }

    /// The matrix's name in WebCodecs. Where the stream names none it is BT.709 from 720 lines up, else BT.601, as in the
    /// native program; in full range BT.601, which JPEG has. `None` for one that WebCodecs has no name for.
    pub fn matrix_name(self, lines: usize) -> Option<&'static str> {
        let high_definition = lines >= HIGH_DEFINITION && !self.full_range;
        match self.matrix.unwrap_or(if high_definition { BT709 } else { SMPTE170M }) {
            RGB => Some("rgb"),
            BT709 => Some("bt709"),
            BT470BG => Some("bt470bg"),
            SMPTE170M => Some("smpte170m"),
            BT2020 => Some("bt2020-ncl"),
            _ => None,
        }
    }

    fn new(matrix: u32, full_range: bool) -> Self {
        let matrix = u8::try_from(matrix).ok().filter(|matrix| *matrix != UNSPECIFIED);
        Self { matrix, full_range }
    }
}

/// From the first sequence parameter set in an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3).
fn avc(record: &[u8]) -> Option<Colours> {
    let length = u16::from_be_bytes([*record.get(6)?, *record.get(7)?]);
    let unit = record.get(8..8 + usize::from(length))?;
    sequence_parameters(&without_emulation_prevention(unit))
}

/// The bytes without those that only keep start codes out of them (H.264, 7.4.1).
fn without_emulation_prevention(unit: &[u8]) -> Vec<u8> {
    let needed = |(index, byte): &(usize, &u8)| !(**byte == 3 && unit[..*index].ends_with(&[0, 0]));
    unit.iter().enumerate().filter(needed).map(|(_, byte)| *byte).collect()
}

/// Profiles whose parameter sets tell the chroma format (H.264, 7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// `seq_parameter_set_rbsp` and its `vui_parameters` (H.264, 7.3.2.1.1 and E.1.1), up to the colours.
fn sequence_parameters(unit: &[u8]) -> Option<Colours> {
    let mut bits = Bits::new(unit.get(1..)?);
    let profile = bits.number(8)?;
    bits.skip(16)?;
    bits.golomb()?;
    if HIGH_PROFILES.contains(&profile) {
        skip_chroma_format(&mut bits)?;
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => drop(bits.golomb()?),
        1 => {
            bits.skip(1)?;
            (0..2).try_for_each(|_| bits.golomb().map(drop))?;
            let cycle = bits.golomb()?;
            (0..cycle).try_for_each(|_| bits.golomb().map(drop))?;
        }
        _ => {}
    }
    bits.golomb()?;
    bits.skip(1)?;
    (0..2).try_for_each(|_| bits.golomb().map(drop))?;
    let frames_only = bits.flag()?;
    bits.skip(if frames_only { 1 } else { 2 })?;
    let cropped = bits.flag()?;
    (0..if cropped { 4 } else { 0 }).try_for_each(|_| bits.golomb().map(drop))?;
    let has_usability_information = bits.flag()?;
    if !has_usability_information {
        return Some(Colours::default());
    }
    usability_information(&mut bits)
}

fn usability_information(bits: &mut Bits<'_>) -> Option<Colours> {
    const EXTENDED_ASPECT: u32 = 255;
    if bits.flag()? && bits.number(8)? == EXTENDED_ASPECT {
        bits.skip(32)?;
    }
    let overscan_is_told = bits.flag()?;
    bits.skip(u32::from(overscan_is_told))?;
    let has_signal_type = bits.flag()?;
    if !has_signal_type {
        return Some(Colours::default());
    }
    bits.skip(3)?;
    let full_range = bits.flag()?;
    let is_described = bits.flag()?;
    bits.skip(if is_described { 16 } else { 0 })?;
    let matrix = if is_described { bits.number(8)? } else { UNSPECIFIED.into() };
    Some(Colours::new(matrix, full_range))
}

fn skip_chroma_format(bits: &mut Bits<'_>) -> Option<()> {
    const FULL_CHROMA: u32 = 3;
    let format = bits.golomb()?;
    bits.skip(u32::from(format == FULL_CHROMA))?;
    (0..2).try_for_each(|_| bits.golomb().map(drop))?;
    bits.skip(1)?;
    let has_scaling = bits.flag()?;
    let lists = if format == FULL_CHROMA { 12 } else { 8 };
    (0..if has_scaling { lists } else { 0 }).try_for_each(|list| {
        let present = bits.flag()?;
        if present { skip_scaling_list(bits, if list < 6 { 16 } else { 64 }) } else { Some(()) }
    })
}

/// `scaling_list` (H.264, 7.3.2.1.1.1): it ends early at a scale of zero.
fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let mut scale = 8;
    for _ in 0..size {
        scale = (scale + bits.signed_golomb()?).rem_euclid(256);
        if scale == 0 {
            break;
        }
    }
    Some(())
}

/// From the header of a key frame (VP9 bitstream, 6.2 and 7.2.2).
fn vp9(frame: &[u8]) -> Option<Colours> {
    const SYNC: u32 = 0x49_8342;
    let mut bits = Bits::new(frame);
    bits.skip(2)?;
    let profile = u32::from(bits.flag()?) + 2 * u32::from(bits.flag()?);
    bits.skip(u32::from(profile == 3))?;
    let shows_another = bits.flag()?;
    let refers_to_others = bits.flag()?;
    bits.skip(2)?;
    if shows_another || refers_to_others || bits.number(24)? != SYNC {
        return None;
    }
    bits.skip(u32::from(profile >= 2))?;
    let matrix = match bits.number(3)? {
        1 => BT470BG,
        2 => BT709,
        3 => SMPTE170M,
        4 => SMPTE240M,
        5 => BT2020,
        7 => return Some(Colours::new(RGB.into(), true)),
        _ => UNSPECIFIED,
    };
    Some(Colours::new(matrix.into(), bits.flag()?))
}

/// From the sequence header among the first units of a frame (AV1 bitstream, 5.3).
fn av1(mut frame: &[u8]) -> Option<Colours> {
    const SEQUENCE_HEADER: u8 = 1;
    loop {
        let header = *frame.first()?;
        let (kind, is_extended, has_size) = (header >> 3 & 15, header & 4 != 0, header & 2 != 0);
        let rest = frame.get(if is_extended { 2 } else { 1 }..)?;
        let (size, rest) = if has_size { leb128(rest)? } else { (rest.len(), rest) };
        if kind == SEQUENCE_HEADER {
            return sequence_header(rest);
        }
        frame = rest.get(size..)?;
    }
}

/// A number in groups of seven bits, and what comes after it (AV1 bitstream, 4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let groups = bytes[..length].iter().enumerate();
    let number = groups.fold(0, |number, (index, byte)| number | usize::from(byte & 0x7F) << (7 * index));
    Some((number, &bytes[length..]))
}

/// `sequence_header_obu` and its `color_config` (AV1 bitstream, 5.5.1 and 5.5.2), up to the colours.
fn sequence_header(bytes: &[u8]) -> Option<Colours> {
    let mut bits = Bits::new(bytes);
    let profile = bits.number(3)?;
    bits.skip(1)?;
    let is_still = bits.flag()?;
    if is_still {
        bits.skip(5)?
    } else {
        skip_operating_points(&mut bits)?
    }
    let (width_bits, height_bits) = (bits.number(4)? + 1, bits.number(4)? + 1);
    bits.skip(width_bits + height_bits)?;
    let has_frame_numbers = !is_still && bits.flag()?;
    bits.skip(if has_frame_numbers { 7 } else { 0 })?;
    bits.skip(3)?;
    if !is_still {
        skip_tools(&mut bits)?;
    }
    bits.skip(3)?;
    let is_deep = bits.flag()?;
    bits.skip(u32::from(profile == 2 && is_deep))?;
    let is_gray = profile != 1 && bits.flag()?;
    let is_described = bits.flag()?;
    bits.skip(if is_described { 16 } else { 0 })?;
    let matrix = if is_described { bits.number(8)? } else { UNSPECIFIED.into() };
    let is_rgb = !is_gray && matrix == u32::from(RGB);
    Some(Colours::new(matrix, is_rgb || bits.flag()?))
}

fn skip_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.golomb()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.number(5)? + 1);
            bits.skip(42)?;
        }
    }
    let has_display_delay = bits.flag()?;
    let points = bits.number(5)? + 1;
    for _ in 0..points {
        bits.skip(12)?;
        let has_tier = bits.number(5)? > 7;
        bits.skip(u32::from(has_tier))?;
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if has_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

fn skip_tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?;
    let orders_frames = bits.flag()?;
    bits.skip(if orders_frames { 2 } else { 0 })?;
    let chooses_screen_tools = bits.flag()?;
    let has_screen_tools = chooses_screen_tools || bits.flag()?;
    if has_screen_tools {
        let chooses_vectors = bits.flag()?;
        bits.skip(u32::from(!chooses_vectors))?;
    }
    bits.skip(if orders_frames { 3 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_the_matrix_follows_the_number_of_lines() {
        let unnamed = Colours::default();
        assert_eq!((unnamed.matrix_name(719), unnamed.matrix_name(720)), (Some("smpte170m"), Some("bt709")));
        let full = Colours { full_range: true, ..unnamed };
        assert_eq!(full.matrix_name(1080), Some("smpte170m"));
        let named = Colours { matrix: Some(BT2020), full_range: false };
        assert_eq!(named.matrix_name(480), Some("bt2020-ncl"));
        assert_eq!(Colours { matrix: Some(SMPTE240M), full_range: false }.matrix_name(480), None);
    }

    #[test]
    fn headers_that_end_early_say_nothing() {
        assert_eq!(avc(&[1, 100, 0, 30, 0xFF, 0xE1, 0, 9, 0x67]), None);
        assert_eq!(vp9(&[0x82, 0x49]), None);
        assert_eq!(av1(&[0x12, 0x00, 0x0A, 0x0B, 0x00]), None);
        assert_eq!(av1(&[]), None);
    }

    #[test]
    fn bytes_against_start_codes_are_left_out() {
        assert_eq!(without_emulation_prevention(&[0x67, 0, 0, 3, 1, 3, 0, 3]), [0x67, 0, 0, 1, 3, 0, 3]);
        assert_eq!(without_emulation_prevention(&[0, 0, 3, 0, 0, 3, 1]), [0, 0, 0, 0, 1]);
    }
}
