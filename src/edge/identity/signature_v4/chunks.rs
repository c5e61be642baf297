//! Bodies in `aws-chunked` form: pieces that are each signed with the signature of the piece before, or that only tell
//! their sizes. As specified for "Signature Calculations for the Authorization Header: Transferring Payload in Multiple
//! Chunks", with and without trailing headers.
//!
//! ```text
//! body    = chunk* last
//! chunk   = HEX-SIZE [";chunk-signature=" 64 HEX] CRLF BYTES CRLF
//! last    = "0" [";chunk-signature=" 64 HEX] CRLF trailer* CRLF
//! trailer = NAME ":" VALUE CRLF          the last one of a signed body is x-amz-trailer-signature
//! ```

use ring::hmac;

use super::error::IdentityError;
use super::signing::{Hex, hex, hex_sha256, unhex};

/// Bytes of a line that announces a chunk: 16 digits, the extension's name, 64 digits.
const SIZE_LINE_BYTES_MAX: usize = 128;

/// Trailing headers of a body; clients send a checksum and the signature.
const TRAILERS_MAX: usize = 16;

/// How the pieces of one body are read.
pub(super) struct Chunks {
    /// What they are signed with, if they are.
    pub signer: Option<ChunkSigner>,
    /// Whether headers follow the last one.
    pub has_trailers: bool,
    /// Bytes of all of them, where the request announces it.
    pub decoded_bytes: Option<u64>,
}

/// Signs a row of pieces.
pub(super) struct ChunkSigner {
    /// Derived for the scope.
    pub key: hmac::Key,
    /// When the request was signed and for what: `20130524T000000Z`, line feed, the scope.
    pub context: String,
    /// The signature before the next piece; the request's own before the first.
    pub previous: Hex,
}

impl ChunkSigner {
    /// Whether `claimed` is the signature of `content`, which is one that the next piece builds on.
    fn check(&mut self, kind: &str, content: &[&[u8]], claimed: &[u8]) -> Result<(), IdentityError> {
        let mut text = format!("AWS4-HMAC-SHA256-{kind}\n{}\n", self.context).into_bytes();
        text.extend_from_slice(&self.previous);
        for content in content {
            text.push(b'\n');
            text.extend_from_slice(&hex_sha256(content));
        }
        let signature = unhex(claimed).ok_or_else(IdentityError::mismatch)?;
        hmac::verify(&self.key, &text, &signature).map_err(|_| IdentityError::mismatch())?;
        self.previous = hex(&signature);
        Ok(())
    }
}

impl Chunks {
    /// Leaves in `body` what its pieces hold.
    ///
    /// # Errors
    /// If it does not have the form above, or a piece is not signed. `body` is then of no use.
    pub fn decode(mut self, body: &mut Vec<u8>) -> Result<(), IdentityError> {
        let (mut read, mut written) = (0, 0);
        loop {
            let (line, behind) = line(body, read, SIZE_LINE_BYTES_MAX)?;
            let (bytes, signature) = self.announced(line)?;
            let end = behind.checked_add(bytes).filter(|&end| end <= body.len());
            let end = end.ok_or(IdentityError::Chunks("it ends within a chunk"))?;
            let content = body.get(behind..end).unwrap_or_default();
            if let Some(signer) = &mut self.signer {
                signer.check("PAYLOAD", &[b"", content], signature)?;
            }
            if bytes == 0 {
                read = self.read_trailers(body, behind)?;
                break;
            }
            body.copy_within(behind..end, written);
            written += bytes;
            if body.get(end..end + 2) != Some(b"\r\n") {
                return Err(IdentityError::Chunks("a chunk is longer than its announced size"));
            }
            read = end + 2;
        }
        if read != body.len() {
            return Err(IdentityError::Chunks("there is something behind its end"));
        }
        if self.decoded_bytes.is_some_and(|announced| announced != written as u64) {
            return Err(IdentityError::Chunks(
                "it does not have the size that x-amz-decoded-content-length says",
            ));
        }
        body.truncate(written);
        Ok(())
    }

    /// Size and signature of a chunk; the signature of an unsigned one is empty.
    fn announced<'b>(&self, line: &'b [u8]) -> Result<(usize, &'b [u8]), IdentityError> {
        let text = str::from_utf8(line).unwrap_or_default();
        let (size, extension) = text.split_once(';').unwrap_or((text, ""));
        let signature = extension.strip_prefix("chunk-signature=").unwrap_or_default();
        let is_hex = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(size, 16).ok().filter(|_| is_hex);
        match size {
            None => Err(IdentityError::Chunks("a chunk does not begin with its size")),
            Some(_) if signature.is_empty() && self.signer.is_some() => {
                Err(IdentityError::Chunks("a chunk has no chunk-signature"))
            }
            Some(size) => Ok((size, signature.as_bytes())),
        }
    }

    /// What is behind the last chunk, up to its empty line; gives the place behind that.
    fn read_trailers(&mut self, body: &[u8], mut read: usize) -> Result<usize, IdentityError> {
        let mut signed = Vec::new();
        for _ in 0..=TRAILERS_MAX {
            let (line, behind) = line(body, read, body.len())?;
            read = behind;
            if line.is_empty() {
                return match (&self.signer, self.has_trailers) {
                    (Some(_), true) => {
                        Err(IdentityError::Chunks("its trailer has no x-amz-trailer-signature"))
                    }
                    _ => Ok(read),
                };
            }
            if !self.has_trailers {
                return Err(IdentityError::Chunks("it has a trailer that its header does not announce"));
            }
            let colon = line.iter().position(|&byte| byte == b':');
            let (name, value) = colon
                .and_then(|colon| Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii())))
                .ok_or(IdentityError::Chunks("a line of its trailer has no colon"))?;
            let name = name.trim_ascii().to_ascii_lowercase();
            if let Some(signer) = self.signer.as_mut().filter(|_| name == b"x-amz-trailer-signature") {
                signer.check("TRAILER", &[&signed], value)?;
                let (line, behind) = self::line(body, read, body.len())?;
                return match line {
                    [] => Ok(behind),
                    _ => Err(IdentityError::Chunks("its trailer goes on behind the signature")),
                };
            }
            signed.extend([name.as_slice(), b":", value, b"\n"].concat());
        }
        Err(IdentityError::Chunks("its trailer has too many lines"))
    }
}

/// The line at `from`, without its end, and the place behind it.
fn line(body: &[u8], from: usize, bytes_max: usize) -> Result<(&[u8], usize), IdentityError> {
    let rest = body.get(from..).unwrap_or_default();
    let searched = rest.get(..rest.len().min(bytes_max.saturating_add(2))).unwrap_or_default();
    let end = memchr::memmem::find(searched, b"\r\n");
    let end = end.ok_or(IdentityError::Chunks("a line has no end"))?;
    Ok((rest.get(..end).unwrap_or_default(), from + end + 2))
}

#[cfg(test)]
mod tests;
