//! A block of lines → a member of a gzip file (RFC 1952 section 2.2).
//!
//! By libdeflate. With the feature `isal` level 1 is that of Intel's ISA-L, which takes half the time at nearly
//! the same ratio and needs an assembler to be built (`docs/performance.md`).

use libdeflater::{CompressionLvl, Compressor};

use super::super::EncodeError;

/// The highest of libdeflate's levels.
const LEVEL_MAX: usize = 12;

/// What libdeflate keeps between blocks, a level each.
#[derive(Default)]
pub(super) struct Gzip {
    by_level: [Option<Compressor>; LEVEL_MAX + 1],
}

impl Gzip {
    /// Writes `input` as a member over `output`, and returns its length.
    pub fn member(&mut self, input: &[u8], level: u8, output: &mut Vec<u8>) -> Result<usize, EncodeError> {
        let compressor = self.compressor(level)?;
        // More than either library needs for input that cannot be made smaller.
        output.resize(compressor.gzip_compress_bound(input.len()), 0);
        #[cfg(feature = "isal")]
        if level == 1 {
            return isal::compress_into(input, output, isal::CompressionLevel::One, isal::Codec::Gzip)
                .map_err(|_| TOO_LARGE);
        }
        compressor.gzip_compress(input, output).map_err(|_| TOO_LARGE)
    }

    fn compressor(&mut self, level: u8) -> Result<&mut Compressor, EncodeError> {
        const BAD_LEVEL: EncodeError = EncodeError::Compress("a gzip level is 1 to 12");
        let slot = self.by_level.get_mut(usize::from(level)).ok_or(BAD_LEVEL)?;
        Ok(match slot {
            Some(compressor) => compressor,
            None => {
                let level = CompressionLvl::new(i32::from(level)).map_err(|_| BAD_LEVEL)?;
                slot.insert(Compressor::new(level))
            }
        })
    }
}

const TOO_LARGE: EncodeError = EncodeError::Compress("gzip output is larger than its bound");

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn unpacked(member: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        GzDecoder::new(member).read_to_end(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        /// Noise, which grows, and repetitions, which shrink, at the level that has two libraries and at others.
        #[test]
        fn what_goes_in_comes_out(
            noise in prop::collection::vec(any::<u8>(), 0..70_000),
            repeated in 0_usize..20_000,
            level in prop::sample::select(vec![1_u8, 6, 12]),
        ) {
            let (mut gzip, mut output) = (Gzip::default(), Vec::new());
            let input = [noise, b"line\n".repeat(repeated)].concat();
            let length = gzip.member(&input, level, &mut output).unwrap();
            prop_assert_eq!(unpacked(&output[..length]), input);
        }
    }

    /// Its stored blocks are as long as they can be, so that each library needs all the room that it says it needs.
    #[test]
    fn a_member_of_noise_as_large_as_members_are_fits() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(300_000).collect();
        for level in [1, 6, 12] {
            let (mut gzip, mut output) = (Gzip::default(), Vec::new());
            let length = gzip.member(&noise, level, &mut output).unwrap();
            assert!(unpacked(&output[..length]) == noise, "level {level}");
        }
    }

    #[test]
    fn a_level_that_there_is_not_is_refused() {
        let mut output = Vec::new();
        assert!(Gzip::default().member(b"a", 0, &mut output).is_ok(), "stored");
        assert!(Gzip::default().member(b"a", 13, &mut output).is_err());
    }
}
