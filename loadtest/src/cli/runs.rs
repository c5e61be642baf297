//! What is made of records of runs: `report`, `compare`, `merge`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What `run --record` has written
    #[arg(required = true, value_name = "RECORD")]
    pub records: Vec<PathBuf>,
    /// Write a page that needs nothing else to this file
    #[arg(long, value_name = "FILE", required_unless_present = "png")]
    pub html: Option<PathBuf>,
    /// Write a picture to this file
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// What `run --record` has written before a change
    pub a: PathBuf,
    /// And after it
    pub b: PathBuf,
    /// Write both runs over each other to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// The same as a picture
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Write the table as JSON to this file; - for standard output, in the place of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exit code 1 if something is worse by more than chance
    #[arg(long)]
    pub fail_if_worse: bool,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// What `run --record` has written in each process
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "record", required_unless_present = "manifests")]
    pub records: Vec<PathBuf>,
    /// What `run --manifest` has written in each process
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "manifest")]
    pub manifests: Vec<PathBuf>,
    /// Write the merged record to this file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Write the merged manifest to this file
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}
