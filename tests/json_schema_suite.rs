//! The official JSON-Schema-Test-Suite against both forms of a schema: compiled, and by the `jsonschema` crate.
//!
//! The suite is not part of this repository: `tests/schema-suite/fetch` brings it, and `make test` calls that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a panic in a test is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use forebay::json::Scanner;
use forebay::schema::validation::{Options, Plan, SchemaError, Scratch, Verdict};
use jsonschema::Draft;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Cases that the compiled form must decide itself, of 6,865: it decided 6,068 when this was last changed.
const COMPILED_MIN: usize = 6_000;

/// Schemas that may be refused because they need another document: there were 75.
const REFUSED_MAX: usize = 80;

/// Formats that need tables of internationalised names, which the crate is built without: annotations here.
const UNKNOWN_FORMATS: [&str; 2] = ["idn-email", "idn-hostname"];

const DRAFTS: [(&str, Draft, &str); 5] = [
    ("draft4", Draft::Draft4, "http://json-schema.org/draft-04/schema#"),
    ("draft6", Draft::Draft6, "http://json-schema.org/draft-06/schema#"),
    ("draft7", Draft::Draft7, "http://json-schema.org/draft-07/schema#"),
    ("draft2019-09", Draft::Draft201909, "https://json-schema.org/draft/2019-09/schema"),
    ("draft2020-12", Draft::Draft202012, "https://json-schema.org/draft/2020-12/schema"),
];

#[derive(Deserialize)]
struct Group {
    description: String,
    schema: Value,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    description: String,
    data: Box<RawValue>,
    valid: bool,
}

#[derive(Default)]
struct Tally {
    compiled: usize,
    fallback: usize,
    /// Schemas that need another document.
    refused: usize,
    /// What went wrong.
    wrong: Vec<String>,
}

#[test]
fn the_official_suite_is_decided_as_it_says() {
    let root = std::env::var_os("FOREBAY_INFRA_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".infra"), PathBuf::from)
        .join("json-schema-test-suite");
    if !root.is_dir() {
        eprintln!(
            "SKIPPED: the JSON-Schema-Test-Suite is not at {}: run tests/schema-suite/fetch, or `make test`, which does",
            root.display()
        );
        return;
    }
    let mut total = Tally::default();
    for draft in DRAFTS {
        let mut tally = Tally::default();
        let folder = root.join(draft.0);
        for below in ["", "optional", "optional/format"] {
            for file in json_files(&folder.join(below)) {
                if !UNKNOWN_FORMATS.iter().any(|format| file.file_stem().is_some_and(|stem| stem == *format))
                {
                    run_file(&file, draft, &mut tally);
                }
            }
        }
        eprintln!(
            "{}: {} cases decided by the compiled form, {} by the fallback; {} schemas refused",
            draft.0, tally.compiled, tally.fallback, tally.refused
        );
        total.compiled += tally.compiled;
        total.refused += tally.refused;
        total.wrong.append(&mut tally.wrong);
    }
    let wrong = total.wrong;
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{wrong:#?}", wrong.len());
    assert!(
        total.compiled >= COMPILED_MIN,
        "only {} cases were decided by the compiled form",
        total.compiled
    );
    assert!(total.refused <= REFUSED_MAX, "{} schemas were refused", total.refused);
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect();
    files.sort();
    files
}

fn run_file(file: &Path, (name, draft, uri): (&str, Draft, &str), tally: &mut Tally) {
    let groups: Vec<Group> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    // The files of this folder take formats for assertions, the others for annotations.
    let assert_formats = file.parent().unwrap().ends_with("format");
    let short = format!("{name}/{}", file.file_stem().unwrap().to_str().unwrap());
    for mut group in groups {
        if let Value::Object(schema) = &mut group.schema
            && !schema.contains_key("$schema")
        {
            schema.insert("$schema".to_owned(), uri.into());
        }
        let options = Options { any_kind: true, assert_formats };
        let plan = match Plan::compile_with(Some(&group.schema), &[], options) {
            Ok(plan) => plan,
            Err(SchemaError::Reference { .. } | SchemaError::UnknownDraft { .. }) => {
                tally.refused += 1;
                continue;
            }
            Err(error) => {
                tally.wrong.push(format!("{short} | {} | {error}", group.description));
                continue;
            }
        };
        run_group(&plan, &group, &short, (draft, assert_formats), tally);
    }
}

fn run_group(plan: &Plan, group: &Group, short: &str, (draft, formats): (Draft, bool), tally: &mut Tally) {
    let crate_form =
        jsonschema::options().with_draft(draft).should_validate_formats(formats).build(&group.schema);
    let crate_form = crate_form.expect("the crate takes what the plan takes");
    let mut scratch = Scratch::new();
    for case in &group.tests {
        let mut scanner = Scanner::new(case.data.get());
        let verdict = plan.check(&mut scanner, &mut scratch).unwrap();
        scanner.end().unwrap();
        let ours = verdict == Verdict::Fits;
        assert_eq!(ours, scratch.violation().is_none());
        let by_crate = crate_form.is_valid(&serde_json::from_str(case.data.get()).unwrap());
        let at = format!("{short} | {} | {}", group.description, case.description);
        if plan.is_compiled() {
            tally.compiled += 1;
        } else {
            tally.fallback += 1;
        }
        if ours != case.valid {
            let form = if plan.is_compiled() { "compiled" } else { "fallback" };
            tally.wrong.push(format!(
                "{at} | {form}: {}",
                scratch.violation().map_or_else(|| "fits".to_owned(), ToString::to_string)
            ));
        }
        if by_crate != case.valid && plan.is_compiled() {
            tally.wrong.push(format!("{at} | crate: {by_crate}"));
        }
    }
}
