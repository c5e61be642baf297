//! Names with `*` in them.

use thiserror::Error;

/// A text in which each `*` stands for any characters, also none. Taken apart once, so that a match is a few
/// comparisons: no text makes it go back and try again from the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What stands before, between and behind the stars: one piece more than there are stars.
    pieces: Box<[Box<str>]>,
}

/// The characters of a pattern that are none of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0:?} is in no name: a pattern is a name in which * stands for any characters")]
pub struct PatternError(pub char);

impl Pattern {
    /// Reads a pattern whose letters are those that `is_allowed` says.
    ///
    /// # Errors
    /// The first character that is neither one of them nor `*`.
    pub fn parse(text: &str, is_allowed: impl Fn(char) -> bool) -> Result<Self, PatternError> {
        match text.chars().find(|&letter| letter != '*' && !is_allowed(letter)) {
            Some(letter) => Err(PatternError(letter)),
            None => Ok(Self { pieces: text.split('*').map(Box::from).collect() }),
        }
    }

    /// Bytes of memory that it has taken.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| size_of_val(piece) + piece.len()).sum()
    }

    /// Whether it stands for `name`.
    pub fn matches(&self, name: &str) -> bool {
        let (first, rest) = match &*self.pieces {
            [] => return false,
            [whole] => return &**whole == name,
            [first, rest @ ..] => (first, rest),
        };
        let Some((last, between)) = rest.split_last() else { return false };
        let Some(mut left) = name.strip_prefix(&**first) else { return false };
        // The earliest place of each piece leaves the most for those behind it.
        for piece in between {
            match left.split_once(&**piece) {
                Some((_, behind)) => left = behind,
                None => return false,
            }
        }
        left.ends_with(&**last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, |letter| letter.is_ascii_lowercase()).expect("a pattern")
    }

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (text, yes, no) in [
            ("click", vec!["click"], vec!["", "clic", "clicks", "xclick"]),
            ("click*", vec!["click", "clicks"], vec!["clic", "xclick"]),
            ("*click", vec!["click", "xclick"], vec!["clickx"]),
            ("a*b*c", vec!["abc", "axbxc", "abbcc"], vec!["ab", "acb", "bac", "abcd"]),
            ("ab*ba", vec!["abba", "abxba"], vec!["aba", "ab", "abb"]),
            ("a**a", vec!["aa", "axa"], vec!["a"]),
            ("*", vec!["", "x"], vec![]),
            ("", vec![""], vec!["x"]),
        ] {
            let pattern = pattern(text);
            yes.iter().for_each(|name| assert!(pattern.matches(name), "{text} {name}"));
            no.iter().for_each(|name| assert!(!pattern.matches(name), "{text} {name}"));
        }
    }

    #[test]
    fn a_character_that_no_name_has_is_named() {
        let error = Pattern::parse("a?*", |letter| letter == 'a').expect_err("a question mark");
        assert_eq!(error, PatternError('?'));
    }

    /// The definition: the first star takes nothing, or one character more.
    fn matches_by_definition(pattern: &str, name: &str) -> bool {
        match pattern.as_bytes().first() {
            None => name.is_empty(),
            Some(b'*') => (0..=name.len()).any(|taken| matches_by_definition(&pattern[1..], &name[taken..])),
            Some(letter) => {
                name.as_bytes().first() == Some(letter) && matches_by_definition(&pattern[1..], &name[1..])
            }
        }
    }

    proptest! {
        #[test]
        fn a_match_is_what_the_definition_says(text in "[ab*]{0,7}", name in "[ab]{0,8}") {
            prop_assert_eq!(pattern(&text).matches(&name), matches_by_definition(&text, &name));
        }
    }
}
