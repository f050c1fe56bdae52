//! One file of bars, whatever its kind: read, judged, identified, and kept in memory or as a bar file.

use crate::{
    atomic::remove_left,
    bar_file::{self, BarFile, BarMeta, BarWriter, content_hash, parse_hash},
    collect::{Collector, Sink},
    columns,
    csv::{CsvReader, Source},
    gaps::GapFinder,
    held::HeldBars,
    naming,
    report::{
        Dialect, ImportError, ImportOptions, ImportReport, RowIssues, SourceFormat, Unwritten, is_refused,
    },
    tick,
};
use jiff::tz::TimeZone;
use springtide_domain::{Bars, ContentHash, OwnedBars, SymbolInfo, Timeframe};
use springtide_runtime::CancelToken;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Changes when equal files may import differently than before: older cached imports are then not used.
const CACHE_VERSION: &str = "1";
/// A file changed so shortly before may change again without a new time stamp.
const SETTLED: Duration = Duration::from_millis(100);
/// Times looked through at once for gaps.
const TIME_BLOCK: u64 = 1 << 16;

/// Bars ready for use, in memory or mapped.
#[derive(Clone, Debug)]
pub struct LoadedBars {
    /// The columns.
    pub bars: Bars,
    /// The bar file that they are mapped from.
    pub file: Option<Arc<BarFile>>,
    /// The instrument.
    pub symbol: SymbolInfo,
    /// Bar length.
    pub timeframe: Timeframe,
    /// Content hash of all bars.
    pub hash: ContentHash,
    /// The import's findings; none for bar files that were not imported.
    pub report: Option<ImportReport>,
    /// Nothing was parsed: the bars are those of an earlier import or of a bar file.
    pub cached: bool,
}

/// The error of a file that is read; or of what is made of it.
pub(crate) fn io_error(path: &Path) -> impl Fn(io::Error) -> ImportError + '_ {
    move |source| match source.downcast::<Unwritten>() {
        Ok(Unwritten { path, source }) => ImportError::Store { path, source },
        Err(source) => ImportError::Io { path: path.to_owned(), source },
    }
}

/// The error of a file that is written.
pub(crate) fn store_error(path: &Path) -> impl Fn(io::Error) -> ImportError + '_ {
    move |source| ImportError::Store { path: path.to_owned(), source }
}

/// Kind of a file by its first bytes.
pub(crate) fn format_of(path: &Path) -> Result<SourceFormat, ImportError> {
    let mut head = Vec::new();
    File::open(path).and_then(|f| f.take(8).read_to_end(&mut head)).map_err(io_error(path))?;
    let packed = |what: &str| ImportError::Columns {
        path: path.to_owned(),
        problem: format!("this is a {what} file"),
        hint: "unpack it first".into(),
    };
    match head.as_slice() {
        [b'P', b'A', b'R', b'1', ..] => Ok(SourceFormat::Parquet),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xff, 0xff, 0xff, 0xff, ..] => Ok(SourceFormat::Arrow),
        [0x1f, 0x8b, ..] => Err(packed("gzip")),
        [b'P', b'K', 3, 4, ..] => Err(packed("zip (or spreadsheet)")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Err(packed("Zstandard")),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Err(packed("xz")),
        [b'B', b'Z', b'h', ..] => Err(packed("bzip2")),
        _ => Ok(SourceFormat::Csv),
    }
}

/// What reading a source gave, before symbol and timeframe are known.
pub(crate) struct Draft {
    format: SourceFormat,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) ignored: Vec<String>,
    pub(crate) notes: Vec<String>,
    rows: u64,
    pub(crate) bad: RowIssues,
    duplicates: RowIssues,
    out_of_order: RowIssues,
    reversed: bool,
    sorted: bool,
    pub(crate) missing_volume: u64,
}

