//! Videos named in a table, one a line: tab-separated (`.tsv`) or comma-separated (`.csv`), with the names of its columns in
//! the first line.
//!
//! `file` (from the table's folder) and `label` (`real` or `fake`) have to be there. `dataset`, `method` (or `manipulation`),
//! `person`, `original` (the `file` of the video that a fake was made of) and `split` (`train`, `val`, `test`) say what they say elsewhere; every
//! other column is kept as an attribute by which an evaluation can be broken down. Of a column's name what stands in brackets
//! is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::manifest::Identity;
use super::source::{Finds, Found, LeftOut, Listing, OUTSIDE, Source, settle, stays_inside, stem};
use super::split::Plan;
use super::{Label, ORIGINAL, Split};
use crate::files;
use crate::media::{self, MediaError};

/// What the columns beside the known ones say of each video.
pub type Attributes = BTreeMap<Identity, BTreeMap<String, String>>;

/// The manipulation of fakes of which the table does not say how they were made.
const UNSAID: &str = "fake";

/// Whether a path is that of such a table.
pub fn is_list(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    path.is_file() && ending.is_some_and(|ending| ending == "tsv" || ending == "csv")
}

/// The videos of the table at `path`; `dataset` is that of those for which it names none.
///
/// # Errors
/// The table cannot be read, lacks a column, or says something that is not known; by its line.
pub fn list(path: &Path, dataset: &str) -> Result<(Listing, Attributes)> {
    let table = Table::read(path)?;
    let names = Names::of(&table);
    let root = folder_of(path);
    let mut finds = Finds::default();
    // By the file's path.
    let mut attributes: BTreeMap<PathBuf, BTreeMap<String, String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in &table.rows {
        let file = row.get("file").cloned().unwrap_or_default();
        let place = root.join(&file);
        if !stays_inside(&file) {
            finds.left_out.push(LeftOut::new(place, OUTSIDE));
            continue;
        }
        if !seen.insert(place.clone()) {
            bail!("{} names {file} twice; leave one of the lines out", path.display());
        }
        match media::expand(&place) {
            Ok(within) => {
                let Ok([input]) = <[_; 1]>::try_from(within.inputs) else {
                    bail!("{}: {file} is a folder of several videos; name each in a line of its own", path.display())
                };
                attributes.insert(input.path().to_owned(), row.others());
                finds.found.push(found(row, input, &file, dataset, (path, &names))?);
            }
            Err(error) => {
                let reason = match error {
                    MediaError::NotFound { .. } => "not there".to_owned(),
                    error => format!("not readable ({error})"),
                };
                finds.left_out.push(LeftOut { is_unreadable: true, ..LeftOut::new(place, reason) });
            }
        }
    }
    if finds.found.is_empty() {
        let why = match finds.left_out.first() {
            Some(first) => format!("{} is {}", first.path.display(), first.reason),
            None => "it has no lines below the first".to_owned(),
        };
        let path = path.display();
        bail!(
            "{path} names no video that can be used: {why}; files are sought from the table's folder on, and must lie in it"
        );
    }
    let listing = settle(&root, finds)?;
    let of = |source: &Source| Some((source.identity(), attributes.get(source.input.path())?.clone()));
    let attributes = listing.sources.iter().filter_map(of).collect();
    Ok((listing, attributes))
}

/// The folder that a table lies in, from which its files are named.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn found(row: &Row, input: media::Input, file: &str, dataset: &str, of: (&Path, &Names)) -> Result<Found> {
    let (table, names) = of;
    let said = |column: &str| row.get(column).filter(|value| !value.is_empty()).cloned();
    let name = name_in(file);
    let label = match said("label").as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("real") => Label::Real,
        Some("fake") => Label::Fake,
        other => bail!("{}: {file} has the label `{}`; write real or fake", table.display(), other.unwrap_or_default()),
    };
    let plan = match said("split").as_deref().map(str::to_ascii_lowercase).as_deref() {
        None => Plan::Free,
        Some("train" | "training") => Plan::Official(Split::Train),
        Some("val" | "valid" | "validation") => Plan::Official(Split::Validation),
        Some("test" | "testing") => Plan::Official(Split::Test),
        Some(other) => bail!("{}: {file} is in the split `{other}`; write train, val or test", table.display()),
    };
    let manipulation = match label {
        Label::Real => ORIGINAL.to_owned(),
        Label::Fake => said("method").or_else(|| said("manipulation")).unwrap_or_else(|| UNSAID.to_owned()),
    };
    let original = said("original").map(|file| names.original(&file, table)).transpose()?;
    let person = said("person");
    Ok(Found {
        input,
        dataset: said("dataset").unwrap_or_else(|| dataset.to_owned()),
        manipulation,
        label,
        plan,
        group: person.clone().or(original).unwrap_or_else(|| name.clone()),
        name,
        person,
        ends_at_face: false,
    })
}

