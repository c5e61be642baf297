//! `[[rule]]` and `[screening]` of `forebay.toml`: raw → checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::{HeaderName, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;

use super::check_listener::check_networks;
use super::checker::Checker;
use super::limits::{NETWORKS_MAX, RULE_PATTERN_BYTES_MAX, RULE_WORDS_MAX, RULES_MAX};
use crate::edge::gate::networks::Networks;
use crate::edge::gate::rules::{Rule, Settings, Verdict, When, check_pattern};

/// One of `[[rule]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleTable {
    /// The name in metrics. Same alphabet as a stream's name. Unique.
    #[schemars(required, example = &"no-scanners")]
    pub name: Option<String>,
    /// What it is about: everything in it must be so.
    #[schemars(required)]
    pub when: Option<WhenTable>,
    /// `block` refuses the request, `count` only counts it, `allow` lets it past all rules behind this one.
    #[schemars(required, extend("enum" = ["block", "count", "allow"]), example = &"block")]
    pub action: Option<String>,
    /// Status of the refusal, from 400 to 499. Default: 403.
    #[schemars(range(min = 400, max = 499), example = 404)]
    pub status: Option<i64>,
}

/// `when` of a rule. Patterns are regular expressions about bytes, found anywhere in the text.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WhenTable {
    /// One of these methods.
    #[schemars(extend("examples" = [["PUT", "DELETE"]]))]
    pub method: Option<Vec<String>>,
    /// Pattern of the path.
    #[schemars(example = &"/cursors/")]
    pub path: Option<String>,
    /// Pattern of the query, as it came or decoded.
    #[schemars(example = &"(?i)debug=")]
    pub query: Option<String>,
    /// Pattern of the user agent; one that is not there is empty.
    #[schemars(example = &"^$")]
    pub user_agent: Option<String>,
    /// Patterns of headers by name; one that is not there is empty.
    #[schemars(extend("examples" = [{ "referer": "(?i)^https?://spam\\.example/" }]))]
    pub header: Option<BTreeMap<String, String>>,
    /// More bytes than this in the announced length of the body, as it was sent.
    #[schemars(example = &"1MiB")]
    pub body_bytes: Option<String>,
    /// Networks that the client is in.
    #[schemars(extend("examples" = [["10.0.0.0/8"]]))]
    pub client: Option<Vec<String>>,
}

/// `[screening]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScreeningTable {
    /// What is done about patterns of attacks (SQL, scripts, paths, commands) in queries and headers: `count` or
    /// `block`. Default: nobody looks for them.
    #[schemars(extend("enum" = ["count", "block"]), example = &"count")]
    pub injection: Option<String>,
    /// What is done about requests without a user agent, and those of `bot_user_agents`: `count` or `block`. Default:
    /// nothing.
    #[schemars(extend("enum" = ["count", "block"]), example = &"block")]
    pub bots: Option<String>,
    /// Patterns of user agents that are bots.
    #[schemars(extend("examples" = [["(?i)masscan|zgrab"]]))]
    pub bot_user_agents: Option<Vec<String>>,
}

/// The name of the rule about bots in metrics; no name of a rule has a colon.
const BOTS: &str = "screening:bots";

const ACTION_HELP: &str = "write action = \"block\", \"count\" or \"allow\"";
const WHEN_HELP: &str = "write when = { path = \"…\" }, or what the rule is about";
const BLOCK: Verdict = Verdict::Block(StatusCode::FORBIDDEN);
const WORDS: [(&str, Verdict); 3] = [("block", BLOCK), ("count", Verdict::Count), ("allow", Verdict::Allow)];
const SCREENING_WORDS: [(&str, Verdict); 2] = [("block", BLOCK), ("count", Verdict::Count)];

/// Every rule, those of `[screening]` last; `None` where a problem was added.
pub(super) fn check_rules(
    tables: Vec<RuleTable>,
    screening: ScreeningTable,
    checker: &mut Checker<'_>,
) -> Option<Settings> {
    if tables.len() > RULES_MAX {
        let message = format!("{} rules are too many: there may be {RULES_MAX}", tables.len());
        checker.problem(&format!("rule[{RULES_MAX}]"), message);
        return None;
    }
    let mut names = HashMap::new();
    let mut rules = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        if let Some(name) = &table.name
            && let Some(first) = names.insert(name.clone(), index)
        {
            let path = format!("rule[{index}].name");
            let message = format!("name = {name:?} is also that of rule {}: each needs its own", first + 1);
            checker.problem(&path, message);
        }
        rules.push(check_rule(table, &format!("rule[{index}]"), checker));
    }
    let bots = check_bots(&screening, checker);
    let injection = check_screening("injection", screening.injection.as_deref(), checker);
    let mut rules: Vec<Rule> = rules.into_iter().collect::<Option<_>>()?;
    rules.extend(bots?);
    Some(Settings { rules, injection: injection? })
}

fn check_rule(table: RuleTable, path: &str, checker: &mut Checker<'_>) -> Option<Rule> {
    let name =
        checker.name(&format!("{path}.name"), table.name, "write name = \"no-scanners\" or another name");
    let when = checker.required(&format!("{path}.when"), table.when, WHEN_HELP);
    let when = when.and_then(|when| check_when(when, &format!("{path}.when"), checker));
    let action_path = format!("{path}.action");
    let action = checker.required(&action_path, table.action, ACTION_HELP);
    let verdict = action.and_then(|action| checker.word(&action_path, Some(&action), BLOCK, &WORDS));
    let status_path = format!("{path}.status");
    let verdict = match (verdict, table.status) {
        (verdict, None) => verdict,
        (Some(Verdict::Block(_)), Some(status)) => {
            let status = u16::try_from(status).ok().filter(|status| (400..500).contains(status));
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            if status.is_none() {
                checker.problem(&status_path, "status must be from 400 to 499: the request is at fault");
            }
            status.map(Verdict::Block)
        }
        (verdict, Some(_)) => {
            checker.problem(&status_path, "status is that of a refusal: it goes with action = \"block\"");
            verdict
        }
    };
    Some(Rule { name: name?, when: when?, verdict: verdict? })
}

