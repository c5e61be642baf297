//! Is each object there, and what it must be?

use std::io::Write;
use std::time::Duration;

use bytes::BytesMut;
use parquet::file::metadata::{FooterTail, ParquetMetaDataReader};
use thiserror::Error;
use tokio::task::JoinSet;

use super::Contents;
use super::lines::{self, Difference, Lines, Mark, Reading};
use super::report::{DeliveryReport, Finding, Kind};
use super::stretches::{Deviation, Merge, Stretch};
use super::unpack::{Packing, Unpacker};
use crate::config::checked::Delimiter;
use crate::config::limits::{VERIFY_FOOTER_BYTES_MAX, VERIFY_OBJECTS_UNDER_WAY};
use crate::delivery::encode::Row;
use crate::delivery::encode::lines::Line;
use crate::delivery::encode::orc::reading::{NotOrc, Postscript, TAIL_BYTES};
use crate::delivery::ledger::{Commit, Seal};
use crate::delivery::sink::{ObjectReader, ObjectSink, SinkError, SinkErrorClass};
use crate::record::ShardId;

/// How often a store is asked that does not answer well.
const TRIES_MAX: u32 = 4;
/// Pause after the first try; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes at the end of a Parquet file: the length of the metadata before it, and four letters.
const PARQUET_TAIL_BYTES: u64 = 8;

/// An object to be looked at.
#[derive(Debug)]
pub struct Object {
    /// What it was closed with.
    pub seal: Seal,
    /// How many records must be in it: those of the seal, but those that were lost before it was stored.
    pub records: u64,
    /// What the store has said of it.
    pub commit: Commit,
    /// Where it is.
    pub sink: ObjectSink,
    /// What it is inside.
    pub contents: Contents,
    /// How closely it is looked at.
    pub look: Look,
}

/// How closely an object is looked at.
#[derive(Debug)]
pub enum Look {
    /// Size and ETag.
    Head,
    /// Its rows are counted as well.
    Count,
    /// Its lines are compared with the marks of its records as well.
    Compare(Vec<(ShardId, Vec<Mark>)>),
    /// Its bytes are compared with those of its records as well.
    Match(Vec<(ShardId, Vec<Stretch>)>),
}

impl Look {
    /// Expects one more line.
    pub fn add_mark(&mut self, shard: ShardId, mark: Mark) {
        if let Look::Compare(expected) = self {
            add(expected, shard, mark);
        }
    }

    /// Expects one more record.
    pub fn add_row(&mut self, row: &Row<'_>, line: Line, scratch: &mut Vec<u8>) {
        match (self, line) {
            (Look::Compare(expected), Line::Json { envelope }) => {
                add(expected, row.shard, lines::mark_of_record(row, envelope, scratch));
            }
            (Look::Match(expected), line) => {
                scratch.clear();
                line.write(row, scratch);
                add(expected, row.shard, Stretch::of(scratch));
            }
            _ => {}
        }
    }
}

/// Records of a shard are one behind the other.
fn add<T>(expected: &mut Vec<(ShardId, Vec<T>)>, shard: ShardId, one: T) {
    match expected.last_mut().filter(|(last, _)| *last == shard) {
        Some((_, all)) => all.push(one),
        None => expected.push((shard, vec![one])),
    }
}

/// What was seen.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Well,
    Missing,
    Differs(String),
    Rows(u64),
    Lines(Difference),
    Bytes(Deviation),
}

