//! `unmask.d.ts` names what this module and the core give: its unions are what programs rely on, so they are compared with
//! the enums that they stand for, and with the codes of all errors.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use unmask_core::detector::spec::{Grade, Measured, Reliability, TrainingStatus, VerdictCounts};
use unmask_core::pipeline::report::{InputKind, ModelInfo, Unused, Verdict};
use unmask_core::pipeline::strength::StrengthLevel;
use unmask_core::pipeline::{CaveatCode, Opinion, Strength};

const DECLARATIONS: &str = include_str!("../js/unmask.d.ts");

#[test]
fn the_page_knows_which_conversion_it_has() {
    let written = format!("const VERSION = {};", unmask_core::detector::formats::CONVERSION);
    assert!(include_str!("../js/conversion.js").contains(&written), "{written}");
}

/// The names of an enum's variants as they stand in a report: serde lists them where it refuses another.
fn variants<T: DeserializeOwned>() -> BTreeSet<String> {
    let refusal = serde_json::from_str::<T>("\"no such variant\"").err().map(|error| error.to_string());
    let refusal = refusal.unwrap_or_default();
    let listed = refusal.split("expected").nth(1).unwrap_or_default();
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The texts in the union that `beginning` introduces in the declarations.
fn union(beginning: &str) -> BTreeSet<String> {
    let (_, after) = DECLARATIONS.split_once(beginning).expect(beginning);
    let lines = after.lines().filter(|line| !line.trim_start().starts_with("/**"));
    let code: String = lines.collect();
    let (union, _) = code.split_once(';').expect("a union ends");
    union.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of the fields that an interface of the declarations has.
fn fields(interface: &str) -> BTreeSet<String> {
    let (_, after) = DECLARATIONS.split_once(&format!("export interface {interface} {{\n")).expect(interface);
    let (body, _) = after.split_once("\n}").expect("an interface ends");
    // What is nested stands further to the right, and lines of comments begin with other characters.
    let declared =
        body.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with(char::is_alphabetic));
    declared.filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim_end_matches('?').to_owned()).collect()
}

/// The texts of all source files with this ending in a folder of the repository, but for this one; or of one file.
fn sources(path: &str, ending: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if path.is_file() {
        return vec![fs::read_to_string(path).expect("a source file")];
    }
    let entries = fs::read_dir(path).expect("a folder of sources").flatten().map(|entry| entry.path());
    let is_wanted =
        |path: &PathBuf| path.extension().is_some_and(|found| found == ending) && !path.ends_with("contract.rs");
    let entries = entries.filter(|path| path.is_dir() || is_wanted(path));
    entries.flat_map(|path| sources(&path.to_string_lossy(), ending)).collect()
}

/// The codes that Rust gives: in a function `code` of an error, or in a call of `coded`.
fn codes_of_rust() -> BTreeSet<String> {
    let texts =
        [sources("src", "rs"), sources("../core/src/weights/error.rs", "rs"), sources("../core/src/pipeline", "rs")];
    let mut codes = BTreeSet::new();
    for text in texts.iter().flatten() {
        for function in text.split("fn code(&self)").skip(1) {
            let body = function.split("\n    }\n").next().unwrap_or_default();
            codes.extend(body.split("=> ").skip(1).flat_map(|arm| arm.split('"').nth(1)).map(str::to_owned));
        }
        for call in text.split("coded(").skip(1) {
            codes.extend(
                call.split(";\n")
                    .next()
                    .and_then(|call| Some(call.split(", \"").nth(1)?.split('"').next()?.to_owned())),
            );
        }
    }
    codes
}

#[test]
fn the_unions_of_reports_are_the_enums_of_the_core() {
    assert_eq!(union("export type Verdict ="), variants::<Verdict>());
    assert_eq!(union("export type CaveatCode ="), variants::<CaveatCode>());
    assert_eq!(union("  training:"), variants::<TrainingStatus>());
    assert_eq!(union("reliability: { grade:"), variants::<Grade>());
    assert_eq!(union("    kind:"), variants::<InputKind>());
    assert_eq!(union("export type Unused ="), variants::<Unused>());
    assert_eq!(union("  level:"), variants::<StrengthLevel>());
}

#[test]
fn an_opinion_and_its_model_have_the_fields_that_are_declared() {
    let reliability = Reliability { grade: Grade::Weak, words: "made up".to_owned() };
    let (name, sha256, training) = ("a".to_owned(), "00".to_owned(), TrainingStatus::Trained);
    let (real, fake) = (VerdictCounts::default(), VerdictCounts::default());
    let measured = Some(Measured { videos: "made up".to_owned(), real, fake });
    let model = ModelInfo { name, sha256, training, reliability, error_rates: None, measured };
    let opinion = Opinion {
        model,
        verdict: Verdict::Uncertain,
        score: None,
        uncertainty: Some(0.5),
        reason: None,
        strength: Some(Strength::of_several()),
        caveats: Vec::new(),
    };
    let opinion = serde_json::to_value(opinion).expect("JSON");
    let keys =
        |value: &serde_json::Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(fields("Opinion"), keys(&opinion));
    assert_eq!(fields("Model"), keys(&opinion["model"]));
    assert!(fields("Report").contains("uncertainty"), "{:?}", fields("Report"));
    assert!(fields("Report").contains("strength"), "{:?}", fields("Report"));
    assert!(fields("Report").contains("opinions"), "{:?}", fields("Report"));
}

#[test]
fn the_union_of_error_codes_has_every_code_that_is_given_and_no_other() {
    let declared = union("export type ErrorCode =");
    let of_rust = codes_of_rust();
    assert!(of_rust.contains("bad_detector") && of_rust.contains("damaged"), "codes are found: {of_rust:?}");
    let lacking: Vec<&String> = of_rust.difference(&declared).collect();
    assert!(lacking.is_empty(), "the declarations lack {lacking:?}");
    // That what JavaScript gives is declared, the compiler of TypeScript checks.
    let scripts = sources("js", "js");
    let is_given =
        |code: &&String| of_rust.contains(*code) || scripts.iter().any(|text| text.contains(&format!("'{code}'")));
    let needless: Vec<&String> = declared.iter().filter(|code| !is_given(code)).collect();
    assert!(needless.is_empty(), "nothing gives {needless:?}");
}
