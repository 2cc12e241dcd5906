//! How a stream's colours are coded, from its own headers. Browsers do not agree on what holds where a stream says only a
//! part of it, or nothing, so they are told what the native program takes.

use unmask_core::image::{Primaries, ToneMap, Transfer};
use unmask_core::pipeline::{Caveat, CaveatCode};

use super::bits::Bits;
use super::{Codec, av1, h264};

/// How colours are coded, by the numbers of ITU-T H.273 (8.1 to 8.3); `None` where a stream does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colours {
    /// The primaries.
    pub primaries: Option<u8>,
    /// The transfer function.
    pub transfer: Option<u8>,
    /// The matrix between YCbCr and RGB.
    pub matrix: Option<u8>,
    /// Whether all values of a byte are used, as in JPEG, and not those from 16 to 235.
    pub full_range: bool,
}

/// Numbers of ITU-T H.273 (table 4).
pub(super) const RGB: u8 = 0;
const BT709: u8 = 1;
const UNSPECIFIED: u8 = 2;
const BT470BG: u8 = 5;
const SMPTE170M: u8 = 6;
const SMPTE240M: u8 = 7;
/// Also the number of BT.2020's primaries.
const BT2020: u8 = 9;

/// Lines from which a video is taken to be in high definition, which BT.709 is for.
const HIGH_DEFINITION: usize = 720;

impl Colours {
    /// What a stream says, in the decoder's description or at the start of its first frame. `None` for codecs whose headers
    /// are not read here, or are not in these places.
    pub(super) fn read(codec: &Codec, frame: &[u8]) -> Option<Self> {
        match codec.name.as_str() {
            "H.264" => Some(h264::of_codec(codec)?.colours),
            "VP9" => vp9(frame),
            "AV1" => Some(av1::sequence(frame)?.colours),
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

    /// What makes pixels of standard range and BT.709's primaries of those of this stream, where they are others.
    pub fn tone_map(self) -> Option<ToneMap> {
        let (transfer, primaries) = self.light();
        ToneMap::new(transfer, primaries)
    }

    /// The caveat for pixels that have to be made so.
    pub fn caveat(self) -> Option<Caveat> {
        match self.light() {
            (Transfer::Standard, Primaries::Bt709) => None,
            (Transfer::Standard, Primaries::Bt2020) => {
                let words = "the video has wide colours (BT.2020) and was mapped to the usual ones";
                Some(Caveat::with_words(CaveatCode::ToneMapped, words))
            }
            (Transfer::Pq | Transfer::Hlg, _) => Some(CaveatCode::ToneMapped.into()),
        }
    }

    fn light(self) -> (Transfer, Primaries) {
        const PQ: u8 = 16;
        const HLG: u8 = 18;
        let transfer = match self.transfer {
            Some(PQ) => Transfer::Pq,
            Some(HLG) => Transfer::Hlg,
            _ => Transfer::Standard,
        };
        (transfer, if self.primaries == Some(BT2020) { Primaries::Bt2020 } else { Primaries::Bt709 })
    }

    /// Those with these numbers, of which the one for unspecified counts as none.
    pub(super) fn new([primaries, transfer, matrix]: [u8; 3], full_range: bool) -> Self {
        let [primaries, transfer, matrix] =
            [primaries, transfer, matrix].map(|number| Some(number).filter(|number| *number != UNSPECIFIED));
        Self { primaries, transfer, matrix, full_range }
    }

    /// Three numbers of eight bits each, in the order in which all headers have them.
    pub(super) fn numbers(bits: &mut Bits<'_>) -> Option<Self> {
        let mut number = || bits.number(8).map(|number| number as u8);
        Some(Self::new([number()?, number()?, number()?], false))
    }

    /// These, and where they say nothing `others`, which a container may.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            primaries: self.primaries.or(others.primaries),
            transfer: self.transfer.or(others.transfer),
            matrix: self.matrix.or(others.matrix),
            full_range: self.full_range || others.full_range,
        }
    }
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
        7 => return Some(Colours { matrix: Some(RGB), full_range: true, ..Colours::default() }),
        _ => return Some(Colours { full_range: bits.flag()?, ..Colours::default() }),
    };
    Some(Colours { matrix: Some(matrix), full_range: bits.flag()?, ..Colours::default() })
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
        let named = Colours { matrix: Some(BT2020), ..unnamed };
        assert_eq!(named.matrix_name(480), Some("bt2020-ncl"));
        assert_eq!(Colours { matrix: Some(SMPTE240M), ..unnamed }.matrix_name(480), None);
    }

    #[test]
    fn headers_that_end_early_say_nothing() {
        assert_eq!(vp9(&[0x82, 0x49]), None);
    }
}
