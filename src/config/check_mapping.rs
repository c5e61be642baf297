//! `[ingest.add]` of a pipeline: what is added to each record, raw → checked.

use http::{HeaderName, header};
use schemars::JsonSchema;
use serde::Deserialize;

use super::checked::Content;
use super::checker::Checker;
use super::limits::{FACT_NAME_BYTES_MAX, FACTS_MAX};
use super::suggest::{listed, nearest};
use crate::edge::identity::credentials;
use crate::json::Pointer;

/// `[ingest.add]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AddTable {
    /// The member of each record that has the facts, as a JSON pointer of one name.
    #[schemars(required, example = &"/request")]
    pub field: Option<String>,
    /// The facts: `arrival_time`, `client_address`, `client_network` (the first 24 bits of an IPv4 address, the first 48 of
    /// an IPv6 one), `user_agent`, `method`, `principal` (who has sent it, where [auth] asks), `request_id`, `trace_id`,
    /// `header:NAME`, `query:NAME`, `claim:NAME` (a text, number or truth value of its token) and `context:NAME` (the same
    /// of an authorizer's answer).
    #[schemars(required, example = &["arrival_time", "client_network", "header:referer"])]
    pub facts: Option<Vec<String>>,
    /// What becomes of a record that has such a member already: `replace` puts the facts in its place, `keep` leaves it
    /// as it is, so that clients may make up facts, and `reject` treats it as a record that breaks its schema. Default:
    /// `replace`.
    #[schemars(extend("enum" = ["replace", "keep", "reject"]), example = &"replace")]
    pub on_conflict: Option<String>,
}

/// What is added to each record of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// The member; a pointer of one name.
    pub field: Pointer,
    /// What is in it; none twice.
    pub facts: Vec<Fact>,
    /// What becomes of a record that has the member already.
    pub on_conflict: OnForged,
}

impl Add {
    /// Name of the member.
    pub fn name(&self) -> &str {
        self.field.tokens().first().map_or("", String::as_str)
    }
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// When it was complete.
    ArrivalTime,
    /// Address of the client.
    ClientAddress,
    /// The network of that address.
    ClientNetwork,
    /// `User-Agent`.
    UserAgent,
    /// Its method.
    Method,
    /// The name of whoever has sent it.
    Principal,
    /// Its id.
    RequestId,
    /// The trace that it belongs to.
    TraceId,
    /// One of its headers.
    Header(HeaderName),
    /// One of the parameters of its query.
    Query(String),
    /// One of the claims of its token.
    Claim(String),
    /// A member of the context in the answer of the authorizer.
    Context(String),
}

/// What becomes of a record that has the member already that is to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnForged {
    /// The facts take its place.
    Replace,
    /// It stays, and nothing is added.
    Keep,
    /// The record is invalid.
    Reject,
}

/// Facts that have no name of their own.
const WORDS: [(&str, Fact); 8] = [
    ("arrival_time", Fact::ArrivalTime),
    ("client_address", Fact::ClientAddress),
    ("client_network", Fact::ClientNetwork),
    ("user_agent", Fact::UserAgent),
    ("method", Fact::Method),
    ("principal", Fact::Principal),
    ("request_id", Fact::RequestId),
    ("trace_id", Fact::TraceId),
];

const FIELD_HELP: &str = "write field = \"/request\" or the name of another member";
const FACTS_HELP: &str = "write facts = [\"arrival_time\", \"client_network\", \"user_agent\"] or others";

/// `[ingest.add]`; `None` where a problem was added.
///
/// `at` is where the table with it stands.
pub(super) fn check_add(
    table: AddTable,
    content: Option<Content>,
    at: &str,
    checker: &mut Checker<'_>,
) -> Option<Add> {
    let at = &format!("{at}.add");
    if content == Some(Content::Any) {
        checker.problem_with_help(
            at,
            "content = \"any\" takes records that nobody looks at, and members are added to JSON objects",
            "write content = \"json\", or leave [ingest.add] out",
        );
        return None;
    }
    let field = check_field(table.field, at, checker);
    let facts = check_facts(table.facts, at, checker);
    let words = [("replace", OnForged::Replace), ("keep", OnForged::Keep), ("reject", OnForged::Reject)];
    let on_conflict =
        checker.word(&format!("{at}.on_conflict"), table.on_conflict.as_deref(), OnForged::Replace, &words);
    Some(Add { field: field?, facts: facts?, on_conflict: on_conflict? })
}

