//! `forebay shards STREAM`: the shards of a stream of a running node, how much comes to each, and changes of them.

mod node;
mod table;

use std::io;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::node::{Node, ShardsError};
use super::{Exit, Session};
use crate::config::limits::SHARDS_MAX;
use crate::record::ShardId;

/// `forebay shards`.
#[derive(Debug, Args)]
#[command(
    after_help = "A SHARD is shardId-000000000002 or 2. Without a command the shards are printed, with one those that there are then.\nExit codes: 0 it is done, 1 the node cannot be reached or refuses, 2 wrong arguments.\nFOREBAY_API_KEY in the environment: the key that is shown to a node that asks for one."
)]
pub struct ShardsArgs {
    /// The stream
    #[arg(value_name = "STREAM")]
    pub stream: String,
    /// What to change
    #[command(subcommand)]
    pub change: Option<ShardsChange>,
    /// Leave out shards that are closed
    #[arg(long, global = true)]
    pub open: bool,
    /// Print what the node answers, as JSON, instead of a table
    #[arg(long, global = true, conflicts_with = "open")]
    pub json: bool,
    /// The node
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    pub url: String,
}

/// What to change about the shards of a stream.
#[derive(Debug, Subcommand)]
pub enum ShardsChange {
    /// Close a shard and go on with two in its place
    Split {
        /// The shard
        #[arg(value_parser = shard)]
        shard: ShardId,
        /// Where the second one begins: middle, hottest (its heaviest key comes to lie at the edge), or a hash key
        #[arg(long, value_name = "WHERE", default_value = "middle", value_parser = split_point)]
        at: String,
    },
    /// Close two neighbours and go on with one in their place
    Merge {
        /// One shard
        #[arg(value_parser = shard)]
        one: ShardId,
        /// And the one beside it
        #[arg(value_parser = shard)]
        other: ShardId,
    },
    /// Go on with so many shards of even ranges
    Count {
        /// How many
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARDS_MAX)))]
        shards: u32,
    },
}

fn shard(text: &str) -> Result<ShardId, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number).map(ShardId);
    number
        .or_else(|| ShardId::parse(text))
        .ok_or_else(|| "a shard is written as shardId-000000000002, or as 2".to_owned())
}

fn split_point(text: &str) -> Result<String, String> {
    match text {
        "middle" | "hottest" => Ok(text.to_owned()),
        _ if text.parse::<u128>().is_ok() => Ok(text.to_owned()),
        _ => Err("write middle, hottest, or a hash key as a decimal number below 2^128".to_owned()),
    }
}

impl ShardsChange {
    /// As the route takes it.
    fn body(&self) -> Value {
        match self {
            Self::Split { shard, at } => json!({ "split": shard.to_string(), "at": at }),
            Self::Merge { one, other } => json!({ "merge": [one.to_string(), other.to_string()] }),
            Self::Count { shards } => json!({ "count": shards }),
        }
    }
}

/// `forebay shards`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(args: &ShardsArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    // The client is built without a TLS provider of its own; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answered = runtime.block_on(async {
        let node = Node::new(&args.url, &args.stream, session.env)?;
        match &args.change {
            None => node.list().await,
            Some(change) => node.change(&change.body()).await,
        }
    });
    match answered {
        Ok(answer) if args.json => writeln!(session.out, "{:#}", answer.as_sent)?,
        Ok(answer) => {
            let shards = answer.shards.iter().filter(|shard| shard.open || !args.open);
            table::print(shards, session.out)?;
        }
        Err(error) => {
            writeln!(session.err, "forebay shards: {error}")?;
            return Ok(if matches!(error, ShardsError::Url(_) | ShardsError::Key(_)) {
                Exit::Usage
            } else {
                Exit::NotWell
            });
        }
    }
    Ok(Exit::Well)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    fn parse(words: &[&str]) -> Result<ShardsArgs, clap::Error> {
        let words = ["forebay", "shards", "s"].into_iter().chain(words.iter().copied());
        Cli::try_parse_from(words).map(|cli| match cli.command {
            Command::Shards(args) => *args,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_arguments_become_the_body() {
        for (words, body) in [
            (&["split", "2"][..], json!({"split": "shardId-000000000002", "at": "middle"})),
            (
                &["split", "shardId-000000000002", "--at", "hottest"],
                json!({"split": "shardId-000000000002", "at": "hottest"}),
            ),
            (&["split", "2", "--at", "7"], json!({"split": "shardId-000000000002", "at": "7"})),
            (&["merge", "0", "11"], json!({"merge": ["shardId-000000000000", "shardId-000000000011"]})),
            (&["count", "8", "--json"], json!({"count": 8})),
        ] {
            assert_eq!(parse(words).unwrap().change.unwrap().body(), body, "{words:?}");
        }
        let listed = parse(&["--url", "http://h:1", "--open"]).unwrap();
        assert!(listed.change.is_none() && listed.open && listed.url == "http://h:1");
    }

    #[test]
    fn what_makes_no_sense_is_no_argument() {
        for words in [
            &["split"][..],
            &["split", "two"],
            &["split", "+2"],
            &["split", "shardId-2"],
            &["split", "2", "--at", "left"],
            &["split", "2", "--at", "-1"],
            &["split", "2", "--at", "340282366920938463463374607431768211456"],
            &["merge", "1"],
            &["count", "0"],
            &["count", "4097"],
            &["shrink"],
            &["--open", "--json"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
