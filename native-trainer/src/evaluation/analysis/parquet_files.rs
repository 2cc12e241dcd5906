//! Predictions and features as Parquet, for pandas, polars, DuckDB and R. What each column holds stands in the file's metadata
//! under `unmask.columns`, and in docs/analysis.md.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::seen::Seen;
use crate::datasets::{Label, Video};
use crate::evaluation::Prediction;
use crate::files;

/// Rows that are written, and read, at once.
const ROW_GROUP: usize = 16_384;

/// A column's values.
enum Values {
    Text(Vec<String>),
    Number(Vec<f64>),
    /// Where it is known.
    Known(Vec<Option<f64>>),
    Vector(Vec<Vec<f32>>),
}

/// A column: its name, what it holds, and its values.
struct Column(&'static str, &'static str, Values);

/// What the files are about.
pub(super) struct About<'a> {
    pub(super) detector: &'a str,
    pub(super) sha256: &'a str,
    pub(super) temperature: f32,
}

/// Writes `predictions.parquet` and `features.parquet` into `out`, a row for each clip in the same order; their names.
pub(super) fn write(
    out: &Path,
    videos: &[Video],
    seen: &[Seen],
    predictions: &[Prediction],
    about: &About,
) -> Result<Vec<&'static str>> {
    let files =
        [("predictions.parquet", scores(videos, seen, predictions)), ("features.parquet", features(seen, predictions))];
    for (name, columns) in &files {
        let path = out.join(name);
        let written = |temporary: &Path| {
            let file = std::fs::File::create(temporary)?;
            file_of(file, columns, about).with_context(|| format!("{} cannot be written", path.display()))
        };
        files::write_atomically(&path, written)?;
    }
    Ok(files.iter().map(|(name, _)| *name).collect())
}

/// The columns that say which clip a row is.
fn keys(predictions: &[Prediction]) -> Vec<Column> {
    let text = |of: fn(&Prediction) -> &str| Values::Text(predictions.iter().map(|at| of(at).to_owned()).collect());
    let label = |prediction: &Prediction| if prediction.label == Label::Fake { "fake" } else { "real" };
    vec![
        Column("dataset", "the video's data set", text(|at| &at.dataset)),
        Column("manipulation", "how the video was manipulated; original of real ones", text(|at| &at.manipulation)),
        Column("video", "its name, unique within data set and manipulation", text(|at| &at.video)),
        Column("label", "real or fake", Values::Text(predictions.iter().map(|at| label(at).to_owned()).collect())),
        Column(
            "time_s",
            "when the frame, or the first of the clip, is shown; null of photographs",
            Values::Known(predictions.iter().map(|at| at.time_s).collect()),
        ),
    ]
}

fn scores(videos: &[Video], seen: &[Seen], predictions: &[Prediction]) -> Vec<Column> {
    let number = |of: &dyn Fn(&Seen) -> f64| Values::Number(seen.iter().map(of).collect());
    let known = |of: &dyn Fn(&Seen) -> Option<f64>| Values::Known(seen.iter().map(of).collect());
    let video = |at: &Seen| &videos[at.logits.video];
    let text = |of: &dyn Fn(&Seen) -> String| Values::Text(seen.iter().map(of).collect());
    let mut columns = keys(predictions);
    columns.extend([
        Column("group", "the person, or the video it was made from: rows of one group depend on each other", {
            Values::Text(predictions.iter().map(|at| at.group.clone()).collect())
        }),
        Column("split", "train, val or test", text(&|at| video(at).split.to_string())),
        Column("crop", "the file of the crop, or of the clip's first", {
            text(&|at| video(at).crops[at.logits.crop].path.display().to_string())
        }),
        Column("logit_real", "the model's first output", number(&|at| f64::from(at.logits.logits[0]))),
        Column("logit_fake", "its second output", number(&|at| f64::from(at.logits.logits[1]))),
        Column("score", "P(fake): softmax of both logits divided by the temperature", {
            Values::Number(predictions.iter().map(|at| at.score).collect())
        }),
        Column("uncertainty", "how little the detector knows of it, 0 to 1; null of detectors that do not say it", {
            Values::Known(predictions.iter().map(|at| at.uncertainty).collect())
        }),
        Column("eye_distance", "pixels between the eyes in the source's frame; null where not known", {
            known(&|at| at.measures.eye_distance)
        }),
        Column("sharpness", "variance of the Laplacian of the crop at 128 pixels", number(&|at| at.measures.sharpness)),
        Column("brightness", "mean luma of the crop, 0 to 255", number(&|at| at.measures.brightness)),
        Column("fineness", "the finest detail in parts of coarser detail; null where not known", {
            known(&|at| at.measures.fineness)
        }),
    ]);
    columns
}

fn features(seen: &[Seen], predictions: &[Prediction]) -> Vec<Column> {
    let mut columns = keys(predictions);
    let vectors = seen.iter().map(|at| at.features.clone()).collect();
    columns.push(Column("features", "what the model made of the clip before its head", Values::Vector(vectors)));
    columns
}

