//! What a whole batch leaves besides the ledger: the HTML report and the trade list.

use crate::{
    LabError,
    batch::{Market, Plan},
    dataset::DataSet,
    execute::RunSpec,
    ledger::RunRecord,
    report::{
        Page, RunDetail,
        detail::TradeRow,
        export::{self, TradeOwner},
    },
};
use springtide_pine::vm::Scratch;
use std::path::{Path, PathBuf};

/// Runs whose trades and equity are in the page.
const DETAILS: usize = 8;
/// Of these, the ones with candles; each adds about a megabyte for 31,000 bars.
const CANDLES: usize = 2;

/// Writes the report of a batch; the best runs are computed again for their trades.
pub fn write(
    out: &Path,
    title: &str,
    command: &str,
    made: String,
    runs: &[RunRecord],
    sort: &str,
    descending: bool,
    plan: &Plan,
) -> Result<(), LabError> {
    let mut page = Page::new(title, command, made, runs, sort, descending);
    let mut scratch = Scratch::default();
    let best: Vec<String> = page.runs.iter().take(DETAILS).map(|r| r.run.clone()).collect();
    for (place, id) in best.iter().enumerate() {
        if let Some(record) = runs.iter().find(|r| r.id.as_str() == id)
            && let Some(detail) = detail(plan, record, &mut scratch, place < CANDLES)
        {
            page.details.push(detail);
        }
    }
    let html = page.html();
    export::write_file(out, |file| file.write_all(html.as_bytes()))
}

fn detail(plan: &Plan, record: &RunRecord, scratch: &mut Scratch, candles: bool) -> Option<RunDetail> {
    let data = plan.markets.iter().find_map(|m| match m {
        Market::Ready(data) if data.hash.to_string() == record.data_hash && data.name == record.data => {
            Some(data)
        }
        _ => None,
    })?;
    let data: &DataSet = data;
    let strategy =
        plan.strategies.iter().map(|(s, _)| s).find(|s| s.source.hash.to_string() == record.strategy_hash)?;
    let spec = RunSpec {
        strategy,
        data,
        params: record.asked().clone(),
        rules: &record.rules,
        overrides: &plan.overrides,
        library: &plan.library,
        python: plan.python.as_deref(),
    };
    let number = record.python.as_ref().map_or(0, |facts| facts.number);
    let (output, own) = spec.repeat(number, scratch).ok()?;
    let data = own.as_ref().unwrap_or(data);
    Some(RunDetail::new(record.id.as_str(), data, &output, record.setup.account.initial_capital, candles))
}

/// Collects trades of all runs into one file: CSV is streamed, Parquet and JSON are written at the end.
#[derive(Debug)]
pub struct TradeSink {
    path: PathBuf,
    kind: Kind,
    runs: Vec<(TradeOwner, Vec<TradeRow>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Csv,
    Parquet,
    Json,
}

impl TradeSink {
    /// By the file's ending: .csv, .parquet or .json.
    pub fn create(path: &Path) -> Result<Self, LabError> {
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Kind::Csv,
            Some("parquet") => Kind::Parquet,
            Some("json") => Kind::Json,
            _ => {
                return Err(LabError::Usage(format!(
                    "--trades {}: the name must end in .csv, .parquet or .json",
                    path.display()
                )));
            }
        };
        Ok(Self { path: path.to_owned(), kind, runs: Vec::new() })
    }

    /// Takes one run's trades.
    pub fn add(&mut self, owner: &TradeOwner, trades: Vec<TradeRow>) {
        self.runs.push((owner.clone(), trades));
    }

    /// Writes the file, runs in the order of their ids, and returns its path.
    pub fn finish(&mut self) -> Result<PathBuf, LabError> {
        let mut runs = std::mem::take(&mut self.runs);
        runs.sort_by(|a, b| a.0.run.cmp(&b.0.run));
        match self.kind {
            Kind::Csv => export::write_file(&self.path, |out| {
                export::csv_header(out)?;
                runs.iter().try_for_each(|(owner, trades)| export::csv_rows(out, owner, trades))
            })?,
            Kind::Parquet => {
                let bytes = export::parquet(&runs)?;
                export::write_file(&self.path, |out| out.write_all(&bytes))?;
            }
            Kind::Json => export::write_file(&self.path, |out| {
                for (owner, trades) in &runs {
                    let line = serde_json::json!({
                        "run": owner.run, "strategy": owner.strategy, "symbol": owner.symbol,
                        "timeframe": owner.timeframe, "trades": trades,
                    });
                    writeln!(out, "{line}")?;
                }
                Ok(())
            })?,
        }
        Ok(self.path.clone())
    }
}
