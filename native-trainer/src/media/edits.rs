//! The edit lists of MP4 and QuickTime files: which parts of a track are played, and in which order (ISO/IEC 14496-12, 8.6.6).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Boxes that are looked at: more would be a chain made to keep a reader busy.
const MAX_BOXES: usize = 10_000;

/// The boxes on the way to a track's edit list.
const WAY: [&[u8; 4]; 3] = [b"moov", b"trak", b"edts"];

/// How many entries the edit list of each track that has one holds. One entry alone mostly only makes up for the delay of
/// an encoder; several leave parts out or repeat them. Empty of other files.
pub(super) fn edit_lists(path: &Path) -> io::Result<Vec<u32>> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut found = Vec::new();
    look_into(&mut file, 0, end, 0, &mut 0, &mut found)?;
    Ok(found)
}

/// Follows the boxes between two bytes of the file, `depth` steps along the [`WAY`].
fn look_into(
    file: &mut File,
    mut at: u64,
    end: u64,
    depth: usize,
    boxes: &mut usize,
    found: &mut Vec<u32>,
) -> io::Result<()> {
    while at + 8 <= end && *boxes < MAX_BOXES {
        *boxes += 1;
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        let (size, start) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (end - at, at + 8),
            1 => {
                let mut large = [0; 8];
                file.read_exact(&mut large)?;
                (u64::from_be_bytes(large), at + 16)
            }
            size => (u64::from(size), at + 8),
        };
        let Some(next) = at.checked_add(size).filter(|next| *next >= start && *next <= end) else { return Ok(()) };
        if WAY.get(depth).is_some_and(|name| **name == kind) {
            look_into(file, start, next, depth + 1, boxes, found)?;
        } else if depth == WAY.len() && kind == *b"elst" && next - start >= 8 {
            let mut entries = [0; 8];
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut entries)?;
            let [_, _, _, _, count @ ..] = entries;
            found.push(u32::from_be_bytes(count));
        }
        at = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap();
        [&size.to_be_bytes()[..], kind, content].concat()
    }

    fn lists_in(bytes: &[u8]) -> Vec<u32> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        edit_lists(file.path()).unwrap_or_default()
    }

    #[test]
    fn each_tracks_edits_are_counted_and_what_is_no_box_ends_it() {
        let track = |count: u32| {
            let list = boxed(b"elst", &[&[0; 4][..], &count.to_be_bytes(), &[0; 12]].concat());
            boxed(b"trak", &[boxed(b"tkhd", &[0; 20]), boxed(b"edts", &list)].concat())
        };
        let moov = boxed(b"moov", &[track(3), boxed(b"trak", &boxed(b"mdia", &[])), track(1)].concat());
        let whole = [boxed(b"ftyp", b"isom0000"), moov].concat();
        assert_eq!(lists_in(&whole), [3, 1]);
        for end in 0..whole.len() {
            assert!(lists_in(&whole[..end]).len() <= 2);
        }
        assert_eq!(lists_in(&[0xff; 64]), [0; 0]);
        assert_eq!(lists_in(b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff"), [0; 0]);
    }
}
