//! Why a token is not taken.

use std::fmt;

/// Why a token is not taken. Neither its words nor `Debug` show anything of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// More bytes than a token may have. Nothing of it was read.
    TooLarge,
    /// It is no signed token in compact form, or its parts are no JSON objects.
    Malformed,
    /// Its header asks for something that is not understood here.
    Critical,
    /// It is not signed, or in a way that is not known here.
    UnknownAlgorithm,
    /// It is signed in a way that its issuer, or the key, does not sign in.
    WrongAlgorithm,
    /// Nobody whose tokens are taken has issued it.
    UnknownIssuer,
    /// No key of its issuer is the one that it names, or fits it.
    UnknownKey,
    /// The keys of its issuer are not there: they could not be fetched, for longer than they are believed.
    NoKeys,
    /// The signature is another one's, or of another text.
    WrongSignature,
    /// It is too old.
    Expired,
    /// It is to be taken from a later time on.
    NotYetValid,
    /// It is for somebody else.
    WrongAudience,
    /// A claim is missing, or not what it should be.
    BadClaim,
}

impl Refusal {
    /// All that there are.
    pub const ALL: [Refusal; 13] = [
        Refusal::TooLarge,
        Refusal::Malformed,
        Refusal::Critical,
        Refusal::UnknownAlgorithm,
        Refusal::WrongAlgorithm,
        Refusal::UnknownIssuer,
        Refusal::UnknownKey,
        Refusal::NoKeys,
        Refusal::WrongSignature,
        Refusal::Expired,
        Refusal::NotYetValid,
        Refusal::WrongAudience,
        Refusal::BadClaim,
    ];

    /// The label of the metric.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::TooLarge => "too_large",
            Refusal::Malformed => "malformed",
            Refusal::Critical => "critical",
            Refusal::UnknownAlgorithm => "unknown_algorithm",
            Refusal::WrongAlgorithm => "wrong_algorithm",
            Refusal::UnknownIssuer => "unknown_issuer",
            Refusal::UnknownKey => "unknown_key",
            Refusal::NoKeys => "no_keys",
            Refusal::WrongSignature => "wrong_signature",
            Refusal::Expired => "expired",
            Refusal::NotYetValid => "not_yet_valid",
            Refusal::WrongAudience => "wrong_audience",
            Refusal::BadClaim => "bad_claim",
        }
    }

    /// What a client is told. Of the characters that a quoted string of a header may have.
    pub fn description(self) -> &'static str {
        match self {
            Refusal::TooLarge => "the token is too large",
            Refusal::Malformed => "this is no signed JSON web token",
            Refusal::Critical => "the header of the token asks for an extension that is not supported",
            Refusal::UnknownAlgorithm => {
                "the token is not signed, or with an algorithm that is not supported"
            }
            Refusal::WrongAlgorithm => "the issuer does not sign with this algorithm",
            Refusal::UnknownIssuer => "tokens of this issuer are not taken",
            Refusal::UnknownKey => "the issuer has no such key",
            Refusal::NoKeys => "the keys of the issuer are not available",
            Refusal::WrongSignature => "the signature is wrong",
            Refusal::Expired => "the token has expired",
            Refusal::NotYetValid => "the token is not valid yet",
            Refusal::WrongAudience => "the token is for another audience",
            Refusal::BadClaim => "a claim of the token is missing or not valid",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_refusal_has_words_of_its_own_that_fit_into_a_header() {
        let reasons: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.reason()).collect();
        assert_eq!(reasons.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            let text = refusal.to_string();
            assert!(
                text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte)),
                "{text}"
            );
        }
    }
}