impl Draft {
    /// So many rows of text, all of them sound.
    pub(crate) fn of_sound_text(rows: u64) -> Self {
        Self {
            format: SourceFormat::Csv,
            dialect: None,
            columns: Vec::new(),
            ignored: Vec::new(),
            notes: Vec::new(),
            rows,
            bad: RowIssues::default(),
            duplicates: RowIssues::default(),
            out_of_order: RowIssues::default(),
            reversed: false,
            sorted: false,
            missing_volume: 0,
        }
    }

    /// Judges what was collected: refuses bad rows and disorder, puts rows in order.
    fn settle<K: Sink>(
        path: &Path,
        format: SourceFormat,
        mut collector: Collector<'_, K>,
        options: &ImportOptions,
    ) -> Result<Self, ImportError> {
        let ordered = collector.arrange().map_err(io_error(path))?;
        if collector.bad.count > 0 && !options.skip_bad {
            return Err(ImportError::BadRows { path: path.to_owned(), issues: collector.bad });
        }
        if !ordered {
            let issues = collector.out_of_order;
            let first = issues.samples.first();
            let (line, text) = first.map_or((0, String::new()), |s| (s.line, s.text.clone()));
            return Err(ImportError::Disorder { path: path.to_owned(), line, text, issues });
        }
        if collector.bars == 0 {
            let hint = match collector.rows {
                0 => "there are no rows".to_owned(),
                n => format!("all {n} rows were left out as bad"),
            };
            return Err(ImportError::Empty { path: path.to_owned(), hint });
        }
        Ok(Self {
            format,
            bad: collector.bad,
            duplicates: collector.duplicates,
            out_of_order: collector.out_of_order,
            reversed: collector.reversed,
            sorted: collector.sorted,
            missing_volume: collector.missing_volume,
            ..Self::of_sound_text(collector.rows)
        })
    }
}

fn zone_of(path: &Path, options: &ImportOptions) -> Result<TimeZone, ImportError> {
    springtide_domain::resample::zone(options.timezone.as_deref().unwrap_or("UTC"))
        .map_err(|e| ImportError::Identity { path: path.to_owned(), problem: e.to_string() })
}

fn read_csv<S: Source + ?Sized, K: Sink + Send>(
    path: &Path,
    reader: &CsvReader<'_, S>,
    options: &ImportOptions,
    sink: &mut K,
) -> Result<Draft, ImportError> {
    let mut collector = Collector::new(sink, 0, options.sort);
    let found = reader.read(options, &mut collector)?;
    let draft = Draft::settle(path, SourceFormat::Csv, collector, options)?;
    let dialect = Some(found.dialect);
    Ok(Draft { dialect, columns: found.columns, ignored: found.ignored, notes: found.notes, ..draft })
}

fn read_columns<K: Sink>(
    path: &Path,
    format: SourceFormat,
    options: &ImportOptions,
    sink: &mut K,
) -> Result<Draft, ImportError> {
    let mut collector = Collector::new(sink, 0, options.sort);
    let found = columns::read(path, format, &zone_of(path, options)?, options, &mut collector)?;
    let draft = Draft::settle(path, format, collector, options)?;
    Ok(Draft { columns: found.columns, ignored: found.ignored, notes: found.notes, ..draft })
}

/// Symbol, timeframe, price step and gaps of what was read; everything but the hash.
fn identify<K: Sink>(
    path: &Path,
    mut draft: Draft,
    options: &ImportOptions,
    sink: &mut K,
) -> Result<BarMeta, ImportError> {
    let guess = naming::guess(&path.file_stem().unwrap_or_default().to_string_lossy());
    let rows = sink.rows();
    let detected = Timeframe::detect(&sink.times(0..rows.min(2_001)).map_err(io_error(path))?);
    let timeframe = choose_timeframe(path, options.timeframe, guess.timeframe, detected, &mut draft.notes)?;
    let symbol = choose_symbol(path, options, guess)?;
    describe(path, draft, (symbol, timeframe), options, sink)
}

