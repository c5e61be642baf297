//! `bloom_filters` and `sort_by`.

use super::*;

const COLUMNS: &str = r#"[schema]
columns = [
  { name = "id", type = "int64" },
  { name = "is_bot", type = "bool" },
  { name = "pos", type = "struct<lat: float64, tags: list<string>>" },
  { name = "attrs", type = "map<string, int64>" },
]
[[delivery]]
name = "d"
format = "parquet"
"#;

#[test]
fn columns_of_filters_and_of_the_order_are_taken_as_they_are_named() {
    let text = format!(
        "{STREAM}{COLUMNS}bloom_filters = [\"id\", \"pos.tags\", \"attrs.key\"]\nsort_by = [\"-is_bot\", \"id\"]\nrow_group = \"2MiB\""
    );
    let pipeline = pipeline(&text);
    let checked::Format::Parquet(format) = &pipeline.deliveries[0].format else { panic!("not parquet") };
    assert_eq!(format.bloom_filters, ["id", "pos.tags", "attrs.key"]);
    let by = |column: &str, descending| checked::SortColumn { column: column.to_owned(), descending };
    assert_eq!(format.sort_by, [by("is_bot", true), by("id", false)]);
    assert_eq!(format.row_group_bytes, 2 << 20);
}

#[test]
fn columns_that_do_not_exist_or_have_no_order_are_refused() {
    for (setting, message) in [
        (
            "bloom_filters = [\"id\", \"ip\"]",
            "24: bloom_filters: there is no column 'ip': did you mean 'id'?",
        ),
        (
            "bloom_filters = [\"pos\"]",
            "18: bloom_filters: 'pos' is a struct, not a single column: write 'pos.lat' or another one inside of it",
        ),
        (
            "bloom_filters = [\"is_bot\"]",
            "18: bloom_filters: 'is_bot' is a bool: a filter of two values tells nothing",
        ),
        (
            "bloom_filters = [\"pos.lat\"]",
            "18: bloom_filters: 'pos.lat' is a float: in the filters of Parquet 0.0 and -0.0 are two values, and readers would pass over rows with the other one\n  help: leave it out, or make the column a decimal",
        ),
        ("bloom_filters = [\"id\", \"id\"]", "24: bloom_filters: 'id' is named twice"),
        ("sort_by = [\"-is_bt\"]", "12: sort_by: there is no column 'is_bt': did you mean 'is_bot'?"),
        (
            "sort_by = [\"pos.lat\"]",
            "12: sort_by: 'pos.lat' is inside of another column: rows are sorted by whole ones",
        ),
        (
            "sort_by = [\"id\", \"attrs\"]",
            "18: sort_by: 'attrs' is a map, which has no order: name a column of a single value",
        ),
        ("sort_by = [\"id\", \"-id\"]", "18: sort_by: 'id' is named twice"),
    ] {
        let found = complaints_below_stream(&format!("{COLUMNS}{setting}"));
        assert_eq!(found, format!("p.toml:13:{message}"));
    }
}
