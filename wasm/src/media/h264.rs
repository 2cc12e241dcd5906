//! What is read of H.264 (ITU-T H.264): sequence parameter sets, and units between start codes.

use super::bits::Bits;
use super::{Codec, Colours};

/// What a sequence parameter set says (7.3.2.1.1 and E.1.1).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SequenceParameters {
    /// Profile, constraints and level, as the codec's name in WebCodecs has them.
    pub(super) profile: [u8; 3],
    /// Width of the frame that is shown, in pixels.
    pub(super) width: usize,
    /// Its height.
    pub(super) height: usize,
    /// How wide a pixel is to its height, where that is said.
    pub(super) aspect: Option<f64>,
    /// Whether frames may be woven of two fields.
    pub(super) interlaced: bool,
    /// Bits of a frame's number in the header of a slice.
    frame_number_bits: u32,
    /// Whether each colour is coded like a picture of its own.
    separate_colours: bool,
    /// How colours are coded, as far as that is said.
    pub(super) colours: Colours,
}

/// Kinds of units (table 7-1).
const SLICE: u8 = 1;
const KEY_SLICE: u8 = 5;
const SUPPLEMENT: u8 = 6;
const SEQUENCE_PARAMETERS: u8 = 7;

/// The supplement (table D.1) by which broadcasts and open groups of pictures say that decoding can begin, without resetting the
/// decoder.
const RECOVERY_POINT: u32 = 6;

/// Pixel shapes by their number in table E-1, from 1 on.
const ASPECTS: [(u16, u16); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Profiles whose parameter sets tell the chroma format (7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// What the decoder's description says, of a codec that is H.264 and has one.
pub(super) fn of_codec(codec: &Codec) -> Option<SequenceParameters> {
    let record = codec.description.as_deref().filter(|_| codec.name == "H.264");
    record.and_then(of_record)
}

/// From the first sequence parameter set in an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3).
fn of_record(record: &[u8]) -> Option<SequenceParameters> {
    let length = u16::from_be_bytes([*record.get(6)?, *record.get(7)?]);
    sequence_parameters(record.get(8..8 + usize::from(length))?)
}

/// What the units at the start of an access unit between start codes (annex B) say.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// The first sequence parameter set among them.
    pub(super) parameters: Option<SequenceParameters>,
    /// Whether decoders can begin with the picture: it resets them, or is a recovery point that comes with its parameters.
    pub(super) key: bool,
    /// The frame's number and which of its fields the first slice is of, where it is of one alone.
    pub(super) field: Option<(u32, Field)>,
}

/// Reads units until the first slice. `known` is the last set of parameters before them.
pub(super) fn start_of_access_unit(bytes: &[u8], known: Option<&SequenceParameters>) -> Start {
    let mut start = Start::default();
    let mut recovers = false;
    for unit in units(bytes) {
        let kind = unit.first().map_or(0, |header| header & 0x1F);
        match kind {
            SEQUENCE_PARAMETERS if start.parameters.is_none() => start.parameters = sequence_parameters(unit),
            SUPPLEMENT => recovers |= recovers_at_once(unit).unwrap_or(false),
            SLICE..=KEY_SLICE => {
                start.key = kind == KEY_SLICE || recovers && start.parameters.is_some();
                start.field = start.parameters.as_ref().or(known).and_then(|parameters| field(unit, parameters));
                break;
            }
            _ => {}
        }
    }
    start
}

/// Whether supplements (7.3.2.3) say that the picture, and each that is shown after it, can be decoded without those before
/// (D.1.8): where it takes several pictures until then, the stream refreshes bit by bit.
fn recovers_at_once(unit: &[u8]) -> Option<bool> {
    let bytes = without_emulation_prevention(unit);
    let mut rest = bytes.get(1..)?;
    // What is left at the end is a marking bit.
    while rest.len() > 2 {
        let kind = sum_of_bytes(&mut rest)?;
        let size = sum_of_bytes(&mut rest)? as usize;
        if kind == RECOVERY_POINT {
            return Some(Bits::new(rest.get(..size)?).golomb()? == 0);
        }
        rest = rest.get(size..)?;
    }
    Some(false)
}

/// A number as bytes that are added up, of which the first below 255 is the last; takes them away.
fn sum_of_bytes(bytes: &mut &[u8]) -> Option<u32> {
    let mut sum = 0;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        sum += u32::from(*byte);
        if *byte < 255 {
            return Some(sum);
        }
    }
}

