//! IVF, the plainest container: recordings of calls, and test streams, of VP8, VP9 and AV1.

use std::io::{Read, Seek, SeekFrom};

use super::{Codec, MediaError, Sample, Shown, Video, av1, mean_rate, vp8_is_shown};

/// Bytes of a frame's header: how many bytes follow, and when they are shown.
const FRAME_HEADER: u64 = 12;

/// Bytes of a frame that tell whether decoding can begin with it.
const HEAD: usize = 64;

/// The frames of the file.
pub(super) fn open<R: Read + Seek>(reader: &mut R, size: u64) -> Result<Video, MediaError> {
    let mut header = [0; 32];
    reader.read_exact(&mut header).map_err(|_| cut_off())?;
    let word = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let long = |at: usize| (word(at) | word(at + 2) << 16) as f64;
    let letters = [header[8], header[9], header[10], header[11]];
    let tick_s = if long(16) > 0.0 { long(20) / long(16) } else { 0.0 };
    let mut video =
        Video { coded_width: word(12), coded_height: word(14), width: word(12), height: word(14), ..Video::default() };
    let mut position = word(6) as u64;
    while position < size {
        let (sample, ticks, head) = frame(reader, position, size, letters)?;
        if video.samples.is_empty() {
            video.codec = Codec::ivf(letters, &head);
        }
        let time_s = ticks as f64 * tick_s;
        if &letters != b"VP80" || vp8_is_shown(&head) {
            video.shown.push(Shown { time_s, sample: video.samples.len() });
        }
        video.samples.push(Sample { timestamp_us: (time_s * 1e6) as i64, ..sample });
        position = sample.offset + u64::from(sample.size);
    }
    let origin_s = video.shown.iter().map(|shown| shown.time_s).reduce(f64::min).unwrap_or(0.0);
    video.shown.iter_mut().for_each(|shown| shown.time_s -= origin_s);
    video.fps = mean_rate(&video.shown);
    video.duration_s = video.fps.map(|fps| video.shown.len() as f64 / fps);
    Ok(video)
}

/// The frame whose header is at `position`, when it is shown, and how it begins.
fn frame<R: Read + Seek>(
    reader: &mut R,
    position: u64,
    size: u64,
    letters: [u8; 4],
) -> Result<(Sample, u64, Vec<u8>), MediaError> {
    let mut bytes = Vec::with_capacity(FRAME_HEADER as usize + HEAD);
    reader.seek(SeekFrom::Start(position))?;
    reader.by_ref().take((FRAME_HEADER as usize + HEAD) as u64).read_to_end(&mut bytes)?;
    let [a, b, c, d, ticks @ .., _, _, _, _] =
        bytes.first_chunk::<{ FRAME_HEADER as usize + 4 }>().ok_or_else(cut_off)?;
    let ticks = ticks.iter().rev().fold(0, |ticks, byte| ticks << 8 | u64::from(*byte));
    let (offset, length) = (position + FRAME_HEADER, u32::from_le_bytes([*a, *b, *c, *d]));
    if length == 0 || offset + u64::from(length) > size {
        return Err(cut_off());
    }
    let head = bytes[FRAME_HEADER as usize..].to_vec();
    Ok((Sample { offset, size: length, key: is_key(letters, &head), timestamp_us: 0 }, ticks, head))
}

fn cut_off() -> MediaError {
    MediaError::Damaged("it is cut off: it ends before its last frame does".to_owned())
}

/// Whether decoding can begin with a frame: VP8 (RFC 6386, 9.1) and VP9 (6.2) say so in its first byte.
fn is_key(letters: [u8; 4], head: &[u8]) -> bool {
    let first = head.first().copied().unwrap_or(u8::MAX);
    match &letters {
        b"VP80" => first & 1 == 0,
        // After the marker and the profile, whose third bit has one more after it, comes whether an old frame is shown.
        b"VP90" => {
            let bits = if first & 0x30 == 0x30 { first << 1 } else { first };
            bits & 0x0C == 0
        }
        _ => av1::is_key(head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_key_frames() {
        assert!(is_key(*b"VP80", &[0x10]) && !is_key(*b"VP80", &[0x11]));
        assert!(is_key(*b"VP90", &[0x82]) && !is_key(*b"VP90", &[0x86]) && !is_key(*b"VP90", &[0x88]));
        assert!(!is_key(*b"VP80", &[]) && !is_key(*b"AV01", &[]));
    }
}