/// Why nothing was seen.
#[derive(Debug, Error)]
enum NotSeen {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("it is not what its name says, from its begin to its end ({0})")]
    Packing(#[from] std::io::Error),
    #[error("it is not Parquet ({0})")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("it is not ORC ({0})")]
    Orc(#[from] NotOrc),
    #[error("it ends in the middle of a line")]
    Cut,
}

/// Looks at objects, some at a time; `passed` is called after each.
pub async fn look_at(
    objects: impl IntoIterator<Item = Object>,
    passed: &dyn Fn(u64),
    report: &mut DeliveryReport,
) {
    let mut under_way = JoinSet::new();
    let mut objects = objects.into_iter();
    loop {
        while under_way.len() < VERIFY_OBJECTS_UNDER_WAY
            && let Some(object) = objects.next()
        {
            under_way.spawn(async move {
                let seen = patiently(&object).await;
                (object, seen)
            });
        }
        match under_way.join_next().await {
            Some(Ok((object, seen))) => tell(&object, seen, report),
            Some(Err(error)) => {
                report
                    .find(Finding::new(Kind::Store, format!("looking at an object was broken off: {error}")));
            }
            None => return,
        }
        passed(1);
    }
}

fn tell(object: &Object, seen: Result<Seen, NotSeen>, report: &mut DeliveryReport) {
    report.objects += 1;
    let records = object.records;
    let (kind, what) = match seen {
        Ok(Seen::Well) => {
            report.objects_compared += u64::from(matches!(object.look, Look::Compare(_) | Look::Match(_)));
            return;
        }
        Ok(Seen::Missing) => {
            report.missing += records;
            (Kind::ObjectMissing, format!("the object is not there, and {records} records with it"))
        }
        Ok(Seen::Differs(what)) => (Kind::ObjectDiffers, what),
        Ok(Seen::Rows(rows)) => {
            report.missing += records.saturating_sub(rows);
            report.duplicated += rows.saturating_sub(records);
            let kind = if rows < records { Kind::Missing } else { Kind::Duplicated };
            (kind, format!("the object has {rows} records instead of {records}"))
        }
        Ok(Seen::Lines(Difference::Content { missing, surplus })) => {
            report.missing += missing;
            report.duplicated += surplus;
            let what = format!(
                "{missing} lines of the object are not there that the log has, and {surplus} are that it does not have"
            );
            (Kind::ObjectDiffers, what)
        }
        Ok(Seen::Bytes(Deviation { at, expected, found })) => {
            let what = format!(
                "the object has {found} bytes of records where the log has {expected}, and is not what the log has from byte {at} on"
            );
            (Kind::ObjectDiffers, what)
        }
        Ok(Seen::Lines(Difference::Order { shard })) => {
            (Kind::Disordered, format!("records of {shard} are in another order than in the log"))
        }
        Err(NotSeen::Sink(error)) => (Kind::Store, format!("the object cannot be looked at: {error}")),
        Err(error) => (Kind::ObjectDiffers, format!("the object cannot be read: {error}")),
    };
    let mut finding = Finding::new(kind, what).of_key(&object.seal.key).of_partition(&object.seal.partition);
    if let [range] = object.seal.ranges.as_slice() {
        finding = finding.of_range(range.shard, range.first, range.last);
    }
    report.find(finding);
}

/// Asks again while the store is away.
async fn patiently(object: &Object) -> Result<Seen, NotSeen> {
    let mut pause = PAUSE;
    for _ in 1..TRIES_MAX {
        match look(object).await {
            Err(NotSeen::Sink(error)) if error.class == SinkErrorClass::Transient => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other,
        }
    }
    look(object).await
}

async fn look(object: &Object) -> Result<Seen, NotSeen> {
    let Object { seal, records, commit, sink, contents, look } = object;
    let Some(head) = sink.head(&seal.key).await? else { return Ok(Seen::Missing) };
    if head.bytes != commit.bytes {
        let (found, stored) = (head.bytes, commit.bytes);
        return Ok(Seen::Differs(format!("the object has {found} bytes, {stored} were stored")));
    }
    if let (Some(found), Some(stored)) = (&head.etag, &commit.etag)
        && found != stored
    {
        return Ok(Seen::Differs(format!("the object has the ETag {found}, {stored} was stored")));
    }
    if matches!(look, Look::Head) {
        return Ok(Seen::Well);
    }
    let reader = sink.get(&seal.key).await?;
    let (packing, line) = match *contents {
        Contents::Parquet => return Ok(rows(parquet_rows(reader).await?, *records)),
        Contents::Orc => return Ok(rows(orc_rows(reader).await?, *records)),
        Contents::Lines { packing, line } => (packing, line),
    };
    let reading = |marks| Reading { packing, dead: seal.dead.is_some(), marks };
    match (look, line) {
        (Look::Match(expected), _) => {
            let merge = unpack(reader, packing, Merge::new(expected)).await?;
            Ok(merge.finish().map_or(Seen::Well, Seen::Bytes))
        }
        (Look::Compare(expected), _) => {
            let found = read_lines(reader, reading(true)).await?;
            Ok(lines::compare(&found.marks, expected).map_or(Seen::Well, Seen::Lines))
        }
        (_, Line::Json { .. }) => Ok(rows(read_lines(reader, reading(false)).await?.lines, *records)),
        (_, Line::Raw(delimiter)) => {
            // Records may have line feeds of their own, but there is one behind each.
            let counter = Lines::new(reading(false))?;
            let lines = read_into(reader, counter).await?.lines;
            let is_short = delimiter == Delimiter::Newline && lines < *records;
            Ok(if is_short { Seen::Rows(lines) } else { Seen::Well })
        }
    }
}

fn rows(found: u64, records: u64) -> Seen {
    if found == records { Seen::Well } else { Seen::Rows(found) }
}

async fn read_lines(reader: ObjectReader, reading: Reading) -> Result<lines::Found, NotSeen> {
    let found = read_into(reader, Lines::new(reading)?).await?;
    if found.is_cut { Err(NotSeen::Cut) } else { Ok(found) }
}

async fn read_into(mut reader: ObjectReader, mut lines: Lines) -> Result<lines::Found, NotSeen> {
    while let Some(piece) = reader.next().await? {
        lines.take(&piece)?;
    }
    Ok(lines.finish()?)
}

async fn unpack<W: Write>(mut reader: ObjectReader, packing: Packing, into: W) -> Result<W, NotSeen> {
    let mut unpacker = Unpacker::new(packing, into)?;
    while let Some(piece) = reader.next().await? {
        unpacker.take(&piece)?;
    }
    Ok(unpacker.finish()?)
}

/// What the metadata at the end of a Parquet file says.
async fn parquet_rows(mut reader: ObjectReader) -> Result<u64, NotSeen> {
    let corrupt = || parquet::errors::ParquetError::EOF("the file is too short".to_owned());
    let tail_at = reader.bytes().checked_sub(PARQUET_TAIL_BYTES).ok_or_else(corrupt)?;
    let tail = read_from(&mut reader, tail_at).await?;
    let tail = FooterTail::try_from(tail.as_ref())?;
    if tail.metadata_length() as u64 > VERIFY_FOOTER_BYTES_MAX {
        let what = format!(
            "metadata of {} bytes, where at most {VERIFY_FOOTER_BYTES_MAX} are read",
            tail.metadata_length()
        );
        return Err(parquet::errors::ParquetError::General(what).into());
    }
    let metadata_at = tail_at.checked_sub(tail.metadata_length() as u64).ok_or_else(corrupt)?;
    let mut metadata = read_from(&mut reader, metadata_at).await?;
    metadata.truncate(tail.metadata_length());
    let metadata = ParquetMetaDataReader::decode_metadata(&metadata)?;
    Ok(metadata.file_metadata().num_rows().unsigned_abs())
}

/// What the footer at the end of an ORC file says.
async fn orc_rows(mut reader: ObjectReader) -> Result<u64, NotSeen> {
    let bytes = reader.bytes();
    let tail = read_from(&mut reader, bytes.saturating_sub(TAIL_BYTES)).await?;
    let postscript = Postscript::read(&tail)?;
    let (footer, behind) = (postscript.footer_bytes, postscript.bytes_behind_footer);
    let footer_at = bytes.checked_sub(behind).and_then(|end| end.checked_sub(footer)).ok_or(NotOrc::Short)?;
    let mut footer_and_rest = read_from(&mut reader, footer_at).await?;
    footer_and_rest.truncate(usize::try_from(footer).map_err(|_| NotOrc::Short)?);
    Ok(postscript.rows(&footer_and_rest)?)
}

async fn read_from(reader: &mut ObjectReader, at: u64) -> Result<BytesMut, NotSeen> {
    reader.skip_to(at);
    let mut bytes = BytesMut::new();
    while let Some(piece) = reader.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
