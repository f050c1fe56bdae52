//! `cargo xtask parity`: our trades beside TradingView's exported lists, trade by trade.
//!
//! The corpus lies in `corpora/pineforge-corpus` (fetched apart, never committed). A chart's first bar is not
//! part of an export, so each probe is run from every start seen in the corpus and the best match counts; the
//! report says which it was.

use springtide_domain::{OwnedBars, SymbolInfo, Timeframe};
use springtide_engine::Rules;
use springtide_pine::vm::{ColumnStore, DataContext, Plan, Scratch, run};
use std::{collections::BTreeMap, fs, path::Path};

/// Chart starts seen in the exports, epoch ms; 0 is all bars there are.
const STARTS: &[i64] = &[1_743_379_200_000, 1_743_811_200_000, 0];
/// Families that stay unread: they are the acceptance test.
const UNREAD: &[&str] = &["composite-", "special-validation", "symbol-specified"];

/// The exports show times of a chart in UTC+8.
const CHART_OFFSET_MINUTES: i64 = 480;

/// A trade as an export shows it: times in epoch minutes, prices in ticks of 0.01.
type Fill = (i64, i64, i64, i64);

/// Prints a line per probe that is not exact and a table by family.
pub fn report(root: &Path) -> Result<(), String> {
    let corpus = root.join("corpora/pineforge-corpus");
    let Ok(folders) = fs::read_dir(corpus.join("validation")) else {
        println!("SKIPPED: {} is not there", corpus.display());
        return Ok(());
    };
    let bars = read_bars(&corpus.join("data/ohlcv_ETH-USDT-USDT_15m_warmup6m.csv"))?;
    let mut families: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut names: Vec<_> = folders.flatten().map(|f| f.path()).collect();
    names.sort();
    for folder in names {
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let (Ok(source), Ok(tape)) = (
            fs::read_to_string(folder.join("strategy.pine")),
            fs::read_to_string(folder.join("tv_trades.csv")),
        ) else {
            continue;
        };
        if UNREAD.iter().any(|u| name.starts_with(u)) {
            continue;
        }
        let verdict = probe(&source, &read_tape(&tape), &bars);
        let family = name.split('-').next().unwrap_or_default().to_owned();
        let counts = families.entry(family).or_default();
        counts.1 += 1;
        match verdict {
            Ok(()) => counts.0 += 1,
            Err(why) => println!("{name}: {why}"),
        }
    }
    let (mut exact, mut all) = (0, 0);
    for (family, (good, total)) in &families {
        println!("{family:>12} {good:>4} of {total}");
        exact += good;
        all += total;
    }
    println!("{exact} of {all} probes exact: every trade's times and prices");
    Ok(())
}

fn probe(source: &str, tape: &[Fill], bars: &OwnedBars) -> Result<(), String> {
    let compiled = springtide_pine::compile(source);
    let first = compiled.diagnostics.first().map_or("?", |d| d.message.as_str()).to_owned();
    let program = compiled.program.ok_or(first)?;
    let plan = Plan::prepare(&program, &Default::default()).map_err(|d| d[0].message.clone())?;
    let symbol = SymbolInfo {
        ticker: "ETHUSDT.P".into(),
        currency: "USDT".into(),
        base_currency: "ETH".into(),
        min_qty: 1e-4,
        ..SymbolInfo::default()
    };
    let mut best = (0, String::new());
    for start in STARTS {
        let from = bars.time.partition_point(|t| t < start);
        let view = bars.view().slice(from..bars.time.len());
        let store = ColumnStore::new(64 << 20);
        let data = DataContext {
            bars: view,
            timeframe: Timeframe::Minutes(15),
            symbol: &symbol,
            columns: &store,
            others: None,
        };
        let out = run(&plan, &data, &Rules::default(), &program.account, &mut Scratch::default(), &|| false)
            .map_err(|e| e.to_string())?;
        let minute = |bar: u32| view.time[bar as usize] / 60_000;
        let ours: Vec<Fill> = out
            .simulation
            .trades
            .iter()
            .map(|t| (minute(t.entry_bar), ticks(t.entry_price), minute(t.exit_bar), ticks(t.exit_price)))
            .collect();
        let missing = missing(tape, &ours);
        if missing == 0 && !tape.is_empty() {
            return Ok(());
        }
        let matched = tape.len() - missing;
        if matched >= best.0 {
            best = (
                matched,
                format!("{matched} of {} trades, ours {}, chart from {start}", tape.len(), ours.len()),
            );
        }
    }
    Err(best.1)
}

/// Trades of the export that are not among ours; several equal ones must all be there.
fn missing(tape: &[Fill], ours: &[Fill]) -> usize {
    let mut stock: BTreeMap<Fill, i32> = BTreeMap::new();
    ours.iter().for_each(|t| *stock.entry(*t).or_default() += 1);
    tape.iter()
        .filter(|t| {
            let left = stock.entry(**t).or_default();
            *left -= 1;
            *left < 0
        })
        .count()
}

fn ticks(price: f64) -> i64 {
    (price * 100.0).round() as i64
}

fn read_bars(path: &Path) -> Result<OwnedBars, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut bars = OwnedBars::default();
    for line in text.lines().skip(1) {
        let v: Vec<f64> = line.split(',').filter_map(|x| x.trim().parse().ok()).collect();
        if let [t, o, h, l, c, volume] = v[..] {
            bars.push(t as i64, o, h, l, c, volume);
        }
    }
    Ok(bars)
}

/// Closed trades of an export: two rows each, exit first; the last may still be open and is left out.
fn read_tape(text: &str) -> Vec<Fill> {
    let mut halves: BTreeMap<u32, [Option<(i64, i64)>; 2]> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (Some(number), Some(kind), Some(time)) =
            (cells.first().and_then(|n| n.parse().ok()), cells.get(1), cells.get(2).and_then(|t| minutes(t)))
        else {
            continue;
        };
        // A signal may hold commas: the price is found from the right, eleven columns from the end.
        let price = cells.len().checked_sub(11).and_then(|k| cells[k].parse::<f64>().ok());
        let open = cells.contains(&"Open");
        if let (Some(price), false) = (price, open) {
            halves.entry(number).or_default()[usize::from(kind.starts_with("Exit"))] =
                Some((time, ticks(price)));
        }
    }
    halves
        .into_values()
        .filter_map(|[entry, exit]| entry.zip(exit))
        .map(|(entry, exit)| (entry.0, entry.1, exit.0, exit.1))
        .collect()
}

/// `2025-03-31 14:15` of the chart as minutes since the epoch, UTC.
fn minutes(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (y, m, d) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute) = (number(11..13)?, number(14..16)?);
    let (y, m) = if m <= 2 { (y - 1, m + 9) } else { (y, m - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + d - 1 - 719_468;
    Some(days * 1_440 + hour * 60 + minute - CHART_OFFSET_MINUTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_export() {
        let tape = "h\n1,Exit long,2025-03-31 14:15,a,1804.12,1,1,1,1,1,1,1,1,1,1\n1,Entry long,2025-03-31 13:15,b,1811.96,1,1,1,1,1,1,1,1,1,1\n";
        assert_eq!(read_tape(tape), [(29_056_635, 181_196, 29_056_695, 180_412)]);
        assert_eq!(missing(&[(1, 2, 3, 4), (1, 2, 3, 4)], &[(1, 2, 3, 4)]), 1);
    }
}
