//! `[ingest.add]`: what is added to each record.

use super::*;
use crate::config::checked::{Add, Fact, OnForged};

fn added(text: &str) -> Add {
    let text = format!("[stream]\nname = \"s\"\n[ingest.add]\n{text}");
    pipeline(&text).ingest.add.unwrap()
}

#[test]
fn facts_go_into_a_member_of_the_record() {
    let add =
        added("field = \"/request\"\nfacts = [\"arrival_time\", \"header:Referer\", \"query:utm source\"]\n");
    let header = Fact::Header("referer".parse().unwrap());
    assert_eq!(add.facts, [Fact::ArrivalTime, header, Fact::Query("utm source".to_owned())]);
    assert_eq!((add.name(), add.on_conflict), ("request", OnForged::Replace));
    let add = added("field = \"/a\"\nfacts = [\"claim:https://x.example/roles\", \"context:tenant\"]\n");
    let claim = Fact::Claim("https://x.example/roles".to_owned());
    assert_eq!(add.facts, [claim, Fact::Context("tenant".to_owned())]);
    let add = added("field = \"/a~1b\"\nfacts = [\"principal\"]\non_conflict = \"keep\"\n");
    assert_eq!((add.name(), add.on_conflict), ("a/b", OnForged::Keep));
}

#[test]
fn what_cannot_be_added_is_refused_with_advice() {
    for (text, said) in [
        ("facts = [\"method\"]\n", "missing \"field\""),
        ("field = \"/a\"\n", "missing \"facts\""),
        ("field = \"/a/b\"\nfacts = [\"method\"]\n", "\"/a/b\" is to name a member of the record itself"),
        ("field = \"a\"\nfacts = [\"method\"]\n", "a JSON pointer begins with '/': write '/a'"),
        ("field = \"/a\"\nfacts = []\n", "0 facts: write 1 to 64"),
        ("field = \"/a\"\nfacts = [\"user-agent\"]\n", "did you mean \"user_agent\"?"),
        ("field = \"/a\"\nfacts = [\"header:a b\"]\n", "\"a b\" is no name of a header"),
        ("field = \"/a\"\nfacts = [\"header:Authorization\"]\n", "authorization is a secret"),
        ("field = \"/a\"\nfacts = [\"header:x-api-key\"]\n", "x-api-key is a secret"),
        ("field = \"/a\"\nfacts = [\"query:access_token\"]\n", "\"access_token\" is a secret"),
        ("field = \"/a\"\nfacts = [\"claim:\"]\n", "what is said of a sender has a name of 1 to 128 bytes"),
        ("field = \"/a\"\nfacts = [\"context:\"]\n", "help: write claim:email or context:tenant"),
        ("field = \"/a\"\nfacts = [\"query:\"]\n", "a parameter has a name of 1 to 128 bytes"),
        ("field = \"/a\"\nfacts = [\"header:X-A\", \"header:x-a\"]\n", "\"header:x-a\" is named twice"),
        (
            "field = \"/a\"\nfacts = [\"method\"]\non_conflict = \"drop\"\n",
            "on_conflict = \"drop\" is not known",
        ),
    ] {
        let complaints = complaints(&format!("[stream]\nname = \"s\"\n[ingest.add]\n{text}"));
        assert!(complaints.contains(said), "{said}: {complaints}");
    }
    let any = "[stream]\nname = \"s\"\n[ingest]\ncontent = \"any\"\nadd = { field = \"/a\", facts = [\"method\"] }\n";
    assert!(complaints(any).contains("members are added to JSON objects"));
}

#[test]
fn a_stage_says_what_is_different_and_the_rest_is_as_in_ingest() {
    let text = "[stream]\nname = \"s\"\n[ingest]\npartition_key = \"/k\"\nmax_record = \"1KiB\"\n\
                [[stage]]\nname = \"beta\"\ncanary = 10\ningest = { max_record = \"2KiB\", pixel = true }\n\
                [[stage]]\nname = \"v2-draft\"\ncanary = 90\n";
    let ingest = pipeline(text).ingest;
    let stages: Vec<_> = ingest
        .stages
        .iter()
        .map(|stage| (&*stage.name, stage.canary, stage.ingest.record_bytes_max, stage.ingest.takes_clicks))
        .collect();
    assert_eq!(stages, [("beta", 10, 2_048, true), ("v2-draft", 90, 1_024, false)]);
    assert!(ingest.stages.iter().all(|stage| stage.ingest.partition_key == ingest.partition_key));
}

#[test]
fn every_wrong_stage_is_refused_with_its_place() {
    for (text, said) in [
        ("[[stage]]\n", "3:1: missing \"name\""),
        ("[[stage]]\nname = \"v1\"\n", "4:8: name = \"v1\" is that of a version of the API"),
        ("[[stage]]\nname = \"v27\"\n", "name = \"v27\" is that of a version of the API"),
        ("[[stage]]\nname = \"a/b\"\n", "4:8: "),
        ("[[stage]]\nname = \"a\"\n[[stage]]\nname = \"a\"\n", "6:8: stage \"a\" is there twice"),
        (
            "[[stage]]\nname = \"a\"\ncanary = 101\n",
            "5:10: canary is a whole number of percent, from 0 to 100",
        ),
        (
            "[[stage]]\nname = \"a\"\ncanary = -1\n",
            "5:10: canary is a whole number of percent, from 0 to 100",
        ),
        (
            "[[stage]]\nname = \"a\"\ncanary = 60\n[[stage]]\nname = \"b\"\ncanary = 41\n",
            "8:10: canary is a whole number of percent: 40 are left by the stages before",
        ),
        ("[[stage]]\nname = \"a\"\n[stage.ingest]\nmax_record = \"x\"\n", "6:14: "),
        (
            "[[stage]]\nname = \"a\"\n[stage.ingest]\npartition_key = \"x\"\n",
            "6:17: partition_key = \"x\" is not known",
        ),
        (
            "[[stage]]\nname = \"a\"\n[stage.ingest]\nschema = \"infer\"\n",
            "6:10: columns are learned from the records of all stages",
        ),
        (
            "[[stage]]\nname = \"a\"\n[stage.ingest]\nschema = \"missing.json\"\n",
            "6:10: JSON Schema \"missing.json\"",
        ),
        ("[[stage]]\nname = \"a\"\n[stage.ingest]\ncontent = \"any\"\n", "6:1: "),
    ] {
        let complaints = complaints(&format!("[stream]\nname = \"s\"\n{text}"));
        assert!(complaints.contains(said), "{said}: {complaints}");
    }
    let many: String = (0..9).map(|number| format!("[[stage]]\nname = \"a{number}\"\n")).collect();
    assert!(
        complaints(&format!("[stream]\nname = \"s\"\n{many}"))
            .contains("9 stages are too many: there may be 8")
    );
    let twice = "[stream]\nname = \"s\"\n[ingest]\nmax_record = \"x\"\n[[stage]]\nname = \"a\"\n";
    assert_eq!(complaints(twice).lines().count(), 1, "{}", complaints(twice));
}
