//! A comparison as a table, for the terminal and as Markdown.

use crate::contest::{Entry, Measured};

/// Contestants beside each other.
pub struct Comparison {
    /// What was done.
    pub title: String,
    /// How times are to be read, what was checked.
    pub note: String,
    /// Name of the speed, and how much of it one round is: `("MB/s", 200.0)`.
    pub rate: Option<(&'static str, f64)>,
    /// Seconds are shown in this unit: `("ms", 1e3)`.
    pub unit: (&'static str, f64),
    /// The lines, best known first.
    pub entries: Vec<Entry>,
    /// What is to be reached, and whether it is.
    pub verdicts: Vec<Verdict>,
}

/// A target and what came of it.
pub struct Verdict {
    /// `at least 800 MB/s on two threads`.
    pub target: String,
    /// `1,250 MB/s`.
    pub reached: String,
    /// Whether that is enough.
    pub met: bool,
}

impl Verdict {
    /// A target for a measurement that may be missing.
    pub fn new(target: &str, reached: Option<(String, bool)>) -> Self {
        let (reached, met) = reached.unwrap_or_else(|| ("not measured".into(), false));
        Self { target: target.into(), reached, met }
    }
}

impl Comparison {
    /// False when one of ours failed or a result was wrong.
    pub fn is_sound(&self) -> bool {
        self.entries.iter().all(|e| match &e.outcome {
            Ok(_) => true,
            Err(problem) => !e.ours && !problem.starts_with("WRONG RESULT"),
        })
    }

    /// The measurement of a line.
    pub fn measured(&self, name: &str) -> Option<&Measured> {
        self.entries.iter().find(|e| e.name == name)?.outcome.as_ref().ok()
    }

    /// Work per second of a line.
    pub fn speed(&self, name: &str) -> Option<f64> {
        Some(self.rate?.1 / self.measured(name)?.median())
    }

    /// Medians of two lines, the first one's over the second one's.
    pub fn ratio(&self, name: &str, base: &str) -> Option<f64> {
        Some(self.measured(name)?.median() / self.measured(base)?.median())
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let mut header = vec!["who".into(), format!("median, {}", self.unit.0), "min–max".into()];
        header.extend(self.rate.map(|r| r.0.to_owned()));
        header.extend(["peak, MB".into(), "time to ours".into()]);
        let mut rows = vec![header];
        let mut base = None;
        for entry in &self.entries {
            if entry.base {
                base = entry.outcome.as_ref().ok().map(Measured::median);
            }
            rows.push(match &entry.outcome {
                Ok(measured) => self.row(entry, measured, base),
                Err(problem) => vec![entry.name.clone(), problem.clone()],
            });
        }
        rows
    }

    fn row(&self, entry: &Entry, m: &Measured, base: Option<f64>) -> Vec<String> {
        let in_unit = |s: f64| number(s * self.unit.1);
        let (low, high) =
            m.seconds.iter().fold((f64::INFINITY, 0.0f64), |(low, high), s| (low.min(*s), high.max(*s)));
        let name = [entry.name.as_str(), m.version.as_str()].join(" ").trim().to_owned();
        let rounds = if m.seconds.len() < 5 { format!(" ({}x)", m.seconds.len()) } else { String::new() };
        let mut row = vec![name, in_unit(m.median()), format!("{}–{}{rounds}", in_unit(low), in_unit(high))];
        row.extend(self.rate.map(|(_, amount)| number(amount / m.median())));
        row.push(if m.peak_kb == 0 { "–".into() } else { number(m.peak_kb as f64 / 1024.0) });
        row.push(base.map_or("–".into(), |b| format!("{}x", number(m.median() / b))));
        row
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let rows = self.cells();
        let widths: Vec<usize> = (0..rows[0].len())
            .map(|i| {
                rows.iter().filter(|r| r.len() > 2).filter_map(|r| r.get(i)).map(|c| c.chars().count()).max()
            })
            .map(|w| w.unwrap_or(0))
            .collect();
        let mut out = format!("\n{}\n", self.title);
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, width))| match i {
                0 => format!("{cell:width$}"),
                _ if row.len() == 2 => cell.clone(),
                _ => format!("{cell:>width$}"),
            });
            out.push_str(&format!("  {}\n", cells.collect::<Vec<_>>().join("  ")));
        }
        out.push_str(&format!("  {}\n", self.note));
        for v in &self.verdicts {
            out.push_str(&format!(
                "  {} {}: {}\n",
                if v.met { "met:   " } else { "MISSED:" },
                v.target,
                v.reached
            ));
        }
        out
    }

    /// For a document.
    pub fn markdown(&self) -> String {
        let rows = self.cells();
        let columns = rows[0].len();
        let mut out = format!("### {}\n\n", self.title);
        for (i, row) in rows.iter().enumerate() {
            let mut cells = row.clone();
            cells.resize(columns, String::new());
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
            if i == 0 {
                out.push_str(&format!("|---|{}\n", "---:|".repeat(columns - 1)));
            }
        }
        out.push_str(&format!("\n{}\n\n", self.note));
        for v in &self.verdicts {
            let word = if v.met { "Met" } else { "**Missed**" };
            out.push_str(&format!("- {word}: {}: {}\n", v.target, v.reached));
        }
        out.push_str(if self.verdicts.is_empty() { "" } else { "\n" });
        out
    }
}

/// Three digits or all before the point, thousands apart.
pub fn number(x: f64) -> String {
    let places = match x.abs() {
        a if a >= 100.0 => 0,
        a if a >= 10.0 => 1,
        a if a >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{x:.places$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        let left = whole.len() - i;
        if i > 0 && left.is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}
