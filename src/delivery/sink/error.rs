//! What a failed call to a store means for whoever waits for it.
//!
//! `object_store` has variants for 401, 403, 404 and a few more. Everything else arrives as `Error::Generic`, whose
//! cause says what happened: an HTTP response, a failed connection, or an error of the local file system.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use object_store::client::HttpError;
use thiserror::Error;

/// How `object_store` begins the message of a response that is not a success; the status follows. It keeps the type
/// itself to itself. The message of a cause begins with it, so that no URL or response body can pass for it.
pub(super) const RESPONSE: &str = "Server returned non-2xx status code: ";
/// How it begins the message of an error that came with a status of success, which S3 may do while it completes an
/// upload.
const ERROR_RESPONSE: &str = "Server returned error response: ";
/// The message of a redirect that does not say where to: S3 answers so when the region is wrong.
const BARE_REDIRECT: &str = "Received redirect without LOCATION";
/// What S3 answers with status 400 although it is the connection that was too slow or broke off.
/// Source: "Error responses", Amazon S3 API Reference.
const SLOW_CONNECTION: [&str; 2] = ["<Code>RequestTimeout</Code>", "<Code>IncompleteBody</Code>"];
/// What S3 and Google answer with status 404 when an upload in parts was completed, taken back or thrown away.
const NO_SUCH_UPLOAD: &str = "<Code>NoSuchUpload</Code>";
/// What S3 and Google answer with status 400 when an upload in parts is to be completed and a part of it is not there
/// any more, or is not the one that was confirmed. Source: "CompleteMultipartUpload", Amazon S3 API Reference.
const INVALID_PART: &str = "<Code>InvalidPart</Code>";
/// What S3 answers to a header that it does not know; most stores do so with status 501.
pub(super) const NOT_IMPLEMENTED: &str = "<Code>NotImplemented</Code>";

/// What kind of failure it is, which tells what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkErrorClass {
    /// Time: the store is away, slow or overloaded.
    Transient,
    /// A person: credentials or permissions are wrong (401, 403), or the file system may not be written.
    Denied,
    /// A person: the bucket does not exist (404).
    NotFound,
    /// A person: there is an object under the key that somebody else has written.
    Foreign,
    /// A person: the store refuses the request for another reason, or its disk is full.
    Other,
}

impl SinkErrorClass {
    /// Whether trying again soon is pointless until somebody acts.
    pub fn needs_a_person(self) -> bool {
        self != SinkErrorClass::Transient
    }

    pub(super) fn of(error: &object_store::Error) -> Self {
        use object_store::Error;
        match error {
            // The parts are gone, not the bucket: trying again begins another upload.
            Error::NotFound { source, .. } if source.to_string().contains(NO_SUCH_UPLOAD) => Self::Transient,
            Error::NotFound { .. } => Self::NotFound,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Self::Denied,
            Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::NotModified { .. }
            | Error::Precondition { .. }
            | Error::UnknownConfigurationKey { .. } => Self::Other,
            Error::Generic { source, .. } => Self::of_cause(source.as_ref()),
            // A conflict (409) is over as soon as the other writer is done.
            _ => Self::Transient,
        }
    }

    /// Follows the causes to the first one that tells.
    fn of_cause(cause: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            if let Some(error) = cause.downcast_ref::<object_store::Error>() {
                return Self::of(error);
            }
            // No response came. The I/O errors below it are those of a connection, not those of a disk.
            if cause.is::<HttpError>() {
                return Self::Transient;
            }
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                return Self::of_io(error.kind());
            }
            if let Some(class) = Self::of_response(&cause.to_string()) {
                return class;
            }
            next = cause.source();
        }
        Self::Transient
    }

    fn of_io(kind: io::ErrorKind) -> Self {
        use io::ErrorKind;
        match kind {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied,
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::Unsupported => Self::Other,
            _ => Self::Transient,
        }
    }

    /// The class of the message of a response, `None` if it is not one.
    pub(super) fn of_response(message: &str) -> Option<Self> {
        if message.starts_with(BARE_REDIRECT) {
            return Some(Self::Other);
        }
        let rest = message.strip_prefix(RESPONSE)?;
        let status = rest.get(..3)?.parse::<u16>().ok()?;
        // A longer number is no status.
        if rest.as_bytes().get(3).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        Some(match status {
            // The parts are gone, not the right to send them: trying again begins another upload.
            400 if rest.contains(INVALID_PART) => Self::Transient,
            400 if SLOW_CONNECTION.iter().any(|code| rest.contains(code)) => Self::Transient,
            // Here they come from whoever hands out credentials: the store's own have variants.
            401 | 403 => Self::Denied,
            408 | 409 | 429 => Self::Transient,
            // What a store has not implemented today it will not have in a minute.
            300..=499 | 501 => Self::Other,
            _ => Self::Transient,
        })
    }
}

