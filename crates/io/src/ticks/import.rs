//! Files of trades into a store of bars.

use super::{SymbolBars, TickBars, TickError, TickLayout, TickOptions, bars_from_ticks};
use crate::{
    DataStore, Dialect, ImportError, ImportOptions, ImportReport,
    collect::Sink,
    files::{FilePool, LineFile},
    held::HeldBars,
    import::{Draft, choose_symbol, describe, io_error, with_hash},
    naming, write_bars,
};
use springtide_domain::Timeframe;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

impl DataStore {
    /// Sums files of trades up to bars of one timeframe; each symbol of a file becomes a data set. A file that is
    /// refused does not stop the others and leaves nothing. Results stand in the order of the files.
    ///
    /// The symbol is the file's own where it has a column for it, else `options.symbol`, else what the file's name
    /// says. Bars of the same symbol and timeframe are replaced, which the report notes; two files of one call for the
    /// same place are refused.
    pub fn import_trades(
        &self,
        pool: &FilePool,
        paths: &[PathBuf],
        timeframe: Timeframe,
        ticks: &TickOptions,
        options: &ImportOptions,
    ) -> Vec<Result<Vec<ImportReport>, ImportError>> {
        let mut taken = HashMap::new();
        let mut one = |path: &PathBuf| {
            let layout = TickLayout::detect(
                &LineFile::open(path).map_err(TickError::from)?,
                ticks.columns.as_deref(),
            )?;
            let read = bars_from_ticks(pool, path, timeframe, ticks.clone())?;
            self.keep(path, &layout, read, timeframe, options, &mut taken)
        };
        paths.iter().map(&mut one).collect()
    }

    fn keep(
        &self,
        path: &Path,
        layout: &TickLayout,
        read: TickBars,
        timeframe: Timeframe,
        options: &ImportOptions,
        taken: &mut HashMap<PathBuf, PathBuf>,
    ) -> Result<Vec<ImportReport>, ImportError> {
        if read.symbols.is_empty() {
            return Err(ImportError::Empty { path: path.to_owned(), hint: "there are no trades".into() });
        }
        if let (Some(given), Some(_)) = (&options.symbol, layout.symbol) {
            let found: Vec<&str> = read.symbols.iter().map(|s| s.symbol.as_str()).take(5).collect();
            let problem =
                format!("the file names its symbols ({}): leave out --symbol {given}", found.join(", "));
            return Err(ImportError::Identity { path: path.to_owned(), problem });
        }
        // Everything is judged before anything is written.
        let mut judged = Vec::with_capacity(read.symbols.len());
        for symbol in &read.symbols {
            judged.push(self.judge(path, layout, (symbol, read.out_of_order), timeframe, options, taken)?);
        }
        let mut reports = Vec::with_capacity(judged.len());
        for ((place, meta), symbol) in judged.into_iter().zip(&read.symbols) {
            write_bars(&place, &symbol.bars.view(), &meta)?;
            taken.insert(place, path.to_owned());
            reports.extend(meta.report);
        }
        Ok(reports)
    }

    /// Where a symbol's bars go, and what is to be said of them.
    fn judge(
        &self,
        path: &Path,
        layout: &TickLayout,
        (symbol, out_of_order): (&SymbolBars, u64),
        timeframe: Timeframe,
        options: &ImportOptions,
        taken: &HashMap<PathBuf, PathBuf>,
    ) -> Result<(PathBuf, crate::BarMeta), ImportError> {
        let guess = naming::guess(symbol_part(&path.file_stem().unwrap_or_default().to_string_lossy()));
        let info = match symbol.symbol.as_str() {
            "" if layout.symbol.is_some() => {
                let problem = "trades without a symbol: fill the column in or remove it".to_owned();
                return Err(ImportError::Identity { path: path.to_owned(), problem });
            }
            "" => choose_symbol(path, options, guess)?,
            name => naming::symbol_info(name, &guess.exchange),
        };
        let trades: u64 = symbol.trades.iter().sum();
        let mut draft = Draft::of_sound_text(trades);
        draft.dialect = Some(Dialect {
            delimiter: char::from(layout.delimiter),
            header_line: (layout.first_byte > 0).then_some(1),
            time_format: layout.unit.name().to_owned(),
        });
        draft.notes.push(format!("summed up from {trades} trades"));
        if layout.quantity.is_none() {
            draft.missing_volume = symbol.bars.time.len() as u64;
        }
        if out_of_order > 0 {
            draft.notes.push(format!(
                "{out_of_order} trades of the file come after a later one of their symbol: each counts for its own bar, whose open and \
                 close follow the file"
            ));
        }
        let mut bars = HeldBars::with_capacity(0);
        bars.append(&symbol.bars.view()).map_err(io_error(path))?;
        let meta = describe(path, draft, (info, timeframe), options, &mut bars)?;
        let mut meta = with_hash(meta, bars.finish(timeframe).1);
        let place = self.place(&meta.symbol, timeframe);
        self.claim(&place, path, &mut meta, taken)?;
        Ok((place, meta))
    }
}

/// What stands before the word for trades, as in `BTCUSDT-aggTrades-2024-01`; all where nothing does.
fn symbol_part(stem: &str) -> &str {
    let lower = stem.to_ascii_lowercase();
    let cut = ["aggtrades", "trades", "ticks"].iter().filter_map(|word| lower.find(word)).min();
    let before = stem[..cut.unwrap_or(stem.len())].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    if before.is_empty() { stem } else { before }
}
