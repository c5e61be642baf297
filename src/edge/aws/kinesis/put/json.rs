//! Members from JSON: one strict scan, nothing copied.

use std::borrow::Cow;

use super::entries::{Data, Entry, Form, Put, unreadable};
use crate::edge::aws::protocol::failure::Failure;
use crate::json::{Kind, RawString, Scanner, SyntaxError};

/// Why members cannot be read.
enum Unreadable {
    Syntax(SyntaxError),
    /// JSON of another shape: what was found, and what was wanted.
    Shape(Kind, &'static str),
}

impl From<SyntaxError> for Unreadable {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Syntax(error) => unreadable(error),
            Unreadable::Shape(found, wanted) => {
                unreadable(format_args!("{} can not be converted to {wanted}", found.name()))
            }
        }
    }
}

/// Reads a body.
///
/// # Errors
/// `SerializationException`.
pub fn read(body: &[u8], form: Form) -> Result<Put<'_>, Failure> {
    let text = std::str::from_utf8(body).map_err(unreadable)?;
    let mut scanner = Scanner::new(text);
    let mut put = Put::default();
    members(&mut scanner, form, &mut put)?;
    scanner.end().map_err(unreadable)?;
    Ok(put)
}

fn members<'a>(scanner: &mut Scanner<'a>, form: Form, put: &mut Put<'a>) -> Result<(), Unreadable> {
    want(scanner, Kind::Object, "a structure")?;
    scanner.enter_object()?;
    let mut entry = Entry::default();
    let mut first = true;
    while let Some(key) = scanner.next_key(&mut first)? {
        match (&*key.decode(), form) {
            ("StreamName", _) => put.stream.stream_name = text(scanner)?.map(owned),
            ("StreamARN", _) => put.stream.stream_arn = text(scanner)?.map(owned),
            ("DryRun", _) => put.dry_run = flag(scanner)?,
            ("Records", Form::Records) => list(scanner, put)?,
            ("SequenceNumberForOrdering", Form::Record) => put.after = text(scanner)?.map(decoded),
            (name, Form::Record) => member(scanner, name, &mut entry)?,
            _ => scanner.skip_value()?,
        }
    }
    if form == Form::Record {
        put.push(entry);
    }
    Ok(())
}

fn list<'a>(scanner: &mut Scanner<'a>, put: &mut Put<'a>) -> Result<(), Unreadable> {
    if scanner.peek()? == Kind::Null {
        return Ok(scanner.null()?);
    }
    want(scanner, Kind::Array, "a list")?;
    put.has_list = true;
    scanner.enter_array()?;
    let mut first = true;
    while scanner.next_element(&mut first)? {
        put.push(entry(scanner)?);
    }
    Ok(())
}

fn entry<'a>(scanner: &mut Scanner<'a>) -> Result<Entry<'a>, Unreadable> {
    let mut entry = Entry::default();
    want(scanner, Kind::Object, "a structure")?;
    scanner.enter_object()?;
    let mut first = true;
    while let Some(key) = scanner.next_key(&mut first)? {
        if key.is_escaped() {
            member(scanner, &key.decode(), &mut entry)?;
        } else {
            member(scanner, key.raw(), &mut entry)?;
        }
    }
    Ok(entry)
}

fn member<'a>(scanner: &mut Scanner<'a>, name: &str, entry: &mut Entry<'a>) -> Result<(), Unreadable> {
    match name {
        "Data" => entry.data = base64(scanner)?.map(Data::Base64),
        "PartitionKey" => entry.key = text(scanner)?.map(decoded),
        "ExplicitHashKey" => entry.hash = text(scanner)?.map(decoded),
        _ => scanner.skip_value()?,
    }
    Ok(())
}

fn want(scanner: &mut Scanner<'_>, kind: Kind, name: &'static str) -> Result<(), Unreadable> {
    let found = scanner.peek()?;
    if found == kind { Ok(()) } else { Err(Unreadable::Shape(found, name)) }
}

fn text<'a>(scanner: &mut Scanner<'a>) -> Result<Option<RawString<'a>>, Unreadable> {
    match scanner.peek()? {
        Kind::String => Ok(Some(scanner.string()?)),
        Kind::Null => {
            scanner.null()?;
            Ok(None)
        }
        found => Err(Unreadable::Shape(found, "a String")),
    }
}

/// A text of which decoding refuses all that does not belong there.
fn base64<'a>(scanner: &mut Scanner<'a>) -> Result<Option<RawString<'a>>, Unreadable> {
    match scanner.peek()? {
        Kind::String => Ok(Some(scanner.opaque_string()?)),
        _ => text(scanner),
    }
}

fn flag(scanner: &mut Scanner<'_>) -> Result<Option<bool>, Unreadable> {
    match scanner.peek()? {
        Kind::Bool => Ok(Some(scanner.bool()?)),
        Kind::Null => {
            scanner.null()?;
            Ok(None)
        }
        found => Err(Unreadable::Shape(found, "a Boolean")),
    }
}

fn decoded(text: RawString<'_>) -> Cow<'_, str> {
    text.decode()
}

fn owned(text: RawString<'_>) -> String {
    text.decode().into_owned()
}
