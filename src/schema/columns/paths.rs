//! Scalar columns by their paths: `pos.lat` is the field `lat` of the struct `pos`. Lists are passed through (`tags` is
//! their elements, `visits.page` a field of them), and a map has `attrs.key` and `attrs.value`. Names may have dots of
//! their own; a longer name goes before a path.

use thiserror::Error;

use super::{Column, ColumnType, Columns, MAP_KEY, MAP_VALUE};

/// A scalar column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// Its place among all scalar columns, depth first, as columnar formats count them.
    pub index: usize,
    /// What it holds; a map's keys are strings.
    pub column_type: &'a ColumnType,
}

/// Why a path leads to no scalar column.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// There is nothing of that name.
    #[error("there is no column '{path}'{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The path.
        path: String,
        /// One that looks like it.
        nearest: Option<String>,
    },
    /// It ends at a struct or a map.
    #[error("'{path}' is a {kind}, not a single column: write '{example}' or another one inside of it")]
    Nested {
        /// The path.
        path: String,
        /// `struct` or `map`.
        kind: &'static str,
        /// The first scalar column inside.
        example: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(": did you mean '{nearest}'?")).unwrap_or_default()
}

/// What a map's keys are.
const KEY_TYPE: &ColumnType = &ColumnType::String;

enum Found<'a> {
    Leaf(Leaf<'a>),
    Nested(&'static str),
}

impl Columns {
    /// The scalar column at `path`.
    ///
    /// # Errors
    /// If there is none.
    pub fn leaf(&self, path: &str) -> Result<Leaf<'_>, PathError> {
        match find_field(self.as_slice(), path, 0) {
            Some(Found::Leaf(leaf)) => Ok(leaf),
            Some(Found::Nested(kind)) => {
                let inside = format!("{path}.");
                let paths = self.leaf_paths();
                let example = paths.into_iter().find(|leaf| leaf.starts_with(&inside));
                Err(PathError::Nested { path: path.to_owned(), kind, example: example.unwrap_or_default() })
            }
            None => {
                let paths = self.leaf_paths();
                let nearest = crate::config::nearest(path, paths.iter().map(String::as_str));
                Err(PathError::Unknown { path: path.to_owned(), nearest: nearest.map(ToOwned::to_owned) })
            }
        }
    }

    /// The paths of all scalar columns, in order.
    pub fn leaf_paths(&self) -> Vec<String> {
        let mut paths = Vec::with_capacity(self.leaves());
        for column in self.as_slice() {
            collect(&column.column_type, &column.name, &mut paths);
        }
        paths
    }
}

fn collect(column_type: &ColumnType, path: &str, paths: &mut Vec<String>) {
    match column_type {
        ColumnType::List(element) => collect(element, path, paths),
        ColumnType::Struct(fields) => {
            for field in fields {
                collect(&field.column_type, &format!("{path}.{}", field.name), paths);
            }
        }
        ColumnType::Map(value) => {
            paths.push(format!("{path}.{MAP_KEY}"));
            collect(value, &format!("{path}.{MAP_VALUE}"), paths);
        }
        _ => paths.push(path.to_owned()),
    }
}

/// What `path` leads to among `fields`, before which there are `before` scalar columns.
fn find_field<'a>(fields: &'a [Column], path: &str, mut before: usize) -> Option<Found<'a>> {
    let mut of_part = None;
    for field in fields {
        match path.strip_prefix(&field.name) {
            Some("") => return find(&field.column_type, "", before),
            Some(rest) if of_part.is_none() => {
                let rest = rest.strip_prefix('.').filter(|rest| !rest.is_empty());
                of_part = rest.and_then(|rest| find(&field.column_type, rest, before));
            }
            _ => {}
        }
        before += field.column_type.leaves();
    }
    of_part
}

/// What `rest` of a path leads to inside of `column_type`.
fn find<'a>(column_type: &'a ColumnType, rest: &str, before: usize) -> Option<Found<'a>> {
    match (column_type, rest) {
        (ColumnType::List(element), _) => find(element, rest, before),
        (ColumnType::Struct(_), "") => Some(Found::Nested("struct")),
        (ColumnType::Struct(fields), _) => find_field(fields, rest, before),
        (ColumnType::Map(_), "") => Some(Found::Nested("map")),
        (ColumnType::Map(_), MAP_KEY) => Some(Found::Leaf(Leaf { index: before, column_type: KEY_TYPE })),
        (ColumnType::Map(value), MAP_VALUE) => find(value, "", before + 1),
        (ColumnType::Map(value), _) => {
            let rest = rest.strip_prefix(MAP_VALUE)?.strip_prefix('.').filter(|rest| !rest.is_empty());
            find(value, rest?, before + 1)
        }
        (_, "") => Some(Found::Leaf(Leaf { index: before, column_type })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ColumnDeclaration;
    use super::*;

    fn columns() -> Columns {
        let declared = [
            ("id", "int64"),
            ("pos", "struct<lat: float64, inner: struct<x: date>>"),
            ("tags", "list<string>"),
            ("visits", "list<struct<page: string, on: map<string, list<int8>>>>"),
            ("attrs", "map<string, struct<a: bool>>"),
            ("pos.lat", "json"),
        ];
        let declaration = |(name, type_text): (&str, &str)| ColumnDeclaration::new(name, type_text, true);
        Columns::declared(&declared.map(declaration)).unwrap()
    }

    #[test]
    fn each_scalar_column_is_found_at_its_place() {
        let columns = columns();
        let paths = columns.leaf_paths();
        assert_eq!(paths.len(), columns.leaves());
        // The two that are called alike: a name goes before a path.
        assert_eq!(columns.leaf("pos.lat").unwrap(), Leaf { index: 9, column_type: &ColumnType::Json });
        for (index, path) in paths.iter().enumerate().filter(|(_, path)| *path != "pos.lat") {
            assert_eq!(columns.leaf(path).unwrap().index, index, "{path}");
        }
        assert_eq!(columns.leaf("visits.on.value").unwrap().column_type, &ColumnType::Int8);
        assert_eq!(columns.leaf("attrs.value.a").unwrap().column_type, &ColumnType::Bool);
    }

    #[test]
    fn what_is_no_scalar_column_is_refused_with_advice() {
        let columns = columns();
        let message = |path: &str| columns.leaf(path).unwrap_err().to_string();
        assert_eq!(message("tgas"), "there is no column 'tgas': did you mean 'tags'?");
        assert_eq!(message("pos.lot"), "there is no column 'pos.lot': did you mean 'pos.lat'?");
        assert_eq!(message("something else"), "there is no column 'something else'");
        assert_eq!(
            message("attrs"),
            "'attrs' is a map, not a single column: write 'attrs.key' or another one inside of it"
        );
        assert!(message("visits").contains("write 'visits.page' or"));
        for none in ["", ".", "id.x", "tags.element", "attrs.keys", "attrs.value.", "pos."] {
            assert!(message(none).starts_with("there is no column"), "{none}");
        }
    }
}
