//! Keys of records → names of columns that Hive, Athena, Glue and Spark take without quotes.

/// Characters of a name. Hive's metastore takes 128 for a column in its narrowest schema; the rest is left for a number.
const NAME_CHARS_MAX: usize = 120;

/// Lower-case letters, digits and underscores, and no digit at the beginning; every other character is an underscore.
/// Catalogs do not tell upper case from lower case.
pub(super) fn column_name(key: &str) -> String {
    let plain = |next: char| match next.to_ascii_lowercase() {
        next @ ('a'..='z' | '0'..='9' | '_') => next,
        _ => '_',
    };
    let digit_first = key.starts_with(|first: char| first.is_ascii_digit());
    let begin = if digit_first || key.is_empty() { "_" } else { "" };
    begin.chars().chain(key.chars().map(plain)).take(NAME_CHARS_MAX).collect()
}

/// `name`, or with the first number from 2 behind it that makes it one that is not `taken`.
pub(super) fn unique(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut numbered = name.to_owned();
    let mut number = 2_usize;
    while taken(&numbered) {
        numbered = format!("{name}_{number}");
        number += 1;
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_what_catalogs_take_without_quotes() {
        for (key, name) in [
            ("user_id", "user_id"),
            ("userId", "userid"),
            ("hg.nginx.org", "hg_nginx_org"),
            ("2xx", "_2xx"),
            ("größe", "gr__e"),
            ("", "_"),
            ("a b-c/d", "a_b_c_d"),
        ] {
            assert_eq!(column_name(key), name, "{key}");
        }
        assert_eq!(column_name(&"x".repeat(1_000)).len(), NAME_CHARS_MAX);
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let taken = ["id", "id_2"];
        assert_eq!(unique("id", |name| taken.contains(&name)), "id_3");
        assert_eq!(unique("no", |name| taken.contains(&name)), "no");
    }
}
