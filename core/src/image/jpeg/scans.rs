//! The coded data of a JPEG, followed code by code without making pixels of them (ITU-T T.81, annexes F and G).
//!
//! JPEGs carry no checksum, and decoders fill in what they cannot read. But damage changes how many blocks the codes
//! describe: they then end too early or go on too long, stray beyond a block's 64 coefficients or leave the range of
//! brightness.

use std::io::{self, BufRead};
use std::vec;
use std::vec::Vec;

use super::entropy::{Bits, Huffman, Stop};

/// Most pixels of a picture that is followed: larger ones are not decoded either.
const MAX_PIXELS: usize = 1 << 27;

/// How the coefficients of blocks are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    Sequential,
    Progressive,
}

#[derive(Debug)]
struct Component {
    id: u8,
    /// Blocks in one unit of several components, across and down.
    sampling: (usize, usize),
    quantiser: usize,
    /// Blocks that hold its part of the picture, across and down.
    blocks: (usize, usize),
    /// Blocks in a row, with those that fill up units.
    stride: usize,
    /// For each block the coefficients that are not zero, where later scans depend on them.
    nonzero: Vec<u64>,
    /// For each coefficient the lowest bit that scans brought so far.
    reached: [Option<u8>; 64],
}

#[derive(Debug)]
struct Frame {
    process: Process,
    /// Units of several components, across and down.
    units: (usize, usize),
    components: Vec<Component>,
}

/// What a picture's headers define, and what its scans brought.
#[derive(Debug, Default)]
pub(super) struct Scans {
    /// None where the coding is of a kind that is not followed, or was found flawed.
    frame: Option<Frame>,
    huffman: [[Option<Huffman>; 4]; 2],
    /// The steps of each table's coefficients.
    steps: [Option<[u16; 64]>; 4],
    restart_interval: usize,
    flaw: Option<&'static str>,
}

/// One scan's share of a component.
struct Share {
    component: usize,
    dc: usize,
    ac: usize,
    predictor: i64,
}

/// Which coefficients a scan brings, and which of their bits.
#[derive(Clone, Copy)]
struct Band {
    start: u32,
    end: u32,
    refines: bool,
    low: u8,
}

