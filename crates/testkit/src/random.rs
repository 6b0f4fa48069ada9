//! A small generator of random numbers (SplitMix64), so that a seed means the same for ever.

/// Random numbers from a seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that belong to a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of several things; there must be one.
    pub fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(things.len() as u64)).unwrap_or(0);
        &things[at]
    }
}

fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number that belongs to a seed and some bytes, so that the order of other things does not matter.
pub fn mark(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(mix(seed), |mark, byte| mix(mark ^ u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut random = Random::new(7);
        assert_eq!([random.bits(), random.bits()], [0x63cb_e1e4_5932_0dd7, 0x044c_3cd7_f43c_661c]);
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert_ne!(mark(1, b"a"), mark(2, b"a"));
        assert_ne!(mark(1, b"ab"), mark(1, b"ba"));
    }
}
