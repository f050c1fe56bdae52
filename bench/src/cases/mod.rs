//! The comparisons, one file each: who takes part, what is checked, what is to be reached.

mod ingest;
mod market;
mod python;
mod scale;
mod sched;
mod single;
mod sweep;
mod ta;
mod tide;

use crate::{args::Case, contest::Setup, table::Comparison};

/// Runs one comparison.
pub fn run(case: Case, setup: &Setup) -> Result<Vec<Comparison>, String> {
    match case {
        Case::Sweep => sweep::compare(setup),
        Case::Single => single::compare(setup),
        Case::Python => python::compare(setup),
        Case::Ingest => ingest::compare(setup),
        Case::Scale => scale::compare(setup),
        Case::Sched => sched::compare(),
        Case::Ta => ta::compare(setup),
        Case::All => Err("all is not one comparison".into()),
    }
}

/// Does a piece of our own work in this process.
pub fn own(case: &str, arguments: &[String]) -> Result<(), String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = match case {
        "sweep" => sweep::own(&arguments)?,
        "single" => single::own(&arguments)?,
        "ingest" => ingest::own(&arguments)?,
        _ => return Err(format!("there is no work called {case}")),
    };
    measured.hand_back()
}

/// An argument of [`own`].
fn argument<'a>(arguments: &[&'a str], place: usize) -> Result<&'a str, String> {
    arguments.get(place).copied().ok_or_else(|| "an argument is missing".into())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|e| format!("{text}: {e}"))
}
