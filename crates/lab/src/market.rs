//! Markets by file, folder, glob or the name of imported bars.

use crate::{
    LabError,
    dataset::{Cut, DataSet},
    paths::expand,
};
use springtide_domain::{Severity, Timeframe, synth};
use springtide_io::{
    DATA_ENDINGS, DataEntry, DataStore, LoadedBars,
    files::{FilePool, PoolOptions},
    load_any,
    ticks::TickOptions,
};
use springtide_runtime::{CancelToken, GroupOptions, Priority};
use std::path::{Path, PathBuf};

pub use springtide_io::{DateOrder, Finding, ImportError, ImportOptions, ImportReport};

/// What to do about imported bars that cannot be read.
const IMPORT_AGAIN: &str = "the imported bars are damaged: `tide data import FILE` with the file that they came from puts them right";

/// What the command line says about the data.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Wanted {
    pub symbol: Option<String>,
    pub mintick: Option<f64>,
    pub min_qty: Option<f64>,
    pub skip_bad: bool,
}

/// Whether a file's ending says that it holds bars.
pub fn is_bar_file(path: &Path) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| DATA_ENDINGS.contains(&e.to_ascii_lowercase().as_str()))
}

/// Expands arguments to files. `SYMBOL:TIMEFRAME` or `SYMBOL` names imported bars; without arguments all
/// imported bars are meant.
///
/// Damaged bars are found, too: loading them tells what is wrong. Of a name that only damaged bars have, this does.
pub fn find(arguments: &[String], store: &Path) -> Result<Vec<String>, LabError> {
    let listing = || DataStore::new(store).ls().map_err(|e| LabError::Data(e.to_string()));
    let text = |path: &Path| path.display().to_string();
    if arguments.is_empty() {
        let listing = listing()?;
        let unreadable = listing.unreadable.iter().map(|finding| &finding.path);
        let all: Vec<String> =
            listing.entries.iter().map(|e| &e.path).chain(unreadable).map(|path| text(path)).collect();
        if all.is_empty() {
            return Err(LabError::Usage(
                "no data: name files with --data, or import some first with `tide data import FILE`".into(),
            ));
        }
        return Ok(all);
    }
    let mut found = Vec::new();
    for argument in arguments {
        let named = match Path::new(argument).exists() {
            true => Vec::new(),
            false => named(argument, store, &listing()?.entries)?,
        };
        if named.is_empty() {
            found.extend(expand(std::slice::from_ref(argument), &is_bar_file)?.iter().map(|p| text(p)));
        } else {
            found.extend(named);
        }
    }
    found.dedup();
    Ok(found)
}

fn named(argument: &str, store: &Path, entries: &[DataEntry]) -> Result<Vec<String>, LabError> {
    let (symbol, timeframe) = match argument.rsplit_once(':') {
        Some((symbol, tf)) => match tf.parse::<Timeframe>() {
            Ok(tf) => (symbol, Some(tf)),
            Err(_) => (argument, None),
        },
        None => (argument, None),
    };
    let sound = entries.iter().filter(|e| {
        e.symbol.ticker.eq_ignore_ascii_case(symbol) && timeframe.is_none_or(|t| t == e.timeframe)
    });
    let sound: Vec<&Path> = sound.map(|e| e.path.as_path()).collect();
    let damaged =
        DataStore::new(store).unreadable_of(symbol, timeframe).map_err(|e| LabError::Data(e.to_string()))?;
    if let ([], [first, ..]) = (&sound[..], &damaged[..]) {
        return Err(LabError::Data(format!(
            "{argument} at {}: {}; {IMPORT_AGAIN}",
            first.path.display(),
            first.message.split(';').next().unwrap_or_default()
        )));
    }
    let all = sound.into_iter().chain(damaged.iter().map(|finding| finding.path.as_path()));
    Ok(all.map(|path| path.display().to_string()).collect())
}

