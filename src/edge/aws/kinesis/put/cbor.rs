//! Members from CBOR: data and keys are slices of the body.

use super::entries::{Data, Entry, Form, Put, unreadable};
use crate::edge::aws::protocol::cbor::{CborError, Reader};
use crate::edge::aws::protocol::failure::Failure;

/// Reads a body.
///
/// # Errors
/// `SerializationException`.
pub fn read(body: &[u8], form: Form) -> Result<Put<'_>, Failure> {
    let mut reader = Reader::new(body);
    let mut put = Put::default();
    members(&mut reader, form, &mut put).and_then(|()| reader.end()).map_err(unreadable)?;
    Ok(put)
}

fn members<'a>(reader: &mut Reader<'a>, form: Form, put: &mut Put<'a>) -> Result<(), CborError> {
    let mut entry = Entry::default();
    let mut items = reader.enter_map()?;
    while reader.next_item(&mut items)? {
        let key = reader.text()?;
        if reader.take_null()? {
            continue;
        }
        match (&*key, form) {
            ("StreamName", _) => put.stream.stream_name = Some(reader.text()?.into_owned()),
            ("StreamARN", _) => put.stream.stream_arn = Some(reader.text()?.into_owned()),
            ("DryRun", _) => put.dry_run = Some(reader.bool()?),
            ("Records", Form::Records) => list(reader, put)?,
            ("SequenceNumberForOrdering", Form::Record) => put.after = Some(reader.text()?),
            (name, Form::Record) => member(reader, name, &mut entry)?,
            _ => reader.skip()?,
        }
    }
    if form == Form::Record {
        put.push(entry);
    }
    Ok(())
}

fn list<'a>(reader: &mut Reader<'a>, put: &mut Put<'a>) -> Result<(), CborError> {
    put.has_list = true;
    let mut items = reader.enter_array()?;
    while reader.next_item(&mut items)? {
        let mut entry = Entry::default();
        let mut members = reader.enter_map()?;
        while reader.next_item(&mut members)? {
            let key = reader.text()?;
            if !reader.take_null()? {
                member(reader, &key, &mut entry)?;
            }
        }
        put.push(entry);
    }
    Ok(())
}

fn member<'a>(reader: &mut Reader<'a>, name: &str, entry: &mut Entry<'a>) -> Result<(), CborError> {
    match name {
        "Data" => entry.data = Some(Data::Plain(reader.bytes()?)),
        "PartitionKey" => entry.key = Some(reader.text()?),
        "ExplicitHashKey" => entry.hash = Some(reader.text()?),
        _ => reader.skip()?,
    }
    Ok(())
}
