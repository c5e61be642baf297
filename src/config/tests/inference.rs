//! `schema = "infer"` and what must not stand beside it.

use super::*;
use crate::config::checked::ColumnsSource;
use crate::schema::inference::{OnConflict, Rules};

const INFERRED: &str = "[stream]\nname = \"s\"\n[ingest]\nschema = \"infer\"\n";
const PARQUET: &str = "[[delivery]]\nname = \"d\"\nformat = \"parquet\"\n";

fn source(text: &str) -> Option<ColumnsSource> {
    pipeline(text).columns_source
}

#[test]
fn inference_has_a_policy_and_a_bound() {
    let default = Rules { on_conflict: OnConflict::Widen, columns_max: 1_000 };
    assert_eq!(source(&format!("{INFERRED}{PARQUET}")), Some(ColumnsSource::Inferred(default)));
    for (word, on_conflict) in OnConflict::WORDS {
        let text = format!("{INFERRED}[schema]\non_conflict = \"{word}\"\nmax_columns = 4096\n{PARQUET}");
        let rules = Rules { on_conflict, columns_max: 4_096 };
        assert_eq!(source(&text), Some(ColumnsSource::Inferred(rules)));
    }
    let orc = PARQUET.replace("parquet", "orc");
    assert_eq!(source(&format!("{INFERRED}{orc}")), Some(ColumnsSource::Inferred(default)));
    let pipeline = pipeline(&format!("{INFERRED}{PARQUET}"));
    assert!(pipeline.ingest.schema.is_none());
    assert_eq!(pipeline.deliveries[0].format.columns().unwrap().version(), Some(0));
}

#[test]
fn what_contradicts_inference_is_refused_with_advice() {
    for (text, said) in [
        (INFERRED.to_owned(), "learns the columns of Parquet and ORC files, and no delivery has any"),
        (
            format!("{INFERRED}[schema]\ncolumns = [{{ name = \"a\", type = \"json\" }}]\n{PARQUET}"),
            "columns are declared, and [ingest] schema = \"infer\" is to learn them",
        ),
        (format!("{INFERRED}[schema]\nmax_columns = 4097\n{PARQUET}"), "max_columns must be from 1 to 4096"),
        (format!("{INFERRED}[schema]\non_conflict = \"drop\"\n{PARQUET}"), "on_conflict"),
        (
            format!("{INFERRED}content = \"any\"\n[schema]\non_conflict = \"reject\"\n{PARQUET}"),
            "on_conflict = \"reject\" refuses records, and content = \"any\" takes all of them",
        ),
        (
            format!("{INFERRED}{PARQUET}backup = {{ records = \"failed\" }}\n"),
            "records = \"failed\" cannot follow columns that are learned",
        ),
        (
            format!(
                "[stream]\nname = \"s\"\n[schema]\nmax_columns = 5\ncolumns = [{{ name = \"a\", type = \"json\" }}]\n{PARQUET}"
            ),
            "max_columns is for [ingest] schema = \"infer\" only",
        ),
    ] {
        let complaints = complaints(&text);
        assert!(complaints.contains(said), "{said}: {complaints}");
    }
}
