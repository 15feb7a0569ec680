//! 200 calls that all want to go at once, through one limit of each kind: how many have gone, over time.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::json;
use tidegate_limits::{Charge, Decision, Limiter, Permit, Rate, Report};

const CALLS: usize = 200;
/// How long a call lasts, and how often is looked, in ms.
const CALL_MS: i64 = 400;
const STEP_MS: i64 = 100;
const LASTS_MS: i64 = 42_000;
const SIZE: (f64, f64) = (860.0, 300.0);
const MARGIN: (f64, f64) = (50.0, 30.0);

/// The picture.
pub(crate) fn draw() -> String {
    let kinds = [
        ("window: 40 in 10 s", "#1666b0", json!({ "window": { "calls": 40, "per": "10s" } })),
        ("bucket: 40, then 4 a second", "#c8102e", json!({ "bucket": { "calls": 40, "restore_per_s": 4.0 } })),
        ("2 at the same time", "#14683a", json!({ "concurrency": { "calls": 2 } })),
    ];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        SIZE.0, SIZE.1
    );
    for calls in [0, 50, 100, 150, 200] {
        let (x, y) = place(0, calls);
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{calls}</text>", x - 6.0, y + 4.0);
        svg += &line(&[(0, calls), (LASTS_MS, calls)], "#ddd");
    }
    for at_ms in [0, 10_000, 20_000, 30_000, 40_000] {
        let (x, y) = place(at_ms, 0);
        let _ =
            writeln!(svg, "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{} s</text>", y + 16.0, at_ms / 1_000);
    }
    for (number, (label, colour, rate)) in kinds.into_iter().enumerate() {
        // Checked by the picture: a rate that can't be read lets all through.
        let rate = serde_json::from_value(rate).unwrap_or(Rate::Told {});
        svg += &line(&granted(&rate), colour);
        let x = MARGIN.0 + 10.0 + 220.0 * number as f64;
        let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"18\" fill=\"{colour}\">{label}</text>");
    }
    svg + "</svg>\n"
}

/// Calls that the limiter has let go, over time, in steps.
fn granted(rate: &Rate) -> Vec<(i64, usize)> {
    let charge = Charge { limit: "one".into(), key: "{p}/one/".into(), rate: rate.clone(), cost: 1, headroom: None };
    let (mut limiter, mut flying) = (Limiter::starting_at(1), VecDeque::<(i64, Permit)>::new());
    let (mut gone, mut points) = (0, vec![(0, 0)]);
    for at_ms in (0..=LASTS_MS).step_by(STEP_MS as usize) {
        while let Some((_, permit)) = flying.pop_front_if(|(ends_ms, _)| *ends_ms <= at_ms) {
            limiter.report(at_ms, &Report { permit, sent: true, answer: None, health: None, took_us: None });
        }
        let before = gone;
        while gone < CALLS {
            let Decision::Granted(permit) = limiter.ask(at_ms, std::slice::from_ref(&charge)) else { break };
            flying.push_back((at_ms + CALL_MS, permit));
            gone += 1;
        }
        if gone > before {
            points.extend([(at_ms, before), (at_ms, gone)]);
        }
    }
    points.push((LASTS_MS, gone));
    points
}

fn place(at_ms: i64, calls: usize) -> (f64, f64) {
    let (width, height) = (SIZE.0 - 2.0 * MARGIN.0, SIZE.1 - 2.0 * MARGIN.1);
    let x = MARGIN.0 + at_ms as f64 / LASTS_MS as f64 * width;
    (x, SIZE.1 - MARGIN.1 - calls as f64 / (CALLS as f64 * 1.1) * height)
}

fn line(points: &[(i64, usize)], colour: &str) -> String {
    let points = points.iter().map(|&(at_ms, calls)| place(at_ms, calls));
    let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    format!("<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\n", points.join(" "))
}