/// The number of its frame and the field that a slice is of (7.3.3), if it is of one alone.
fn field(slice: &[u8], parameters: &SequenceParameters) -> Option<(u32, Field)> {
    const HEADER: usize = 32;
    let bytes = without_emulation_prevention(&slice[..slice.len().min(HEADER)]);
    let mut bits = Bits::new(bytes.get(1..)?);
    (0..3).try_for_each(|_| bits.golomb().map(drop))?;
    bits.skip(if parameters.separate_colours { 2 } else { 0 })?;
    let number = bits.number(parameters.frame_number_bits)?;
    let is_field = parameters.interlaced && bits.flag()?;
    if !is_field {
        return None;
    }
    Some((number, if bits.flag()? { Field::Bottom } else { Field::Top }))
}

/// The units between start codes.
fn units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<usize> =
        bytes.windows(3).enumerate().filter(|(_, code)| *code == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]).collect::<Vec<_>>();
    starts.into_iter().zip(ends).map(|(start, end)| &bytes[start + 3..end])
}

/// Which field of a frame a slice is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Top,
    Bottom,
}

/// The bytes without those that only keep start codes out of them (7.4.1).
pub(super) fn without_emulation_prevention(unit: &[u8]) -> Vec<u8> {
    let needed = |(index, byte): &(usize, &u8)| !(**byte == 3 && unit[..*index].ends_with(&[0, 0]));
    unit.iter().enumerate().filter(needed).map(|(_, byte)| *byte).collect()
}

/// `seq_parameter_set_rbsp` (7.3.2.1.1), given as a unit with its header.
fn sequence_parameters(unit: &[u8]) -> Option<SequenceParameters> {
    let bytes = without_emulation_prevention(unit);
    let profile = *bytes.get(1..4)?.first_chunk()?;
    let mut bits = Bits::new(&bytes[1..]);
    bits.skip(24)?;
    bits.golomb()?;
    let is_high = HIGH_PROFILES.contains(&profile[0].into());
    let (chroma, separate_colours) = if is_high { chroma_format(&mut bits)? } else { (1, false) };
    let frame_number_bits = bits.golomb()?.checked_add(4)?;
    skip_picture_order(&mut bits)?;
    bits.golomb()?;
    bits.skip(1)?;
    let (columns, rows) = (bits.golomb()? as usize + 1, bits.golomb()? as usize + 1);
    let interlaced = !bits.flag()?;
    bits.skip(if interlaced { 2 } else { 1 })?;
    let lines = if interlaced { 2 } else { 1 };
    let cropped = if bits.flag()? { [(); 4].map(|()| bits.golomb()) } else { [Some(0); 4] };
    let [left, right, top, bottom] = cropped.map(|side| side.map(|side| side as usize));
    let (across, down) = match chroma {
        1 => (2, 2 * lines),
        2 => (2, lines),
        _ => (1, lines),
    };
    let shown = |blocks: usize, first: usize, second: usize, unit: usize| {
        blocks.checked_mul(16)?.checked_sub(first.checked_add(second)?.checked_mul(unit)?)
    };
    let (aspect, colours) = if bits.flag()? { usability_information(&mut bits)? } else { Default::default() };
    Some(SequenceParameters {
        profile,
        width: shown(columns, left?, right?, across)?,
        height: shown(rows.checked_mul(lines)?, top?, bottom?, down)?,
        aspect,
        interlaced,
        frame_number_bits,
        separate_colours,
        colours,
    })
}

fn skip_picture_order(bits: &mut Bits<'_>) -> Option<()> {
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
    Some(())
}

/// Pixel shape and colours of `vui_parameters` (E.1.1).
fn usability_information(bits: &mut Bits<'_>) -> Option<(Option<f64>, Colours)> {
    let has_aspect = bits.flag()?;
    let aspect = if has_aspect { pixel_aspect(bits)? } else { None };
    let overscan_is_told = bits.flag()?;
    bits.skip(u32::from(overscan_is_told))?;
    let has_signal_type = bits.flag()?;
    if !has_signal_type {
        return Some((aspect, Colours::default()));
    }
    bits.skip(3)?;
    let full_range = bits.flag()?;
    let is_described = bits.flag()?;
    let numbers = if is_described { Colours::numbers(bits)? } else { Colours::default() };
    Some((aspect, Colours { full_range, ..numbers }))
}

