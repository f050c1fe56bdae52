//! Files of trades into a store of bars.

use super::{SymbolBars, TickBars, TickLayout, TickOptions, read_file};
use crate::{
    BarMeta, DataStore, Dialect, ImportError, ImportOptions, ImportReport, SourceFormat,
    atomic::Passing,
    bar_file::BarWriter,
    collect::Sink,
    files::FilePool,
    held::HeldBars,
    import::{
        Draft, Stamp, choose_symbol, describe, format_of, io_error, store_error, symbol_named, with_hash,
    },
    naming,
    report::excerpt,
};
use springtide_domain::Timeframe;
use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    path::{Path, PathBuf},
};

/// Symbols named in a message.
const NAMED: usize = 5;

impl DataStore {
    /// Sums files of trades up to bars of one timeframe; each symbol of a file becomes a data set. A file that is
    /// refused does not stop the others and leaves nothing: all its bars are written before any take their places.
    /// Should one not go to its place, the error says which did. Results stand in the order of the files.
    ///
    /// The symbol is the file's own where it has a column for it, else `options.symbol`, else what the file's name
    /// says. Bars of the same symbol and timeframe are replaced, which the report notes; two files of one call, or two
    /// symbols of a file, for the same place are refused. `options.skip_bad` counts, not that of `ticks`.
    pub fn import_trades(
        &self,
        pool: &FilePool,
        paths: &[PathBuf],
        timeframe: Timeframe,
        ticks: &TickOptions,
        options: &ImportOptions,
    ) -> Vec<Result<Vec<ImportReport>, ImportError>> {
        let ticks = TickOptions { skip_bad: options.skip_bad, ..ticks.clone() };
        let mut taken = HashMap::new();
        let mut one = |path: &PathBuf| {
            let (layout, read) = read_unchanging(pool, path, timeframe, ticks.clone())?;
            self.keep(path, &layout, &read, timeframe, options, &mut taken)
        };
        paths.iter().map(&mut one).collect()
    }

    fn keep(
        &self,
        path: &Path,
        layout: &TickLayout,
        read: &TickBars,
        timeframe: Timeframe,
        options: &ImportOptions,
        taken: &mut HashMap<PathBuf, PathBuf>,
    ) -> Result<Vec<ImportReport>, ImportError> {
        if read.symbols.is_empty() {
            let hint = match read.bad.count {
                0 => "there are no trades".to_owned(),
                n => format!("all {n} rows were left out as bad"),
            };
            return Err(ImportError::Empty { path: path.to_owned(), hint });
        }
        if let (Some(given), Some(_)) = (&options.symbol, layout.symbol) {
            let found = listed(&read.symbols);
            let problem = format!("the file names its symbols ({found}): leave out --symbol {given}");
            return Err(ImportError::Identity { path: path.to_owned(), problem });
        }
        // Everything is judged before anything is written, and written before anything is replaced.
        let mut judged = Vec::with_capacity(read.symbols.len());
        let mut own = HashMap::new();
        for symbol in &read.symbols {
            let (place, meta) = self.judge(path, layout, (symbol, read), timeframe, options, taken)?;
            claim_within(path, &mut own, &place, &symbol.symbol)?;
            judged.push((place, meta));
        }
        let mut written = Vec::with_capacity(judged.len());
        for ((_, meta), symbol) in judged.iter().zip(&read.symbols) {
            written.push(self.write_unplaced(symbol, meta).map_err(store_error(self.root()))?);
        }
        for (at, (file, (place, _))) in written.into_iter().zip(&judged).enumerate() {
            file.commit(place).map_err(|error| store_error(place)(half_done(error, &read.symbols, at)))?;
            taken.insert(place.clone(), path.to_owned());
        }
        Ok(judged.into_iter().filter_map(|(_, meta)| meta.report).collect())
    }

    /// Writes a symbol's bars whole, under a passing name.
    fn write_unplaced(&self, symbol: &SymbolBars, meta: &BarMeta) -> io::Result<Passing> {
        let bars = symbol.bars.view();
        let mut writer = BarWriter::create_in(self.root(), bars.len() as u64)?;
        writer.push(&bars)?;
        writer.seal(meta)
    }

