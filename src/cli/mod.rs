//! The commands: one file each. What they print goes to the writers of a [`Session`], what they find out to an
//! [`Exit`].

pub mod check;
pub mod dlq;
pub mod schema;
pub mod serve;
pub mod shards;
pub mod tail;
pub mod verify;

mod hash_password;
pub mod node_key;
mod node_url;
mod recovery_display;
pub mod reload;
mod start;
mod stop;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use check::CheckArgs;
pub use dlq::DlqArgs;
pub use schema::SchemaArgs;
pub use shards::ShardsArgs;
pub use tail::TailArgs;
pub use verify::VerifyArgs;

/// Events in over HTTP, a durable ordered log, files in the lake exactly once: one binary.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 all is well, 1 what the command found is not (its output says what), 2 wrong arguments, 3 stopped before everything was delivered."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every pipeline file that is found
    Serve(ServeArgs),
    /// Read the same files and report every problem at once
    Check(CheckArgs),
    /// Show, compare and try out the columns of a stream
    Schema(SchemaArgs),
    /// Prove from ledgers, log and objects that nothing is missing or doubled
    Verify(VerifyArgs),
    /// List, show and send again what could not be delivered
    Dlq(Box<DlqArgs>),
    /// Read a password from the standard input and print what [[basic_user]] takes as its password_hash
    HashPassword,
    /// Print records of a running node as they arrive
    Tail(Box<TailArgs>),
    /// Show the shards of a stream of a running node and how hot they are; split and merge them
    Shards(Box<ShardsArgs>),
}

/// `forebay serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Pipeline files, or folders of *.toml files [default: pipelines/]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The node's file [default: forebay.toml if there is one, built-in defaults otherwise]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Leave damaged parts of the log out instead of stopping; how much is lost is logged and counted
    #[arg(long)]
    pub accept_damage: bool,
}

/// What a command has to do with the outside, all of it handed in by `main`.
pub struct Session<'a> {
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// What was asked for: results, for people or for programs.
    pub out: &'a mut dyn Write,
    /// What went wrong with the command itself.
    pub err: &'a mut dyn Write,
}

/// How a command ended. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it was done, and all is well.
    Well,
    /// 1: it was done, and what it found is not well; or it could not be done. The output says what.
    NotWell,
    /// 2: the arguments make no sense. clap ends with the same number.
    Usage,
    /// 3: the server has stopped, and something that it had accepted is lost: it was neither delivered nor kept.
    Undelivered,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Well => ExitCode::SUCCESS,
            Exit::NotWell => ExitCode::from(1),
            Exit::Usage => ExitCode::from(2),
            Exit::Undelivered => ExitCode::from(3),
        }
    }
}

/// Runs a command. An error is one of writing the output: a reader that has gone away is none of ours.
pub fn run(cli: Cli, session: &mut Session<'_>) -> io::Result<Exit> {
    match cli.command {
        Command::Serve(args) => serve::run(args, session),
        Command::Check(args) => check::run(args, session),
        Command::Schema(args) => schema::run(args, session),
        Command::Verify(args) => verify::run(args, session),
        Command::Dlq(args) => dlq::run(*args, session),
        Command::HashPassword => hash_password::run(&mut io::stdin().lock(), session),
        Command::Tail(args) => tail::run(&args, session),
        Command::Shards(args) => shards::run(&args, session),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