/// What was given counts; else what the file's name says.
pub(crate) fn choose_symbol(
    path: &Path,
    options: &ImportOptions,
    guess: naming::NameGuess,
) -> Result<SymbolInfo, ImportError> {
    match (&options.symbol, guess.ticker) {
        (Some(given), _) => symbol_named(path, given, &guess.exchange),
        (None, Some(ticker)) => symbol_named(path, &ticker, &guess.exchange),
        (None, None) => {
            let problem = "the file's name names no symbol: pass --symbol".to_owned();
            Err(ImportError::Identity { path: path.to_owned(), problem })
        }
    }
}

/// The symbol of a name, which must be more than blanks or an exchange.
pub(crate) fn symbol_named(path: &Path, name: &str, exchange: &str) -> Result<SymbolInfo, ImportError> {
    let symbol = naming::symbol_info(name, exchange);
    if symbol.ticker.trim().is_empty() {
        let problem = format!("the symbol `{name}` has no name: write one like BTC-USD or COINBASE:BTC-USD");
        return Err(ImportError::Identity { path: path.to_owned(), problem });
    }
    Ok(symbol)
}

/// Price step and gaps of what was read; everything but the hash.
pub(crate) fn describe<K: Sink>(
    path: &Path,
    draft: Draft,
    (mut symbol, timeframe): (SymbolInfo, Timeframe),
    options: &ImportOptions,
    sink: &mut K,
) -> Result<BarMeta, ImportError> {
    let (mut notes, rows) = (draft.notes, sink.rows());
    symbol.mintick = price_step(path, options, sink, &mut notes)?;
    let gaps = scan_gaps(sink, timeframe).map_err(io_error(path))?;
    if gaps.short_steps > 0 {
        notes.push(format!("{} bars follow sooner than {timeframe} after the bar before", gaps.short_steps));
    }
    if draft.reversed {
        notes.push("the file runs from the latest bar to the earliest: it was turned round".into());
    }
    let edge = |row: u64, sink: &mut K| sink.times(row..row + 1).map(|t| t[0]).map_err(io_error(path));
    let report = ImportReport {
        source: path.display().to_string(),
        format: draft.format,
        dialect: draft.dialect,
        columns: draft.columns,
        ignored_columns: draft.ignored,
        symbol: symbol.ticker.clone(),
        timeframe,
        mintick: symbol.mintick,
        rows: draft.rows,
        bars: rows,
        from_ms: edge(0, sink)?,
        to_ms: edge(rows - 1, sink)?,
        hash: String::new(),
        bad_rows: draft.bad,
        duplicates: draft.duplicates,
        out_of_order: draft.out_of_order,
        reversed: draft.reversed,
        sorted: draft.sorted,
        missing_volume: draft.missing_volume,
        gaps,
        notes,
    };
    let source = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(BarMeta { symbol, timeframe, source, report: Some(report) })
}

/// What was given counts; else what the steps show; the name decides only where steps cannot (`3M`, one bar).
fn choose_timeframe(
    path: &Path,
    given: Option<Timeframe>,
    named: Option<Timeframe>,
    detected: Option<Timeframe>,
    notes: &mut Vec<String>,
) -> Result<Timeframe, ImportError> {
    let close = |a: Timeframe, b: Timeframe| {
        let (a, b) = (a.nominal_ms(), b.nominal_ms());
        (a - b).abs() * 10 <= a.max(b)
    };
    match (given, named, detected) {
        (Some(given), _, detected) => {
            if let Some(step) = detected.filter(|d| *d != given) {
                notes.push(format!("the bars are {step} apart; {given} was asked for and taken"));
            }
            Ok(given)
        }
        (None, Some(named), Some(detected)) if named.nominal_ms() == detected.nominal_ms() => Ok(detected),
        (None, Some(named), Some(detected)) if !named.is_intraday() && close(named, detected) => Ok(named),
        (None, Some(named), Some(detected)) => {
            notes.push(format!(
                "the file's name says {named}, but the bars are {detected} apart: {detected} was taken"
            ));
            Ok(detected)
        }
        (None, None, Some(detected)) => Ok(detected),
        (None, Some(named), None) => Ok(named),
        (None, None, None) => {
            let problem = "one bar does not tell its length: pass --timeframe".to_owned();
            Err(ImportError::Identity { path: path.to_owned(), problem })
        }
    }
}

