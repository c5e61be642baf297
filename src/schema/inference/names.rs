//! Keys of records → names of columns.

use crate::schema::columns::sanitized_name;

/// Characters of a name. Hive's metastore takes 128 for a column in its narrowest schema; the rest is left for a
/// number.
const NAME_CHARS_MAX: usize = 120;

/// `key` as every reader takes it, cut to a length that catalogs take.
pub(super) fn column_name(key: &str) -> String {
    sanitized_name(key).chars().take(NAME_CHARS_MAX).collect()
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
    fn names_are_cut_and_taken_ones_get_a_number() {
        assert_eq!(column_name("hg.nginx.org"), "hg_nginx_org");
        assert_eq!(column_name(&"ö".repeat(1_000)).chars().count(), NAME_CHARS_MAX);
        let taken = ["id", "id_2"];
        assert_eq!(unique("id", |name| taken.contains(&name)), "id_3");
        assert_eq!(unique("no", |name| taken.contains(&name)), "no");
    }
}
