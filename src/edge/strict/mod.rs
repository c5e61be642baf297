//! Requests that more than one reader could read in more than one way are refused.
//!
//! A proxy in front may have checked another request than the one that arrives here, if it has read the same bytes
//! otherwise. So what RFC 9110 to 9113 leave to the mercy of servers is a `400` here, and the connection is closed.
//!
//! ```text
//! bytes ─▶ wire ─▶ hyper ─▶ head ─▶ route
//!          what hyper takes   what hyper hands on
//!          and says nothing of
//! ```

pub mod head;
pub mod wire;
