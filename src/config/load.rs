//! Files → the checked configuration.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::check_node::check_node;
use super::check_pipeline::{CheckedFile, check_pipeline};
use super::check_sink::Env;
use super::check_together::check_together;
use super::checked::{Config, Node, Pipeline};
use super::checker::Checker;
use super::document::Document;
use super::json_schema::{node_schema, pipeline_schema};
use super::limits;
use super::problem::{Problem, Problems};
use super::raw::{NodeFile, PipelineFile};
use super::shape;
use super::size::Size;

/// Where pipeline files are looked for if no path is given.
const PIPELINES_DEFAULT: &str = "pipelines";

/// The node's file, taken if it is there.
const NODE_FILE_DEFAULT: &str = "forebay.toml";

const NAME_THEM: &str = "name the pipeline files or their folders: forebay serve PATH…";

/// Reads and checks everything.
///
/// `paths` are pipeline files, or folders whose `*.toml` files are taken in the order of their names (`forebay.toml`
/// left out); none means `pipelines/`. `node_file` must exist if it is named; otherwise `forebay.toml` is taken where
/// the working folder has it, and the defaults where it has not. `env` looks up an environment variable.
pub fn load(paths: &[PathBuf], node_file: Option<&Path>, env: Env<'_>) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let node = load_node(node_file, env, &mut problems);
    let defaults = [PathBuf::from(PIPELINES_DEFAULT)];
    let files = match paths {
        [] if !Path::new(PIPELINES_DEFAULT).exists() => {
            let problem = Problem::of_file(PIPELINES_DEFAULT, "there is no such folder here");
            problems.push(problem.with_help(NAME_THEM));
            Vec::new()
        }
        [] => find_files(&defaults, &mut problems),
        paths => find_files(paths, &mut problems),
    };
    let schema = pipeline_schema();
    let mut checked = Vec::with_capacity(files.len());
    for file in files {
        let Some(mut document) = open(file, &mut problems) else { continue };
        let file = check_text(&mut document, &schema, node.as_ref(), env, &mut problems);
        checked.push((document, file));
    }
    check_together(&checked, &mut problems);
    let pipelines = checked.into_iter().filter_map(|(_, file)| file.pipeline).collect();
    match node {
        Some(node) if problems.is_empty() => Ok(Config { node, pipelines }),
        _ => Err(Problems::sorted(problems)),
    }
}

/// The text of a pipeline that no file has, for a node.
///
/// # Errors
/// Everything that is wrong with it.
pub fn pipeline_of_text(text: &str, node: &Node) -> Result<Pipeline, Problems> {
    let mut problems = Vec::new();
    let mut document = Document::new(PathBuf::from("(made by a client)"), text.to_owned());
    let file = check_text(&mut document, &pipeline_schema(), Some(node), &|_| None, &mut problems);
    file.pipeline.ok_or_else(|| Problems::sorted(problems))
}

/// One pipeline file's text.
pub(super) fn check_text(
    document: &mut Document,
    schema: &serde_json::Value,
    node: Option<&Node>,
    env: Env<'_>,
    problems: &mut Vec<Problem>,
) -> CheckedFile {
    let mut own = Vec::new();
    let raw: Option<PipelineFile> = shape::read(document, schema, env, &mut own);
    let checked = match raw {
        Some(raw) => check_pipeline(raw, node, env, &mut Checker { document, problems: &mut own }),
        None => {
            CheckedFile { stream_name: None, deliveries: Vec::new(), fan_outs: Vec::new(), pipeline: None }
        }
    };
    problems.append(&mut own);
    checked
}

fn load_node(node_file: Option<&Path>, env: Env<'_>, problems: &mut Vec<Problem>) -> Option<Node> {
    let file = match node_file {
        Some(file) => Some(file.to_owned()),
        None => Some(PathBuf::from(NODE_FILE_DEFAULT)).filter(|file| file.exists()),
    };
    let mut document = match file {
        Some(file) => open(file, problems)?,
        None => Document::new(PathBuf::from(NODE_FILE_DEFAULT), String::new()),
    };
    node_of(&mut document, env, problems)
}

/// The node of a file of this text, which has no problem.
#[cfg(test)]
pub(crate) fn node_for_tests(text: &str) -> Node {
    let mut problems = Vec::new();
    let mut document = Document::new(PathBuf::from(NODE_FILE_DEFAULT), text.to_owned());
    let node = node_of(&mut document, &|_| None, &mut problems);
    node.unwrap_or_else(|| panic!("{}", Problems::sorted(problems)))
}

/// The text of the node's file.
pub(super) fn node_of(document: &mut Document, env: Env<'_>, problems: &mut Vec<Problem>) -> Option<Node> {
    let before = problems.len();
    let raw: NodeFile = shape::read(document, &node_schema(), env, problems)?;
    let node = check_node(raw, env, &mut Checker { document, problems });
    node.filter(|_| problems.len() == before)
}

/// The files that `paths` stand for, each once.
fn find_files(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            // One that does not exist is reported when it is opened.
            files.push(path.clone());
            continue;
        }
        match toml_files(path) {
            Ok(found) if found.is_empty() => {
                let problem = Problem::of_file(path, "no pipeline file (*.toml) in this folder");
                problems.push(problem.with_help(NAME_THEM));
            }
            Ok(mut found) => files.append(&mut found),
            Err(error) => {
                problems.push(Problem::of_file(path, format!("the folder cannot be read: {error}")))
            }
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
    files
}

fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_pipeline = path.extension().is_some_and(|extension| extension == "toml")
            && path.file_name().is_some_and(|name| name != NODE_FILE_DEFAULT);
        if is_pipeline && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn open(file: PathBuf, problems: &mut Vec<Problem>) -> Option<Document> {
    let bytes = match read_bounded(&file, limits::CONFIG_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(Problem::of_file(file, error.to_string()));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(Document::new(file, text)),
        Err(error) => {
            let valid_bytes = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes().get(..valid_bytes).unwrap_or_default());
            let document = Document::new(file, text.into_owned());
            problems.push(document.problem_at(valid_bytes..valid_bytes, "", "not valid UTF-8"));
            None
        }
    }
}

/// Why a file was not read.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is larger than {0}, which is the most that is read")]
    TooLarge(Size),
}

/// A whole file, if it has at most `bytes_max` bytes.
pub(super) fn read_bounded(file: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    File::open(file)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(ReadError::TooLarge(Size(bytes_max)));
    }
    Ok(bytes)
}
