//! `cargo xtask parity [NAME]`: our trades beside TradingView's exported lists, trade by trade.
//!
//! The corpora lie in `corpora/` (fetched apart, never committed). With a part of a probe's name that probe alone is
//! run, and the first trades that differ are shown.

mod pineforge;
mod pynecore;
mod tape;

use springtide_domain::{BarsView, Params, SymbolInfo, Timeframe};
use springtide_engine::Rules;
use springtide_pine::vm::{ColumnStore, DataContext, OtherData, Plan, RunError, Scratch, run};
use std::{collections::BTreeMap, path::Path};
use tape::{Fill, Format, missing, shown};

/// Compares both corpora; `only` is a part of a probe's name.
pub fn report(root: &Path, only: Option<&str>) -> Result<(), String> {
    pineforge::report(&root.join("corpora/pineforge-corpus"), only)?;
    pynecore::report(&root.join("corpora/pynecore"), &root.join("xtask/parity"), only)
}

/// Trades shown of a probe that differs, of theirs and of ours.
const EXAMPLES: usize = 10;

/// What a probe runs on.
struct Chart<'a> {
    timeframe: Timeframe,
    symbol: &'a SymbolInfo,
    others: Option<&'a dyn OtherData>,
    format: Format,
}

/// How a probe ended.
enum Verdict {
    Exact,
    /// The corpus lacks bars; what for.
    Lacks(String),
    Differs {
        matched: usize,
        what: String,
        examples: Vec<String>,
    },
}

/// Runs a script on each of some charts; the one that agrees best counts.
fn probe(
    source: &str,
    params: &Params,
    tape: &[Fill],
    chart: &Chart<'_>,
    starts: &[(i64, BarsView<'_>)],
) -> Result<Verdict, String> {
    let compiled = springtide_pine::compile(source);
    let first = compiled.diagnostics.first().map_or("?", |d| d.message.as_str()).to_owned();
    let program = compiled.program.ok_or(first)?;
    let plan = Plan::prepare(&program, params).map_err(|d| d[0].message.clone())?;
    let mut best =
        Verdict::Differs { matched: 0, what: "no trades in the list".into(), examples: Vec::new() };
    for (start, bars) in starts {
        let store = ColumnStore::new(64 << 20);
        let data = DataContext {
            bars: *bars,
            timeframe: chart.timeframe,
            symbol: chart.symbol,
            columns: &store,
            others: chart.others,
        };
        let out = match run(
            &plan,
            &data,
            &Rules::default(),
            &program.account,
            &mut Scratch::default(),
            &|| false,
        ) {
            Err(RunError::NoData { timeframe, .. }) => {
                return Ok(Verdict::Lacks(format!("the script asks for {timeframe}")));
            }
            other => other.map_err(|e| e.to_string())?,
        };
        let ours = chart.format.ours(&out.simulation.trades, bars);
        let (lacking, extra) = (missing(tape, &ours), missing(&ours, tape));
        if lacking.is_empty() && !tape.is_empty() {
            return Ok(Verdict::Exact);
        }
        if out.warnings.iter().any(|w| w.starts_with("use_bar_magnifier: there are no bars")) {
            return Ok(Verdict::Lacks("the script uses the bar magnifier".into()));
        }
        let outside = chart.format.outside(tape, bars);
        if outside > 0 {
            // Only lists of scripts under the magnifier have such fills.
            return Ok(Verdict::Lacks(format!(
                "{outside} fills of the list lie outside their bars: it was made with the bar magnifier on"
            )));
        }
        let found = tape.len() - lacking.len();
        if matches!(best, Verdict::Differs { matched, .. } if found >= matched) {
            let example = |mark: &str, fill: &Fill| format!("  {mark} {}", shown(fill, chart.format));
            let theirs = lacking.iter().take(EXAMPLES).map(|f| example("TradingView", f));
            best = Verdict::Differs {
                matched: found,
                what: format!("{found} of {} trades, ours {}, chart from {start}", tape.len(), ours.len()),
                examples: theirs.chain(extra.iter().take(EXAMPLES).map(|f| example("ours", f))).collect(),
            };
        }
    }
    Ok(best)
}

/// Counts by family and prints what is not exact.
#[derive(Default)]
struct Tally {
    families: BTreeMap<String, [u32; 3]>,
    detailed: bool,
}

impl Tally {
    fn note(&mut self, family: &str, name: &str, verdict: Result<Verdict, String>) {
        let counts = self.families.entry(family.to_owned()).or_default();
        counts[1] += 1;
        match verdict {
            Ok(Verdict::Exact) => {
                counts[0] += 1;
                if self.detailed {
                    println!("{name}: exact");
                }
            }
            Ok(Verdict::Lacks(why)) => {
                counts[2] += 1;
                println!("{name}: cannot be compared without shorter bars, which the corpus lacks: {why}");
            }
            Ok(Verdict::Differs { what, examples, .. }) => {
                println!("{name}: {what}");
                if self.detailed {
                    examples.iter().for_each(|line| println!("{line}"));
                }
            }
            Err(why) => println!("{name}: {why}"),
        }
    }

    fn print(&self, what: &str) {
        let (mut exact, mut all, mut lacking) = (0, 0, 0);
        for (family, [good, total, lacks]) in &self.families {
            println!("{family:>12} {good:>4} of {total}");
            exact += good;
            all += total;
            lacking += lacks;
        }
        print!("{what}: {exact} of {all} lists exact in every trade");
        println!(
            "{}",
            if lacking > 0 { format!("; {lacking} need bars that the corpus lacks") } else { String::new() }
        );
    }
}
