//! What goes wrong, and when.

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `PutObject`.
    Put,
    /// `HeadObject`.
    Head,
    /// `GetObject`.
    Get,
    /// `DeleteObject`.
    Delete,
    /// `CreateMultipartUpload`.
    CreateMultipart,
    /// `UploadPart`.
    PutPart,
    /// `CompleteMultipartUpload`.
    CompleteMultipart,
    /// `AbortMultipartUpload`.
    AbortMultipart,
    /// `ListObjectsV2`.
    List,
    /// `ListMultipartUploads`.
    ListMultipart,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer has this status and this S3 error code.
    Answer(u16, &'static str),
    /// The connection is dropped.
    Drop,
    /// No answer comes until [`super::FaultyStore::release`] drops the connection.
    Stall,
    /// The connection is dropped, and what was asked for is done later: at [`super::FaultyStore::release`].
    Late,
}

impl Fault {
    /// 500, as of a store with an error of its own.
    pub const INTERNAL: Fault = Fault::Answer(500, "InternalError");
    /// 503, as of a store that gets too many requests.
    pub const SLOW_DOWN: Fault = Fault::Answer(503, "SlowDown");
    /// 403, as of a policy without the permission.
    pub const DENIED: Fault = Fault::Answer(403, "AccessDenied");
    /// 400, as of a store that has lost a part of an upload.
    pub const LOST_PART: Fault = Fault::Answer(400, "InvalidPart");
}

/// When a fault strikes. As made by [`Rule::new`]: once, at the next request, before anything is done.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) operation: Option<Operation>,
    pub(super) fault: Fault,
    pub(super) done_first: bool,
    skip: u64,
    times: u64,
    per_mille: u32,
}

impl Rule {
    /// For requests of one kind.
    pub fn new(operation: Operation, fault: Fault) -> Self {
        Self { operation: Some(operation), ..Self::any(fault) }
    }

    /// For requests of all kinds.
    pub fn any(fault: Fault) -> Self {
        Self { operation: None, fault, done_first: false, skip: 0, times: 1, per_mille: 1_000 }
    }

    /// What was asked for is done, and only its answer is lost or wrong.
    #[must_use]
    pub fn once_done(mut self) -> Self {
        self.done_first = true;
        self
    }

    /// Lets some requests of the kind pass first.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Strikes until [`super::FaultyStore::heal`].
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// Strikes so many of a thousand requests, at random.
    #[must_use]
    pub fn in_thousand(mut self, requests: u32) -> Self {
        self.per_mille = requests;
        self
    }

    /// Whether it strikes at a request, which it then has seen.
    pub(super) fn strikes(&mut self, operation: Operation, random: &mut fastrand::Rng) -> bool {
        if self.times == 0 || self.operation.is_some_and(|wanted| wanted != operation) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if random.u32(..1_000) >= self.per_mille {
            return false;
        }
        self.times = self.times.saturating_sub(u64::from(self.times != u64::MAX));
        true
    }

    pub(super) fn is_over(&self) -> bool {
        self.times == 0
    }
}
