//! No text makes the loader panic, or say what it must not.

use proptest::prelude::*;

use super::*;

const SHIPPED: &str = include_str!("../../../pipelines/clickstream.toml");

/// Texts that get far: words of the files, in any order.
fn toml_like() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        4 => prop::sample::select(vec![
            "[stream]", "[ingest]", "[[delivery]]", "[schema]", "[server]", "[delivery]", "[log]", "[server.cors]", "\n", "\n", "=", ".",
            "name", "shards", "durability", "retention", "partition_key", "sink", "url", "path", "endpoint", "buffer",
            "size", "interval", "format", "prefix", "columns", "type", "origins", "memory_budget", "listen", "node", "segment", "writer",
            "\"memory\"", "\"fsync\"", "\"parquet\"", "\"64MiB\"", "\"s3://b/\"", "\"{/a}\"", "\"${SECRET}\"", "\"${X:-1}\"", "\"${\"",
            "{", "}", "[", "]", ",", "1", "-9223372036854775808", "99999999999999999999", "1.5", "true", "2026-01-01", "'", "\"",
        ])
        .prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_is_a_pipeline_or_has_problems(text in prop_oneof![toml_like(), "(?s).{0,80}"]) {
        let (checked, problems) = checked_from(&text, &env);
        prop_assert_eq!(checked.pipeline.is_some(), problems.is_empty());
        let lines = text.split('\n').count();
        for problem in &problems {
            prop_assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{}", problem);
            prop_assert!(!problem.to_string().contains("hunter2"), "{}", problem);
        }
        let (node, problems) = node_from(&text);
        prop_assert_eq!(node.is_some(), problems.is_empty());
    }

    #[test]
    fn a_pipeline_with_a_piece_cut_out_or_put_in_is_read_or_has_problems(
        from in 0usize..SHIPPED.len(),
        len in 0usize..40,
        piece in "[\\[\\]{}=\"'\\n.,#$]{0,3}",
    ) {
        let to = (from + len).min(SHIPPED.len());
        let (Some(before), Some(behind)) = (SHIPPED.get(..from), SHIPPED.get(to..)) else { return Ok(()) };
        // The schema file is beside the shipped file, not here: that is one more problem, and no panic either.
        let (checked, problems) = checked_from(&format!("{before}{piece}{behind}"), &env);
        prop_assert_eq!(checked.pipeline.is_some(), problems.is_empty());
    }
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let (checked, problems) = checked_from(&text, &env);
    assert!(checked.pipeline.is_none() && !problems.is_empty());
}
