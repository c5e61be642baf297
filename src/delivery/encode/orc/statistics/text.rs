//! The range of a column of text.

use super::super::protobuf::Message;

/// Bytes up to which the smallest and the largest text are stored as they are; of longer ones a bound of at most
/// that many bytes is. The format's own limit.
const EXACT_BYTES_MAX: usize = 1_024;

/// Smallest and largest text, in the order of their UTF-8 bytes, and the length of all texts together.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct TextRange {
    /// None before the first value.
    lower: Option<Bound>,
    /// None before the first value, and forever once a value came that nothing short is above.
    upper: Option<Bound>,
    has_no_upper: bool,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct Bound {
    text: Vec<u8>,
    /// Whether it is a value, not only below or above all of them.
    is_exact: bool,
}

impl TextRange {
    /// Adds the length of a value whose text is given to [`TextRange::add`], now or for an equal value before.
    #[inline]
    pub fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Adds a text.
    #[inline]
    pub fn add(&mut self, text: &[u8]) {
        if self.lower.as_ref().is_none_or(|lower| *text < *lower.text) {
            self.lower = Some(Bound::below(text));
        }
        let is_above = self.upper.as_ref().is_none_or(|upper| *text > *upper.text);
        if is_above && !self.has_no_upper {
            self.upper = Bound::above(text);
            self.has_no_upper = self.upper.is_none();
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.bytes += other.bytes;
        if let Some(bound) = &other.lower
            && self.lower.as_ref().is_none_or(|lower| bound.text < lower.text)
        {
            self.lower = Some(bound.clone());
        }
        self.has_no_upper |= other.has_no_upper;
        if self.has_no_upper {
            self.upper = None;
        } else if let Some(bound) = &other.upper
            && self.upper.as_ref().is_none_or(|upper| bound.text > upper.text)
        {
            self.upper = Some(bound.clone());
        }
    }

    /// The message `StringStatistics`.
    pub fn encode(&self) -> Message {
        let mut message = Message::default();
        if let Some(lower) = &self.lower {
            message.bytes(if lower.is_exact { 1 } else { 4 }, &lower.text);
        }
        if let Some(upper) = &self.upper {
            message.bytes(if upper.is_exact { 2 } else { 5 }, &upper.text);
        }
        message.sint(3, self.bytes.cast_signed());
        message
    }
}

impl Bound {
    fn below(text: &[u8]) -> Self {
        let is_exact = text.len() <= EXACT_BYTES_MAX;
        Self { text: if is_exact { text } else { cut(text) }.to_vec(), is_exact }
    }

    /// None if the text begins with so many of the last character there is that nothing short is above it.
    fn above(text: &[u8]) -> Option<Self> {
        if text.len() <= EXACT_BYTES_MAX {
            return Some(Self { text: text.to_vec(), is_exact: true });
        }
        let start = String::from_utf8_lossy(cut(text));
        for (place, character) in start.char_indices().rev() {
            // The gap of the surrogates has no characters.
            let next =
                if character == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(character as u32 + 1) };
            // One that is a byte longer would pass the limit where the cut text fills it.
            if let Some(next) = next.filter(|next| place + next.len_utf8() <= EXACT_BYTES_MAX) {
                let mut bound = start[..place].to_owned();
                bound.push(next);
                return Some(Self { text: bound.into_bytes(), is_exact: false });
            }
        }
        None
    }
}

/// The characters of a long text that fit within [`EXACT_BYTES_MAX`].
fn cut(text: &[u8]) -> &[u8] {
    let mut end = EXACT_BYTES_MAX;
    while end > 0 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(texts: &[&str]) -> TextRange {
        let mut range = TextRange::default();
        for text in texts {
            range.add_bytes(text.len() as u64);
            range.add(text.as_bytes());
        }
        range
    }

    fn text(bound: &Option<Bound>) -> (&str, bool) {
        let bound = bound.as_ref().unwrap();
        (std::str::from_utf8(&bound.text).unwrap(), bound.is_exact)
    }

    #[test]
    fn short_texts_are_told_as_they_are() {
        let range = range(&["b", "", "größe", "aa"]);
        assert_eq!((text(&range.lower), text(&range.upper)), (("", true), ("größe", true)));
        assert_eq!(range.bytes, 10);
    }

    #[test]
    fn long_texts_are_told_by_shorter_bounds() {
        let (low, high) = ("a".repeat(2_000), "ü".repeat(2_000));
        let range = range(&[&low, &high]);
        let (lower, is_exact) = text(&range.lower);
        assert!(!is_exact && lower < low.as_str() && lower.len() == 1_024);
        let (upper, is_exact) = text(&range.upper);
        assert!(!is_exact && upper > high.as_str() && upper.len() <= 1_024, "{upper}");
    }

    #[test]
    fn the_last_characters_have_no_short_upper_bound() {
        let mut first = range(&["a"]);
        let end = range(&[&"\u{10ffff}".repeat(2_000)]);
        assert!(end.upper.is_none());
        first.merge(&end);
        assert!(first.upper.is_none());
        first.merge(&range(&["b"]));
        first.add(b"z");
        assert!(first.upper.is_none(), "what came before is still in there");
        let mixed = range(&[&format!("b{}", "\u{10ffff}".repeat(2_000))]);
        assert_eq!(text(&mixed.upper), ("c", false));
        let gap = range(&["\u{d7ff}".repeat(2_000).as_str()]);
        assert!(text(&gap.upper).0.ends_with('\u{e000}'));
    }

    #[test]
    fn merging_is_like_adding_all() {
        let mut merged = range(&["m", "d"]);
        merged.merge(&TextRange::default());
        merged.merge(&range(&["x", "e"]));
        assert_eq!((text(&merged.lower), text(&merged.upper), merged.bytes), (("d", true), ("x", true), 4));
        let mut empty = TextRange::default();
        empty.merge(&merged);
        assert_eq!(text(&empty.lower), ("d", true));
    }
}
