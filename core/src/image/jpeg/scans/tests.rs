//! Small pictures of hand-made codes, sound and not.

use super::super::survey;

/// A picture of grey blocks, `width` pixels wide and 8 high, with `restart_interval`; the code 0 is in one table a mean
/// like the one before, and in the other the end of a block, so that a block is two bits. The code 10 is a mean 1024
/// times brighter in the one, and 15 zeros and a one in the other.
fn picture(process: u8, width: u8, restart_interval: u8, scans: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"\xFF\xD8\xFF\xDB\0\x43\0".to_vec();
    bytes.extend([1; 64]);
    bytes.extend([0xFF, process, 0, 11, 8, 0, 8, 0, width, 1, 1, 0x11, 0]);
    for (place, symbols) in [(0x00, [0, 11]), (0x10, [0, 0xF1])] {
        bytes.extend([0xFF, 0xC4, 0, 21, place, 1, 1]);
        bytes.extend([0; 14]);
        bytes.extend(symbols);
    }
    bytes.extend([0xFF, 0xDD, 0, 4, 0, restart_interval]);
    for scan in scans {
        bytes.extend_from_slice(scan);
    }
    bytes.extend(b"\xFF\xD9");
    bytes
}

fn flaw(process: u8, width: u8, restart_interval: u8, scans: &[&[u8]]) -> Option<&'static str> {
    let survey = survey(picture(process, width, restart_interval, scans).as_slice()).unwrap();
    assert!(survey.complete);
    survey.flaw
}

const SCAN: &[u8] = b"\xFF\xDA\0\x08\x01\x01\0\0\x3F\0";

#[test]
fn data_hold_as_many_blocks_as_the_size_takes() {
    assert_eq!(flaw(0xC0, 16, 0, &[SCAN, b"\x0F"]), None);
    assert_eq!(flaw(0xC0, 24, 0, &[SCAN, b"\x03"]), None);
    assert_eq!(flaw(0xC0, 40, 0, &[SCAN, b"\x00"]), Some("its data end before its last row"));
    assert_eq!(flaw(0xC0, 16, 0, &[SCAN, b"\x0F\x12"]), Some("its data go on after its last row"));
    assert_eq!(flaw(0xC0, 16, 0, &[SCAN, b"\x0F\0\0\0"]), None, "filling up to a whole word");
    assert_eq!(flaw(0xC0, 16, 0, &[]), Some("scans of it are missing"));
}

#[test]
fn codes_are_those_defined_and_values_those_there_are() {
    // The code 11 is none.
    assert_eq!(flaw(0xC0, 16, 0, &[SCAN, b"\xE0\0\0"]), Some("its data hold a code that it does not define"));
    // Three times 1024 steps brighter: 10 and 11 bits that begin with a one, then the end of the block.
    let brighter = "10100000000000".repeat(3);
    let mut bits: Vec<u8> = brighter.bytes().map(|bit| bit - b'0').collect();
    bits.resize(48, 1);
    let data: Vec<u8> = bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    assert_eq!(flaw(0xC0, 24, 0, &[SCAN, &data]), Some("its brightness leaves what there is"));
    // Five times 15 zeros and a one, in one block.
    assert_eq!(flaw(0xC0, 8, 0, &[SCAN, b"\x5B\x6D\xFF"]), Some("a block of it has more than 64 coefficients"));
}

#[test]
fn marks_within_the_data_come_in_order() {
    assert_eq!(flaw(0xC0, 24, 1, &[SCAN, b"\x3F\xFF\xD0\x3F\xFF\xD1\x3F"]), None);
    for data in [&b"\x3F\xFF\xD0\x3F"[..], b"\x3F\xFF\xD1\x3F\xFF\xD0\x3F", b"\x3F\x3F\xFF\xD1\x3F"] {
        assert!(flaw(0xC0, 24, 1, &[SCAN, data]).is_some(), "{data:?}");
    }
}

#[test]
fn progressive_pictures_come_with_all_their_scans() {
    let means = b"\xFF\xDA\0\x08\x01\x01\0\0\0\x01\x3F";
    let last_bits = b"\xFF\xDA\0\x08\x01\x01\0\0\0\x10\x3F";
    let others = b"\xFF\xDA\0\x08\x01\x01\0\x01\x3F\0\x3F";
    assert_eq!(flaw(0xC2, 16, 0, &[means, last_bits, others]), None);
    for scans in [&[&means[..], others][..], &[means, last_bits], &[others]] {
        assert_eq!(flaw(0xC2, 16, 0, scans), Some("scans of it are missing"));
    }
    assert_eq!(flaw(0xC2, 80, 0, &[means, last_bits, others]), Some("its data end before its last row"));
}

#[test]
fn what_is_coded_in_another_way_is_not_judged() {
    // Arithmetic coding, and codes without a table.
    assert_eq!(flaw(0xC9, 16, 0, &[SCAN, b"\x12\x34"]), None);
    assert_eq!(flaw(0xC0, 16, 0, &[b"\xFF\xDA\0\x08\x01\x01\x33\0\x3F\0\x12\x34"]), None);
}
