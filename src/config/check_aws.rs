//! `[aws]` of `forebay.toml`: raw → checked.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access_key::{
    Access, AccessKeyTable, SignatureRule, check_access_keys, check_stream_patterns,
};
use super::check_firehose::{
    BucketStore, BucketStoreTable, Table, TableTable, check_bucket_store, check_tables,
};
use super::check_listener::ListenAt;
use super::check_sink::Env;
use super::checker::Checker;
use super::limits::{AWS_REGION_BYTES_MAX, CLOCK_SKEW_MAX, CLOCK_SKEW_MIN, CLOCK_SKEW_SECONDS_DEFAULT};
use super::secret::Secret;
use crate::edge::identity::pattern::Pattern;

/// `[aws]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsTable {
    /// Whether requests of AWS clients must be signed: `required`, or `off`, which lets everybody do everything and is
    /// taken only where all listeners are loopback addresses or Unix sockets. Default: `required`.
    #[schemars(extend("enum" = ["required", "off"]), example = &"required")]
    pub signature: Option<String>,
    /// How far the clock of a client may be from ours. Default: `15m`.
    #[schemars(example = &"15m")]
    pub clock_skew: Option<String>,
    /// Region in the ARNs of streams. Requests may be signed for any. Default: `us-east-1`.
    #[schemars(example = &"us-east-1")]
    pub region: Option<String>,
    /// Account in the ARNs of streams: 12 digits. Default: `000000000000`.
    #[schemars(example = &"000000000000")]
    pub account: Option<String>,
    /// Streams that get the quotas of Kinesis Data Streams when a client makes them: names with `*` for any characters.
    /// Those of pipeline files have `[stream] quotas`. Default: none.
    #[schemars(extend("examples" = [["rehearse-*"]]))]
    pub quotas: Option<Vec<String>>,
    /// What iterators of Kinesis are sealed with, 16 characters at least: nodes that share it, and a stream in Kafka, take each
    /// other's. Default: a key of the node's own.
    #[schemars(example = &"${FOREBAY_TOKENS}")]
    pub token_secret: Option<Secret>,
    /// The store that has the buckets of delivery streams. Without it none can be made over the Firehose API.
    #[schemars(extend("examples" = [{ "endpoint": "http://127.0.0.1:9000" }]))]
    pub s3_sink: Option<BucketStoreTable>,
    /// What the format conversion of delivery streams finds under a database and a table.
    pub table: Option<Vec<TableTable>>,
}

/// `[aws]` and `[[access_key]]`: the Kinesis and Firehose APIs.
#[derive(Debug, Clone, PartialEq)]
pub struct Aws {
    /// Who may use them.
    pub access: Access,
    /// Region in ARNs.
    pub region: String,
    /// Account in ARNs: 12 digits.
    pub account: String,
    /// What tokens of clients are sealed with, if that is not the node's own key.
    pub token_secret: Option<Secret>,
    /// Names of streams of clients whose shards have quotas.
    pub quotas: Vec<Pattern>,
    /// Where the buckets of delivery streams are, if that is known.
    pub bucket_store: Option<BucketStore>,
    /// What their format conversion finds.
    pub tables: Vec<Table>,
}

impl Default for Aws {
    /// Nobody may use them.
    fn default() -> Self {
        let clock_skew = Duration::from_secs(CLOCK_SKEW_SECONDS_DEFAULT);
        Self {
            access: Access { signature: SignatureRule::Required, clock_skew, keys: Vec::new() },
            region: REGION_DEFAULT.to_owned(),
            account: ACCOUNT_DEFAULT.to_owned(),
            token_secret: None,
            quotas: Vec::new(),
            bucket_store: None,
            tables: Vec::new(),
        }
    }
}

const REGION_DEFAULT: &str = "us-east-1";
const ACCOUNT_DEFAULT: &str = "000000000000";
/// As many as a key of 128 bits has in hexadecimal digits, halved: whoever writes words has more.
const TOKEN_SECRET_BYTES_MIN: usize = 16;

/// `[aws]`. `exposed` is a listener that others than this machine reach; `None` where a problem was added.
pub(super) fn check_aws(
    raw: AwsTable,
    keys: Vec<AccessKeyTable>,
    exposed: Option<&ListenAt>,
    env: Env<'_>,
    checker: &mut Checker<'_>,
) -> Option<Aws> {
    let access = check_access(&raw, keys, exposed, checker);
    let region = raw.region.unwrap_or_else(|| REGION_DEFAULT.to_owned());
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || region.len() > AWS_REGION_BYTES_MAX || !region.bytes().all(is_region) {
        let quoted = checker.quote("aws.region", &region);
        checker.problem(
            "aws.region",
            format!("region = {quoted} is no region: write one such as \"us-east-1\""),
        );
    }
    let account = raw.account.unwrap_or_else(|| ACCOUNT_DEFAULT.to_owned());
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        let quoted = checker.quote("aws.account", &account);
        checker.problem(
            "aws.account",
            format!("account = {quoted} is no account: write 12 digits, such as \"000000000000\""),
        );
    }
    let has_short_secret =
        raw.token_secret.as_ref().is_some_and(|secret| secret.reveal().len() < TOKEN_SECRET_BYTES_MIN);
    if has_short_secret {
        let message = format!("token_secret is too short: {TOKEN_SECRET_BYTES_MIN} characters are the least");
        checker.problem_with_help("aws.token_secret", message, "write one that nobody can guess");
    }
    let quotas = match raw.quotas {
        None => Some(Vec::new()),
        Some(texts) => check_stream_patterns(&texts, "aws.quotas", checker),
    };
    let bucket_store = match raw.s3_sink {
        None => Some(None),
        Some(table) => check_bucket_store(table, env, checker).map(Some),
    };
    let tables = check_tables(raw.table.unwrap_or_default(), checker);
    let (token_secret, bucket_store) = (raw.token_secret.filter(|_| !has_short_secret), bucket_store?);
    Some(Aws { access: access?, region, account, token_secret, quotas: quotas?, bucket_store, tables })
}

fn check_access(
    raw: &AwsTable,
    keys: Vec<AccessKeyTable>,
    exposed: Option<&ListenAt>,
    checker: &mut Checker<'_>,
) -> Option<Access> {
    let words = [("required", SignatureRule::Required), ("off", SignatureRule::Off)];
    let word = raw.signature.as_deref();
    let signature = checker.word("aws.signature", word, SignatureRule::Required, &words);
    if let (Some(SignatureRule::Off), Some(listen)) = (signature, exposed) {
        checker.problem_with_help(
            "aws.signature",
            format!("signature = \"off\" lets everybody who can reach {listen} do everything"),
            "write signature = \"required\", or listen on a loopback address such as 127.0.0.1:8080",
        );
    }
    let skew = Duration::from_secs(CLOCK_SKEW_SECONDS_DEFAULT);
    let clock_skew =
        checker.duration_up_to("aws.clock_skew", raw.clock_skew.as_deref(), skew, CLOCK_SKEW_MAX);
    if clock_skew.is_some_and(|skew| skew < CLOCK_SKEW_MIN) {
        checker
            .problem("aws.clock_skew", "clock_skew must be at least 1s: requests tell their time in seconds");
    }
    let keys = check_access_keys(keys, checker);
    Some(Access { signature: signature?, clock_skew: clock_skew?, keys: keys? })
}
