//! Event files that TensorBoard reads.
//!
//! A file is a sequence of TFRecords: the length of the data as u64, the masked CRC-32C of that length, the data, its
//! masked CRC-32C, all little-endian. The data is an `Event` message of `tensorflow/core/util/event.proto`, of which only
//! the fields used here are declared.

use prost::Message;

/// The version that the first event of a file names.
const FILE_VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    // In a oneof upstream: written even where it is zero.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// What a file begins with.
pub(super) fn header(time_s: f64) -> Vec<u8> {
    record(&Event { wall_time: time_s, step: 0, what: Some(What::FileVersion(FILE_VERSION.into())) })
}

/// Scalars of one step, by name.
pub(super) fn scalars(time_s: f64, step: usize, values: &[(&str, f64)]) -> Vec<u8> {
    let scalar = |(tag, value): &(&str, f64)| Scalar { tag: (*tag).into(), simple_value: Some(*value as f32) };
    let summary = Summary { value: values.iter().map(scalar).collect() };
    record(&Event { wall_time: time_s, step: step as i64, what: Some(What::Summary(summary)) })
}

fn record(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    [length.as_slice(), &masked_crc(&length), &data, &masked_crc(&data)].concat()
}

/// The checksum of a checksum's place: rotated and moved, so that data which holds checksums has another one.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_byte_for_byte_what_tensorboard_writes() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/tensorboard.events");
        let written =
            [header(1.5), scalars(2.5, 1, &[("train/loss", 0.75)]), scalars(3.5, 300, &[("validation/auc", 0.9375)])];
        assert_eq!(written.concat(), std::fs::read(path).unwrap());
    }
}
