//! `pattern`: regular expressions of ECMA-262, where the `regex` crate can mean the same.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// A compiled pattern and its source.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    pub source: Box<str>,
}

impl Pattern {
    /// `None` where the expression uses what the `regex` crate lacks (look-around, back-references), or what it
    /// would read in another way.
    pub fn compile(source: &str) -> Option<Self> {
        let translated = Translator { rest: source.chars().peekable(), out: String::new() }.run()?;
        let regex = Regex::new(&translated).ok()?;
        Some(Self { regex, source: source.into() })
    }

    #[inline]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// White space of ECMA-262 (`\s`): WhiteSpace and LineTerminator of its lexical grammar, without brackets.
const SPACE: &str = r"\t\n\x0B\x0C\r \x{A0}\x{FEFF}\p{Zs}\x{2028}\x{2029}";

/// What a `.` does not match.
const NOT_LINE_END: &str = r"[^\n\r\x{2028}\x{2029}]";

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

impl Translator<'_> {
    fn run(mut self) -> Option<String> {
        while let Some(next) = self.rest.next() {
            match next {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '{' => {
                    self.repetition()?;
                    self.quantified()?;
                }
                '*' | '+' | '?' => {
                    self.out.push(next);
                    self.quantified()?;
                }
                // Without their opening half they are literals in old scripts and errors in new ones.
                '}' | ']' => return None,
                '.' => self.out.push_str(NOT_LINE_END),
                other => self.out.push(other),
            }
        }
        Some(self.out)
    }

    /// After `(`: a plain or a non-capturing group.
    fn group(&mut self) -> Option<()> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_some() {
            self.rest.next_if_eq(&':')?;
            self.out.push_str("?:");
        }
        Some(())
    }

    /// After `{`: `n}`, `n,}` or `n,m}`.
    fn repetition(&mut self) -> Option<()> {
        self.out.push('{');
        let digits_before = self.digits();
        if digits_before == 0 {
            return None;
        }
        if self.rest.next_if_eq(&',').is_some() {
            self.out.push(',');
            self.digits();
        }
        self.rest.next_if_eq(&'}')?;
        self.out.push('}');
        Some(())
    }

    /// After a quantifier: a `?` that makes it lazy may follow, but no other quantifier, which the `regex` crate
    /// would take.
    fn quantified(&mut self) -> Option<()> {
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
        if matches!(self.rest.peek(), Some('*' | '+' | '?' | '{')) { None } else { Some(()) }
    }

    fn digits(&mut self) -> usize {
        let before = self.out.len();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            self.out.push(digit);
        }
        self.out.len() - before
    }

    /// After `\` outside brackets.
    fn escape(&mut self) -> Option<()> {
        let next = self.rest.next()?;
        match next {
            'b' => self.out.push_str(r"(?-u:\b)"),
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => self.shorthand(next),
            _ => {
                let literal = self.character(next)?;
                self.literal(literal);
            }
        }
        Some(())
    }

    fn shorthand(&mut self, letter: char) {
        let members = match letter.to_ascii_lowercase() {
            'd' => "0-9",
            'w' => "A-Za-z0-9_",
            _ => SPACE,
        };
        self.out.push_str(if letter.is_ascii_uppercase() { "[^" } else { "[" });
        self.out.push_str(members);
        self.out.push(']');
    }

    /// The character that the escape `\first…` stands for.
    fn character(&mut self, first: char) -> Option<char> {
        match first {
            't' => Some('\t'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            'v' => Some('\u{b}'),
            'f' => Some('\u{c}'),
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => Some('\0'),
            'c' => {
                let letter = self.rest.next_if(char::is_ascii_alphabetic)?;
                char::from_u32(u32::from(letter) & 0x1f)
            }
            'x' => char::from_u32(self.hex(2)?),
            'u' if self.rest.next_if_eq(&'{').is_some() => {
                let mut scalar = 0u32;
                let mut digits = 0;
                while self.rest.next_if_eq(&'}').is_none() {
                    scalar = scalar.checked_mul(16)?.checked_add(self.hex(1)?)?;
                    digits += 1;
                }
                if digits == 0 { None } else { char::from_u32(scalar) }
            }
            'u' => match self.hex(4)? {
                high @ 0xd800..=0xdbff => {
                    self.rest.next_if_eq(&'\\')?;
                    self.rest.next_if_eq(&'u')?;
                    let low = self.hex(4).filter(|low| (0xdc00..=0xdfff).contains(low))?;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                }
                unit => char::from_u32(unit),
            },
            '^' | '$' | '\\' | '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '/'
            | '-' => Some(first),
            _ => None,
        }
    }

    fn hex(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let digit = self.rest.next_if(char::is_ascii_hexdigit)?;
            Some(value << 4 | digit.to_digit(16)?)
        })
    }

    /// Writes a character so that no syntax of the `regex` crate can be read into it.
    fn literal(&mut self, literal: char) {
        if literal.is_ascii_alphanumeric() {
            self.out.push(literal);
        } else {
            self.out.push_str(&format!(r"\x{{{:X}}}", u32::from(literal)));
        }
    }

    /// After `[`.
    fn class(&mut self) -> Option<()> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        // `[]` matches nothing and `[^]` everything there; the `regex` crate takes the bracket for a member.
        if self.rest.peek() == Some(&']') {
            return None;
        }
        loop {
            match self.member()? {
                Member::End => break,
                Member::Set => {
                    // A set cannot start a range.
                    if self.dash_that_is_no_member() {
                        return None;
                    }
                }
                Member::One(from) => {
                    self.literal(from);
                    if self.dash_that_is_no_member() {
                        self.rest.next();
                        let Member::One(to) = self.member()? else { return None };
                        self.out.push('-');
                        self.literal(to);
                    }
                }
            }
        }
        self.out.push(']');
        Some(())
    }

    /// Whether a `-` comes next that is not the last character before `]`.
    fn dash_that_is_no_member(&self) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next() == Some('-') && ahead.next() != Some(']')
    }

    fn member(&mut self) -> Option<Member> {
        Some(match self.rest.next()? {
            ']' => Member::End,
            '\\' => match self.rest.next()? {
                letter @ ('d' | 'D' | 'w' | 'W' | 's' | 'S') => {
                    self.shorthand(letter);
                    Member::Set
                }
                'b' => Member::One('\u{8}'),
                other => Member::One(self.character(other)?),
            },
            other => Member::One(other),
        })
    }
}

