//! Bits of a codec's header, the most significant first.

/// A reader of bits. Past the end every method gives `None`.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// An unsigned number of up to 32 bits.
    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0u32, |number, _| Some(number << 1 | u32::from(self.flag()?)))
    }

    pub(super) fn skip(&mut self, bits: u32) -> Option<()> {
        (0..bits).try_for_each(|_| self.flag().map(drop))
    }

    /// An Exp-Golomb number, `ue(v)` of H.264 (9.1) and `uvlc()` of AV1 (4.10.3). Signed ones are as long.
    pub(super) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros >= 32 {
            return Some(u32::MAX);
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// A signed Exp-Golomb number, `se(v)` of H.264 (9.1.1).
    pub(super) fn signed_golomb(&mut self) -> Option<i32> {
        let code = i64::from(self.golomb()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code % 2 == 0 { -magnitude } else { magnitude }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_most_significant_bit() {
        let mut bits = Bits::new(&[0b1010_0110, 0b1000_0000]);
        assert_eq!((bits.flag(), bits.number(3), bits.number(5)), (Some(true), Some(0b010), Some(0b01101)));
        assert_eq!((bits.skip(7), bits.flag()), (Some(()), None));
    }

    #[test]
    fn golomb_numbers_are_those_of_the_standards_table() {
        // H.264, table 9-2: 1, 010, 011, 00100, 00101, and as signed numbers 0, 1, -1, 2, -2.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits::new(&bytes);
        assert_eq!([(); 5].map(|()| bits.golomb()), [0, 1, 2, 3, 4].map(Some));
        let mut bits = Bits::new(&bytes);
        assert_eq!([(); 5].map(|()| bits.signed_golomb()), [0, 1, -1, 2, -2].map(Some));
    }
}
