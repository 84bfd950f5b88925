//! A small seeded generator, so that a failing run can be repeated from its seed.

/// `SplitMix64` (Steele, Lea, Flood 2014): enough randomness for faults and ids, and the same on every platform.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same sequence.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// True with this probability (0.0 never, 1.0 always).
    pub fn chance(&mut self, probability: f64) -> bool {
        #[allow(clippy::cast_precision_loss)] // 53 bits fit a double exactly
        let unit = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        unit < probability
    }

    /// `length` characters of the alphabet that AWS's unique ids use.
    pub fn id(&mut self, prefix: &str, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        for _ in 0..length {
            let index = usize::try_from(self.below(32)).unwrap_or_default();
            id.push(char::from(ALPHABET[index]));
        }
        id
    }
}
