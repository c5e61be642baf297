//! Keys of records → names of columns that every reader takes.

/// Characters of a name. Hive's metastore takes 128 for a column in its narrowest schema; the rest is left for a number.
const NAME_CHARS_MAX: usize = 120;

/// Characters that some reader does not take in a name.
const REFUSED: &str = " ,;{}()\t\n=.:`\"'/\\";

/// `key` with an underscore in the place of each character that a name must not have.
pub(super) fn column_name(key: &str) -> String {
    let plain = |next: char| if next.is_control() || REFUSED.contains(next) { '_' } else { next };
    match key {
        "" => "_".to_owned(),
        key => key.chars().map(plain).take(NAME_CHARS_MAX).collect(),
    }
}

/// `name`, or with the first number from 2 behind it that makes it one that is not `taken`. Catalogs do not tell upper
/// case from lower case, so that `taken` must not either.
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
    fn names_have_what_readers_take() {
        for (key, name) in [
            ("user_id", "user_id"),
            ("userId", "userId"),
            ("hg.nginx.org", "hg_nginx_org"),
            ("2xx", "2xx"),
            ("größe", "größe"),
            ("", "_"),
            ("a b=c/d", "a_b_c_d"),
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
