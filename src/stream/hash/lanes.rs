//! MD5 of eight short keys at once.
//!
//! A step of MD5 waits for the step before it, so that a processor that hashes one key is idle most of the time. Eight keys
//! side by side fill it: the same steps in lanes, which the compiler makes vector instructions of. RFC 1321 has the
//! algorithm; each constant of a step is the integer part of 2^32 × |sin(step)|, counted from 1.

/// Keys that are hashed together.
pub(super) const LANES: usize = 8;

/// The longest key that fits into one block with a bit of padding and the length.
pub(super) const KEY_BYTES_MAX: usize = BLOCK_BYTES - 9;

const BLOCK_BYTES: usize = 64;
const WORDS: usize = BLOCK_BYTES / 4;

/// A word of the state, or of a block, of each lane.
type Lanes = wide::u32x8;

const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// The digests of the keys, none of which may be longer than [`KEY_BYTES_MAX`]; where there are fewer than lanes, what is
/// behind them means nothing.
pub(super) fn md5(keys: &[&[u8]]) -> [[u8; 16]; LANES] {
    let words = words(keys);
    let mut state = START.map(Lanes::splat);
    let choose = |x: Lanes, y: Lanes, z: Lanes| z ^ (x & (y ^ z));
    round::<0, 7, 12, 17, 22>(&mut state, &words, |step| step, choose);
    round::<1, 5, 9, 14, 20>(&mut state, &words, |step| 5 * step + 1, |x, y, z| choose(z, x, y));
    round::<2, 4, 11, 16, 23>(&mut state, &words, |step| 3 * step + 5, |x, y, z| x ^ y ^ z);
    round::<3, 6, 10, 15, 21>(&mut state, &words, |step| 7 * step, |x, y, z| y ^ (x | !z));
    let mut digests = [[0; 16]; LANES];
    for (place, (word, start)) in state.into_iter().zip(START).enumerate() {
        for (digest, word) in digests.iter_mut().zip((word + Lanes::splat(start)).to_array()) {
            digest[4 * place..4 * place + 4].copy_from_slice(&word.to_le_bytes());
        }
    }
    digests
}

/// The sixteen steps of a round, which rotate by four numbers in turn. `word` tells which word of the block a step takes,
/// `mix` is the function of the round.
#[inline(always)]
fn round<const ROUND: usize, const R0: u32, const R1: u32, const R2: u32, const R3: u32>(
    [a, b, c, d]: &mut [Lanes; 4],
    words: &[Lanes; WORDS],
    word: impl Fn(usize) -> usize,
    mix: impl Fn(Lanes, Lanes, Lanes) -> Lanes,
) {
    for four in 0..4 {
        let given = |within: usize| {
            let step = 4 * four + within;
            words[word(step) % WORDS] + Lanes::splat(SINES[16 * ROUND + step])
        };
        *a = turn::<R0>(*a, mix(*b, *c, *d), given(0), *b);
        *d = turn::<R1>(*d, mix(*a, *b, *c), given(1), *a);
        *c = turn::<R2>(*c, mix(*d, *a, *b), given(2), *d);
        *b = turn::<R3>(*b, mix(*c, *d, *a), given(3), *c);
    }
}

/// What a step makes of one part of the state: `beside` is the one that its rotated sum is added to.
#[inline(always)]
fn turn<const ROTATION: u32>(part: Lanes, mixed: Lanes, given: Lanes, beside: Lanes) -> Lanes {
    let sum = part + mixed + given;
    beside + ((sum << ROTATION) | (sum >> (u32::BITS - ROTATION)))
}

/// The padded blocks, word by word.
fn words(keys: &[&[u8]]) -> [Lanes; WORDS] {
    let mut words = [[0; LANES]; WORDS];
    for (lane, key) in keys.iter().take(LANES).enumerate() {
        let mut block = [0; BLOCK_BYTES];
        let length = key.len().min(KEY_BYTES_MAX);
        block[..length].copy_from_slice(&key[..length]);
        block[length] = 0x80;
        block[BLOCK_BYTES - 8..].copy_from_slice(&(8 * length as u64).to_le_bytes());
        for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
            word[lane] = u32::from_le_bytes(*bytes);
        }
    }
    words.map(Lanes::new)
}