enum Member {
    End,
    One(char),
    /// Already written.
    Set,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(source: &str, text: &str) -> bool {
        Pattern::compile(source).unwrap_or_else(|| panic!("{source} is claimed")).is_match(text)
    }

    #[test]
    fn classes_have_the_members_of_ecma_262() {
        assert!(matches(r"^\d$", "7") && !matches(r"^\d$", "\u{7ea}"));
        assert!(matches(r"^\w$", "_") && !matches(r"^\w$", "é"));
        assert!(matches(r"^\W$", "é") && matches(r"^\D$", "\u{7ea}"));
        assert!(matches(r"^\s$", "\u{feff}") && matches(r"^\s$", "\u{2029}") && matches(r"^\s$", "\u{3000}"));
        assert!(!matches(r"^\s$", "\u{85}") && matches(r"^\S$", "\u{85}"));
        assert!(matches(r"^[^\s]$", "a") && !matches(r"^[^\s]$", "\u{a0}"));
        assert!(!matches("^.$", "\n") && !matches("^.$", "\u{2028}") && matches("^.$", "\u{85}"));
        assert!(matches(r"^[\W]$", "é") && matches(r"^[\w-]+$", "a-b"));
    }

    #[test]
    fn syntax_of_the_regex_crate_is_not_read_into_a_pattern() {
        assert!(matches("^[a&&b]+$", "a&b") && matches("^[[:alpha:]+$", "[al:") && matches("^[~~a]$", "~"));
        assert!(matches("^[a-c-]$", "-") && matches("^[+--]$", ","));
        assert!(matches("^[#x ]$", " ") && matches("#", "a#b"));
        assert!(!matches("^a$", "a\n"));
    }

    #[test]
    fn escapes_stand_for_characters() {
        assert!(matches(r"^\cJ$", "\n") && matches(r"^\x41\u0042\u{43}$", "ABC"));
        assert!(matches(r"^\uD83D\uDC32*$", "🐲🐲") && matches("^🐲*$", "🐲🐲"));
        assert!(
            matches(r"^\/\.\-\[$", "/.-[")
                && matches(r"^[\b]$", "\u{8}")
                && matches(r"^\0\v\f\t$", "\0\u{b}\u{c}\t")
        );
        assert!(matches(r"\bfoo\b", "a foo b") && !matches(r"\bfoo\b", "afoo"));
        assert!(matches(r"^(?:a|b){2,3}?c{1}d{2,}$", "abcdd"));
    }

    #[test]
    fn what_cannot_be_said_is_not_claimed() {
        for source in [
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<n>a)",
            r"(a)\1",
            r"\p{L}",
            r"\B",
            r"\a",
            r"\Z",
            "[]",
            "[^]",
            "a{,3}",
            "a{b",
            "}",
            "]",
            r"[\w-z]",
            r"[a-\d]",
            "(",
            "a**",
            r"\uD83D",
            r"\u{110000}",
            r"\u{}",
            r"\c1",
            r"\x4",
            r"\01",
            "[b-a]",
            "\\",
            "a{2000}{2000}{2000}",
        ] {
            assert!(Pattern::compile(source).is_none(), "{source}");
        }
    }
}