impl Scans {
    /// Takes in a segment that defines something.
    pub(super) fn define(&mut self, marker: u8, segment: &[u8]) {
        match marker {
            0xC4 => self.define_codes(segment),
            0xDB => self.define_steps(segment),
            0xDD => self.restart_interval = segment.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes).into()),
            0xC0 | 0xC1 => self.frame = Frame::read(Process::Sequential, segment),
            0xC2 => self.frame = Frame::read(Process::Progressive, segment),
            _ => {}
        }
    }

    fn define_codes(&mut self, mut rest: &[u8]) {
        while let Some((head, after)) = rest.split_first_chunk::<17>() {
            let [place, counts @ ..] = head;
            let length = counts.iter().map(|count| usize::from(*count)).sum();
            let Some((symbols, next)) = after.split_at_checked(length) else { return };
            let tables = self.huffman.get_mut(usize::from(place >> 4));
            if let Some(table) = tables.and_then(|tables| tables.get_mut(usize::from(place & 15))) {
                *table = Huffman::new(counts, symbols);
            }
            rest = next;
        }
    }

    fn define_steps(&mut self, mut rest: &[u8]) {
        while let Some((place, after)) = rest.split_first() {
            let wide = place >> 4 > 0;
            let Some((table, next)) = after.split_at_checked(if wide { 128 } else { 64 }) else { return };
            let step = |place: usize| match wide {
                true => u16::from_be_bytes([table[2 * place], table[2 * place + 1]]),
                false => table[place].into(),
            };
            if let Some(known) = self.steps.get_mut(usize::from(place & 15)) {
                *known = Some(std::array::from_fn(step));
            }
            rest = next;
        }
    }

    /// Follows the scan whose header is `segment`, and gives the marker after it where that was read.
    pub(super) fn follow(&mut self, segment: &[u8], reader: &mut impl BufRead) -> io::Result<Option<u8>> {
        let Some(mut frame) = self.frame.take() else { return Ok(None) };
        let Some((mut shares, band)) = self.header(&frame, segment) else { return Ok(None) };
        let mut bits = Bits::new(reader);
        match self.blocks(&mut frame, &mut shares, band, &mut bits) {
            Ok(()) => {
                for share in &shares {
                    let reached = &mut frame.components[share.component].reached;
                    reached[band.start as usize..=band.end as usize].fill(Some(band.low));
                }
                self.frame = Some(frame);
            }
            Err(Stop::Flaw(flaw)) => self.flaw = Some(flaw),
            Err(Stop::Io(error)) => return Err(error),
        }
        Ok(bits.marker())
    }

    /// What the scans cannot be, once all were followed: none for a picture that is sound as far as it can be told.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let unfinished = || self.frame.as_ref().is_some_and(|frame| !frame.is_finished());
        self.flaw.or_else(|| unfinished().then_some("scans of it are missing"))
    }

    /// The components and coefficients of a scan; none where it uses what was not defined.
    fn header(&self, frame: &Frame, segment: &[u8]) -> Option<(Vec<Share>, Band)> {
        let (count, rest) = segment.split_first()?;
        let (listed, band) = rest.split_at_checked(2 * usize::from(*count))?;
        let band = match (frame.process, band.first_chunk()?) {
            (Process::Sequential, _) => Band { start: 0, end: 63, refines: false, low: 0 },
            (Process::Progressive, [start, end, bits]) => {
                Band { start: (*start).into(), end: (*end).into(), refines: bits >> 4 > 0, low: bits & 15 }
            }
        };
        let has = |class: usize, table: usize| self.huffman[class].get(table).is_some_and(Option::is_some);
        let share = |pair: &[u8; 2]| {
            let [id, tables] = *pair;
            let component = frame.components.iter().position(|component| component.id == id)?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            let codes_dc = band.start == 0 && !band.refines;
            ((!codes_dc || has(0, dc)) && (band.end == 0 || has(1, ac))).then_some(Share {
                component,
                dc,
                ac,
                predictor: 0,
            })
        };
        let shares: Vec<Share> = listed.as_chunks::<2>().0.iter().map(share).collect::<Option<_>>()?;
        let progressive = frame.process == Process::Progressive;
        // Scans of single coefficients hold one component; the first coefficient is coded by itself.
        let fits = band.start <= band.end
            && band.end < 64
            && band.low < 14
            && (!progressive || if band.start == 0 { band.end == 0 } else { shares.len() == 1 });
        (fits && !shares.is_empty()).then_some((shares, band))
    }

    fn blocks<R: BufRead>(
        &self,
        frame: &mut Frame,
        shares: &mut [Share],
        band: Band,
        bits: &mut Bits<'_, R>,
    ) -> Result<(), Stop> {
        let alone = shares.len() == 1;
        let across = if alone { frame.components[shares[0].component].blocks.0 } else { frame.units.0 };
        let down = if alone { frame.components[shares[0].component].blocks.1 } else { frame.units.1 };
        let mut run = 0;
        for unit in 0..across * down {
            if self.restart_interval > 0 && unit > 0 && unit % self.restart_interval == 0 {
                bits.restart(((unit / self.restart_interval - 1) % 8) as u8)?;
                shares.iter_mut().for_each(|share| share.predictor = 0);
                run = 0;
            }
            let (column, row) = (unit % across, unit / across);
            for share in &mut *shares {
                let component = &mut frame.components[share.component];
                let (wide, high) = if alone { (1, 1) } else { component.sampling };
                for place in 0..wide * high {
                    let block = (row * high + place / wide) * component.stride + column * wide + place % wide;
                    match frame.process {
                        Process::Sequential => self.sequential(share, component, bits)?,
                        Process::Progressive => self.progressive(share, component, block, band, &mut run, bits)?,
                    }
                }
            }
        }
        match run {
            0 => bits.end().map(drop),
            _ => Err(Stop::Flaw("its data go on after its last row")),
        }
    }

    fn sequential<R: BufRead>(
        &self,
        share: &mut Share,
        component: &Component,
        bits: &mut Bits<'_, R>,
    ) -> Result<(), Stop> {
        self.first_coefficient(share, component, 0, bits)?;
        let (codes, steps) = (self.codes(1, share.ac)?, self.steps(component));
        let mut place = 1;
        while place < 64 {
            let (zeros, size) = halves(bits.symbol(codes)?);
            match (zeros, size) {
                (15, 0) => place += 16,
                (_, 0) => break,
                _ => {
                    place += zeros;
                    check_range(number(bits, size)?, steps, place)?;
                    place += 1;
                }
            }
        }
        if place > 64 { Err(TOO_MANY) } else { Ok(()) }
    }

    /// Reads the difference of a block's mean, and checks the mean.
    fn first_coefficient<R: BufRead>(
        &self,
        share: &mut Share,
        component: &Component,
        low: u8,
        bits: &mut Bits<'_, R>,
    ) -> Result<(), Stop> {
        let size = u32::from(bits.symbol(self.codes(0, share.dc)?)?);
        if size > 15 {
            return Err(OUT_OF_RANGE);
        }
        share.predictor += number(bits, size)?;
        check_range(share.predictor << low, self.steps(component), 0)
    }

    fn progressive<R: BufRead>(
        &self,
        share: &mut Share,
        component: &mut Component,
        block: usize,
        band: Band,
        run: &mut u32,
        bits: &mut Bits<'_, R>,
    ) -> Result<(), Stop> {
        if band.start == 0 {
            return match band.refines {
                true => bits.take(1).map(drop),
                false => self.first_coefficient(share, component, band.low, bits),
            };
        }
        let (codes, steps) = (self.codes(1, share.ac)?, self.steps(component));
        let Some(nonzero) = component.nonzero.get_mut(block) else { return Err(TOO_MANY) };
        match band.refines {
            true => refine(codes, nonzero, band, run, bits),
            false => begin(codes, steps, nonzero, band, run, bits),
        }
    }

    fn steps(&self, component: &Component) -> &[u16; 64] {
        self.steps.get(component.quantiser).and_then(Option::as_ref).unwrap_or(&[1; 64])
    }

    fn codes(&self, class: usize, table: usize) -> Result<&Huffman, Stop> {
        let table = self.huffman[class].get(table).and_then(Option::as_ref);
        table.ok_or(Stop::Flaw("its data hold a code that it does not define"))
    }
}

