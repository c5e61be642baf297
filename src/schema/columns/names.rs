//! Names that every reader of the files takes.
//!
//! Parquet itself stores any name. Spark refuses to read some (`Attribute name contains invalid character(s) among
//! " ,;{}()\\n\\t="`), Hive's metastore others (`,`, `:`, `;` and everything that its DDL cannot quote), the text form
//! of an ORC schema has no place for quotes, a point is how SQL reaches into a struct, and both take `Id` and `id` for
//! one name. What is refused here is the union of these.

use super::{Column, ColumnError, ColumnType, Columns};

/// Characters that a name must not have, control characters beside them.
pub const NAME_CHARACTERS_REFUSED: &str = " ,;{}()\t\n=.:`\"'/\\";

fn is_refused(character: char) -> bool {
    character.is_control() || NAME_CHARACTERS_REFUSED.contains(character)
}

/// `name` with `_` in the place of each character that a column's name must not have; `_` where nothing is left.
/// Two names may become one, see [`equal_ignoring_case`].
pub fn sanitized_name(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    name.chars().map(|character| if is_refused(character) { '_' } else { character }).collect()
}

/// Whether Hive and Spark take the two for one name.
pub fn equal_ignoring_case(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

impl Columns {
    /// Whether every reader takes the names of all columns and of the fields inside them.
    ///
    /// # Errors
    /// Every column with a name that is refused, by its index, with the first problem in it.
    pub fn check_names(&self) -> Result<(), Vec<(usize, ColumnError)>> {
        let columns = self.as_slice();
        let mut errors = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let own = check_name(&columns[..index], &column.name, false);
            if let Err(error) = own.and_then(|()| check_inside(&column.column_type)) {
                errors.push((index, error));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn check_inside(column_type: &ColumnType) -> Result<(), ColumnError> {
    match column_type {
        ColumnType::List(inner) | ColumnType::Map(inner) => check_inside(inner),
        ColumnType::Struct(fields) => fields.iter().enumerate().try_for_each(|(index, field)| {
            check_name(&fields[..index], &field.name, true)?;
            check_inside(&field.column_type)
        }),
        _ => Ok(()),
    }
}

fn check_name(earlier: &[Column], name: &str, nested: bool) -> Result<(), ColumnError> {
    if let Some(character) = name.chars().find(|character| is_refused(*character)) {
        return Err(ColumnError::AwkwardName { name: name.to_owned(), character, nested });
    }
    match earlier.iter().find(|earlier| equal_ignoring_case(&earlier.name, name)) {
        Some(first) => {
            let (first, second) = (first.name.clone(), name.to_owned());
            Err(ColumnError::SameButForCase { first, second, nested })
        }
        None => Ok(()),
    }
}

impl ColumnError {
    /// What to write instead of a name that [`Columns::check_names`] refuses.
    pub fn other_name(&self) -> Option<String> {
        let (ColumnError::AwkwardName { name, nested, .. }
        | ColumnError::SameButForCase { second: name, nested, .. }) = self
        else {
            return None;
        };
        let own = match sanitized_name(name) {
            own if own == *name => format!("{own}_2"),
            own => own,
        };
        Some(match nested {
            true => format!("write {own} = {name:?} in the type"),
            false => format!("write name = {own:?}, key = {name:?}"),
        })
    }
}