fn price_step<K: Sink>(
    path: &Path,
    options: &ImportOptions,
    sink: &mut K,
    notes: &mut Vec<String>,
) -> Result<f64, ImportError> {
    if let Some(mintick) = options.mintick {
        if mintick > 0.0 && mintick.is_finite() {
            return Ok(mintick);
        }
        let problem = format!("a price step of {mintick} is impossible: pass a number above zero");
        return Err(ImportError::Identity { path: path.to_owned(), problem });
    }
    let found = tick::infer(&sample_prices(sink).map_err(io_error(path))?);
    notes.extend(found.note);
    Ok(found.mintick)
}

/// Prices of sixteen stretches spread over the bars; of all bars where they are few.
fn sample_prices<K: Sink>(sink: &mut K) -> io::Result<Vec<f64>> {
    const STRETCHES: u64 = 16;
    let (rows, length) = (sink.rows(), tick::TICK_SAMPLE as u64 / 4 / STRETCHES);
    let mut prices = Vec::with_capacity(tick::TICK_SAMPLE);
    for i in 0..STRETCHES {
        // Short data: consecutive stretches that cover it all.
        let start =
            if rows <= length * STRETCHES { i * length } else { i * (rows - length) / (STRETCHES - 1) };
        if start >= rows {
            break;
        }
        let bars = sink.block(start..(start + length).min(rows))?;
        prices.extend([bars.open, bars.high, bars.low, bars.close].into_iter().flatten());
    }
    Ok(prices)
}

fn scan_gaps<K: Sink>(sink: &mut K, timeframe: Timeframe) -> io::Result<crate::report::GapReport> {
    let mut finder = GapFinder::new(timeframe);
    let rows = sink.rows();
    for start in (0..rows).step_by(TIME_BLOCK as usize) {
        finder.push(&sink.times(start..(start + TIME_BLOCK).min(rows))?);
    }
    Ok(finder.finish())
}

pub(crate) fn with_hash(mut meta: BarMeta, hash: ContentHash) -> BarMeta {
    if let Some(report) = &mut meta.report {
        report.hash = hash.to_string();
    }
    meta
}

/// Reads a file into memory. Bar files are read like any Arrow file.
pub fn read_bars(path: &Path, options: &ImportOptions) -> Result<(OwnedBars, BarMeta), ImportError> {
    match format_of(path)? {
        SourceFormat::Csv => {
            let file = File::open(path).map_err(io_error(path))?;
            read_csv_source(path, &file, options)
        }
        format => {
            let mut bars = HeldBars::with_capacity(0);
            let draft = read_columns(path, format, options, &mut bars)?;
            finish_in_memory(path, draft, options, bars)
        }
    }
}

/// Reads text from memory; `name` stands for the file's name in messages and guesses.
pub fn read_csv_bytes(
    name: &Path,
    text: &[u8],
    options: &ImportOptions,
) -> Result<(OwnedBars, BarMeta), ImportError> {
    read_csv_source(name, text, options)
}

fn read_csv_source<S: Source + ?Sized>(
    path: &Path,
    source: &S,
    options: &ImportOptions,
) -> Result<(OwnedBars, BarMeta), ImportError> {
    let reader = CsvReader::open(path, source, &zone_of(path, options)?, options)?;
    let mut bars = HeldBars::with_capacity(reader.rows_expected().map_err(io_error(path))?);
    let draft = read_csv(path, &reader, options, &mut bars)?;
    finish_in_memory(path, draft, options, bars)
}