    /// Where a symbol's bars go, and what is to be said of them.
    fn judge(
        &self,
        path: &Path,
        layout: &TickLayout,
        (symbol, read): (&SymbolBars, &TickBars),
        timeframe: Timeframe,
        options: &ImportOptions,
        taken: &HashMap<PathBuf, PathBuf>,
    ) -> Result<(PathBuf, BarMeta), ImportError> {
        let guess = naming::guess(symbol_part(&path.file_stem().unwrap_or_default().to_string_lossy()));
        let info = match layout.symbol {
            None => choose_symbol(path, options, guess)?,
            Some(_) if symbol.symbol.trim().is_empty() => {
                let problem = "trades without a symbol: fill the column in or remove it".to_owned();
                return Err(ImportError::Identity { path: path.to_owned(), problem });
            }
            Some(_) => symbol_named(path, &symbol.symbol, &guess.exchange)?,
        };
        let trades: u64 = symbol.trades.iter().sum();
        let mut draft = Draft::of_sound_text(trades);
        draft.dialect = Some(Dialect {
            delimiter: char::from(layout.delimiter),
            header_line: layout.head_line.then_some(1),
            time_format: layout.unit.name().to_owned(),
        });
        (draft.columns, draft.ignored) = layout.describe();
        draft.bad = read.bad.clone();
        draft.notes.push(format!("summed up from {trades} trades"));
        if layout.quantity.is_none() {
            draft.missing_volume = symbol.bars.time.len() as u64;
        }
        if read.out_of_order > 0 {
            draft.notes.push(format!(
                "{} trades of the file come after a later one of their symbol: each counts for its own bar, whose open and \
                 close follow the file",
                read.out_of_order
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

/// Reads a text that stays what it is meanwhile.
fn read_unchanging(
    pool: &FilePool,
    path: &Path,
    timeframe: Timeframe,
    ticks: TickOptions,
) -> Result<(TickLayout, TickBars), ImportError> {
    let before = Stamp::of(path)?;
    let format = format_of(path)?;
    if format != SourceFormat::Csv {
        let problem = format!("this is a file of the kind {format}");
        let hint = "trades are read from text only: write it as CSV".to_owned();
        return Err(ImportError::Columns { path: path.to_owned(), problem, hint });
    }
    let read = read_file(pool, path, timeframe, ticks);
    // What was wrong with a file that changed says nothing of what it is now.
    before.require_unchanged(path)?;
    Ok(read?)
}

/// Refuses two symbols of one file whose names make the same folder.
fn claim_within<'a>(
    path: &Path,
    own: &mut HashMap<PathBuf, &'a str>,
    place: &Path,
    symbol: &'a str,
) -> Result<(), ImportError> {
    match own.entry(place.to_owned()) {
        Entry::Vacant(entry) => {
            entry.insert(symbol);
            Ok(())
        }
        Entry::Occupied(other) => {
            let problem = format!(
                "the symbols `{}` and `{}` would both go to {}: write one of them otherwise",
                excerpt(other.get().as_bytes()),
                excerpt(symbol.as_bytes()),
                place.display()
            );
            Err(ImportError::Identity { path: path.to_owned(), problem })
        }
    }
}

/// The first symbols by name, and how many more there are.
fn listed(symbols: &[SymbolBars]) -> String {
    let names: Vec<String> = symbols.iter().take(NAMED).map(|s| excerpt(s.symbol.as_bytes())).collect();
    match symbols.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Why a symbol could not be put in its place, and which were before it.
fn half_done(error: io::Error, symbols: &[SymbolBars], done: usize) -> io::Error {
    if done == 0 {
        return error;
    }
    let done = listed(&symbols[..done]);
    io::Error::new(
        error.kind(),
        format!("{error}; in place are {done}, the others are as they were: import it again"),
    )
}

/// What stands before the word for trades, as in `BTCUSDT-aggTrades-2024-01`; all without such a word.
fn symbol_part(stem: &str) -> &str {
    let lower = stem.to_ascii_lowercase();
    let cut = ["aggtrades", "trades", "ticks"].iter().filter_map(|word| lower.find(word)).min();
    cut.map_or(stem, |at| stem[..at].trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
}
