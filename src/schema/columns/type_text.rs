//! The text form of a column's type: `map<string, list<decimal(12, 2)>>`.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::{Column, ColumnError, ColumnType, TYPE_DEPTH_MAX, TimeUnit};

/// Every type that is one word.
const WORDS: [(&str, ColumnType); 20] = [
    ("bool", ColumnType::Bool),
    ("int8", ColumnType::Int8),
    ("int16", ColumnType::Int16),
    ("int32", ColumnType::Int32),
    ("int64", ColumnType::Int64),
    ("uint8", ColumnType::UInt8),
    ("uint16", ColumnType::UInt16),
    ("uint32", ColumnType::UInt32),
    ("uint64", ColumnType::UInt64),
    ("float32", ColumnType::Float32),
    ("float64", ColumnType::Float64),
    ("string", ColumnType::String),
    ("binary", ColumnType::Binary),
    ("date", ColumnType::Date),
    ("timestamp_seconds", ColumnType::Timestamp(TimeUnit::Seconds)),
    ("timestamp_millis", ColumnType::Timestamp(TimeUnit::Millis)),
    ("timestamp_micros", ColumnType::Timestamp(TimeUnit::Micros)),
    ("timestamp_nanos", ColumnType::Timestamp(TimeUnit::Nanos)),
    ("json", ColumnType::Json),
    // For advice only, because its numbers vary.
    ("decimal(18, 2)", ColumnType::Decimal { precision: 18, scale: 2 }),
];

/// Words that other systems use, and what they are called here.
const FOREIGN_WORDS: [(&str, &str); 22] = [
    ("boolean", "bool"),
    ("tinyint", "int8"),
    ("smallint", "int16"),
    ("int", "int32 or int64"),
    ("integer", "int32 or int64"),
    ("bigint", "int64"),
    ("long", "int64"),
    ("float", "float32 or float64"),
    ("real", "float32"),
    ("double", "float64"),
    ("number", "float64 or decimal(18, 2)"),
    ("numeric", "decimal(18, 2)"),
    ("text", "string"),
    ("varchar", "string"),
    ("utf8", "string"),
    ("bytes", "binary"),
    ("timestamp", "timestamp_micros"),
    ("datetime", "timestamp_micros"),
    ("array", "list<string>"),
    ("object", "struct<name: string> or map<string, string>"),
    ("record", "struct<name: string>"),
    ("variant", "json"),
];

const DECIMAL_DIGITS_MAX: u8 = 38;

pub(super) fn decimal_fits(precision: u8, scale: u8) -> bool {
    (1..=DECIMAL_DIGITS_MAX).contains(&precision) && scale <= precision
}

impl FromStr for ColumnType {
    type Err = ColumnError;

    fn from_str(text: &str) -> Result<Self, ColumnError> {
        let mut parser = Parser { text, pos: 0 };
        let column_type = parser.column_type(0)?;
        parser.skip_spaces();
        if parser.pos < text.len() {
            return Err(parser.malformed("the end of the type"));
        }
        Ok(column_type)
    }
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    fn skip_spaces(&mut self) {
        self.pos = self.text.len() - self.rest().trim_start().len();
    }

    fn position_of(&self, offset: usize) -> usize {
        self.text[..offset].chars().count() + 1
    }

    fn malformed(&self, expected: &'static str) -> ColumnError {
        let found = match self.rest().chars().next() {
            Some(next) => format!("'{next}'"),
            None => "the end".to_owned(),
        };
        ColumnError::Malformed { position: self.position_of(self.pos), expected, found }
    }

    fn take(&mut self, token: char) -> bool {
        self.skip_spaces();
        let found = self.rest().starts_with(token);
        self.pos += if found { token.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, token: char, expected: &'static str) -> Result<(), ColumnError> {
        if self.take(token) { Ok(()) } else { Err(self.malformed(expected)) }
    }

    fn word(&mut self) -> &'a str {
        self.skip_spaces();
        let start = self.pos;
        let length = self.rest().find(|next| !is_bare(next)).unwrap_or(self.rest().len());
        self.pos += length;
        &self.text[start..self.pos]
    }

    fn column_type(&mut self, depth: usize) -> Result<ColumnType, ColumnError> {
        self.skip_spaces();
        let start = self.pos;
        let word = self.word().to_owned();
        if matches!(word.as_str(), "list" | "map" | "struct") && depth == TYPE_DEPTH_MAX {
            return Err(ColumnError::TooDeep);
        }
        match word.as_str() {
            "decimal" => self.decimal(),
            "list" => {
                self.expect('<', "'<', as in list<string>")?;
                let element = self.column_type(depth + 1)?;
                self.expect('>', "'>' behind the element's type")?;
                Ok(ColumnType::List(Box::new(element)))
            }
            "map" => {
                self.expect('<', "'<', as in map<string, int64>")?;
                self.skip_spaces();
                let key = self.pos;
                if self.word() != "string" {
                    self.pos = key;
                    return Err(self.malformed("the key type 'string', as in map<string, int64>"));
                }
                self.expect(',', "',' and the value's type, as in map<string, int64>")?;
                let value = self.column_type(depth + 1)?;
                self.expect('>', "'>' behind the value's type")?;
                Ok(ColumnType::Map(Box::new(value)))
            }
            "struct" => self.fields(depth),
            "" => Err(self.malformed("a type such as int64, string or list<string>")),
            name => match WORDS.iter().find(|(word, _)| *word == name) {
                Some((_, column_type)) => Ok(column_type.clone()),
                None => Err(ColumnError::UnknownType {
                    advice: advice_for(&word),
                    position: self.position_of(start),
                    word,
                }),
            },
        }
    }