fn check_field(text: Option<String>, at: &str, checker: &mut Checker<'_>) -> Option<Pointer> {
    let path = &format!("{at}.field");
    let text = checker.required(path, text, FIELD_HELP)?;
    let pointer = Pointer::parse(&text).map_err(|error| checker.refused(path, &error)).ok()?;
    match pointer.tokens() {
        [name] if (1..=FACT_NAME_BYTES_MAX).contains(&name.len()) => Some(pointer),
        _ => {
            let quoted = checker.quote(path, &text);
            let message = format!(
                "{quoted} is to name a member of the record itself, of 1 to {FACT_NAME_BYTES_MAX} bytes"
            );
            checker.problem_with_help(path, message, FIELD_HELP);
            None
        }
    }
}

fn check_facts(texts: Option<Vec<String>>, at: &str, checker: &mut Checker<'_>) -> Option<Vec<Fact>> {
    let facts_path = &format!("{at}.facts");
    let texts = checker.required(facts_path, texts, FACTS_HELP)?;
    if !(1..=FACTS_MAX).contains(&texts.len()) {
        let found = texts.len();
        checker.problem_with_help(facts_path, format!("{found} facts: write 1 to {FACTS_MAX}"), FACTS_HELP);
        return None;
    }
    let mut facts: Vec<Fact> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{facts_path}[{index}]");
        match check_fact(text, &path, checker) {
            Some(fact) if facts.contains(&fact) => {
                checker.problem(&path, format!("{text:?} is named twice"));
            }
            Some(fact) => facts.push(fact),
            None => {}
        }
    }
    (facts.len() == texts.len()).then_some(facts)
}

fn check_fact(text: &str, path: &str, checker: &mut Checker<'_>) -> Option<Fact> {
    if let Some(name) = text.strip_prefix("header:") {
        return check_header(name, path, checker).map(Fact::Header);
    }
    if let Some(name) = text.strip_prefix("query:") {
        if credentials::is_secret_parameter(name) {
            checker.problem(
                path,
                format!("{name:?} is a secret of whoever sends it: it does not belong in records"),
            );
            return None;
        }
        if (1..=FACT_NAME_BYTES_MAX).contains(&name.len()) {
            return Some(Fact::Query(name.to_owned()));
        }
        checker.problem(
            path,
            format!("a parameter has a name of 1 to {FACT_NAME_BYTES_MAX} bytes: write query:utm_source"),
        );
        return None;
    }
    let said = [("claim:", Fact::Claim as fn(String) -> Fact), ("context:", Fact::Context)];
    if let Some((name, fact)) = said.iter().find_map(|(lead, fact)| Some((text.strip_prefix(lead)?, fact))) {
        if (1..=FACT_NAME_BYTES_MAX).contains(&name.len()) {
            return Some(fact(name.to_owned()));
        }
        let message = format!("what is said of a sender has a name of 1 to {FACT_NAME_BYTES_MAX} bytes");
        checker.problem_with_help(path, message, "write claim:email or context:tenant");
        return None;
    }
    if let Some((_, fact)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Some(fact.clone());
    }
    let quoted = checker.quote(path, text);
    let names = || WORDS.iter().map(|&(word, _)| word);
    let message = match nearest(text, names()) {
        Some(near) => format!("fact {quoted} is not known: did you mean {near:?}?"),
        None => {
            let known = listed(names().chain(["header:NAME", "query:NAME", "claim:NAME", "context:NAME"]));
            format!("fact {quoted} is not known: write {known}")
        }
    };
    checker.problem(path, message);
    None
}

fn check_header(name: &str, path: &str, checker: &mut Checker<'_>) -> Option<HeaderName> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        let quoted = checker.quote(path, name);
        checker.problem(path, format!("{quoted} is no name of a header: write header:referer"));
        return None;
    };
    let secret = [header::AUTHORIZATION.as_str(), header::PROXY_AUTHORIZATION.as_str(), credentials::API_KEY];
    if secret.contains(&header.as_str()) {
        checker.problem(
            path,
            format!("{header} is a secret of whoever sends it: it does not belong in records"),
        );
        return None;
    }
    Some(header)
}
