//! The data of an HTML report.

use super::RunDetail;
use crate::ledger::RunRecord;
use serde::Serialize;
use springtide_domain::{Params, RunStatus};
use springtide_engine::{
    metrics::{METRICS, Metrics},
    rules::{LIBRARIES, PRESETS},
};
use std::collections::BTreeMap;

/// Metrics in the leaderboard's columns.
pub const BOARD_METRICS: &[&str] = &[
    "return_pct",
    "max_drawdown_pct",
    "sharpe",
    "profit_factor",
    "win_rate_pct",
    "trades",
    "exposure_pct",
    "buy_and_hold_pct",
];
/// Metrics on a run's cards.
pub const CARD_METRICS: &[&str] = &[
    "net_profit",
    "return_pct",
    "cagr_pct",
    "buy_and_hold_pct",
    "max_drawdown_pct",
    "max_drawdown_duration_ms",
    "sharpe",
    "sortino",
    "calmar",
    "profit_factor",
    "win_rate_pct",
    "trades",
    "expectancy",
    "avg_trade_pct",
    "sqn",
    "exposure_pct",
    "long_net_profit",
    "short_net_profit",
    "commission_paid",
    "equity_final",
];
/// Rows of the leaderboard kept in a page.
const ROWS_MAX: usize = 2_000;
const FAILURES_MAX: usize = 200;
/// Cells of one heat map.
const CELLS_MAX: usize = 10_000;

/// Everything a page shows.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Page {
    pub title: String,
    pub command: String,
    pub engine: &'static str,
    /// When it was made, text.
    pub made: String,
    pub totals: Totals,
    pub metrics: Vec<MetricRow>,
    pub board_metrics: &'static [&'static str],
    pub card_metrics: &'static [&'static str],
    pub runs: Vec<RunRow>,
    pub details: Vec<RunDetail>,
    pub heatmaps: Vec<HeatMap>,
    pub spread: Option<Spread>,
    pub failures: Vec<FailureRow>,
}

/// Counts of the whole batch, beyond what the page keeps.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Totals {
    pub ok: u64,
    pub failed: u64,
}

/// A metric's name, unit and definition for tooltips.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct MetricRow {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub definition: &'static str,
    pub higher_is_better: Option<bool>,
}

/// A row of the leaderboard.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct RunRow {
    pub run: String,
    pub strategy: String,
    pub symbol: String,
    pub timeframe: String,
    pub params: Params,
    pub rules: String,
    pub status: &'static str,
    pub metrics: Option<Metrics>,
}

/// A run that failed.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct FailureRow {
    pub strategy: String,
    pub market: String,
    pub status: &'static str,
    pub error: String,
}

/// Two swept inputs against each other; where more are swept, the best over the others.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct HeatMap {
    pub strategy: String,
    pub data: String,
    pub metric: String,
    pub x: String,
    pub y: String,
    pub xs: Vec<String>,
    pub ys: Vec<String>,
    pub cells: Vec<HeatCell>,
}

/// One cell.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct HeatCell {
    pub x: String,
    pub y: String,
    pub run: String,
    pub metrics: BTreeMap<&'static str, Option<f64>>,
}

/// Returns under every preset of broker rules.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Spread {
    pub presets: Vec<String>,
    pub rows: Vec<SpreadRow>,
}

/// One strategy on one market.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct SpreadRow {
    pub strategy: String,
    pub market: String,
    /// Return in percent by preset.
    pub returns: Vec<Option<f64>>,
    /// Highest less lowest, percentage points.
    pub spread: Option<f64>,
}

impl Page {
    /// A page of a batch's runs, best first by `sort`.
    pub fn new(
        title: &str,
        command: &str,
        made: String,
        runs: &[RunRecord],
        sort: &str,
        descending: bool,
    ) -> Self {
        let mut good: Vec<&RunRecord> = runs.iter().filter(|r| r.status == RunStatus::Ok).collect();
        let key = |r: &RunRecord| r.metrics.as_ref().and_then(|m| m.get(sort));
        good.sort_by(|a, b| rank(key(a), key(b), descending).then_with(|| a.id.cmp(&b.id)));
        let failed: Vec<&RunRecord> = runs.iter().filter(|r| r.status != RunStatus::Ok).collect();
        let info = METRICS.iter().map(|m| MetricRow {
            name: m.name,
            title: m.title,
            unit: m.unit.as_str(),
            definition: m.definition,
            higher_is_better: m.higher_is_better,
        });
        Self {
            title: title.into(),
            command: command.into(),
            engine: crate::execute::ENGINE_VERSION,
            made,
            totals: Totals { ok: good.len() as u64, failed: failed.len() as u64 },
            metrics: info.collect(),
            board_metrics: BOARD_METRICS,
            card_metrics: CARD_METRICS,
            runs: good.iter().take(ROWS_MAX).map(|r| RunRow::new(r)).collect(),
            details: Vec::new(),
            heatmaps: heatmaps(&good, sort, descending),
            spread: spread(&good),
            failures: failed.iter().take(FAILURES_MAX).map(|r| failure(r)).collect(),
        }
    }
}