/// What a file of a table is called there: its path without its ending.
fn name_in(file: &str) -> String {
    Path::new(file).with_extension("").to_string_lossy().into_owned()
}

/// What the files of a table are called there, by the last part of their names.
struct Names(BTreeMap<String, BTreeSet<String>>);

impl Names {
    fn of(table: &Table) -> Self {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for name in table.rows.iter().filter_map(|row| row.get("file")).map(|file| name_in(file)) {
            names.entry(stem(&name).to_owned()).or_default().insert(name);
        }
        Self(names)
    }

    /// What the original that a line names is called: as its own line says, where it has one, with or without its ending; a
    /// name without folders may be that of a file in any. One without a line is an original all the same, which its fakes share.
    fn original(&self, written: &str, table: &Path) -> Result<String> {
        let is_known = |name: &str| self.0.get(stem(name)).is_some_and(|alike| alike.contains(name));
        if is_known(written) {
            return Ok(written.to_owned());
        }
        let name = name_in(written);
        let alike = self.0.get(stem(&name)).or_else(|| self.0.get(written));
        let Some(alike) = alike.filter(|_| !is_known(&name) && !written.contains('/')) else { return Ok(name) };
        match alike.iter().next().filter(|_| alike.len() == 1) {
            Some(only) => Ok(only.clone()),
            None => bail!(
                "{}: the original `{written}` may be {}; write it as its line's `file`",
                table.display(),
                alike.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
            ),
        }
    }
}

/// Columns that say what a video is; the others are attributes.
const KNOWN: [&str; 8] = ["file", "label", "dataset", "method", "manipulation", "person", "original", "split"];

/// One line by the names of columns.
struct Row(BTreeMap<String, String>);

impl Row {
    fn get(&self, column: &str) -> Option<&String> {
        self.0.get(column)
    }

    fn others(&self) -> BTreeMap<String, String> {
        let is_other = |(name, value): &(&String, &String)| !KNOWN.contains(&name.as_str()) && !value.is_empty();
        let mut others: BTreeMap<String, String> =
            self.0.iter().filter(is_other).map(|(name, value)| (name.clone(), value.clone())).collect();
        // Of a real video this says what it stands beside, which is worth telling apart as well.
        for column in ["method", "manipulation"] {
            let said = self.get(column).filter(|method| !method.is_empty());
            others.extend(said.map(|method| (column.to_owned(), method.clone())));
        }
        others
    }
}

struct Table {
    rows: Vec<Row>,
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = files::read_text(path)?;
        let is_tsv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tsv"));
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(if is_tsv { b'\t' } else { b',' })
            .quoting(!is_tsv)
            .trim(csv::Trim::All)
            .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let unreadable =
            || format!("{shown} is no table of videos; its lines have to have as many fields as its first");
        let columns: Vec<String> = reader.headers().with_context(unreadable)?.iter().map(column_name).collect();
        for needed in ["file", "label"] {
            if !columns.iter().any(|column| column == needed) {
                bail!("{shown} has no column `{needed}`; name it in the first line");
            }
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.with_context(unreadable)?;
            let fields = record.iter().map(str::to_owned);
            rows.push(Row(columns.iter().cloned().zip(fields).collect()));
        }
        Ok(Self { rows })
    }
}

