//! What has been claimed for throughput, beside what plain Python does one item after another.

use crate::{ClaimRow, Report, claims::ClaimFigure, page::number};

/// A claim of throughput whose plain counterpart was measured.
#[derive(Clone, Debug)]
pub struct Compared<'a> {
    row: &'a ClaimRow,
    plain: f64,
}

impl Compared<'_> {
    /// What it is a figure of, with its unit.
    pub fn what(&self) -> String {
        format!("{}, {}", self.row.claim.what, self.row.claim.unit)
    }

    /// Claimed for concurrent work.
    pub fn claimed(&self) -> f64 {
        self.row.claim.concurrent
    }

    /// Plain Python here, one after another.
    pub fn plain(&self) -> f64 {
        self.plain
    }

    /// Ours here, concurrently.
    pub fn ours(&self) -> Option<f64> {
        self.row.ours_concurrent
    }

    /// The claim is less than plain Python does.
    pub fn is_below(&self) -> bool {
        self.claimed() < self.plain
    }
}

/// All such claims of these reports.
pub fn compared(reports: &[Report]) -> Vec<Compared<'_>> {
    let rows = reports.iter().flat_map(|r| &r.claims).filter(|r| r.claim.figure == ClaimFigure::PerSecond);
    rows.filter_map(|row| Some(Compared { row, plain: row.plain.as_ref()?.1 })).collect()
}

/// The whole in a sentence; none where nothing was compared.
pub fn statement(reports: &[Report]) -> Option<String> {
    let all = compared(reports);
    let below = all.iter().filter(|c| c.is_below()).count();
    let each: Vec<String> = all
        .iter()
        .map(|c| format!("{}: claimed {}, Python {}", c.what(), number(c.claimed()), number(c.plain())))
        .collect();
    (!all.is_empty()).then(|| {
        let claims = if all.len() == 1 { "claim" } else { "claims" };
        format!(
            "Of {} {claims} made elsewhere for the throughput of concurrent work, {below} are below what a plain Python program does \
             here one item after another ({}).",
            all.len(),
            each.join("; ")
        )
    })
}
