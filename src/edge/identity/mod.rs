//! Who sends a request, and what they may do.
//!
//! Each kind of identity has a file or a folder of its own: it looks at what a request shows of itself
//! ([`credentials`]) and says who that is ([`principal::Principal`]), or that it is nobody's. What a principal may do is
//! said by its [`policy`].
//!
//! Proofs over the body of a request are looked at when it has been read: [`body_claim`]. Signature Version 4 is besides
//! what clients of AWS services use, whose protocols have errors of their own.

pub mod api_key;
pub mod attributes;
pub mod authorizer;
pub mod basic;
pub mod body_claim;
pub mod certificate;
pub mod credentials;
pub mod jwt;
pub mod password;
pub mod pattern;
pub mod policy;
pub mod principal;
pub mod signature_v4;
pub mod webhook;
