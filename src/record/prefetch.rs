//! Bytes that will be wanted soon.

/// Bytes that a processor of today moves at once.
const LINE_BYTES: usize = 64;

/// What is fetched of one record; from there on the processor has seen where this goes.
const LINES_MAX: usize = 8;

/// Has the processor fetch the beginning of `bytes` into its caches.
#[inline]
pub(super) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LINE_BYTES).take(LINES_MAX) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that neither reads nor writes, for an address within a slice.
        #[allow(unsafe_code, reason = "there is no safe call for it")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
