//! Randomness from the operating system, the only source that keys and nonces come from.

/// `N` random bytes.
///
/// # Panics
/// When the operating system has no randomness to give. Going on without it would reuse nonces or make guessable keys, and
/// nothing a caller could do with an error would be better than stopping.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// Fills `bytes` with random ones; use it where a copy on the stack is not wanted.
///
/// # Panics
/// As [`random_bytes`].
pub fn fill_random(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the operating system gives no randomness: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_every_byte_is_filled() {
        assert_ne!(random_bytes::<32>(), random_bytes::<32>());
        // A byte that stays zero in 64 draws of fresh randomness was never written (2^-512 otherwise).
        let mut seen = [0_u8; 32];
        for _ in 0..64 {
            for (seen, byte) in seen.iter_mut().zip(random_bytes::<32>()) {
                *seen |= byte;
            }
        }
        assert!(seen.iter().all(|byte| *byte != 0));
    }
}