fn finish_in_memory(
    path: &Path,
    draft: Draft,
    options: &ImportOptions,
    mut bars: HeldBars,
) -> Result<(OwnedBars, BarMeta), ImportError> {
    let meta = identify(path, draft, options, &mut bars)?;
    let (bars, hash) = bars.finish(meta.timeframe);
    Ok((bars, with_hash(meta, hash)))
}

/// Reads a file and writes its bars as a bar file, in memory that does not grow with the file. `target` names the
/// bar file once symbol and timeframe are known; until then it grows in `folder`, on the same file system. `cancel` ends
/// it early; nothing is left then.
pub(crate) fn import_file(
    path: &Path,
    options: &ImportOptions,
    folder: &Path,
    cancel: &CancelToken,
    target: impl FnOnce(&mut BarMeta) -> Result<PathBuf, ImportError>,
) -> Result<(PathBuf, BarMeta, ContentHash), ImportError> {
    let before = Stamp::of(path)?;
    let new_writer = |rows| match BarWriter::create_in(folder, rows) {
        Ok(writer) => Ok(writer.until(cancel)),
        Err(source) => Err(store_error(folder)(source)),
    };
    let (draft, mut writer) = match format_of(path)? {
        SourceFormat::Csv => {
            let file = File::open(path).map_err(io_error(path))?;
            let reader = CsvReader::open(path, &file, &zone_of(path, options)?, options)?;
            let mut writer = new_writer(reader.rows_expected().map_err(io_error(path))?)?;
            (read_csv(path, &reader, options, &mut writer)?, writer)
        }
        format => {
            let mut writer = new_writer(columns::count_rows(path, format)?)?;
            (read_columns(path, format, options, &mut writer)?, writer)
        }
    };
    before.require_unchanged(path)?;
    let meta = identify(path, draft, options, &mut writer)?;
    let hash = writer.hash(meta.timeframe);
    let mut meta = with_hash(meta, hash);
    let target = target(&mut meta)?;
    writer.finish(&meta, &target).map_err(store_error(&target))?;
    Ok((target, meta, hash))
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stamp {
    size: u64,
    modified: SystemTime,
    /// Device, inode and time of the last change of anything, where the system has them.
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Result<Self, ImportError> {
        let meta = fs::metadata(path).map_err(io_error(path))?;
        if meta.is_dir() {
            let source = io::Error::new(io::ErrorKind::IsADirectory, "this is a folder: name a file");
            return Err(ImportError::Io { path: path.to_owned(), source });
        }
        let modified = meta.modified().map_err(io_error(path))?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0, 0);
        Ok(Self { size: meta.len(), modified, identity })
    }

    /// Refuses a file that is not what it was before it was read.
    pub(crate) fn require_unchanged(&self, path: &Path) -> Result<(), ImportError> {
        if Self::of(path)? == *self {
            return Ok(());
        }
        let source = io::Error::other("the file changed while it was read: import it again");
        Err(ImportError::Io { path: path.to_owned(), source })
    }

    fn is_settled(&self) -> bool {
        SystemTime::now().duration_since(self.modified).is_ok_and(|age| age >= SETTLED)
    }
}

/// Bars of any file: a bar file is mapped; others are imported into `cache` (a folder) and mapped from there, so
/// that the next time nothing is parsed; without `cache` they are read into memory.
///
/// A cached import is used only for the same file (path, size, times of change, inode) and the same options.
pub fn load_any(
    path: &Path,
    options: &ImportOptions,
    cache: Option<&Path>,
) -> Result<LoadedBars, ImportError> {
    let stamp = Stamp::of(path)?;
    if format_of(path)? == SourceFormat::Arrow && bar_file::claims_to_be_bar_file(path) {
        return open_bar_file(path, options);
    }
    let Some(cache) = cache.filter(|_| stamp.is_settled()) else {
        return load_in_memory(path, options);
    };
    let place = cache.join(format!("{}.arrow", cache_key(path, &stamp, options)?.short(40)));
    // A cached file that is missing or damaged is simply made again.
    if let Ok(file) = BarFile::open(&place) {
        return Ok(from_file(file, true));
    }
    remove_left(fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.path()));
    match import_file(path, options, cache, &CancelToken::new(), |_| Ok(place.clone())) {
        // A workspace that can only be read is used all the same.
        Err(ImportError::Store { source, .. }) if is_refused(&source) => load_in_memory(path, options),
        imported => imported.and_then(|_| Ok(from_file(BarFile::open(&place)?, false))),
    }
}

