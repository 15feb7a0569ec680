//! Runs as pictures: calls each second over time, against the limit that nobody told.

use std::fmt::Write as _;
use std::path::Path;

use tidegate_limits::learn::{Learn, Learner};

use super::chance::Chance;
use super::drive::Drive;
use super::hidden::Hidden;

const SIZE: (f64, f64) = (860.0, 300.0);
const MARGIN: (f64, f64) = (50.0, 30.0);

/// A run, and how much of it is drawn as one point.
struct Plot {
    file: &'static str,
    limit: &'static str,
    hidden: fn() -> Hidden,
    start_per_s: f64,
    answer_ms: f64,
    /// Whole points after which the limit is so many times what it was.
    changes: [(usize, f64); 2],
    points: usize,
    point_s: f64,
    most_per_s: f64,
}

/// A bucket that has to be found from far below.
const SLOWLY: Plot = Plot {
    file: "limits-learnt.svg",
    limit: "hidden bucket of 20",
    hidden: || Hidden::bucket(100.0, 20.0),
    start_per_s: 1.0,
    answer_ms: 100.0,
    changes: [(50, 0.5), (80, 2.0)],
    points: 120,
    point_s: 10.0,
    most_per_s: 140.0,
};

const PLOTS: [Plot; 3] = [
    SLOWLY,
    Plot {
        file: "limits-learnt-quickly.svg",
        start_per_s: 50.0,
        answer_ms: 5.0,
        changes: [(30, 0.5), (60, 3.0)],
        points: 90,
        point_s: 0.5,
        most_per_s: 200.0,
        ..SLOWLY
    },
    Plot {
        file: "limits-learnt-window.svg",
        limit: "hidden window of 10 s",
        hidden: || Hidden::window(1_000, 10e3, Some(0.0)),
        ..SLOWLY
    },
];

/// Writes the pictures into a folder.
pub(crate) fn write(folder: &Path) -> std::io::Result<()> {
    PLOTS.iter().try_for_each(|plot| std::fs::write(folder.join(plot.file), plot.draw()))
}

impl Plot {
    fn lasts_s(&self) -> f64 {
        self.points as f64 * self.point_s
    }

    fn place(&self, at_s: f64, per_s: f64) -> (f64, f64) {
        let width = SIZE.0 - 2.0 * MARGIN.0;
        let height = SIZE.1 - 2.0 * MARGIN.1;
        (MARGIN.0 + at_s / self.lasts_s() * width, SIZE.1 - MARGIN.1 - per_s / self.most_per_s * height)
    }

    fn line(&self, points: &[(f64, f64)], style: &str) -> String {
        let mut text = String::new();
        for &(at_s, per_s) in points {
            let (x, y) = self.place(at_s, per_s);
            let _ = write!(text, "{x:.1},{y:.1} ");
        }
        format!("<polyline fill=\"none\" {style} points=\"{}\"/>\n", text.trim_end())
    }

    fn axes(&self) -> String {
        let mut svg = String::new();
        for per_s in (0..).map(|step| f64::from(step) * 50.0).take_while(|per_s| *per_s < self.most_per_s) {
            let (x, y) = self.place(0.0, per_s);
            let _ =
                writeln!(svg, "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{per_s}/s</text>", x - 6.0, y + 4.0);
            svg += &self.line(&[(0.0, per_s), (self.lasts_s(), per_s)], "stroke=\"#ddd\"");
        }
        for at_s in (0..=4).map(|quarter| f64::from(quarter) * self.lasts_s() / 4.0) {
            let (x, y) = self.place(at_s, 0.0);
            let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{at_s} s</text>", y + 16.0);
        }
        svg
    }

    fn draw(&self) -> String {
        let learner = Learner::new(&Learn { start_per_s: self.start_per_s, ..Learn::default() });
        let mut drive = Drive::new(learner, (self.hidden)(), self.answer_ms, Chance::new(3));
        let (mut allowed, mut accepted, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for point in 0..self.points {
            if let Some((_, factor)) = self.changes.iter().find(|(at, _)| *at == point) {
                drive.hidden.change(*factor);
            }
            let before = drive.count;
            drive.run(self.point_s * 1e3);
            let (count, at_s) = (drive.count.since(before), point as f64 * self.point_s);
            let middle_s = at_s + self.point_s / 2.0;
            allowed.extend([(at_s, drive.hidden.per_s()), (at_s + self.point_s, drive.hidden.per_s())]);
            accepted.push((middle_s, count.accepted as f64 / self.point_s));
            refused.push((middle_s, count.refused as f64 / self.point_s));
        }
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            SIZE.0, SIZE.1
        );
        svg += &self.axes();
        svg += &self.line(&allowed, "stroke=\"#999\" stroke-dasharray=\"5 3\"");
        svg += &self.line(&accepted, "stroke=\"#1666b0\" stroke-width=\"1.5\"");
        svg += &self.line(&refused, "stroke=\"#c8102e\" stroke-width=\"1.5\"");
        let labels = [(self.limit, "#777"), ("accepted", "#1666b0"), ("refused", "#c8102e")];
        for (place, (label, colour)) in labels.into_iter().enumerate() {
            let x = MARGIN.0 + 10.0 + 190.0 * place as f64;
            let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"18\" fill=\"{colour}\">{label}</text>");
        }
        svg + "</svg>\n"
    }
}
