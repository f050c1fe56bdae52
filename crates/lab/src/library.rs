//! Bars that scripts may ask for beside the market they trade on: those named for the batch, and the
//! imported ones. Looked for when a script asks, and kept as long as the batch.

use crate::{dataset::DataSet, ledger::OtherUse};
use springtide_domain::{Bars, ContentHash, SymbolInfo, Timeframe};
use springtide_io::{DataStore, ImportOptions, load_any};
use springtide_pine::vm::{Need, OtherBars, OtherData, is_symbol};
use springtide_runtime::locks::{Mutex, lock};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// All bars within reach of a batch.
#[derive(Debug, Default)]
pub struct Library {
    store: Option<PathBuf>,
    given: Vec<Entry>,
    /// Given ones first, then the store's, listed when the first script asks.
    entries: OnceLock<Vec<Entry>>,
    /// Bars by entry and timeframe; none where they could not be read.
    made: Mutex<HashMap<(usize, Timeframe), Slot>>,
}

type Slot = Arc<OnceLock<Option<Bars>>>;

#[derive(Clone, Debug)]
struct Entry {
    symbol: SymbolInfo,
    timeframe: Timeframe,
    path: PathBuf,
    hash: String,
    /// Bars already at hand; others are read from the path.
    bars: Option<Bars>,
}

impl Library {
    /// The bars of a store and of the markets of a batch, whole, as they are before any cut.
    pub fn new<'d>(store: &Path, markets: impl IntoIterator<Item = &'d DataSet>) -> Self {
        let given = markets.into_iter().map(|data| Entry {
            symbol: data.symbol.clone(),
            timeframe: data.whole_timeframe,
            path: data.path.clone(),
            hash: data.hash.to_string(),
            bars: Some(data.whole.clone()),
        });
        Self { store: Some(store.to_owned()), given: given.collect(), ..Self::default() }
    }

    /// Adds bars that a recorded run took from a file.
    pub fn add(
        &mut self,
        symbol: SymbolInfo,
        timeframe: Timeframe,
        path: PathBuf,
        hash: ContentHash,
        bars: Bars,
    ) {
        self.given.push(Entry { symbol, timeframe, path, hash: hash.to_string(), bars: Some(bars) });
        self.entries = OnceLock::new();
    }

    fn entries(&self) -> &[Entry] {
        self.entries.get_or_init(|| {
            let listed = self.store.as_ref().and_then(|store| DataStore::new(store).ls().ok());
            let stored = listed.map(|l| l.entries).unwrap_or_default().into_iter().map(|e| Entry {
                symbol: e.symbol,
                timeframe: e.timeframe,
                path: e.path,
                hash: e.hash,
                bars: None,
            });
            self.given.iter().cloned().chain(stored).collect()
        })
    }

    /// The place of the bars that serve a request: of the chart's exchange if there are any, then as long as
    /// possible, then the first.
    fn choose(&self, need: &Need, chart: &SymbolInfo) -> Option<usize> {
        let serves = |e: &Entry| {
            let (own, wanted) = (e.timeframe.nominal_ms(), need.timeframe.nominal_ms());
            let divides = !need.timeframe.is_intraday() || wanted % own == 0;
            is_symbol(&need.symbol, &e.symbol) && own <= wanted && divides
        };
        let rank = |e: &Entry| {
            let home = e.symbol.exchange.eq_ignore_ascii_case(&chart.exchange);
            (home, e.timeframe.nominal_ms())
        };
        let fitting = self.entries().iter().enumerate().filter(|(_, e)| serves(e));
        fitting.max_by(|(i, a), (k, b)| rank(a).cmp(&rank(b)).then(k.cmp(i))).map(|(k, _)| k)
    }

    /// What a run's requests are answered with, for its identity and its record.
    pub fn uses(&self, needs: &[Need], chart: &SymbolInfo) -> Vec<OtherUse> {
        let one = |need: &Need| {
            let entry = self.choose(need, chart).map(|k| &self.entries()[k]);
            OtherUse {
                symbol: need.symbol.clone(),
                timeframe: need.timeframe,
                source: entry.map(|e| e.symbol.clone()),
                path: entry.map_or_else(String::new, |e| e.path.display().to_string()),
                hash: entry.map_or_else(String::new, |e| e.hash.clone()),
            }
        };
        needs.iter().map(one).collect()
    }

    /// An entry's bars at a timeframe, read and made once.
    fn bars(&self, k: usize, timeframe: Timeframe) -> Option<Bars> {
        let slot = {
            let mut made = lock(&self.made);
            Arc::clone(made.entry((k, timeframe)).or_default())
        };
        slot.get_or_init(|| {
            let entry = &self.entries()[k];
            let bars = match &entry.bars {
                Some(bars) => bars.clone(),
                None => load_any(&entry.path, &ImportOptions::default(), None).ok()?.bars,
            };
            if timeframe == entry.timeframe {
                return Some(bars);
            }
            let SymbolInfo { timezone, session, .. } = &entry.symbol;
            springtide_domain::resample::resample(&bars.view(), timeframe, timezone, session)
                .ok()
                .map(Bars::from)
        })
        .clone()
    }
}

