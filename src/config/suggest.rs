//! "Did you mean …?"

/// The candidate that `word` was most likely meant to be, if one is near enough: at most a third of its letters
/// differ (two in a word of six), so that unrelated words are not offered.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words cost quadratic time and are no slip of the fingers.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Words as a text lists them: `"a", "b" or "c"`.
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_its_word_and_an_unrelated_word_finds_none() {
        let words = ["shards", "name", "retention", "retention_bytes"];
        assert_eq!(nearest("sahrds", words), Some("shards"));
        assert_eq!(nearest("Shards", words), Some("shards"));
        assert_eq!(nearest("retenton", words), Some("retention"));
        assert_eq!(nearest("nam", words), Some("name"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest(&"s".repeat(65), words), None);
    }

    #[test]
    fn words_are_listed_with_an_or_before_the_last() {
        assert_eq!(listed(["a", "b", "c"]), r#""a", "b" or "c""#);
        assert_eq!(listed(["a"]), r#""a""#);
        assert_eq!(listed([]), "");
    }
}