    fn decimal(&mut self) -> Result<ColumnType, ColumnError> {
        self.expect('(', "'(', as in decimal(12, 2)")?;
        let position = self.position_of(self.pos);
        let precision = self.digits()?;
        let scale = if self.take(',') { self.digits()? } else { 0 };
        self.expect(')', "')', as in decimal(12, 2)")?;
        if !decimal_fits(precision, scale) {
            return Err(ColumnError::DecimalRange { position });
        }
        Ok(ColumnType::Decimal { precision, scale })
    }

    /// A number; whatever is beyond a `u8` is out of every range that is asked for here.
    fn digits(&mut self) -> Result<u8, ColumnError> {
        let word = self.word();
        if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(word.parse().unwrap_or(u8::MAX));
        }
        self.pos -= word.len();
        Err(self.malformed("a number of digits, as in decimal(12, 2)"))
    }

    fn fields(&mut self, depth: usize) -> Result<ColumnType, ColumnError> {
        self.expect('<', "'<', as in struct<lat: float64, lon: float64>")?;
        let mut fields: Vec<Column> = Vec::new();
        loop {
            let name = self.field_name(false)?;
            if fields.iter().any(|field| field.name == name) {
                return Err(ColumnError::DuplicateName(name));
            }
            // Of learned fields, one that takes what those of the same key before it do not.
            let is_second = self.take('|');
            let key = if self.take('=') { self.field_name(true)? } else { name.clone() };
            if fields.iter().any(|field| field.key() == key) != is_second {
                return Err(ColumnError::DuplicateKey(key));
            }
            self.expect(':', "':' and the field's type, as in struct<lat: float64, lon: float64>")?;
            let column_type = self.column_type(depth + 1)?;
            fields.push(Column::new(name, column_type, true).with_key(key));
            if !self.take(',') {
                break;
            }
        }
        self.expect('>', "',' and the next field, or '>'")?;
        Ok(ColumnType::Struct(fields))
    }

    /// A bare word, or a JSON string for names that have other characters in them. Keys of records may be empty, names
    /// of columns may not.
    fn field_name(&mut self, is_key: bool) -> Result<String, ColumnError> {
        const EXPECTED: &str = "a field's name, as in struct<lat: float64, \"other name\": string>";
        self.skip_spaces();
        let start = self.pos;
        let mut name = self.word().to_owned();
        if name.is_empty() {
            let mut quoted = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
            if let Some(Ok(text)) = quoted.next() {
                self.pos = start + quoted.byte_offset();
                if is_key {
                    return Ok(text);
                }
                name = text;
            }
        }
        if name.is_empty() { Err(self.malformed(EXPECTED)) } else { Ok(name) }
    }
}

fn is_bare(next: char) -> bool {
    next.is_alphanumeric() || matches!(next, '_' | '-' | '.' | '@' | '$')
}

fn advice_for(word: &str) -> String {
    let lower = word.to_lowercase();
    let foreign = FOREIGN_WORDS.iter().find(|(foreign, _)| *foreign == lower).map(|(_, own)| *own);
    let nearest = || {
        let nested = ["list<string>", "map<string, string>", "struct<name: string>"];
        let own = WORDS.iter().map(|(word, _)| *word).chain(nested);
        let head = |own: &str| own.split(['<', '(']).next().unwrap_or(own).to_owned();
        let distance = |own: &str| strsim::damerau_levenshtein(&lower, &head(own));
        own.map(|own| (distance(own), own)).filter(|(far, _)| *far <= 2).min().map(|(_, own)| own)
    };
    match foreign.or_else(nearest) {
        Some(own) => format!("write {own}"),
        None => {
            "write bool, int8 to int64, uint8 to uint64, float32, float64, decimal(p, s), string, binary, \
                 date, timestamp_seconds, _millis, _micros or _nanos, list<T>, map<string, T>, \
                 struct<name: T> or json"
                .to_owned()
        }
    }
}

pub(super) fn write(column_type: &ColumnType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match column_type {
        ColumnType::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
        ColumnType::List(element) => write!(f, "list<{element}>"),
        ColumnType::Map(value) => write!(f, "map<string, {value}>"),
        ColumnType::Struct(fields) => {
            f.write_str("struct<")?;
            for (index, field) in fields.iter().enumerate() {
                f.write_str(if index == 0 { "" } else { ", " })?;
                write_name(&field.name, f)?;
                if let Some(key) = &field.other_key {
                    let earlier = fields.get(..index).unwrap_or_default();
                    let is_second = earlier.iter().any(|earlier| earlier.key() == key);
                    let sign = if is_second { "|=" } else { "=" };
                    write!(f, " {sign} {}", serde_json::Value::from(key.as_str()))?;
                }
                write!(f, ": {}", field.column_type)?;
            }
            f.write_char('>')
        }
        scalar => {
            let word = WORDS.iter().find(|(_, own)| own == scalar).map_or("json", |(word, _)| word);
            f.write_str(word)
        }
    }
}

fn write_name(name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if name.chars().all(is_bare) { f.write_str(name) } else { write!(f, "{}", serde_json::Value::from(name)) }
}