impl RunRow {
    fn new(run: &RunRecord) -> Self {
        Self {
            run: run.id.to_string(),
            strategy: run.strategy.clone(),
            symbol: run.symbol.clone(),
            timeframe: run.timeframe.clone(),
            params: run.params.clone(),
            rules: run.rules.name.clone(),
            status: run.status.as_str(),
            metrics: run.metrics.clone(),
        }
    }
}

fn failure(run: &RunRecord) -> FailureRow {
    FailureRow {
        strategy: run.strategy.clone(),
        market: run.data.clone(),
        status: run.status.as_str(),
        error: run.error.clone().unwrap_or_default(),
    }
}

/// Best first; runs without the metric last.
pub fn rank(a: Option<f64>, b: Option<f64>, descending: bool) -> std::cmp::Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.total_cmp(&a),
        (Some(a), Some(b)) => a.total_cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => std::cmp::Ordering::Equal,
    }
}

/// A heat map for each strategy and market with at least two swept inputs: the two with most values.
fn heatmaps(runs: &[&RunRecord], sort: &str, descending: bool) -> Vec<HeatMap> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&RunRecord>> = BTreeMap::new();
    for run in runs {
        groups.entry((&run.strategy, &run.data, &run.rules.name)).or_default().push(run);
    }
    groups.into_values().filter_map(|group| heatmap(&group, sort, descending)).take(12).collect()
}

fn heatmap(group: &[&RunRecord], sort: &str, descending: bool) -> Option<HeatMap> {
    let mut axes: BTreeMap<&str, Vec<(f64, String)>> = BTreeMap::new();
    for (name, value) in group.iter().flat_map(|run| &run.params) {
        let values = axes.entry(name).or_default();
        let text = value.to_string();
        if !values.iter().any(|(_, t)| *t == text) {
            values.push((value.as_f64().unwrap_or(f64::NAN), text));
        }
    }
    let mut axes: Vec<(&str, Vec<(f64, String)>)> = axes.into_iter().filter(|(_, v)| v.len() > 1).collect();
    axes.sort_by_key(|(_, values)| std::cmp::Reverse(values.len()));
    let [(y, ys), (x, xs)] = axes.get(..2)? else { return None };
    if xs.len() * ys.len() > CELLS_MAX {
        return None;
    }
    let mut cells: BTreeMap<(String, String), &RunRecord> = BTreeMap::new();
    let key = |r: &RunRecord| r.metrics.as_ref().and_then(|m| m.get(sort));
    for run in group {
        let (Some(xv), Some(yv)) = (run.params.get(*x), run.params.get(*y)) else { continue };
        let cell = cells.entry((xv.to_string(), yv.to_string())).or_insert(run);
        if rank(key(run), key(cell), descending).is_lt() {
            *cell = run;
        }
    }
    let cell = |((x, y), run): ((String, String), &RunRecord)| HeatCell {
        x,
        y,
        run: run.id.to_string(),
        metrics: BOARD_METRICS.iter().map(|m| (*m, run.metrics.as_ref().and_then(|v| v.get(m)))).collect(),
    };
    Some(HeatMap {
        strategy: group[0].strategy.clone(),
        data: group[0].data.clone(),
        metric: if BOARD_METRICS.contains(&sort) { sort.into() } else { BOARD_METRICS[0].into() },
        x: (*x).into(),
        y: (*y).into(),
        xs: ordered(xs),
        ys: ordered(ys),
        cells: cells.into_iter().map(cell).collect(),
    })
}

fn ordered(values: &[(f64, String)]) -> Vec<String> {
    let mut values = values.to_vec();
    values.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    values.into_iter().map(|(_, text)| text).collect()
}

/// The rules table, when the runs were made under several presets.
pub fn spread(runs: &[&RunRecord]) -> Option<Spread> {
    let libraries = LIBRARIES.iter().filter(|name| !PRESETS.contains(name));
    let presets: Vec<String> = PRESETS
        .iter()
        .chain(libraries)
        .filter(|p| runs.iter().any(|r| r.rules.name == **p))
        .map(|p| (*p).to_owned())
        .collect();
    if presets.len() < 2 {
        return None;
    }
    let mut groups: BTreeMap<(String, String), Vec<Option<f64>>> = BTreeMap::new();
    for run in runs {
        let mut name = run.strategy.clone();
        name.extend(run.asked().iter().map(|(k, v)| format!(" {k}={v}")));
        // The same call of a script may come to other parameters under other rules.
        if let Some(facts) = run.python.as_ref().filter(|facts| facts.runs > 1) {
            name.push_str(&format!(" run {}", facts.number + 1));
        }
        let row = groups.entry((name, run.data.clone())).or_insert_with(|| vec![None; presets.len()]);
        if let Some(k) = presets.iter().position(|p| *p == run.rules.name) {
            row[k] = run.metrics.as_ref().and_then(|m| m.get("return_pct"));
        }
    }
    let rows = groups.into_iter().map(|((strategy, market), returns)| {
        let known = || returns.iter().flatten().copied();
        let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
        SpreadRow { strategy, market, spread: (high >= low).then_some(high - low), returns }
    });
    Some(Spread { presets, rows: rows.collect() })
}
