//! What a sender is told.

/// Seconds after which a sender should come again when the disk is full or too slow.
pub(crate) const RETRY_SECONDS: u64 = 5;

/// A request that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// A word for programs; the documented one where one fits.
    pub(crate) code: &'static str,
    /// What is wrong, without any value of the request.
    pub(crate) message: String,
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    /// 400: the request is wrong, and will be the next time.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status: 400, code, message: message.into(), retry_after: None }
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Refusal::bad("too_large", format!("the body is larger than {limit} bytes"))
    }

    /// 503: the same request may be taken later.
    pub(crate) fn later(code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status: 503, code, message: message.into(), retry_after: Some(RETRY_SECONDS) }
    }
}