/// A failed call to the store.
#[derive(Debug, Error)]
#[error("{source}")]
pub struct SinkError {
    /// What helps.
    pub class: SinkErrorClass,
    /// What the store said, or what was found there.
    pub source: Box<dyn StdError + Send + Sync>,
}

impl SinkError {
    /// An error of this class.
    pub fn new(class: SinkErrorClass, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { class, source: source.into() }
    }

    /// The class that an error of a store has.
    pub(super) fn class_of(error: &object_store::Error) -> SinkErrorClass {
        SinkErrorClass::of(error)
    }
}

impl From<object_store::Error> for SinkError {
    fn from(source: object_store::Error) -> Self {
        Self::new(SinkErrorClass::of(&source), source)
    }
}

/// Why an object cannot be put under a key. Keys are those within the bucket.
#[derive(Debug, Error)]
pub(super) enum Conflict {
    #[error(
        "object '{key}' is there already, written by '{owner}' and not by this delivery; nothing is changed: move it away, or give the delivery another prefix"
    )]
    Foreign { key: String, owner: String },
    #[error(
        "object '{key}' is there already and does not tell that this delivery wrote it; nothing is changed: move it away, or give the delivery another prefix"
    )]
    Unsigned { key: String },
    #[error("the store says that object '{key}' is there, and then that it is not; it is tried again")]
    Hidden { key: String },
    #[error(
        "cannot look whether object '{key}' is there, which needs permission to read objects and to list the bucket: {source}"
    )]
    Unseen { key: String, source: object_store::Error },
}

impl From<Conflict> for SinkError {
    fn from(conflict: Conflict) -> Self {
        let class = match &conflict {
            Conflict::Foreign { .. } | Conflict::Unsigned { .. } => SinkErrorClass::Foreign,
            Conflict::Hidden { .. } => SinkErrorClass::Transient,
            Conflict::Unseen { source, .. } => SinkErrorClass::of(source),
        };
        Self::new(class, conflict)
    }
}

