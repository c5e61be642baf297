//! Base64 as it stands in JSON bodies: the standard alphabet with its padding and nothing else, by the processor's vector
//! instructions where it has them.

use base64::{DecodeError, Engine};

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod fastest {
    use std::sync::LazyLock;

    use base64::engine::Simd;
    use base64::engine::general_purpose::PAD;

    /// What the processor can do is found out once.
    pub static ENGINE: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod fastest {
    use base64::engine::GeneralPurpose;
    use base64::engine::general_purpose::STANDARD;

    pub static ENGINE: &GeneralPurpose = &STANDARD;
}

/// What encodes and decodes.
pub fn engine() -> &'static impl Engine {
    &*fastest::ENGINE
}

/// Appends what `text` stands for to `bytes`, which is of no use after an error.
///
/// # Errors
/// Where and why it is no Base64: a byte of another alphabet, white space, padding that is missing or too much, bits that
/// belong to nothing.
pub fn decode_base64(text: &str, bytes: &mut Vec<u8>) -> Result<(), DecodeError> {
    engine().decode_vec(text, bytes)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Result<Vec<u8>, DecodeError> {
        let mut bytes = b"before".to_vec();
        decode_base64(text, &mut bytes).map(|()| bytes.split_off(b"before".len()))
    }

    /// Long enough that it is decoded in vectors.
    fn long(tail: &str) -> String {
        "QUJD".repeat(50) + tail
    }

    #[test]
    fn only_the_standard_alphabet_with_its_padding_is_taken() {
        for tail in ["", "QQ==", "QUI=", "+/+/"] {
            assert_eq!(decoded(&long(tail)), Ok(STANDARD.decode(long(tail)).unwrap()));
        }
        let wrong = [
            "Q", "QQ", "QQ=", "QUI", "QQ===", "====", "QR==", "QUJ=", "-_-_", "QUJD\n", " QUJD", "QQ==QUJD",
            "é",
        ];
        for tail in wrong {
            for text in [tail.to_owned(), long(tail)] {
                assert_eq!(decoded(&text), Err(STANDARD.decode(&text).unwrap_err()), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_of_any_length_come_back(bytes in prop::collection::vec(any::<u8>(), 0..1_000)) {
            let text = engine().encode(&bytes);
            prop_assert_eq!(&text, &STANDARD.encode(&bytes));
            prop_assert_eq!(decoded(&text), Ok(bytes));
        }

        #[test]
        fn a_changed_text_is_judged_as_byte_by_byte(
            bytes in prop::collection::vec(any::<u8>(), 1..1_000), at in any::<prop::sample::Index>(), by in any::<char>(),
            url_safe in any::<bool>(), is_cut in any::<bool>(),
        ) {
            let mut text = if url_safe { URL_SAFE.encode(&bytes) } else { STANDARD.encode(&bytes) };
            let at = at.index(text.len());
            if is_cut {
                text.truncate(at);
            } else {
                text.replace_range(at..=at, by.encode_utf8(&mut [0; 4]));
            }
            prop_assert_eq!(decoded(&text), STANDARD.decode(&text));
        }
    }
}
