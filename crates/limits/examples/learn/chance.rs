//! Reproducible chance (SplitMix64).

#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Evenly from 0 to 1.
    pub(crate) fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly on a scale of ratios.
    pub(crate) fn ratio(&mut self, from: f64, to: f64) -> f64 {
        from * (to / from).powf(self.even())
    }

    /// Log-normal, of this median.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let (one, two) = (self.even().max(f64::MIN_POSITIVE), self.even());
        median * (sigma * (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos()).exp()
    }
}
