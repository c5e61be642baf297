//! Why a request is nobody's, or may not do what it asks for.

use http::StatusCode;
use thiserror::Error;

/// Why a request of an AWS client was refused before anything of it was done. Messages are worded as the services word
/// them, because client libraries and people look for these words (clock correction in SDKs does). They quote at most a
/// few characters of the request, and never a secret, a token or a signature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Nothing in the request says who sent it.
    #[error("Missing Authentication Token")]
    Missing,
    /// What is there to say who sent it cannot be read.
    #[error("{0}")]
    Incomplete(String),
    /// There is no such access key, or the request does not carry its session token.
    #[error("The security token included in the request is invalid.")]
    Unrecognized,
    /// The signature is not that of the request, or not for here and now.
    #[error("{0}")]
    Invalid(String),
    /// The body is not in the form of signed pieces that its header says.
    #[error("The aws-chunked body cannot be read: {0}")]
    Chunks(&'static str),
    /// It is known who sent it, and they may not do this.
    #[error(
        "User: {user} is not authorized to perform: {action} on resource: {resource} because no identity-based policy \
         allows the {action} action"
    )]
    Denied {
        /// ARN made of the account and the access key's id.
        user: String,
        /// Such as `kinesis:PutRecord`.
        action: String,
        /// ARN of what it was about, or `*`.
        resource: String,
    },
}

impl IdentityError {
    /// The signature is not what the key, the request and its body make.
    pub(super) fn mismatch() -> Self {
        Self::Invalid(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details."
                .to_owned(),
        )
    }

    /// The name of the exception, as in `__type` and `x-amzn-ErrorType`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::Unrecognized => "UnrecognizedClientException",
            Self::Invalid(_) => "InvalidSignatureException",
            Self::Chunks(_) => "SerializationException",
            Self::Denied { .. } => "AccessDeniedException",
        }
    }

    /// The status: 400, as both services answer all of these.
    pub fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// What a message may show of what a client has sent: printable and short.
pub(super) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..text.len().min(80)).unwrap_or_default())
        .chars()
        .map(|letter| if letter.is_control() { '.' } else { letter })
        .collect()
}