fn pixel_aspect(bits: &mut Bits<'_>) -> Option<Option<f64>> {
    const EXTENDED: u32 = 255;
    let (width, height) = match bits.number(8)? {
        EXTENDED => (bits.number(16)?, bits.number(16)?),
        number => {
            let known = (number as usize).checked_sub(1).and_then(|index| ASPECTS.get(index));
            known.map_or((0, 0), |(width, height)| (u32::from(*width), u32::from(*height)))
        }
    };
    Some((width > 0 && height > 0).then(|| f64::from(width) / f64::from(height)))
}

/// The chroma format, and whether each colour is coded by itself.
fn chroma_format(bits: &mut Bits<'_>) -> Option<(u32, bool)> {
    const FULL_CHROMA: u32 = 3;
    let format = bits.golomb()?;
    let separate = format == FULL_CHROMA && bits.flag()?;
    (0..2).try_for_each(|_| bits.golomb().map(drop))?;
    bits.skip(1)?;
    let has_scaling = bits.flag()?;
    let lists = if format == FULL_CHROMA { 12 } else { 8 };
    (0..if has_scaling { lists } else { 0 }).try_for_each(|list| {
        let present = bits.flag()?;
        if present { skip_scaling_list(bits, if list < 6 { 16 } else { 64 }) } else { Some(()) }
    })?;
    Some((format, separate))
}

/// `scaling_list` (7.3.2.1.1.1): it ends early at a scale of zero.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_end_early_say_nothing() {
        assert_eq!(of_record(&[1, 100, 0, 30, 0xFF, 0xE1, 0, 9, 0x67]), None);
        assert_eq!(of_record(&[]), None);
        assert_eq!(sequence_parameters(&[0x67, 66, 0, 30]), None);
    }

    #[test]
    fn bytes_against_start_codes_are_left_out() {
        assert_eq!(without_emulation_prevention(&[0x67, 0, 0, 3, 1, 3, 0, 3]), [0x67, 0, 0, 1, 3, 0, 3]);
        assert_eq!(without_emulation_prevention(&[0, 0, 3, 0, 0, 3, 1]), [0, 0, 0, 0, 1]);
    }

    #[test]
    fn decoding_begins_at_a_key_slice() {
        let key = |bytes: &[u8]| start_of_access_unit(bytes, None).key;
        assert!(key(&[0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x65, 0x88]));
        assert!(!key(&[0, 0, 1, 9, 0x30, 0, 0, 1, 0x41, 0x9A]));
        assert!(!key(&[0, 0, 1, 9, 0x30]));
    }

    #[test]
    fn decoding_begins_at_a_recovery_point_that_has_its_parameters() {
        let set = [0, 0, 1, 0x67, 66, 0, 30, 0xF8, 0x0F, 0x02, 0x80];
        let slice = [0, 0, 1, 0x41, 0x9A];
        // Another supplement of two bytes before it; then one of one byte: 0 pictures until recovery, or 1.
        let supplement = |count: u8| [0, 0, 1, 6, 5, 2, 9, 9, 6, 1, count, 0x80];
        let key = |units: &[&[u8]]| start_of_access_unit(&units.concat(), None).key;
        assert!(key(&[&set, &supplement(0x84), &slice]));
        assert!(!key(&[&set, &supplement(0x44), &slice]), "it takes until the next picture");
        assert!(!key(&[&supplement(0x84), &slice]), "parameters are missing");
        assert!(!key(&[&set, &[0, 0, 1, 6, 6, 200, 0x84, 0x80], &slice]), "the supplement ends early");
    }

    #[test]
    fn a_slice_of_one_field_says_which_and_of_which_frame() {
        let mut parameters = SequenceParameters {
            profile: [100, 0, 40],
            width: 1920,
            height: 1080,
            aspect: None,
            interlaced: true,
            frame_number_bits: 4,
            separate_colours: false,
            colours: Colours::default(),
        };
        // First macroblock 0, slice type 2, parameter set 0; frame number 5; a field; the bottom one.
        let slice = [0, 0, 1, 0x41, 0b1011_1010, 0b1110_0000];
        let field = |parameters: &SequenceParameters| start_of_access_unit(&slice, Some(parameters)).field;
        assert_eq!(field(&parameters), Some((5, Field::Bottom)));
        parameters.interlaced = false;
        assert_eq!(field(&parameters), None);
    }
}
