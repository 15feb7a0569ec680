//! Chance that is a function of its arguments: the same seed and the same words give the same draw, in any order.

/// A hash under way. Add what the draw depends on, then take a number from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw(u64);

impl Draw {
    /// A draw that depends on the seed alone.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(mix(seed ^ 0x7469_6465_6761_7465))
    }

    /// Also depends on `value`.
    pub(crate) fn with(self, value: u64) -> Self {
        Self(mix(self.0.rotate_left(23) ^ mix(value)))
    }

    /// Also depends on `text` (FNV-1a, then mixed; the length keeps "a", "b" apart from "ab").
    pub(crate) fn with_text(self, text: &str) -> Self {
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        self.with(hash).with(text.len() as u64)
    }

    /// All 64 bits.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// From 0 up to, but not including, 1.
    pub(crate) fn unit(self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (mix(self.0 ^ 0x756e_6974) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, but not including, `bound`; 0 where `bound` is 0.
    pub(crate) fn below(self, bound: u64) -> u64 {
        ((u128::from(mix(self.0 ^ 0x0062_656c_6f77)) * u128::from(bound)) >> 64) as u64
    }
}

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014): each input bit changes about half of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_give_the_same_draw_and_others_another() {
        let draw = |seed, text: &str, n| Draw::seeded(seed).with_text(text).with(n).bits();
        assert_eq!(draw(7, "users", 3), draw(7, "users", 3));
        assert_ne!(draw(7, "users", 3), draw(8, "users", 3));
        assert_ne!(draw(7, "users", 3), draw(7, "user", 3));
        assert_ne!(draw(7, "users", 3), draw(7, "users", 4));
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mut tenths = [0_u32; 10];
        for n in 0..10_000 {
            let unit = Draw::seeded(1).with(n).unit();
            assert!((0.0..1.0).contains(&unit));
            tenths[(unit * 10.0) as usize] += 1;
            assert!(Draw::seeded(1).with(n).below(7) < 7);
        }
        assert!(tenths.iter().all(|count| (900..1100).contains(count)), "{tenths:?}");
        assert_eq!(Draw::seeded(1).below(0), 0);
    }
}
