//! The CRC-32C of two pieces that stand one behind the other, from the CRCs of both.
//!
//! The crates that sum bodies can do this too, by squaring a matrix again and again, which takes them some microseconds: half of what shipping frames of 30 KiB took, since
//! each is joined to those before it. Here as zlib has done it since 1.2.12 (Adler, "crc32_combine_gen"): zeros behind a piece multiply its CRC by a power of x
//! modulo the polynomial, and the powers whose exponents are powers of two are in a table.

/// Castagnoli's polynomial; the coefficient of x^0 is the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// x^0.
const ONE: u32 = 1 << 31;
/// x to the power of 8 * 2^n, by n: what 2^n zero bytes multiply by. A body has less than 2^32 bytes.
const ZERO_BYTES: [u32; 32] = {
    let mut powers = [0; 32];
    let mut power = ONE >> 8;
    let mut n = 0;
    while n < powers.len() {
        powers[n] = power;
        power = product(power, power);
        n += 1;
    }
    powers
};

/// The product of two polynomials modulo [`POLYNOMIAL`].
const fn product(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut coefficient = ONE;
    while coefficient != 0 {
        if a & coefficient != 0 {
            product ^= b;
        }
        // b times x.
        b = if b & 1 == 0 { b >> 1 } else { b >> 1 ^ POLYNOMIAL };
        coefficient >>= 1;
    }
    product
}

/// The CRC-32C of what has the CRC `first` and, behind it, `second_len` bytes with the CRC `second`.
#[must_use]
pub fn joined_crc(first: u32, second: u32, second_len: u32) -> u32 {
    let bits = ZERO_BYTES.iter().enumerate();
    let factors = bits.filter(|(bit, _)| second_len >> bit & 1 == 1);
    factors.fold(first, |crc, (_, power)| product(*power, crc)) ^ second
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc32c::crc32c;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_pieces_have_the_crc_of_what_they_are_together(bytes: Vec<u8>, at: prop::sample::Index) {
            let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
            let joined = joined_crc(crc32c(first), crc32c(second), u32::try_from(second.len()).unwrap());
            prop_assert_eq!(joined, crc32c(&bytes));
        }

        #[test]
        fn long_pieces_are_joined_as_the_crate_does_it(first: u32, second: u32, len: u32) {
            prop_assert_eq!(joined_crc(first, second, len), crc32c::crc32c_combine(first, second, len as usize));
        }
    }
}
