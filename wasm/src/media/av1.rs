//! What is read of AV1 (AV1 bitstream and decoding process, version 1.0.0): sequence headers, and what kind a frame is.

use super::Colours;
use super::bits::Bits;
use super::colours::RGB;

/// What the sequence header of AV1 says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sequence {
    profile: u32,
    level: u32,
    high_tier: bool,
    depth: u32,
    /// Width and height of the largest frame in pixels.
    pub(super) size: (usize, usize),
    pub(super) colours: Colours,
}

impl Sequence {
    /// The codec's name in WebCodecs.
    pub(super) fn codec_string(&self) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        format!("av01.{}.{:02}{tier}.{:02}", self.profile, self.level, self.depth)
    }
}

/// Kinds of units (6.2.2).
const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// From the sequence header among the units of a frame.
pub(super) fn sequence(frame: &[u8]) -> Option<Sequence> {
    units(frame).find(|(kind, _)| *kind == SEQUENCE_HEADER).and_then(|(_, unit)| sequence_header(unit))
}

/// Whether decoding can begin with a frame: it has the header of its sequence, and is a key frame that is shown (5.9.2).
pub(super) fn is_key(frame: &[u8]) -> bool {
    let is_shown_key = |(_, unit): (u8, &[u8])| unit.first().is_some_and(|first| first >> 4 == 0b0001);
    let first_frame = units(frame).find(|(kind, _)| [FRAME_HEADER, FRAME].contains(kind));
    sequence(frame).is_some() && first_frame.is_some_and(is_shown_key)
}

/// Units with their kinds, the last perhaps cut off (5.3).
fn units(mut frame: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let header = *frame.first()?;
        let (kind, is_extended, has_size) = (header >> 3 & 15, header & 4 != 0, header & 2 != 0);
        let rest = frame.get(if is_extended { 2 } else { 1 }..)?;
        let (size, rest) = if has_size { leb128(rest)? } else { (rest.len(), rest) };
        let (unit, after) = rest.split_at(size.min(rest.len()));
        frame = after;
        Some((kind, unit))
    })
}

/// A number in groups of seven bits, and what comes after it (4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let groups = bytes[..length].iter().enumerate();
    let number = groups.fold(0, |number, (index, byte)| number | usize::from(byte & 0x7F) << (7 * index));
    Some((number, &bytes[length..]))
}

/// `sequence_header_obu` and its `color_config` (5.5.1 and 5.5.2), up to the colours.
fn sequence_header(bytes: &[u8]) -> Option<Sequence> {
    let mut bits = Bits::new(bytes);
    let profile = bits.number(3)?;
    bits.skip(1)?;
    let is_still = bits.flag()?;
    let (level, high_tier) = if is_still { (bits.number(5)?, false) } else { first_operating_point(&mut bits)? };
    let (width_bits, height_bits) = (bits.number(4)? + 1, bits.number(4)? + 1);
    let size = (bits.number(width_bits)? as usize + 1, bits.number(height_bits)? as usize + 1);
    let has_frame_numbers = !is_still && bits.flag()?;
    bits.skip(if has_frame_numbers { 7 } else { 0 })?;
    bits.skip(3)?;
    if !is_still {
        skip_tools(&mut bits)?;
    }
    bits.skip(3)?;
    let is_deep = bits.flag()?;
    let is_deeper = profile == 2 && is_deep && bits.flag()?;
    let is_gray = profile != 1 && bits.flag()?;
    let is_described = bits.flag()?;
    let numbers = if is_described { Colours::numbers(&mut bits)? } else { Colours::default() };
    let is_rgb = !is_gray && numbers.matrix == Some(RGB);
    let colours = Colours { full_range: is_rgb || bits.flag()?, ..numbers };
    let depth = if is_deeper {
        12
    } else if is_deep {
        10
    } else {
        8
    };
    Some(Sequence { profile, level, high_tier, depth, size, colours })
}

/// Level and tier of the first operating point; the others are passed over.
fn first_operating_point(bits: &mut Bits<'_>) -> Option<(u32, bool)> {
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
    let mut first = None;
    for _ in 0..points {
        bits.skip(12)?;
        let level = bits.number(5)?;
        let high_tier = level > 7 && bits.flag()?;
        first = first.or(Some((level, high_tier)));
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if has_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    first
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
    fn headers_that_end_early_say_nothing() {
        assert_eq!(sequence(&[0x12, 0x00, 0x0A, 0x0B, 0x00]), None);
        assert_eq!(sequence(&[]), None);
        assert!(!is_key(&[0x12, 0x00, 0x32, 0x01, 0x10]));
    }
}