impl OtherData for Library {
    fn find(&self, symbol: &str, timeframe: Timeframe, chart: &SymbolInfo) -> Option<OtherBars> {
        let k = self.choose(&Need { symbol: symbol.to_owned(), timeframe }, chart)?;
        Some(OtherBars { bars: self.bars(k, timeframe)?, symbol: self.entries()[k].symbol.clone() })
    }

    fn finest(&self, symbol: &str, _: &SymbolInfo) -> Option<Timeframe> {
        let own = self.entries().iter().filter(|e| is_symbol(symbol, &e.symbol));
        own.map(|e| e.timeframe).min_by_key(|tf| tf.nominal_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_domain::OwnedBars;

    fn bars(minutes: i64, n: i64) -> OwnedBars {
        let mut out = OwnedBars::default();
        for i in 0..n {
            let x = 100.0 + i as f64;
            out.push(1_704_067_200_000 + i * minutes * 60_000, x, x + 1.0, x - 1.0, x, 1.0);
        }
        out
    }

    fn symbol(exchange: &str, ticker: &str) -> SymbolInfo {
        SymbolInfo { ticker: ticker.into(), exchange: exchange.into(), ..SymbolInfo::default() }
    }

    fn library(folder: &Path) -> Library {
        let store = DataStore::new(folder);
        for (exchange, minutes) in [("A", 1), ("A", 5), ("B", 1)] {
            let symbol = symbol(exchange, "ETHUSDT");
            store.put(&symbol, Timeframe::Minutes(minutes), &bars(i64::from(minutes), 60).view()).unwrap();
        }
        Library::new(folder, [])
    }

    #[test]
    fn bars_come_from_the_longest_that_divide() {
        let folder = tempfile::tempdir().unwrap();
        let library = library(folder.path());
        let chart = symbol("A", "BTCUSDT");
        let need =
            |symbol: &str, minutes| Need { symbol: symbol.into(), timeframe: Timeframe::Minutes(minutes) };
        let uses = library.uses(
            &[
                need("ETHUSDT", 15),
                need("A:ETHUSDT", 7),
                need("B:ethusdt", 15),
                need("C:ETHUSDT", 15),
                need("X", 1),
            ],
            &chart,
        );
        let from: Vec<_> =
            uses.iter().map(|u| u.path.rsplit(['/', '\\']).take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(from[..3], ["5.arrow A_ETHUSDT", "1.arrow A_ETHUSDT", "1.arrow B_ETHUSDT"]);
        assert!(uses[3].source.is_none() && uses[4].source.is_none() && uses[4].hash.is_empty());
        assert_ne!(uses[0].hash, uses[1].hash);
        // Made of the five minute bars, of which there are five hours.
        let found = library.find("ETHUSDT", Timeframe::Minutes(15), &chart).unwrap();
        assert_eq!((found.bars.len(), found.symbol.exchange.as_str()), (20, "A"));
        assert_eq!(found.bars.view().high[0], 103.0);
        assert_eq!(library.finest("ETHUSDT", &chart), Some(Timeframe::Minutes(1)));
        assert!(library.find("ETHUSDT", Timeframe::Seconds(30), &chart).is_none());
    }
}
