//! Which lines of a `--file` are replayed, so that processes and machines can share it.

/// One of several parts of a file, which are as long as each other and lie behind each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePart {
    /// Which, from 0.
    pub index: u64,
    /// Of how many; never 0.
    pub count: u64,
}

impl FilePart {
    /// All of the file.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Reads `INDEX/COUNT`, with the first part as `1/COUNT`.
    pub fn parse(text: &str) -> Option<Self> {
        let (index, count) = text.split_once('/')?;
        let (index, count) = (index.parse::<u64>().ok()?, count.parse::<u32>().ok()?);
        (1..=u64::from(count)).contains(&index).then(|| Self { index: index - 1, count: count.into() })
    }

    /// One of `count` parts of this part.
    pub fn share(self, index: u32, count: u32) -> Self {
        let count = u64::from(count);
        Self { index: self.index * count + u64::from(index), count: self.count * count }
    }

    /// The first of its records, and the one behind its last, of a file of `total`.
    pub(super) fn range(self, total: u64) -> (u64, u64) {
        let at = |index: u64| (u128::from(total) * u128::from(index) / u128::from(self.count)) as u64;
        (at(self.index), at(self.index + 1))
    }
}

impl std::fmt::Display for FilePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_file_are_all_of_it_and_have_nothing_in_common() {
        for (total, count) in [(10, 1), (10, 3), (2, 3), (7, 7)] {
            let ranges: Vec<_> = (0..count).map(|index| FilePart { index, count }.range(total)).collect();
            assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ranges:?}");
            assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, total));
        }
        let second = FilePart::parse("2/2").unwrap();
        assert_eq!((second.to_string(), second.share(1, 3).to_string()), ("2/2".into(), "5/6".into()));
        assert_eq!((second.share(0, 3).range(12), second.share(2, 3).range(12)), ((6, 8), (10, 12)));
        for text in ["", "1", "0/2", "3/2", "1/0", "a/b"] {
            assert_eq!(FilePart::parse(text), None, "{text}");
        }
    }
}
