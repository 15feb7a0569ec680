//! What goes wrong: for a while, so that a retry gets the page, or for good.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::page::Lies;
use crate::{Canned, Period};

/// What goes wrong at an endpoint.
///
/// The shares, each from 0 to 1 and at most 1 together, are of calls that were let through the limits. Which attempt at
/// which page meets which fault depends on the seed alone, and after `max_faults_per_page` of them a page is served.
/// All else lasts: it is the same on each attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Share: 500 with an error body.
    pub error_500: f64,
    /// Share: 503 with `Retry-After: 1`.
    pub error_503: f64,
    /// Share: 200 with an HTML page.
    pub html: f64,
    /// Share: 200 with no body at all.
    pub empty_200: f64,
    /// Share: 200 with an error body (`answers.error_in_200`).
    pub error_in_200: f64,
    /// Share: 200 with JSON that breaks off, sent as if it were whole.
    pub truncated: f64,
    /// Share: 200 with a `Content-Length` of the whole body, half of the body, and the end of the connection.
    pub lying_length: f64,
    /// Share: the connection is reset before any answer.
    pub reset: f64,
    /// Share: the connection is reset amid the body.
    pub reset_body: f64,
    /// Share: no answer, for as long as the client holds on.
    pub hang: f64,
    /// Share: half of the body, then nothing, for as long as the client holds on.
    pub stalled_body: f64,
    /// Share: a body that drips in over `slow_body_takes`.
    pub slow_body: f64,
    /// How long a slow body takes.
    pub slow_body_takes: Period,
    /// Most faults that a page meets before it is served.
    pub max_faults_per_page: u32,
    /// Share of parents that are 404, on each attempt.
    pub not_found: f64,
    /// A page of more items than this is refused (`answers.too_much_data`).
    pub too_much_above: Option<u32>,
    /// Each answer is this many bytes of blanks, gzipped small, asked for or not.
    pub gzip_bomb_bytes: Option<u64>,
    /// Each answer is JSON of this many bytes.
    pub huge_body_bytes: Option<u64>,
    /// Each answer is a 302 to this address.
    pub redirect_to: Option<String>,
    /// Each answer is this one.
    pub always: Option<Canned>,
    /// What pages say that is not so.
    pub lies: Lies,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            error_500: 0.0,
            error_503: 0.0,
            html: 0.0,
            empty_200: 0.0,
            error_in_200: 0.0,
            truncated: 0.0,
            lying_length: 0.0,
            reset: 0.0,
            reset_body: 0.0,
            hang: 0.0,
            stalled_body: 0.0,
            slow_body: 0.0,
            slow_body_takes: Period::from_ms(3000),
            max_faults_per_page: 2,
            not_found: 0.0,
            too_much_above: None,
            gzip_bomb_bytes: None,
            huge_body_bytes: None,
            redirect_to: None,
            always: None,
            lies: Lies::default(),
        }
    }
}

/// A fault that a retry gets past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Error500,
    Error503,
    Html,
    Empty200,
    ErrorIn200,
    Truncated,
    LyingLength,
    Reset,
    ResetBody,
    Hang,
    StalledBody,
    SlowBody,
}

impl Fault {
    /// As a spec and the statistics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error500 => "error_500",
            Self::Error503 => "error_503",
            Self::Html => "html",
            Self::Empty200 => "empty_200",
            Self::ErrorIn200 => "error_in_200",
            Self::Truncated => "truncated",
            Self::LyingLength => "lying_length",
            Self::Reset => "reset",
            Self::ResetBody => "reset_body",
            Self::Hang => "hang",
            Self::StalledBody => "stalled_body",
            Self::SlowBody => "slow_body",
        }
    }
}

impl Faults {
    /// The fault that meets the attempt (from 0) at the page of `draw`.
    pub(crate) fn drawn(&self, draw: Draw, attempt: u32) -> Option<Fault> {
        if attempt >= self.max_faults_per_page {
            return None;
        }
        let mut chance = draw.with_text("fault").with(u64::from(attempt)).unit();
        for (share, fault) in self.shares() {
            if chance < share {
                return Some(fault);
            }
            chance -= share;
        }
        None
    }

    /// The list of the parent of `draw` does not exist.
    pub(crate) fn loses(&self, draw: Draw) -> bool {
        self.not_found > 0.0 && draw.with_text("not found").unit() < self.not_found
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let shares = self.shares().map(|(share, fault)| (share, fault.name()));
        for (share, name) in shares.into_iter().chain([(self.not_found, "not_found")]) {
            check_share(share).map_err(|why| format!("{name}: {why}"))?;
        }
        let sum: f64 = shares.iter().map(|(share, _)| share).sum();
        if sum > 1.0 + 1e-9 {
            return Err(format!("shares of at most 1 together were expected, not {sum}"));
        }
        if self.lies.cursor_loop_after == Some(0) {
            return Err("lies.cursor_loop_after: a number from 1 was expected".to_owned());
        }
        Ok(())
    }

    fn shares(&self) -> [(f64, Fault); 12] {
        [
            (self.error_500, Fault::Error500),
            (self.error_503, Fault::Error503),
            (self.html, Fault::Html),
            (self.empty_200, Fault::Empty200),
            (self.error_in_200, Fault::ErrorIn200),
            (self.truncated, Fault::Truncated),
            (self.lying_length, Fault::LyingLength),
            (self.reset, Fault::Reset),
            (self.reset_body, Fault::ResetBody),
            (self.hang, Fault::Hang),
            (self.stalled_body, Fault::StalledBody),
            (self.slow_body, Fault::SlowBody),
        ]
    }
}

pub(crate) fn check_share(share: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&share) { Ok(()) } else { Err(format!("a share from 0 to 1 was expected, not {share}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_their_shares_and_cease_after_the_most_a_page_meets() {
        let faults = Faults { error_500: 0.2, hang: 0.1, ..Faults::default() };
        let mut counts = [0; 3];
        let mut changes = 0;
        for page in 0..10_000 {
            let draw = Draw::seeded(7).with(page);
            match faults.drawn(draw, 0) {
                Some(Fault::Error500) => counts[0] += 1,
                Some(Fault::Hang) => counts[1] += 1,
                Some(other) => panic!("{other:?}"),
                None => counts[2] += 1,
            }
            changes += u32::from(faults.drawn(draw, 0) != faults.drawn(draw, 1));
            assert_eq!(faults.drawn(draw, 2), None);
        }
        assert!((4000..5000).contains(&changes), "each attempt is drawn anew: {changes}");
        assert!((1850..2150).contains(&counts[0]) && (880..1120).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn shares_out_of_range_are_named() {
        assert!(Faults { html: 1.5, ..Faults::default() }.check().unwrap_err().starts_with("html: "));
        assert!(Faults { html: 0.6, hang: 0.6, ..Faults::default() }.check().unwrap_err().contains("together"));
        assert!(Faults { html: 0.5, hang: 0.5, ..Faults::default() }.check().is_ok());
    }
}
