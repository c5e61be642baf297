//! What is kept to save asking again, forgotten while the node runs: `POST /cache/flush` of the admin port.

use serde::Serialize;

use super::Pipelines;
use crate::edge::answer_cache;
use crate::edge::identity::jwt;
use crate::edge::visit::Visit;
use crate::telemetry::audit::Acted;

/// What can be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Answers of `GET` routes.
    Answers,
    /// What the HTTP authorizer has decided.
    Decisions,
    /// Keys that issuers of tokens publish, and which tokens were verified.
    Keys,
}

impl Kept {
    /// Each with its word, in the order in which answers name them.
    const WORDS: [(&'static str, Kept); 3] =
        [("answers", Kept::Answers), ("authorizer", Kept::Decisions), ("jwks", Kept::Keys)];

    /// What the query of a request names by `which`: all of it where it names nothing.
    ///
    /// # Errors
    /// The parameter that is wrong, in words.
    pub fn named(query: &str) -> Result<Vec<Kept>, String> {
        let mut named = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name != "which" {
                return Err(format!("'{name}' is no parameter: there is which"));
            }
            let known = Kept::WORDS.iter().find(|(word, _)| *word == value);
            let words = Kept::WORDS.map(|(word, _)| word).join(", ");
            named.push(known.ok_or_else(|| format!("which is one of {words}"))?.1);
        }
        Ok(if named.is_empty() { Kept::WORDS.map(|(_, kept)| kept).to_vec() } else { named })
    }
}

/// How much was forgotten, of what was named.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flushed {
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<answer_cache::Forgotten>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<Decisions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<jwt::Forgotten>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Decisions {
    decisions: usize,
}

impl Pipelines {
    /// Forgets what is named, and has it on record.
    pub fn flush(&self, kept: &[Kept], visit: &Visit) -> Flushed {
        let edge = &self.site.edge;
        let (gate, mut flushed) = (edge.gate(), Flushed::default());
        for kept in kept {
            match kept {
                Kept::Answers => flushed.answers = Some(edge.forget_answers()),
                Kept::Decisions => {
                    flushed.authorizer = Some(Decisions { decisions: gate.forget_decisions() });
                }
                Kept::Keys => flushed.jwks = Some(gate.jwt().forget()),
            }
        }
        let words = Kept::WORDS.iter().filter(|(_, known)| kept.contains(known)).map(|(word, _)| *word);
        let words: Vec<_> = words.collect();
        let acted =
            Acted { action: "cache.flush", stream: None, target: Some(&words.join(",")), refused: None };
        visit.act(edge, &acted);
        flushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_forgotten_unless_something_is_named() {
        let all = Kept::WORDS.map(|(_, kept)| kept);
        assert_eq!(Kept::named(""), Ok(all.to_vec()));
        for (word, kept) in Kept::WORDS {
            assert_eq!(Kept::named(&format!("which={word}")), Ok(vec![kept]));
        }
        assert_eq!(Kept::named("which=jwks&which=authorizer"), Ok(vec![Kept::Keys, Kept::Decisions]));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in ["which=", "which=all", "what=jwks", "which=jwks&x"] {
            assert!(Kept::named(query).is_err(), "{query}");
        }
    }
}