const TOO_MANY: Stop = Stop::Flaw("a block of it has more than 64 coefficients");
const OUT_OF_RANGE: Stop = Stop::Flaw("its brightness leaves what there is");

/// A number of `size` bits, of which the first tells the sign (F.2.2.1).
fn number<R: BufRead>(bits: &mut Bits<'_, R>, size: u32) -> Result<i64, Stop> {
    let value = i64::from(bits.take(size)?);
    let is_negative = size > 0 && value >> (size - 1) == 0;
    Ok(if is_negative { value + 1 - (1 << size) } else { value })
}

/// Refuses a coefficient that no picture of 8 bits has: their means are within 1024 times what an encoder rounds by,
/// and the others little more; twice that leaves room for encoders that overshoot.
fn check_range(value: i64, steps: &[u16; 64], place: u32) -> Result<(), Stop> {
    const RANGE: i64 = 2048;
    let Some(step) = steps.get(place as usize).copied().map(i64::from) else { return Err(TOO_MANY) };
    if value.abs() * step > RANGE + step { Err(OUT_OF_RANGE) } else { Ok(()) }
}

/// A symbol's number of zeros and its size.
fn halves(symbol: u8) -> (u32, u32) {
    (u32::from(symbol >> 4), u32::from(symbol & 15))
}

/// The first bits of a block's coefficients (G.1.2.2). `run` counts the blocks to come that have none.
fn begin<R: BufRead>(
    codes: &Huffman,
    steps: &[u16; 64],
    nonzero: &mut u64,
    band: Band,
    run: &mut u32,
    bits: &mut Bits<'_, R>,
) -> Result<(), Stop> {
    if *run > 0 {
        *run -= 1;
        return Ok(());
    }
    let mut place = band.start;
    while place <= band.end {
        let (zeros, size) = halves(bits.symbol(codes)?);
        match (zeros, size) {
            (15, 0) => place += 16,
            (length, 0) => {
                *run = (1 << length) - 1 + bits.take(length)?;
                return Ok(());
            }
            _ => {
                place += zeros;
                if place > band.end {
                    return Err(TOO_MANY);
                }
                check_range(number(bits, size)? << band.low, steps, place)?;
                *nonzero |= 1 << place;
                place += 1;
            }
        }
    }
    if place > band.end + 1 { Err(TOO_MANY) } else { Ok(()) }
}