/// Writes one file.
fn file_of(file: std::fs::File, columns: &[Column], about: &About) -> Result<()> {
    let fields: String = columns.iter().map(Column::field).collect();
    let schema = Arc::new(parse_message_type(&format!("message unmask {{ {fields} }}"))?);
    let words: serde_json::Map<String, serde_json::Value> =
        columns.iter().map(|Column(name, words, _)| ((*name).to_owned(), (*words).into())).collect();
    let metadata = [
        ("unmask.columns", serde_json::Value::Object(words).to_string()),
        ("unmask.detector", about.detector.to_owned()),
        ("unmask.sha256", about.sha256.to_owned()),
        ("unmask.temperature", about.temperature.to_string()),
    ];
    let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value)).to_vec();
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(Some(metadata)).build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let rows = columns.iter().map(Column::rows).min().unwrap_or(0);
    for first in (0..rows).step_by(ROW_GROUP) {
        let mut group = writer.next_row_group()?;
        for column in columns {
            if let Some(writer) = group.next_column()? {
                column.write(writer, first..(first + ROW_GROUP).min(rows))?;
            }
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

impl Column {
    fn rows(&self) -> usize {
        match &self.2 {
            Values::Text(values) => values.len(),
            Values::Number(values) => values.len(),
            Values::Known(values) => values.len(),
            Values::Vector(values) => values.len(),
        }
    }

    /// Its line in Parquet's language of schemas.
    fn field(&self) -> String {
        let name = self.0;
        match self.2 {
            Values::Text(_) => format!("REQUIRED BYTE_ARRAY {name} (UTF8); "),
            Values::Number(_) => format!("REQUIRED DOUBLE {name}; "),
            Values::Known(_) => format!("OPTIONAL DOUBLE {name}; "),
            Values::Vector(_) => {
                format!("REQUIRED group {name} (LIST) {{ REPEATED group list {{ REQUIRED FLOAT element; }} }} ")
            }
        }
    }

    /// Writes some rows.
    fn write(&self, mut writer: SerializedColumnWriter, rows: std::ops::Range<usize>) -> Result<(), ParquetError> {
        match &self.2 {
            Values::Text(values) => {
                let values: Vec<ByteArray> = values[rows].iter().map(|value| value.as_str().into()).collect();
                writer.typed::<ByteArrayType>().write_batch(&values, None, None)?;
            }
            Values::Number(values) => {
                writer.typed::<DoubleType>().write_batch(&values[rows], None, None)?;
            }
            Values::Known(values) => {
                let levels: Vec<i16> = values[rows.clone()].iter().map(|value| i16::from(value.is_some())).collect();
                let known: Vec<f64> = values[rows].iter().flatten().copied().collect();
                writer.typed::<DoubleType>().write_batch(&known, Some(&levels), None)?;
            }
            Values::Vector(values) => write_vectors(&mut writer, &values[rows])?,
        }
        writer.close()
    }
}

/// Writes a list a row. A list's elements have the definition level 1, an empty list 0; its first has the repetition level 0.
fn write_vectors(writer: &mut SerializedColumnWriter, rows: &[Vec<f32>]) -> Result<(), ParquetError> {
    let definitions: Vec<i16> =
        rows.iter().flat_map(|row| vec![i16::from(!row.is_empty()); row.len().max(1)]).collect();
    let repetitions: Vec<i16> =
        rows.iter().flat_map(|row| (0..row.len().max(1)).map(|index| i16::from(index > 0))).collect();
    writer.typed::<FloatType>().write_batch(&rows.concat(), Some(&definitions), Some(&repetitions))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;

    fn columns(rows: usize) -> Vec<Column> {
        let text = (0..rows).map(|row| format!("täxt {row}")).collect();
        let known = (0..rows).map(|row| (row % 3 != 1).then_some(row as f64)).collect();
        let vectors = (0..rows).map(|row| vec![row as f32 + 0.5; row % 4]).collect();
        vec![
            Column("words", "some words", Values::Text(text)),
            Column("number", "a number", Values::Number((0..rows).map(|row| row as f64 / 7.0).collect())),
            Column("known", "a number where it is known", Values::Known(known)),
            Column("vector", "several numbers", Values::Vector(vectors)),
        ]
    }

    #[test]
    fn what_was_written_reads_back_over_several_row_groups_with_its_metadata() {
        let rows = ROW_GROUP + 5;
        let about = About { detector: "d", sha256: "ab", temperature: 1.5 };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        file_of(std::fs::File::create(&path).unwrap(), &columns(rows), &about).unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let said = reader.metadata().file_metadata().key_value_metadata().unwrap();
        let words = said.iter().find(|pair| pair.key == "unmask.columns").unwrap().value.clone().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&words).unwrap()["vector"], "several numbers");
        let mut count = 0;
        for (index, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let row = row.unwrap();
            assert_eq!(row.get_string(0).unwrap(), &format!("täxt {index}"));
            assert_eq!(row.get_double(1).unwrap(), index as f64 / 7.0);
            assert_eq!(row.get_double(2).ok(), (index % 3 != 1).then_some(index as f64));
            let list = row.get_list(3).unwrap();
            assert_eq!(list.len(), index % 4);
            assert!(
                (0..list.len())
                    .all(|at| parquet::record::ListAccessor::get_float(list, at).unwrap() == index as f32 + 0.5)
            );
            count += 1;
        }
        assert_eq!(count, rows);
    }
}