fn load_in_memory(path: &Path, options: &ImportOptions) -> Result<LoadedBars, ImportError> {
    let (bars, meta) = read_bars(path, options)?;
    let hash = meta.report.as_ref().and_then(|r| parse_hash(&r.hash));
    let hash = hash.unwrap_or_else(|| content_hash(&bars.view(), meta.timeframe));
    Ok(loaded(bars.into(), meta, hash, false))
}

fn cache_key(path: &Path, stamp: &Stamp, options: &ImportOptions) -> Result<ContentHash, ImportError> {
    let full = fs::canonicalize(path).map_err(io_error(path))?;
    // How it is read does not change what is read.
    let options = ImportOptions { threads: 0, chunk_bytes: 0, ..options.clone() };
    let parts = [full.to_string_lossy().into_owned(), format!("{stamp:?}"), format!("{options:?}")];
    let [path, stamp, options] = parts.each_ref().map(|p| p.as_bytes());
    Ok(ContentHash::of_parts(&[
        CACHE_VERSION.as_bytes(),
        bar_file::SCHEMA_VERSION.as_bytes(),
        path,
        stamp,
        options,
    ]))
}

fn open_bar_file(path: &Path, options: &ImportOptions) -> Result<LoadedBars, ImportError> {
    let mut out = from_file(BarFile::open(path)?, true);
    if let Some(given) = options.timeframe.filter(|t| *t != out.timeframe) {
        let problem = format!("the bar file holds {} bars, not {given}", out.timeframe);
        return Err(ImportError::Identity { path: path.to_owned(), problem });
    }
    if let Some(symbol) = &options.symbol {
        let named = symbol_named(path, symbol, &out.symbol.exchange)?;
        out.symbol = SymbolInfo { mintick: out.symbol.mintick, ..named };
    }
    out.symbol.mintick = options.mintick.unwrap_or(out.symbol.mintick);
    Ok(out)
}

pub(crate) fn from_file(file: BarFile, cached: bool) -> LoadedBars {
    let (meta, hash, file) = (file.meta().clone(), file.hash(), Arc::new(file));
    LoadedBars { file: Some(Arc::clone(&file)), ..loaded(Bars::shared(file), meta, hash, cached) }
}

fn loaded(bars: Bars, meta: BarMeta, hash: ContentHash, cached: bool) -> LoadedBars {
    let BarMeta { symbol, timeframe, report, .. } = meta;
    LoadedBars { bars, file: None, symbol, timeframe, hash, report, cached }
}

/// Reads arbitrary bytes as text in two ways that must agree: in tiny parts and in one. For fuzzing.
#[doc(hidden)]
pub fn fuzz_csv(data: &[u8]) {
    let read = |chunk_bytes, threads| {
        let options =
            ImportOptions { chunk_bytes, threads, skip_bad: true, sort: true, ..ImportOptions::default() };
        read_csv_bytes(Path::new("FUZZ_1m.csv"), data, &options).map_err(|e| e.to_string())
    };
    let (whole, parts) = (read(0, 1), read(61, 2));
    let same = match (&whole, &parts) {
        (Ok((a, am)), Ok((b, bm))) => {
            am == bm && bar_file::column_bytes(&a.view()) == bar_file::column_bytes(&b.view())
        }
        (Err(a), Err(b)) => a == b,
        _ => false,
    };
    assert!(same, "parts change the result: {:?} against {:?}", whole.map(|w| w.1), parts.map(|p| p.1));
}
