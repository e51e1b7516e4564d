//! Bytes from the operating system's random generator. Without one the process panics, since
//! unpredictable keys are a condition of counting.

/// An array of random bytes.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// Random bytes in place, for keys that must leave no copy on the stack.
pub fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system's random generator works");
}

/// A random number.
pub fn random_u64() -> u64 {
    u64::from_le_bytes(random_bytes())
}
