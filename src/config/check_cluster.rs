//! `[cluster]` of `forebay.toml`: raw → checked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_sink::{Env, StoreKeys, check_store};
use super::checked::ObjectSink;
use super::checker::Checker;
use super::limits::MULTIPART_BYTES_DEFAULT;
use super::raw::SinkTable;
use super::secret::Secret;

/// How ledgers may be written.
const FORMS: &str = "write ledger = \"s3://BUCKET/PREFIX/\" (or gs://, az://, file:///FOLDER/)";

/// `[cluster]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterTable {
    /// Where the ledgers of deliveries and the named cursors of streams in Kafka are, so that any node can go on with them, and
    /// where all nodes agree on the shards of a topic that gets more partitions: `s3://BUCKET/PREFIX/`,
    /// `gs://BUCKET/PREFIX/`, `az://CONTAINER/PREFIX/` or `file:///FOLDER/`, a folder that all nodes share. The store must
    /// keep to conditional writes.
    #[schemars(example = &"s3://lake/ledgers/")]
    pub ledger: Option<String>,
    /// Endpoint of the S3-compatible store with the ledgers. Default: `AWS_ENDPOINT_URL` of the environment, or AWS
    /// itself.
    #[schemars(example = &"http://127.0.0.1:9000")]
    pub endpoint: Option<String>,
    /// Region of its bucket. Default: `AWS_REGION` or `AWS_DEFAULT_REGION` of the environment.
    #[schemars(example = &"eu-central-1")]
    pub region: Option<String>,
    /// Access key for it. Default: `AWS_ACCESS_KEY_ID` of the environment, or the machine's own role.
    #[schemars(example = &"${LEDGER_KEY_ID}")]
    pub access_key_id: Option<Secret>,
    /// Its secret. Default: `AWS_SECRET_ACCESS_KEY` of the environment.
    #[schemars(example = &"${LEDGER_SECRET}")]
    pub secret_access_key: Option<Secret>,
    /// Whether the bucket stands in the path (true) or in the host name. Default: true where an endpoint is given.
    #[schemars(example = true)]
    pub path_style: Option<bool>,
    /// Whether plain HTTP is allowed. Default: true where the endpoint begins with `http://`.
    #[schemars(example = true)]
    pub allow_http: Option<bool>,
    /// What this node does for streams whose log is in Kafka: takes records and answers readers (`edge`), delivers
    /// (`delivery`). Default: both.
    #[schemars(extend("examples" = [["edge"]]))]
    pub roles: Option<Vec<String>>,
    /// What the names of consumer groups begin with, by which the nodes of a cluster find each other; same alphabet as a
    /// stream's name. Default: `forebay`.
    #[schemars(example = &"forebay")]
    pub group: Option<String>,
}

/// Many nodes over streams that are in Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Where the ledgers of deliveries are, and what nodes agree on.
    pub ledger: ObjectSink,
    /// Takes records and answers readers.
    pub is_edge: bool,
    /// Delivers.
    pub delivers: bool,
    /// What the names of consumer groups begin with.
    pub group: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Edge,
    Delivery,
}

/// `[cluster]`; `Some(None)` where there is none.
pub(super) fn check_cluster(
    table: Option<ClusterTable>,
    env: Env<'_>,
    checker: &mut Checker<'_>,
) -> Option<Option<Cluster>> {
    let Some(table) = table else { return Some(None) };
    let help = "write group = \"forebay\" or another name";
    let group = Some(table.group.clone().unwrap_or_else(|| "forebay".to_owned()));
    let group = checker.name("cluster.group", group, help);
    let roles = check_roles(table.roles.as_deref(), checker);
    let delivers = roles.as_ref().is_none_or(|roles| roles.contains(&Role::Delivery));
    let ledger = check_ledger(table, env, checker);
    let (group, roles, ledger) = (group?, roles?, ledger?);
    Some(Some(Cluster { ledger, is_edge: roles.contains(&Role::Edge), delivers, group }))
}

fn check_roles(texts: Option<&[String]>, checker: &mut Checker<'_>) -> Option<Vec<Role>> {
    const WORDS: [(&str, Role); 2] = [("edge", Role::Edge), ("delivery", Role::Delivery)];
    let Some(texts) = texts else { return Some(vec![Role::Edge, Role::Delivery]) };
    if texts.is_empty() {
        let message = "roles names none: write \"edge\", \"delivery\" or both, or leave roles away for both";
        checker.problem("cluster.roles", message);
        return None;
    }
    let mut roles = Some(Vec::new());
    for (index, text) in texts.iter().enumerate() {
        let path = format!("cluster.roles[{index}]");
        match (checker.word(&path, Some(text), Role::Edge, &WORDS), &mut roles) {
            (Some(role), Some(roles)) => roles.push(role),
            _ => roles = None,
        }
    }
    roles
}

/// The store.
fn check_ledger(table: ClusterTable, env: Env<'_>, checker: &mut Checker<'_>) -> Option<ObjectSink> {
    let ClusterTable {
        ledger,
        endpoint,
        region,
        access_key_id,
        secret_access_key,
        path_style,
        allow_http,
        ..
    } = table;
    let url = checker.required("cluster.ledger", ledger, FORMS)?;
    let raw = SinkTable {
        url: Some(url),
        endpoint,
        region,
        access_key_id,
        secret_access_key,
        path_style,
        allow_http,
        ..SinkTable::default()
    };
    let keys = StoreKeys { url: "ledger", forms: FORMS, what: "ledger" };
    let (url, options) = check_store(&raw, keys, "cluster", env, checker)?;
    Some(ObjectSink { url, options, multipart_bytes: MULTIPART_BYTES_DEFAULT })
}