/// A column's name in lower case, without what stands in brackets.
fn column_name(written: &str) -> String {
    written.split('(').next().unwrap_or_default().trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a table and two small pictures that it may name.
    fn place(name: &str, table: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for picture in ["a.png", "b.png"] {
            image::RgbImage::new(8, 8).save(folder.path().join(picture)).unwrap();
        }
        let path = folder.path().join(name);
        std::fs::write(&path, table).unwrap();
        (folder, path)
    }

    #[test]
    fn columns_say_what_videos_are_and_the_others_are_attributes() {
        let table = "\u{feff}File,Label,method,person (cluster),light,split\n\
                     a.png,real,Swap,7,dark,test\nb.png,FAKE,Swap,7,,test\n";
        let (_folder, path) = place("clips.csv", table);
        assert!(is_list(&path));
        let (listing, attributes) = list(&path, "clips").unwrap();
        let [real, fake] = [&listing.sources[1], &listing.sources[0]];
        assert_eq!((real.label, fake.label), (Label::Real, Label::Fake));
        assert_eq!((real.manipulation.as_str(), fake.manipulation.as_str()), (ORIGINAL, "Swap"));
        assert_eq!((real.person.as_deref(), real.group == fake.group, real.split), (Some("7"), true, Split::Test));
        assert_eq!(attributes[&real.identity()]["light"], "dark");
        assert_eq!(attributes[&fake.identity()].keys().collect::<Vec<_>>(), ["method"]);
    }

    #[test]
    fn a_fake_is_of_the_group_of_its_original_whose_file_it_names() {
        let grouped = |table: &str| {
            let (folder, path) = place("clips.csv", table);
            for copy in ["x/a.png", "z/a.png", "v1.a.png"] {
                let copy = folder.path().join(copy);
                std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
                std::fs::copy(folder.path().join("a.png"), copy).unwrap();
            }
            list(&path, "clips").map(|(listing, _)| listing.sources[0].group == listing.sources[1].group)
        };
        for original in ["x/a.png", "x/a", "a.png"] {
            assert!(
                grouped(&format!("file,label,original\nx/a.png,real,\nb.png,fake,{original}\n")).unwrap(),
                "{original}"
            );
        }
        for other in ["c.png", "y/a.png"] {
            assert!(!grouped(&format!("file,label,original\nx/a.png,real,\nb.png,fake,{other}\n")).unwrap(), "{other}");
        }
        for original in ["v1.a", "v1.a.png"] {
            assert!(grouped(&format!("file,label,original\nv1.a.png,real,\nb.png,fake,{original}\n")).unwrap());
        }
        let said = grouped("file,label,original\nx/a.png,real,\nz/a.png,real,\nb.png,fake,a.png\n").unwrap_err();
        assert!(said.to_string().contains("x/a or z/a"), "{said}");
    }

    #[test]
    fn what_a_table_gets_wrong_is_said_by_its_name() {
        let refused = |table: &str| {
            let (_folder, path) = place("clips.tsv", table);
            format!("{:#}", list(&path, "clips").unwrap_err())
        };
        assert!(refused("file\tkind\na.png\treal\n").contains("no column `label`"));
        assert!(refused("file\tlabel\na.png\tmaybe\n").contains("`maybe`"));
        assert!(refused("file\tlabel\tsplit\na.png\treal\tsome\n").contains("`some`"));
        assert!(refused("file\tlabel\na.png\treal\na.png\tfake\n").contains("twice"));
        assert!(refused("file\tlabel\na.png\n").contains("as many fields"));
        let said = refused("file\tlabel\nnone.mp4\treal\n");
        assert!(said.contains("no video that can be used") && said.contains("none.mp4 is not there"), "{said}");
        assert!(refused("file\tlabel\n/elsewhere.mp4\treal\n").contains(OUTSIDE));
        assert!(refused("file\tlabel\n").contains("no lines below the first"));
    }

    #[test]
    fn a_file_that_is_not_there_or_lies_outside_is_left_out_with_the_reason() {
        let (_folder, path) = place("clips.tsv", "file\tlabel\na.png\treal\nnone.mp4\tfake\n../b.png\tfake\n");
        let (listing, _) = list(&path, "clips").unwrap();
        assert_eq!(listing.sources.len(), 1);
        let reasons: Vec<&str> = listing.left_out.iter().map(|left_out| left_out.reason.as_str()).collect();
        assert!(reasons[0] == "not there" && reasons[1] == OUTSIDE, "{reasons:?}");
    }
}
