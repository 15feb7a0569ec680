//! One run as a picture: calls each second over time, against the limit that nobody told.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::chance::Chance;
use super::drive::{Drive, learner};
use super::hidden::Hidden;

const STEP_S: f64 = 10.0;
const SIZE: (f64, f64) = (860.0, 300.0);
const MARGIN: (f64, f64) = (50.0, 30.0);
const MOST_PER_S: f64 = 140.0;
const LASTS_S: f64 = 1_200.0;

/// Writes the picture.
pub(crate) fn write(path: &str) -> ExitCode {
    match std::fs::write(path, draw()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path} can't be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn place(at_s: f64, per_s: f64) -> (f64, f64) {
    let width = SIZE.0 - 2.0 * MARGIN.0;
    let height = SIZE.1 - 2.0 * MARGIN.1;
    (MARGIN.0 + at_s / LASTS_S * width, SIZE.1 - MARGIN.1 - per_s / MOST_PER_S * height)
}

fn line(points: &[(f64, f64)], style: &str) -> String {
    let mut text = String::new();
    for &(at_s, per_s) in points {
        let (x, y) = place(at_s, per_s);
        let _ = write!(text, "{x:.1},{y:.1} ");
    }
    format!("<polyline fill=\"none\" {style} points=\"{}\"/>\n", text.trim_end())
}

fn draw() -> String {
    let mut drive = Drive::new(learner(), Hidden::bucket(100.0, 20.0), 100.0, Chance::new(3));
    let (mut allowed, mut accepted, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut at_s = 0.0;
    while at_s < LASTS_S {
        match at_s as u64 {
            500 => drive.hidden.change(0.5),
            800 => drive.hidden.change(2.0),
            _ => {}
        }
        let before = drive.count;
        drive.run(STEP_S * 1e3);
        let count = drive.count.since(before);
        allowed.extend([(at_s, drive.hidden.per_s()), (at_s + STEP_S, drive.hidden.per_s())]);
        accepted.push((at_s + STEP_S / 2.0, count.accepted as f64 / STEP_S));
        refused.push((at_s + STEP_S / 2.0, count.refused as f64 / STEP_S));
        at_s += STEP_S;
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        SIZE.0, SIZE.1
    );
    for per_s in [0.0, 50.0, 100.0] {
        let (x, y) = place(0.0, per_s);
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{per_s}/s</text>", x - 6.0, y + 4.0);
        svg += &line(&[(0.0, per_s), (LASTS_S, per_s)], "stroke=\"#ddd\"");
    }
    for at_s in [0.0, 300.0, 600.0, 900.0, 1_200.0] {
        let (x, y) = place(at_s, 0.0);
        let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{at_s} s</text>", y + 16.0);
    }
    svg += &line(&allowed, "stroke=\"#999\" stroke-dasharray=\"5 3\"");
    svg += &line(&accepted, "stroke=\"#1666b0\" stroke-width=\"1.5\"");
    svg += &line(&refused, "stroke=\"#c8102e\" stroke-width=\"1.5\"");
    let labels = [("hidden limit (bucket of 20)", "#777"), ("accepted", "#1666b0"), ("refused", "#c8102e")];
    for (place, (label, colour)) in labels.into_iter().enumerate() {
        let x = MARGIN.0 + 10.0 + 190.0 * place as f64;
        let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"18\" fill=\"{colour}\">{label}</text>");
    }
    svg + "</svg>\n"
}
