//! What the Firehose API answers where it cannot do what was asked.

use thiserror::Error;

/// The type of an error, as clients tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A value breaks a constraint of the API's model.
    Validation,
    /// The body is no JSON, or JSON of another shape.
    Serialization,
    /// A value is not supported, or does not go with another.
    InvalidArgument,
    /// There is no such delivery stream.
    ResourceNotFound,
    /// It is there already, or cannot be changed at the moment.
    ResourceInUse,
    /// Too many of something.
    LimitExceeded,
    /// It has been changed in between.
    ConcurrentModification,
    /// Try again.
    ServiceUnavailable,
    /// What was asked for is nothing that the API has.
    UnknownOperation,
    /// The node's disk has failed.
    InternalFailure,
}

impl ErrorKind {
    /// The name that goes over the wire.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Validation => "ValidationException",
            ErrorKind::Serialization => "SerializationException",
            ErrorKind::InvalidArgument => "InvalidArgumentException",
            ErrorKind::ResourceNotFound => "ResourceNotFoundException",
            ErrorKind::ResourceInUse => "ResourceInUseException",
            ErrorKind::LimitExceeded => "LimitExceededException",
            ErrorKind::ConcurrentModification => "ConcurrentModificationException",
            ErrorKind::ServiceUnavailable => "ServiceUnavailableException",
            ErrorKind::UnknownOperation => "UnknownOperationException",
            ErrorKind::InternalFailure => "InternalFailure",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            ErrorKind::ServiceUnavailable => 503,
            ErrorKind::InternalFailure => 500,
            _ => 400,
        }
    }
}

/// What is answered instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {message}", kind.name())]
pub struct FirehoseError {
    /// Its type.
    pub kind: ErrorKind,
    /// What clients show.
    pub message: String,
}

impl FirehoseError {
    /// Any error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A value that is not supported, or does not go with another.
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// A member or a value that the API has and this server has not.
    pub fn unsupported(what: &str) -> Self {
        Self::argument(format!("{what} is not supported by this server"))
    }

    /// No such delivery stream.
    pub fn not_found(name: &str, account: &str) -> Self {
        Self::new(ErrorKind::ResourceNotFound, format!("Firehose {name} under account {account} not found."))
    }
}
