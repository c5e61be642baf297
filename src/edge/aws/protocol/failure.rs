//! What a request is refused with, in the words of the services.

use http::StatusCode;

use crate::edge::gate::throttle::refusal::Refusal;
use crate::edge::problem::Problem;
use crate::pipeline::control::ControlError;
use crate::stream::reshard::ResizeError;
use crate::stream::{AppendError, CommitError, ReadError, ReshardError};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $status:ident $name:literal;)*) => {
        /// The type of an error. Clients tell by its name whether they try again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FailureKind {
            $($(#[$doc])* $kind,)*
        }

        impl FailureKind {
            /// As it stands in `__type`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The status that goes with it.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }
        }
    };
}

kinds! {
    /// The caller may not do that.
    AccessDenied = BAD_REQUEST "AccessDeniedException";
    /// It was changed in between.
    ConcurrentModification = BAD_REQUEST "ConcurrentModificationException";
    /// It would have been done, had the caller not asked for a dry run.
    DryRun = BAD_REQUEST "DryRunOperationException";
    /// An iterator is too old.
    ExpiredIterator = BAD_REQUEST "ExpiredIteratorException";
    /// The place in a list is too old.
    ExpiredNextToken = BAD_REQUEST "ExpiredNextTokenException";
    /// The signature cannot be read.
    IncompleteSignature = BAD_REQUEST "IncompleteSignatureException";
    /// The signature is not that of the request.
    InvalidSignature = BAD_REQUEST "InvalidSignatureException";
    /// Nothing says who asks.
    MissingAuthenticationToken = BAD_REQUEST "MissingAuthenticationTokenException";
    /// Nobody knows the access key.
    UnrecognizedClient = BAD_REQUEST "UnrecognizedClientException";
    /// This server has failed.
    InternalFailure = INTERNAL_SERVER_ERROR "InternalFailureException";
    /// A value that means nothing here.
    InvalidArgument = BAD_REQUEST "InvalidArgumentException";
    /// Records cannot be put there.
    InvalidSource = BAD_REQUEST "InvalidSourceException";
    /// Too much at a time; clients try again later.
    LimitExceeded = BAD_REQUEST "LimitExceededException";
    /// The same for the way of records.
    ThroughputExceeded = BAD_REQUEST "ProvisionedThroughputExceededException";
    /// The body is larger than any request is.
    RequestTooLarge = PAYLOAD_TOO_LARGE "RequestEntityTooLargeException";
    /// The body did not come in time.
    RequestTimeout = REQUEST_TIMEOUT "RequestTimeoutException";
    /// What is named is in use, or there already.
    ResourceInUse = BAD_REQUEST "ResourceInUseException";
    /// What is named is not there.
    ResourceNotFound = BAD_REQUEST "ResourceNotFoundException";
    /// The body is none of the encoding, or of another shape.
    Serialization = BAD_REQUEST "SerializationException";
    /// Not now: starting, stopping, or the disk; clients try again later.
    ServiceUnavailable = SERVICE_UNAVAILABLE "ServiceUnavailableException";
    /// No such operation.
    UnknownOperation = BAD_REQUEST "UnknownOperationException";
    /// A member breaks the constraints of the model.
    Validation = BAD_REQUEST "ValidationException";
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its type.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
}

impl Failure {
    /// With a message.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A value that means nothing here.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidArgument, message)
    }

    /// What is named is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FailureKind::ResourceNotFound, message)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let kind = match &problem {
            Problem::MemoryFull | Problem::Throttled(_) | Problem::Limited(_) | Problem::OverFairShare => {
                FailureKind::ThroughputExceeded
            }
            Problem::Starting
            | Problem::Draining
            | Problem::NotAnEdge
            | Problem::DiskFull
            | Problem::LogUnavailable(_) => FailureKind::ServiceUnavailable,
            Problem::AddressNotAllowed | Problem::Blocked { .. } => FailureKind::AccessDenied,
            Problem::LogFailed(_) | Problem::LogUnreadable(_) | Problem::OutcomeUnknown(_) => {
                FailureKind::InternalFailure
            }
            Problem::BodyTooLarge { .. } => FailureKind::RequestTooLarge,
            Problem::BodyTimeout => FailureKind::RequestTimeout,
            Problem::UnknownStream(_) | Problem::UnknownShard(_) => FailureKind::ResourceNotFound,
            Problem::BadEncoding(_) | Problem::BodyIncomplete(_) | Problem::NotJson(_) => {
                FailureKind::Serialization
            }
            _ => FailureKind::InvalidArgument,
        };
        Self::new(kind, problem.detail())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Problem::from(refusal).into()
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        Problem::from(error).into()
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        Problem::from(error).into()
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Problem::from(error).into()
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let kind = match &error {
            ControlError::NoStream { .. } => FailureKind::ResourceNotFound,
            ControlError::Exists { .. } | ControlError::HasConsumers { .. } => FailureKind::ResourceInUse,
            ControlError::Declared { .. } | ControlError::Reserved { .. } => FailureKind::InvalidArgument,
            ControlError::Reshard(ResizeError::Plan(ReshardError::NoShard { .. })) => {
                FailureKind::ResourceNotFound
            }
            ControlError::Reshard(ResizeError::Plan(ReshardError::NoIds)) => FailureKind::LimitExceeded,
            ControlError::Reshard(ResizeError::Plan(_) | ResizeError::InTopic { .. }) => {
                FailureKind::InvalidArgument
            }
            ControlError::Reshard(ResizeError::Busy { .. }) => FailureKind::ResourceInUse,
            ControlError::Stopped => FailureKind::ServiceUnavailable,
            _ => FailureKind::InternalFailure,
        };
        Self::new(kind, error.to_string())
    }
}
