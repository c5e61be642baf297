//! `verify`: which lakes are read back, and by which manifests.

use std::path::PathBuf;

use clap::Args;
use forebay_load::manifest::Manifest;
use forebay_load::verify;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// s3://BUCKET/PREFIX/, file:///FOLDER/ or a folder; each is a complete copy and judged alone
    #[arg(required = true, value_name = "LAKE-URL")]
    pub(super) lakes: Vec<String>,
    /// What a run wrote about acked records; once for each run into the lake. Without one, only gaps are missing
    #[arg(long, value_name = "FILE")]
    pub manifest: Vec<PathBuf>,
    /// URL of an S3-compatible store. Access keys and region come from AWS_* in the environment
    #[arg(long)]
    pub(super) endpoint: Option<String>,
    /// JSON pointer to the partition key, or none [default: where the profile has it]
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Name of the folders that hold dead letters
    #[arg(long, default_value = "errors")]
    pub(super) errors: String,
    /// Objects that are read at a time [default: one a CPU]
    #[arg(long)]
    pub(super) jobs: Option<usize>,
    /// Print the verdicts as JSON in the place of the text; with =FILE, write them there besides the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub json: Option<PathBuf>,
}

impl VerifyArgs {
    pub fn plan(
        self,
        environment: Vec<(String, String)>,
        manifests: Vec<Manifest>,
    ) -> Result<verify::Plan, String> {
        let mut options = environment;
        if let Some(endpoint) = self.endpoint {
            options.retain(|(name, _)| !name.starts_with("aws_endpoint"));
            options.push(("aws_endpoint".into(), endpoint));
        }
        // Whoever names a plain endpoint means it.
        let is_plain = |(name, value): &(String, String)| {
            name.starts_with("aws_endpoint") && value.starts_with("http://")
        };
        if options.iter().any(is_plain) && options.iter().all(|(name, _)| name != "aws_allow_http") {
            options.push(("aws_allow_http".into(), "true".into()));
        }
        let key = self.key.map(|key| verify::KeyRule::parse(&key)).transpose();
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(verify::Plan {
            lakes: self.lakes,
            options,
            manifests,
            key: key.map_err(|error| error.to_string())?.unwrap_or_default(),
            errors_folder: self.errors,
            jobs: self.jobs.unwrap_or_else(cpus).clamp(1, 64),
        })
    }
}