/// Loads one file's bars; what is no bar file yet is imported into `cache` first.
pub fn load(path: &str, store: &Path, cache: &Path, wanted: &Wanted, cut: Cut) -> Result<DataSet, LabError> {
    let options = ImportOptions {
        symbol: wanted.symbol.clone(),
        mintick: wanted.mintick,
        skip_bad: wanted.skip_bad,
        ..ImportOptions::default()
    };
    let file = locate(path, store);
    let LoadedBars { bars, file: bar_file, mut symbol, timeframe, hash, .. } =
        load_any(&file, &options, Some(cache)).map_err(|error| {
            let is_imported = file.starts_with(store) && !matches!(error, ImportError::Io { .. });
            let hint = if is_imported { format!("; {IMPORT_AGAIN}") } else { String::new() };
            LabError::Data(format!("{error}{hint}"))
        })?;
    symbol.min_qty = wanted.min_qty.unwrap_or(symbol.min_qty);
    // Absolute, so that a recorded run finds its data from any folder.
    let file = std::fs::canonicalize(&file).unwrap_or(file);
    DataSet::new(&file, symbol, timeframe, bars, hash, cut)
        .map(|data| data.mapped_from(bar_file))
        .map_err(|why| LabError::Data(format!("{path}: {why}")))
}

/// The path as given, else below the store's parent: a workspace may be looked at from elsewhere.
fn locate(path: &str, store: &Path) -> PathBuf {
    let given = PathBuf::from(path);
    if given.exists() || given.is_absolute() {
        return given;
    }
    let below = store.parent().map(|root| root.join(&given)).filter(|p| p.exists());
    below.unwrap_or(given)
}

/// Imports files into the store, until `cancel` is cancelled; results in the order of the files.
pub fn import(
    files: &[PathBuf],
    store: &Path,
    options: &ImportOptions,
    cancel: &CancelToken,
) -> Vec<Result<ImportReport, ImportError>> {
    to_be_filled(store, cancel).import(files, options)
}

/// The store, without what killed imports have left there.
fn to_be_filled(store: &Path, cancel: &CancelToken) -> DataStore {
    let store = DataStore::new(store).until(cancel);
    store.clear_up();
    store
}

/// How files of single trades become bars.
#[derive(Clone, Debug)]
pub struct Trades {
    /// Bar length.
    pub timeframe: Timeframe,
    /// Names of the columns from left to right, where the files have no head line.
    pub columns: Option<Vec<String>>,
    /// Class of the work.
    pub priority: Priority,
}

/// Sums files of trades up to bars and keeps them in the store, one data set per symbol, until `cancel` is cancelled;
/// results in the order of the files.
///
/// # Errors
/// When no threads can be started.
pub fn import_trades(
    files: &[PathBuf],
    store: &Path,
    options: &ImportOptions,
    trades: Trades,
    cancel: &CancelToken,
) -> Result<Vec<Result<Vec<ImportReport>, ImportError>>, LabError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pool =
        FilePool::new(PoolOptions { threads: Some(threads) }).map_err(|e| LabError::Data(e.to_string()))?;
    let group = GroupOptions { priority: trades.priority, cancel: cancel.clone(), ..GroupOptions::default() };
    let ticks = TickOptions { columns: trades.columns, skip_bad: options.skip_bad, group };
    Ok(to_be_filled(store, cancel).import_trades(&pool, files, trades.timeframe, &ticks, options))
}

/// Imported data sets, and files of the store that cannot be read.
pub fn list(store: &Path) -> Result<springtide_io::Listing, LabError> {
    DataStore::new(store).ls().map_err(|e| LabError::Data(e.to_string()))
}

/// Verifies the store.
pub fn check(store: &Path) -> Result<Vec<Finding>, LabError> {
    DataStore::new(store).check().map_err(|e| LabError::Data(e.to_string()))
}

/// Whether a finding makes data unusable.
pub fn is_error(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// Writes the demo's sample markets into the store; returns their number.
pub fn make_samples(store: &Path, seed: u64) -> Result<usize, LabError> {
    let store = DataStore::new(store);
    let markets = synth::demo_markets(seed);
    for market in &markets {
        store
            .put(&market.symbol, market.timeframe, &market.bars.view())
            .map_err(|e| LabError::Data(e.to_string()))?;
    }
    Ok(markets.len())
}
