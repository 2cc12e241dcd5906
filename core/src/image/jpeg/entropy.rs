//! Huffman codes (ITU-T T.81, annexes C and F.2.2) and the bits that they are read from, up to the next marker.

use std::io::{self, BufRead};
use std::vec;
use std::vec::Vec;

/// Why reading coded data stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// The data cannot be what an encoder wrote, for this reason.
    Flaw(&'static str),
    /// They could not be read.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Codes up to this length are looked up, longer ones searched.
const SHORT: u32 = 9;

/// A table of Huffman codes.
#[derive(Clone, Debug)]
pub(super) struct Huffman {
    /// By the next [`SHORT`] bits: the length of the code that they begin with and its symbol; length 0 for longer
    /// ones.
    short: Vec<(u8, u8)>,
    /// For each length 1 to 16: the first code, the number of codes, and where their symbols begin.
    lengths: [(u32, u32, usize); 16],
    symbols: Vec<u8>,
}

impl Huffman {
    /// The table of these numbers of codes for each length; none where they are more than there can be.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self { short: vec![(0, 0); 1 << SHORT], lengths: [(0, 0, 0); 16], symbols: symbols.to_vec() };
        let (mut code, mut start) = (0, 0);
        for (length, count) in (1..).zip(counts) {
            let count = u32::from(*count);
            if code + count > 1 << length {
                return None;
            }
            table.lengths[length as usize - 1] = (code, count, start);
            for symbol in symbols.get(start..start + count as usize)? {
                if length <= SHORT {
                    let first = (code << (SHORT - length)) as usize;
                    table.short[first..first + (1 << (SHORT - length))].fill((length as u8, *symbol));
                }
                code += 1;
            }
            start += count as usize;
            code <<= 1;
        }
        Some(table)
    }

    /// The length and the symbol of the code that 16 bits begin with; none where no code does.
    fn find(&self, bits: u32) -> Option<(u32, u8)> {
        let (length, symbol) = self.short[(bits >> (16 - SHORT)) as usize];
        if length > 0 {
            return Some((length.into(), symbol));
        }
        (SHORT + 1..=16).find_map(|length| {
            let (first, count, start) = self.lengths[length as usize - 1];
            let place = (bits >> (16 - length)).checked_sub(first).filter(|place| *place < count)?;
            Some((length, *self.symbols.get(start + place as usize)?))
        })
    }
}

/// Zero bytes before a marker that count as filling: hardware encoders end on whole words.
const FILLING: usize = 16;

/// The bits of coded data, without the zeros stuffed after 0xFF.
pub(super) struct Bits<'a, R> {
    reader: &'a mut R,
    /// Bits that were read and not taken, the next one highest.
    held: u64,
    count: u32,
    /// The marker that ends the data, once it was met.
    marker: Option<u8>,
    ended: bool,
}

impl<'a, R: BufRead> Bits<'a, R> {
    pub(super) fn new(reader: &'a mut R) -> Self {
        Self { reader, held: 0, count: 0, marker: None, ended: false }
    }

    /// The next byte of data; none at a marker and at the end.
    fn byte(&mut self) -> io::Result<Option<u8>> {
        if self.ended {
            return Ok(None);
        }
        let first = super::byte(self.reader)?;
        if first != Some(0xFF) {
            self.ended = first.is_none();
            return Ok(first);
        }
        loop {
            match super::byte(self.reader)? {
                Some(0xFF) => {}
                Some(0) => return Ok(Some(0xFF)),
                marker => {
                    (self.marker, self.ended) = (marker, true);
                    return Ok(None);
                }
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.count <= 56 {
            let Some(byte) = self.byte()? else { break };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        Ok(())
    }

    fn skip(&mut self, count: u32) -> Result<(), Stop> {
        self.count = self.count.checked_sub(count).ok_or(Stop::Flaw("its data end before its last row"))?;
        self.held <<= count;
        Ok(())
    }

    /// The next `count` bits, up to 16, as a number.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, Stop> {
        if count == 0 {
            return Ok(0);
        }
        if self.count < count {
            self.fill()?;
        }
        let bits = (self.held >> (64 - count)) as u32;
        self.skip(count)?;
        Ok(bits)
    }

    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, table: &Huffman) -> Result<u8, Stop> {
        if self.count < 16 {
            self.fill()?;
        }
        match table.find((self.held >> 48) as u32) {
            Some((length, symbol)) => self.skip(length).map(|()| symbol),
            // Bits missing at the end read as zeros.
            None if self.count < 16 => Err(Stop::Flaw("its data end before its last row")),
            None => Err(Stop::Flaw("its data hold a code that it does not define")),
        }
    }

    /// Goes past what is left of the last byte, to the marker that must come next; none at the end of the file.
    pub(super) fn end(&mut self) -> Result<Option<u8>, Stop> {
        let mut extra = self.count as usize / 8;
        // What is left of the byte that was begun comes first.
        let mut all_zero = self.held << (self.count % 8) == 0;
        while let Some(byte) = self.byte()? {
            extra += 1;
            all_zero &= byte == 0;
        }
        (self.held, self.count) = (0, 0);
        match extra {
            0 => Ok(self.marker),
            1..=FILLING if all_zero => Ok(self.marker),
            _ => Err(Stop::Flaw("its data go on after its last row")),
        }
    }

    /// Goes past the marker of a restart, the `number`th of eight.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), Stop> {
        match self.end()? {
            Some(marker) if marker == 0xD0 + number => {
                (self.marker, self.ended) = (None, false);
                Ok(())
            }
            _ => Err(Stop::Flaw("a mark within its data is missing")),
        }
    }

    /// The marker that was met, if one was.
    pub(super) fn marker(&self) -> Option<u8> {
        self.marker
    }
}
