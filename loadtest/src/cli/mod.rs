//! Arguments → plans.

mod run;
mod runs;
mod store;
#[cfg(test)]
mod tests;
mod tools;

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use forebay::testkit::generators;

pub use run::RunArgs;
pub use runs::{CompareArgs, MergeArgs, ReportArgs};
pub use store::VerifyArgs;
pub use tools::{CalibrateArgs, GenerateArgs};

/// Load for Forebay, and the proof that all of it arrived.
#[derive(Debug, Parser)]
#[command(name = "forebay-load", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Post records and measure. Exit code 1 if any request failed for good
    #[command(
        args_override_self = true,
        after_help = "FOREBAY_API_KEY in the environment: the key that is shown to a server that asks for one."
    )]
    Run(Box<RunArgs>),
    /// Tell how much CPU time the load generator itself takes for a request, against a responder of its own
    Calibrate(CalibrateArgs),
    /// Read lakes back. Exit code 1 if records are missing, duplicated, reordered or damaged
    Verify(VerifyArgs),
    /// Draw records of runs: a page, a picture
    Report(ReportArgs),
    /// Tell which differences of two runs are more than chance
    Compare(CompareArgs),
    /// Make one record or manifest of those of several processes that ran at the same time
    Merge(MergeArgs),
    /// Print records as NDJSON
    Generate(GenerateArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    Clickstream,
    Iot,
    Telemetry,
}

impl From<Profile> for generators::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Clickstream => Self::Clickstream,
            Profile::Iot => Self::Iot,
            Profile::Telemetry => Self::Telemetry,
        }
    }
}

/// `500ms`, `30s`, `2m`, `1h`; a plain number means seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("give a time such as 500ms, 30s, 2m or 1h".into()),
    };
    let number: f64 = number.parse().map_err(|_| "give a time such as 500ms, 30s, 2m or 1h".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "the time is negative or too long".into())
}