/// A failed step of a write to the file system.
#[derive(Debug, Error)]
#[error("cannot {step} '{path}': {source}", path = path.display())]
pub(super) struct FolderError {
    pub(super) step: &'static str,
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl From<FolderError> for SinkError {
    fn from(error: FolderError) -> Self {
        Self::new(SinkErrorClass::of_io(error.source.kind()), error)
    }
}

/// Whether the store does not know what it was asked for: a condition on a write.
pub(super) fn is_not_implemented(error: &object_store::Error) -> bool {
    match error {
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => true,
        object_store::Error::Generic { source, .. } => {
            let is_told = |rest: &str| rest.starts_with("501") || rest.contains(NOT_IMPLEMENTED);
            find_in_causes(source.as_ref(), |message| message.strip_prefix(RESPONSE).map(is_told))
        }
        _ => false,
    }
}

/// Whether the store does not have an upload in parts any more, or not all of its parts. What was sent of the object is
/// then of no use, and only another upload helps.
pub(super) fn is_upload_lost(error: &object_store::Error) -> bool {
    match error {
        // A bucket that is gone is not found either.
        object_store::Error::NotFound { .. } => !SinkErrorClass::of(error).needs_a_person(),
        object_store::Error::Generic { source, .. } => find_in_causes(source.as_ref(), |message| {
            let body = message.strip_prefix(RESPONSE).or_else(|| message.strip_prefix(ERROR_RESPONSE))?;
            Some(body.contains(INVALID_PART))
        }),
        _ => false,
    }
}

/// Follows the causes to the first one whose message says whether it is so.
fn find_in_causes(cause: &(dyn StdError + 'static), is_so: impl Fn(&str) -> Option<bool>) -> bool {
    let mut next = Some(cause);
    while let Some(cause) = next {
        if let Some(answer) = is_so(&cause.to_string()) {
            return answer;
        }
        next = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::client::HttpErrorKind;

    fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> SinkErrorClass {
        SinkError::from(object_store::Error::Generic { store: "test", source: source.into() }).class
    }

    #[test]
    fn a_file_system_that_may_not_be_written_is_denied() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            assert_eq!(generic(io::Error::from(kind)), SinkErrorClass::Denied, "{kind}");
        }
    }

    #[test]
    fn a_full_disk_and_an_impossible_path_need_a_person() {
        let kinds = [
            io::ErrorKind::StorageFull,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::NotADirectory,
            io::ErrorKind::IsADirectory,
            io::ErrorKind::InvalidFilename,
        ];
        for kind in kinds {
            assert_eq!(generic(io::Error::from(kind)), SinkErrorClass::Other, "{kind}");
        }
    }

    #[test]
    fn other_errors_of_a_disk_pass_with_time() {
        for kind in [io::ErrorKind::Interrupted, io::ErrorKind::ResourceBusy, io::ErrorKind::TimedOut] {
            assert_eq!(generic(io::Error::from(kind)), SinkErrorClass::Transient, "{kind}");
        }
    }

    #[test]
    fn a_failed_connection_is_transient_whatever_its_io_error() {
        let refused = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(generic(HttpError::new(HttpErrorKind::Connect, refused)), SinkErrorClass::Transient);
    }

    #[test]
    fn a_cause_inside_another_error_of_the_store_counts() {
        let source = io::Error::from(io::ErrorKind::StorageFull).into();
        let inner = object_store::Error::Generic { store: "inner", source };
        assert_eq!(generic(inner), SinkErrorClass::Other);
    }

    #[test]
    fn only_a_message_that_begins_as_that_of_a_response_has_a_status() {
        let of = SinkErrorClass::of_response;
        assert_eq!(
            of("Server returned non-2xx status code: 400 Bad Request: no"),
            Some(SinkErrorClass::Other)
        );
        assert_eq!(
            of("Server returned non-2xx status code: 503 Service Unavailable: 400"),
            Some(SinkErrorClass::Transient)
        );
        assert_eq!(of("Server returned non-2xx status code: 4000 x"), None);
        assert_eq!(of("Server returned non-2xx status code: "), None);
        assert_eq!(of("Server returned non-2xx status code: 40é"), None);
        assert_eq!(of("PUT http://h/Server returned non-2xx status code: 400 Bad Request"), None);
        assert_eq!(of("400 Bad Request"), None);
    }

    #[test]
    fn an_upload_that_is_gone_is_begun_again_but_a_bucket_that_is_gone_is_not() {
        let of = |code: &str| {
            let source = format!(
                "Server returned non-2xx status code: 404 Not Found: <Error><Code>{code}</Code></Error>"
            );
            SinkError::from(object_store::Error::NotFound { path: "a".into(), source: source.into() }).class
        };
        assert_eq!(of("NoSuchUpload"), SinkErrorClass::Transient);
        assert_eq!(of("NoSuchBucket"), SinkErrorClass::NotFound);
    }

    #[test]
    fn an_upload_is_lost_with_itself_or_one_of_its_parts_and_with_nothing_else() {
        let generic =
            |text: &str| object_store::Error::Generic { store: "test", source: text.to_owned().into() };
        let refused = |code: &str| {
            generic(&format!(
                "Server returned non-2xx status code: 400 Bad Request: <Error><Code>{code}</Code></Error>"
            ))
        };
        assert!(is_upload_lost(&refused("InvalidPart")));
        assert_eq!(SinkErrorClass::of(&refused("InvalidPart")), SinkErrorClass::Transient);
        for code in ["InvalidPartOrder", "EntityTooSmall", "InvalidRequest"] {
            assert!(!is_upload_lost(&refused(code)), "{code}");
            assert_eq!(SinkErrorClass::of(&refused(code)), SinkErrorClass::Other, "{code}");
        }
        assert!(is_upload_lost(&generic(
            "Server returned error response: <Error><Code>InvalidPart</Code></Error>"
        )));
        assert!(!is_upload_lost(&generic("<Code>InvalidPart</Code>")), "that is no response");
        let not_found = |code: &str| {
            let source =
                format!("Server returned non-2xx status code: 404 Not Found: <Code>{code}</Code>").into();
            object_store::Error::NotFound { path: "a".into(), source }
        };
        assert!(is_upload_lost(&not_found("NoSuchUpload")));
        assert!(!is_upload_lost(&not_found("NoSuchBucket")));
    }

    #[test]
    fn a_condition_that_the_store_does_not_know_is_told_from_other_refusals() {
        let is = |text: &str| {
            is_not_implemented(&object_store::Error::Generic {
                store: "test",
                source: text.to_owned().into(),
            })
        };
        assert!(is("Server returned non-2xx status code: 501 Not Implemented: "));
        assert!(is("Server returned non-2xx status code: 400 Bad Request: <Code>NotImplemented</Code>"));
        assert!(!is("Server returned non-2xx status code: 400 Bad Request: <Code>InvalidArgument</Code>"));
        assert!(!is("501 Not Implemented"));
    }

    #[test]
    fn a_response_that_blames_a_slow_connection_is_transient() {
        let text = "Server returned non-2xx status code: 400 Bad Request: <Error><Code>RequestTimeout</Code></Error>";
        assert_eq!(SinkErrorClass::of_response(text), Some(SinkErrorClass::Transient));
    }
}
