//! One test a kind of problem: the message, the file and the line are part of the interface.

mod auth;
mod aws;
mod cache;
mod cluster;
mod dead_letters;
mod delivery;
mod editor;
mod fan_outs;
mod files;
mod functions;
mod identities;
mod inference;
mod jwt;
mod kafka;
mod limits;
mod listeners;
mod mapping;
mod named_columns;
mod node;
mod on_record;
mod pipeline;
mod prefix;
mod raw_files;
mod robustness;
mod rules;
mod schema;
mod shipped;
mod sink;
mod stream_log;

use std::path::PathBuf;

use super::check_pipeline::CheckedFile;
use super::checked::{self, Node, Pipeline};
use super::document::Document;
use super::json_schema::pipeline_schema;
use super::load::{check_text, node_of};
use super::problem::{Problem, Problems};

/// The environment of the tests.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "STREAM" => "from-env",
        "SHARDS" => "8",
        "FLAG" => "true",
        "SECRET" => "hunter2",
        _ => return None,
    };
    Some(value.to_owned())
}

fn node_from(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut document = Document::new(PathBuf::from("forebay.toml"), text.to_owned());
    let mut problems = Vec::new();
    let node = node_of(&mut document, &env, &mut problems);
    (node, Problems::sorted(problems).as_slice().to_vec())
}

fn checked_from(text: &str, env: &dyn Fn(&str) -> Option<String>) -> (CheckedFile, Vec<Problem>) {
    let (node, _) = node_from("");
    let mut document = Document::new(PathBuf::from("p.toml"), text.to_owned());
    let mut problems = Vec::new();
    let checked = check_text(&mut document, &pipeline_schema(), node.as_ref(), env, &mut problems);
    (checked, Problems::sorted(problems).as_slice().to_vec())
}

/// The pipeline in `text`, which has no problem.
fn pipeline(text: &str) -> Pipeline {
    let (checked, problems) = checked_from(text, &env);
    assert_eq!(printed(&problems), "");
    checked.pipeline.expect("a pipeline without problems")
}

/// What is printed about `text`.
fn complaints(text: &str) -> String {
    let (checked, problems) = checked_from(text, &env);
    assert!(checked.pipeline.is_none(), "a pipeline with problems does not run");
    printed(&problems)
}

/// What a file of the node says, without problems.
fn node(text: &str) -> Node {
    let (node, problems) = node_from(text);
    node.unwrap_or_else(|| panic!("{}", printed(&problems)))
}

/// What is printed about one with problems.
fn node_complaints(text: &str) -> String {
    let (node, problems) = node_from(text);
    assert!(node.is_none(), "{text}");
    printed(&problems)
}

/// The same by line and column alone.
fn node_complaints_by_line(text: &str) -> String {
    node_complaints(text).replace("forebay.toml:", "")
}

fn printed(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// A stream without problems, in two lines, so that what is added begins in line 3.
const STREAM: &str = "stream = { name = \"s\", durability = \"memory\" }\n\n";

/// What is printed about a pipeline whose third line is the first of `text`.
fn complaints_below_stream(text: &str) -> String {
    complaints(&format!("{STREAM}{text}"))
}
