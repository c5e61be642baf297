//! Rules about requests: in their order, before anybody asks who has sent one.
//!
//! ```text
//! facts ─▶ [[rule]] … ─▶ screening ─▶ identity
//!          allow: past all others; block: refused; count: on
//! ```
//!
//! All patterns about one thing are one automaton, which takes time in proportion to the text and to nothing else, and is
//! asked at most once a request. A body is never looked at, only its announced length.

pub mod injection;
mod subject;

use std::sync::Arc;

use http::{HeaderName, Method, StatusCode, header};
use metrics::Counter;
use regex::bytes::{RegexSet, RegexSetBuilder, SetMatches};
use thiserror::Error;

use self::injection::Injection;
use self::subject::Subject;
use super::facts::Facts;
use super::networks::Networks;
use crate::config::limits::{RULE_AUTOMATON_BYTES_MAX, RULE_CACHE_BYTES_MAX};
use crate::telemetry::metrics::Registry;

/// What is done about a request that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is let past all other rules.
    Allow,
    /// It is counted, and the next rule is asked.
    Count,
    /// It is refused with this status.
    Block(StatusCode),
}

impl Verdict {
    /// The word in the configuration and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Count => "count",
            Verdict::Block(_) => "block",
        }
    }
}

/// What a rule is about: everything that is given must be so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// One of these methods; any if there is none.
    pub methods: Vec<Method>,
    /// Networks that the client is in. A client over a Unix socket is in none.
    pub clients: Option<Arc<Networks>>,
    /// More bytes than this in the announced length of the body.
    pub body_bytes_over: Option<u64>,
    /// Pattern of the path.
    pub path: Option<String>,
    /// Pattern of the query, as it came or decoded.
    pub query: Option<String>,
    /// Patterns of headers. One that is not there is empty.
    pub headers: Vec<(HeaderName, String)>,
}

/// One of `[[rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name in metrics.
    pub name: String,
    /// What it is about.
    pub when: When,
    /// What is done.
    pub verdict: Verdict,
}

/// `[[rule]]` and `[screening]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// In their order.
    pub rules: Vec<Rule>,
    /// About patterns of attacks in queries and headers.
    pub injection: Option<Verdict>,
}

/// Patterns that make a machine too large.
#[derive(Debug, Error)]
#[error("the patterns cannot be used together: {0}")]
pub struct TooLarge(#[from] regex::Error);

/// Rules, ready to be asked.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Box<[Compiled]>,
    subjects: Box<[(Subject, RegexSet)]>,
    injection: Option<Injection>,
}

#[derive(Debug)]
struct Compiled {
    methods: Vec<Method>,
    clients: Option<Arc<Networks>>,
    body_bytes_over: Option<u64>,
    /// Which pattern of which subject.
    patterns: Vec<(usize, usize)>,
    verdict: Verdict,
    matched: Counter,
}

/// What one subject of a request matches, once that has been asked.
type Answers = Vec<Option<Vec<SetMatches>>>;

impl Rules {
    /// Puts the automata together.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn new(settings: &Settings, registry: &Registry) -> Result<Self, TooLarge> {
        let mut subjects: Vec<(Subject, Vec<&str>)> = Vec::new();
        let mut rules = Vec::with_capacity(settings.rules.len());
        for rule in &settings.rules {
            let patterns = patterns_of(&rule.when);
            let places = patterns.into_iter().map(|(subject, text)| {
                let at = subjects.iter().position(|(known, _)| *known == subject).unwrap_or_else(|| {
                    subjects.push((subject, Vec::new()));
                    subjects.len() - 1
                });
                let texts = subjects.get_mut(at).map(|(_, texts)| texts);
                let index = texts.map_or(0, |texts| {
                    texts.push(text);
                    texts.len() - 1
                });
                (at, index)
            });
            rules.push(Compiled {
                patterns: places.collect(),
                methods: rule.when.methods.clone(),
                clients: rule.when.clients.clone(),
                body_bytes_over: rule.when.body_bytes_over,
                verdict: rule.verdict,
                matched: registry.rule_matches(&rule.name, rule.verdict.as_str()),
            });
        }
        let compiled =
            subjects.into_iter().map(|(subject, texts)| automaton(&texts).map(|set| (subject, set)));
        let injection = settings.injection.map(|verdict| Injection::new(verdict, registry)).transpose()?;
        Ok(Self {
            subjects: compiled.collect::<Result<_, regex::Error>>()?,
            rules: rules.into_boxed_slice(),
            injection,
        })
    }

    /// Asks the rules, and counts.
    ///
    /// # Errors
    /// The status that the request is refused with.
    pub fn judge(&self, facts: &Facts<'_>) -> Result<(), StatusCode> {
        if !self.rules.is_empty() {
            let mut answers: Answers = vec![None; self.subjects.len()];
            for rule in &self.rules {
                if !self.is_about(rule, facts, &mut answers) {
                    continue;
                }
                rule.matched.increment(1);
                match rule.verdict {
                    Verdict::Allow => return Ok(()),
                    Verdict::Count => {}
                    Verdict::Block(status) => return Err(status),
                }
            }
        }
        self.injection.as_ref().map_or(Ok(()), |injection| injection.judge(facts.head))
    }

    fn is_about(&self, rule: &Compiled, facts: &Facts<'_>, answers: &mut Answers) -> bool {
        let is_method = rule.methods.is_empty() || rule.methods.contains(&facts.head.method);
        let is_client = rule
            .clients
            .as_ref()
            .is_none_or(|networks| facts.client.is_some_and(|client| networks.contains(client)));
        let is_large = rule.body_bytes_over.is_none_or(|bytes| {
            let length = facts.head.headers.get(header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
            length.is_some_and(|length| length > bytes)
        });
        is_method
            && is_client
            && is_large
            && rule
                .patterns
                .iter()
                .all(|(subject, pattern)| self.matches((*subject, *pattern), facts, answers))
    }

    fn matches(&self, (at, pattern): (usize, usize), facts: &Facts<'_>, answers: &mut Answers) -> bool {
        let (Some((subject, set)), Some(answer)) = (self.subjects.get(at), answers.get_mut(at)) else {
            return false;
        };
        let answer = answer.get_or_insert_with(|| {
            let mut found = Vec::new();
            subject.texts(facts.head, |text| {
                let matches = set.matches(text);
                if matches.matched_any() {
                    found.push(matches);
                }
            });
            found
        });
        answer.iter().any(|matches| matches.matched(pattern))
    }
}

fn patterns_of(when: &When) -> Vec<(Subject, &str)> {
    let path = when.path.iter().map(|text| (Subject::Path, text.as_str()));
    let query = when.query.iter().map(|text| (Subject::Query, text.as_str()));
    let headers = when.headers.iter().map(|(name, text)| (Subject::Header(name.clone()), text.as_str()));
    path.chain(query).chain(headers).collect()
}

/// One automaton of all patterns. `.` and classes are about bytes of ASCII, as most of what they read is.
pub(super) fn automaton<T: AsRef<str>>(texts: &[T]) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(texts)
        .unicode(false)
        .size_limit(RULE_AUTOMATON_BYTES_MAX)
        .dfa_size_limit(RULE_CACHE_BYTES_MAX)
        .build()
}

/// Whether a pattern can be used.
///
/// # Errors
/// Why not.
pub fn check_pattern(text: &str) -> Result<(), TooLarge> {
    Ok(automaton(&[text]).map(drop)?)
}

#[cfg(test)]
mod tests;