fn check_when(table: WhenTable, path: &str, checker: &mut Checker<'_>) -> Option<When> {
    let methods = check_methods(table.method, &format!("{path}.method"), checker);
    let clients =
        table.client.map(|texts| check_networks(texts, &format!("{path}.client"), NETWORKS_MAX, checker));
    let clients = match clients {
        None => Some(None),
        Some(networks) => networks.map(|networks| Some(Arc::new(Networks::new(networks)))),
    };
    let body_bytes_over = match table.body_bytes.as_deref() {
        None => Some(None),
        text => checker.size(&format!("{path}.body_bytes"), text, 0).map(Some),
    };
    let of_path = check_one(table.path, &format!("{path}.path"), checker);
    let query = check_one(table.query, &format!("{path}.query"), checker);
    let headers = check_headers(table.header.unwrap_or_default(), &format!("{path}.header"), checker);
    let agent = check_one(table.user_agent, &format!("{path}.user_agent"), checker);
    let mut headers = headers?;
    headers.extend(agent?.map(|text| (header::USER_AGENT, text)));
    let when = When {
        methods: methods?,
        clients: clients?,
        body_bytes_over: body_bytes_over?,
        path: of_path?,
        query: query?,
        headers,
    };
    let is_about_all = when.methods.is_empty()
        && when.clients.is_none()
        && when.body_bytes_over.is_none()
        && when.path.is_none()
        && when.query.is_none()
        && when.headers.is_empty();
    if is_about_all {
        checker.problem_with_help(path, "a rule about nothing is one about every request", WHEN_HELP);
        return None;
    }
    Some(when)
}

fn check_methods(texts: Option<Vec<String>>, path: &str, checker: &mut Checker<'_>) -> Option<Vec<Method>> {
    let texts = texts.unwrap_or_default();
    if texts.len() > RULE_WORDS_MAX {
        checker
            .problem(path, format!("{} methods are too many: write at most {RULE_WORDS_MAX}", texts.len()));
        return None;
    }
    let methods: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let is_upper = text.bytes().all(|byte| byte.is_ascii_uppercase());
            let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| is_upper);
            if method.is_none() {
                let path = format!("{path}[{index}]");
                let quoted = checker.quote(&path, text);
                checker.problem(&path, format!("{quoted} is no method: write one such as \"DELETE\""));
            }
            method
        })
        .collect();
    methods.into_iter().collect()
}

fn check_headers(
    table: BTreeMap<String, String>,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Vec<(HeaderName, String)>> {
    if table.len() > RULE_WORDS_MAX {
        checker
            .problem(path, format!("{} headers are too many: write at most {RULE_WORDS_MAX}", table.len()));
        return None;
    }
    let headers: Vec<_> = table
        .into_iter()
        .map(|(name, text)| {
            let path = format!("{path}.{name}");
            let header = HeaderName::from_bytes(name.as_bytes()).ok();
            if header.is_none() {
                checker.problem(&path, format!("{name:?} is no name of a header"));
            }
            Some((header?, check_one(Some(text), &path, checker)??))
        })
        .collect();
    headers.into_iter().collect()
}

/// A pattern that can be used, if one is given.
fn check_one(text: Option<String>, path: &str, checker: &mut Checker<'_>) -> Option<Option<String>> {
    let Some(text) = text else { return Some(None) };
    if text.len() > RULE_PATTERN_BYTES_MAX {
        checker.problem(path, format!("a pattern has at most {RULE_PATTERN_BYTES_MAX} characters"));
        return None;
    }
    if let Err(error) = check_pattern(&text) {
        checker.refused(path, &error);
        return None;
    }
    Some(Some(text))
}

fn check_screening(key: &str, word: Option<&str>, checker: &mut Checker<'_>) -> Option<Option<Verdict>> {
    match word {
        None => Some(None),
        word => checker.word(&format!("screening.{key}"), word, Verdict::Count, &SCREENING_WORDS).map(Some),
    }
}

/// What `bots` comes to: one rule about user agents.
fn check_bots(screening: &ScreeningTable, checker: &mut Checker<'_>) -> Option<Option<Rule>> {
    let verdict = check_screening("bots", screening.bots.as_deref(), checker)?;
    let texts = screening.bot_user_agents.clone().unwrap_or_default();
    let path = "screening.bot_user_agents";
    if verdict.is_none() && !texts.is_empty() {
        checker.problem_with_help(path, "nothing is done about them", "write bots = \"count\" or \"block\"");
        return None;
    }
    if texts.len() > RULES_MAX {
        checker.problem(path, format!("{} patterns are too many: write at most {RULES_MAX}", texts.len()));
        return None;
    }
    let mut all_right = true;
    for (index, text) in texts.iter().enumerate() {
        all_right &= check_one(Some(text.clone()), &format!("{path}[{index}]"), checker).is_some();
    }
    let any = texts.iter().map(String::as_str).chain(["^[ \t]*$"]).map(|text| format!("(?:{text})"));
    let headers = vec![(header::USER_AGENT, any.collect::<Vec<_>>().join("|"))];
    let rule = |verdict| Rule { name: BOTS.to_owned(), when: When { headers, ..When::default() }, verdict };
    all_right.then(|| verdict.map(rule))
}
