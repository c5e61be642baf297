//! The types of a file: Arrow's as ORC's, numbered in the order of a walk from the root.
//!
//! ORC's integers are all signed, so an unsigned column becomes the next wider one:
//!
//! | Arrow | ORC |
//! |---|---|
//! | `Boolean` | `boolean` |
//! | `Int8`, `Int16`, `Int32`, `Int64` | `tinyint`, `smallint`, `int`, `bigint` |
//! | `UInt8`, `UInt16`, `UInt32` | `smallint`, `int`, `bigint` |
//! | `UInt64` | `decimal(20,0)` |
//! | `Float32`, `Float64` | `float`, `double` |
//! | `Decimal128(p, s)` | `decimal(p,s)` |
//! | `Utf8`, `Binary` | `string`, `binary` |
//! | `Date32` | `date` |
//! | `Timestamp` in UTC | `timestamp with local time zone`, an instant |
//! | `List`, `Map`, `Struct` | `array`, `map`, `struct` |

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::OrcError;
use super::protobuf::Message;

/// Digits of the largest `u64`.
pub(super) const UINT64_DIGITS: u8 = 20;

/// A type with its place among the columns of the file.
#[derive(Debug, Clone)]
pub(super) struct OrcType {
    /// Number of the column; the root is 0, and children come before the next sibling.
    pub id: u32,
    /// Names from the root to here, joined by dots: what a bloom filter is asked for with. See
    /// [`crate::schema::columns::Columns::leaf_paths`].
    pub path: String,
    pub kind: Kind,
    pub children: Vec<OrcType>,
}

/// What the values of a column are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    String,
    Binary,
    Instant(TimeUnit),
    List,
    Map,
    Struct(Vec<String>),
    Decimal { precision: u8, scale: u8 },
    Date,
}

impl OrcType {
    /// The root: a struct of the columns of a file.
    ///
    /// # Errors
    /// A type that the format has no place for.
    pub fn root(fields: &Fields) -> Result<Self, OrcError> {
        let mut next_id = 0;
        Self::build("", &DataType::Struct(fields.clone()), &mut next_id)
    }

    fn build(path: &str, data_type: &DataType, next_id: &mut u32) -> Result<Self, OrcError> {
        let unsupported = || OrcError::Type { path: path.to_owned(), data_type: data_type.to_string() };
        let kind = Kind::of(data_type).ok_or_else(unsupported)?;
        let id = *next_id;
        *next_id += 1;
        let mut children = Vec::new();
        for field in children_of(data_type) {
            let path = match data_type {
                // Elements go by the name of their list.
                DataType::List(_) => path.to_owned(),
                _ if path.is_empty() => field.name().to_owned(),
                _ => format!("{path}.{}", field.name()),
            };
            children.push(Self::build(&path, field.data_type(), next_id)?);
        }
        Ok(Self { id, path: path.to_owned(), kind, children })
    }

    /// Appends the message `Type` of this one and of those below it as field `field` of `footer`.
    pub fn encode(&self, field: u32, footer: &mut Message) {
        let mut message = Message::default();
        message.uint(1, self.kind.number());
        let children: Vec<u64> = self.children.iter().map(|child| u64::from(child.id)).collect();
        message.packed(2, &children);
        match &self.kind {
            Kind::Struct(names) => names.iter().for_each(|name| {
                message.bytes(3, name.as_bytes());
            }),
            Kind::Decimal { precision, scale } => {
                message.uint(5, u64::from(*precision)).uint(6, u64::from(*scale));
            }
            _ => (),
        }
        footer.message(field, &message);
        self.children.iter().for_each(|child| child.encode(field, footer));
    }

    /// How many columns it is, with those below it.
    pub fn columns(&self) -> usize {
        1 + self.children.iter().map(Self::columns).sum::<usize>()
    }

    /// Whether a bloom filter can be made of its values: of numbers, texts, bytes, dates and times.
    pub fn can_have_bloom_filter(&self) -> bool {
        !matches!(self.kind, Kind::Boolean | Kind::List | Kind::Map | Kind::Struct(_))
    }
}

fn children_of(data_type: &DataType) -> Vec<&Field> {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(AsRef::as_ref).collect(),
        DataType::List(element) => vec![element],
        // An entry is no column of its own.
        DataType::Map(entries, _) => children_of(entries.data_type()),
        _ => Vec::new(),
    }
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Kind::Boolean,
            DataType::Int8 => Kind::Byte,
            DataType::Int16 | DataType::UInt8 => Kind::Short,
            DataType::Int32 | DataType::UInt16 => Kind::Int,
            DataType::Int64 | DataType::UInt32 => Kind::Long,
            DataType::UInt64 => Kind::Decimal { precision: UINT64_DIGITS, scale: 0 },
            DataType::Float32 => Kind::Float,
            DataType::Float64 => Kind::Double,
            DataType::Decimal128(precision, scale) => {
                Kind::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
            }
            DataType::Utf8 => Kind::String,
            DataType::Binary => Kind::Binary,
            DataType::Date32 => Kind::Date,
            DataType::Timestamp(unit, Some(zone)) if &**zone == "UTC" => Kind::Instant(*unit),
            DataType::List(_) => Kind::List,
            DataType::Map(..) => Kind::Map,
            DataType::Struct(fields) => {
                Kind::Struct(fields.iter().map(|field| field.name().to_owned()).collect())
            }
            _ => return None,
        })
    }

    /// The format's number for it (`Type.Kind`).
    fn number(&self) -> u64 {
        match self {
            Kind::Boolean => 0,
            Kind::Byte => 1,
            Kind::Short => 2,
            Kind::Int => 3,
            Kind::Long => 4,
            Kind::Float => 5,
            Kind::Double => 6,
            Kind::String => 7,
            Kind::Binary => 8,
            Kind::List => 10,
            Kind::Map => 11,
            Kind::Struct(_) => 12,
            Kind::Decimal { .. } => 14,
            Kind::Date => 15,
            Kind::Instant(_) => 18,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::columns::{ColumnDeclaration, Columns};

    #[test]
    fn scalar_columns_have_the_paths_that_settings_know_them_by() {
        let type_text =
            "struct<a: list<list<int8>>, b: map<string, struct<c: date, d: list<map<string, json>>>>>";
        let declaration = |name: &str, type_text: &str| ColumnDeclaration::new(name, type_text, true);
        let columns =
            Columns::declared(&[declaration("x", type_text), declaration("y.z", "uint64")]).unwrap();
        let root = OrcType::root(columns.arrow_schema().fields()).unwrap();
        let mut paths = Vec::new();
        collect(&root, &mut paths);
        assert_eq!(paths.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), columns.leaf_paths());
        let ids: Vec<u32> = paths.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids, [4, 6, 8, 11, 12, 13], "numbers are given on the way down");
    }

    fn collect(orc_type: &OrcType, paths: &mut Vec<(String, u32)>) {
        if orc_type.children.is_empty() {
            paths.push((orc_type.path.clone(), orc_type.id));
        }
        orc_type.children.iter().for_each(|child| collect(child, paths));
    }
}