/// One more bit of a block's coefficients (G.1.2.3): of those that are not zero, and of those that become so.
fn refine<R: BufRead>(
    codes: &Huffman,
    nonzero: &mut u64,
    band: Band,
    run: &mut u32,
    bits: &mut Bits<'_, R>,
) -> Result<(), Stop> {
    let mut place = band.start;
    while *run == 0 && place <= band.end {
        let (zeros, size) = halves(bits.symbol(codes)?);
        if size == 0 && zeros < 15 {
            *run = (1 << zeros) + bits.take(zeros)?;
            break;
        }
        if size > 1 {
            return Err(Stop::Flaw("its data hold a code that it does not define"));
        }
        bits.take(size)?;
        let mut left = zeros;
        while place <= band.end {
            if *nonzero >> place & 1 == 1 {
                bits.take(1)?;
            } else if left == 0 {
                break;
            } else {
                left -= 1;
            }
            place += 1;
        }
        if size == 1 {
            if place > band.end {
                return Err(TOO_MANY);
            }
            *nonzero |= 1 << place;
        }
        place += 1;
    }
    if *run > 0 {
        let rest = (place..=band.end).filter(|place| *nonzero >> place & 1 == 1).count();
        (0..rest).try_for_each(|_| bits.take(1).map(drop))?;
        *run -= 1;
    }
    Ok(())
}

impl Frame {
    /// Reads a frame's header; none for what is not followed: more than 8 bits, a height told later, sizes beyond the
    /// limit.
    fn read(process: Process, segment: &[u8]) -> Option<Self> {
        let ([precision, h1, h0, w1, w0, count], rest) = segment.split_first_chunk()?;
        let (height, width) =
            (usize::from(u16::from_be_bytes([*h1, *h0])), usize::from(u16::from_be_bytes([*w1, *w0])));
        let listed = rest.as_chunks::<3>().0.get(..usize::from(*count))?;
        let sampling = |listed: &[u8; 3]| (usize::from(listed[1] >> 4), usize::from(listed[1] & 15));
        let is_sound =
            |listed: &[u8; 3]| (1..=4).contains(&sampling(listed).0) && (1..=4).contains(&sampling(listed).1);
        let follows = *precision == 8 && height * width > 0 && height * width <= MAX_PIXELS;
        if !follows || listed.is_empty() || listed.len() > 4 || !listed.iter().all(is_sound) {
            return None;
        }
        let most = listed.iter().map(sampling).fold((1, 1), |most, own| (most.0.max(own.0), most.1.max(own.1)));
        let units = (width.div_ceil(8 * most.0), height.div_ceil(8 * most.1));
        let component = |listed: &[u8; 3]| {
            let own = sampling(listed);
            let blocks = ((width * own.0).div_ceil(8 * most.0), (height * own.1).div_ceil(8 * most.1));
            let stride = units.0 * own.0;
            let kept = if process == Process::Progressive { stride * units.1 * own.1 } else { 0 };
            Component {
                id: listed[0],
                sampling: own,
                quantiser: listed[2].into(),
                blocks,
                stride,
                nonzero: vec![0; kept],
                reached: [None; 64],
            }
        };
        Some(Self { process, units, components: listed.iter().map(component).collect() })
    }

    /// Whether each component came, its coefficients to the last bit where they were begun, those of the first all.
    fn is_finished(&self) -> bool {
        let whole = |component: &Component| component.reached[0] == Some(0);
        let begun = |component: &Component| component.reached.iter().all(|low| low.is_none_or(|low| low == 0));
        let first = self.components.first().is_some_and(|first| first.reached.iter().all(|low| *low == Some(0)));
        first && self.components.iter().all(|component| whole(component) && begun(component))
    }
}

#[cfg(test)]
mod tests;
