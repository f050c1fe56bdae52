//! A folder of bar files: `SYMBOL/TIMEFRAME.arrow`.

use crate::{
    atomic::{UNFINISHED, remove_left},
    bar_file::{BarFile, BarMeta, write_bars},
    collect::Row,
    gaps::find_gaps,
    import::{LoadedBars, from_file, import_file},
    naming::safe_name,
    report::{GapReport, ImportError, ImportOptions, ImportReport},
};
use serde::{Deserialize, Serialize};
use springtide_domain::{BarsView, ContentHash, Severity, SymbolInfo, Timeframe};
use springtide_runtime::CancelToken;
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Endings of files that hold bars.
pub const DATA_ENDINGS: [&str; 8] = ["csv", "tsv", "txt", "parquet", "pq", "arrow", "feather", "ipc"];

/// One data set of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataEntry {
    /// The bar file.
    pub path: PathBuf,
    /// The instrument.
    pub symbol: SymbolInfo,
    /// Bar length.
    pub timeframe: Timeframe,
    /// Number of bars.
    pub bars: u64,
    /// Open time of the first bar, epoch milliseconds; 0 without bars.
    pub from_ms: i64,
    /// Open time of the last bar, epoch milliseconds; 0 without bars.
    pub to_ms: i64,
    /// Size of the file.
    pub bytes: u64,
    /// Content hash, hexadecimal.
    pub hash: String,
    /// Where bars are missing.
    pub gaps: GapReport,
    /// The file the bars came from; empty when they were made.
    pub source: String,
}

/// Something wrong, or worth knowing, about a file of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Errors make the data unusable or doubtful.
    pub severity: Severity,
    /// Stable kebab-case code: `unreadable`, `hash`, `order`, `impossible-bar`, `holes`, `misplaced`,
    /// `unfinished`, `foreign`.
    pub code: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    fn new(path: &Path, severity: Severity, code: &str, message: impl Into<String>, hint: &str) -> Self {
        Self {
            path: path.to_owned(),
            severity,
            code: code.into(),
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// Readable data sets, by path.
    pub entries: Vec<DataEntry>,
    /// Files with the right ending that cannot be read.
    pub unreadable: Vec<Finding>,
}

/// The data folder of a workspace.
#[derive(Clone, Debug)]
pub struct DataStore {
    root: PathBuf,
    /// What ends imports early.
    cancel: CancelToken,
}

impl DataStore {
    /// A store in a folder, which is made when something is imported.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), cancel: CancelToken::new() }
    }

    /// Imports end once `cancel` is cancelled: the file under way is refused and leaves nothing, and so are those behind
    /// it.
    #[must_use]
    pub fn until(self, cancel: &CancelToken) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// Removes what imports have left that were killed.
    pub fn clear_up(&self) {
        // A store that cannot be looked through is told of by the import that follows.
        remove_left(self.files().unwrap_or_default());
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the bars of a symbol and timeframe lie.
    pub fn place(&self, symbol: &SymbolInfo, timeframe: Timeframe) -> PathBuf {
        self.root.join(safe_name(&full_name(symbol))).join(format!("{timeframe}.arrow"))
    }

    /// Imports files one by one; a file that is refused does not stop the others. Results stand in the order of
    /// the files. Bars of the same symbol and timeframe are replaced, which the report notes; two files of one call
    /// for the same place are refused.
    pub fn import(
        &self,
        paths: &[PathBuf],
        options: &ImportOptions,
    ) -> Vec<Result<ImportReport, ImportError>> {
        let mut taken: HashMap<PathBuf, PathBuf> = HashMap::new();
        paths.iter().map(|path| self.import_one(path, options, &mut taken)).collect()
    }

    fn import_one(
        &self,
        path: &Path,
        options: &ImportOptions,
        taken: &mut HashMap<PathBuf, PathBuf>,
    ) -> Result<ImportReport, ImportError> {
        let (place, meta, _) = import_file(path, options, &self.root, &self.cancel, |meta| {
            let place = self.place(&meta.symbol, meta.timeframe);
            self.claim(&place, path, meta, taken)?;
            Ok(place)
        })?;
        taken.insert(place, path.to_owned());
        meta.report
            .ok_or_else(|| ImportError::Empty { path: path.to_owned(), hint: "nothing was reported".into() })
    }

    /// Refuses a place that another file of the same call has `taken`, and notes what stood there before.
    pub(crate) fn claim(
        &self,
        place: &Path,
        path: &Path,
        meta: &mut BarMeta,
        taken: &HashMap<PathBuf, PathBuf>,
    ) -> Result<(), ImportError> {
        if let Some(other) = taken.get(place) {
            let name = format!("{} {}", full_name(&meta.symbol), meta.timeframe);
            let problem =
                format!("{} was imported as {name} too: join the files or pass --symbol", other.display());
            return Err(ImportError::Identity { path: path.to_owned(), problem });
        }
        self.note_replacement(place, path, meta)
    }

    /// Notes what stood there before. Another symbol whose name makes the same folder is not overwritten.
    fn note_replacement(&self, place: &Path, path: &Path, meta: &mut BarMeta) -> Result<(), ImportError> {
        let Ok(old) = BarFile::open(place) else { return Ok(()) };
        let (there, new) = (full_name(&old.meta().symbol), full_name(&meta.symbol));
        if there != new {
            let problem =
                format!("{} holds {there}, and {new} would go there too: pass --symbol", place.display());
            return Err(ImportError::Identity { path: path.to_owned(), problem });
        }
        if let Some(report) = &mut meta.report {
            let same = old.hash().to_string() == report.hash;
            let bars = old.view().len();
            let source = &old.meta().source;
            report.notes.push(match same {
                true => "these bars were there already".to_owned(),
                false => format!("replaced {bars} other bars of this symbol and timeframe, from `{source}`"),
            });
        }
        Ok(())
    }

    /// Writes bars that were made, not imported. Returns their place and hash.
    pub fn put(
        &self,
        symbol: &SymbolInfo,
        timeframe: Timeframe,
        bars: &BarsView<'_>,
    ) -> Result<(PathBuf, ContentHash), ImportError> {
        let place = self.place(symbol, timeframe);
        let meta = BarMeta { symbol: symbol.clone(), timeframe, source: String::new(), report: None };
        let hash = write_bars(&place, bars, &meta)?;
        Ok((place, hash))
    }

    /// All data sets, by path. An absent folder is an empty store.
    pub fn ls(&self) -> Result<Listing, ImportError> {
        let mut listing = Listing::default();
        for path in self.files()?.into_iter().filter(|p| is_bar_path(p)) {
            match entry(&path) {
                Ok(entry) => listing.entries.push(entry),
                Err(error) => listing.unreadable.push(unreadable(&path, &error)),
            }
        }
        Ok(listing)
    }

    /// Files of a symbol's bars that cannot be read: those below the folder that its name makes, of one timeframe or
    /// of any. What they hold nobody can say; their places do.
    pub fn unreadable_of(
        &self,
        symbol: &str,
        timeframe: Option<Timeframe>,
    ) -> Result<Vec<Finding>, ImportError> {
        let name = safe_name(symbol);
        let is_named = |folder: &str| {
            let ticker = folder.len().checked_sub(name.len()).and_then(|at| folder.split_at_checked(at));
            // `BTC-USD` names `COINBASE:BTC-USD`, too, whose folder is `COINBASE_BTC-USD`.
            ticker.is_some_and(|(exchange, ticker)| {
                ticker.eq_ignore_ascii_case(&name) && (exchange.is_empty() || exchange.ends_with('_'))
            })
        };
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let mut unreadable = self.ls()?.unreadable;
        unreadable.retain(|finding| {
            let stem = text(finding.path.file_stem());
            is_named(&text(finding.path.parent().and_then(Path::file_name)))
                && timeframe.is_none_or(|timeframe| stem == timeframe.to_string())
        });
        Ok(unreadable)
    }

    /// Reads every file and checks hash, order, bars, gaps and place.
    pub fn check(&self) -> Result<Vec<Finding>, ImportError> {
        let mut findings = Vec::new();
        for path in self.files()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(UNFINISHED) {
                let hint = "delete it if no import is running";
                findings.push(Finding::new(
                    &path,
                    Severity::Warning,
                    "unfinished",
                    "an import that did not end",
                    hint,
                ));
            } else if !is_bar_path(&path) {
                let hint = "import it with `tide data import` or move it away";
                findings.push(Finding::new(&path, Severity::Warning, "foreign", "not a bar file", hint));
            } else {
                match BarFile::open(&path) {
                    Ok(file) => self.check_file(&path, &file, &mut findings),
                    Err(error) => findings.push(unreadable(&path, &error)),
                }
            }
        }
        Ok(findings)
    }

    fn check_file(&self, path: &Path, file: &BarFile, findings: &mut Vec<Finding>) {
        let (view, meta) = (file.view(), file.meta());
        let again = "import the source again";
        let mut add = |severity, code, message: String, hint| {
            findings.push(Finding::new(path, severity, code, message, hint));
        };
        if !file.verify() {
            add(
                Severity::Error,
                "hash",
                "the columns do not have the hash that the file carries".into(),
                again,
            );
        }
        if let Some(i) = view.time.windows(2).position(|w| w[0] >= w[1]) {
            add(Severity::Error, "order", format!("bar {} is not later than the bar before", i + 1), again);
        }
        let bad = (0..view.len()).find_map(|i| Row::at(&view, i).problem().map(|p| (i, p)));
        if let Some((i, problem)) = bad {
            add(Severity::Error, "impossible-bar", format!("bar {i}: {problem}"), again);
        }
        let gaps = find_gaps(view.time, meta.timeframe);
        if gaps.holes > 0 {
            let message = format!("{} bars are missing in {} holes", gaps.missing_bars, gaps.holes);
            add(Severity::Warning, "holes", message, "get the missing bars from the source, or live with it");
        }
        if self.place(&meta.symbol, meta.timeframe) != path {
            let message = format!("it holds {} {}", full_name(&meta.symbol), meta.timeframe);
            add(Severity::Warning, "misplaced", message, "move it to `SYMBOL/TIMEFRAME.arrow`");
        }
    }

    /// Maps the bars of a symbol (`BTC-USD`, or `EXCHANGE:TICKER`) and timeframe.
    pub fn open(&self, symbol: &str, timeframe: Timeframe) -> Result<LoadedBars, ImportError> {
        let refuse = |problem: String| ImportError::Identity { path: self.root.clone(), problem };
        let listing = self.ls()?;
        let named = |e: &&DataEntry| e.symbol.ticker == symbol || full_name(&e.symbol) == symbol;
        let found: Vec<&DataEntry> =
            listing.entries.iter().filter(named).filter(|e| e.timeframe == timeframe).collect();
        match found.as_slice() {
            [entry] => Ok(from_file(BarFile::open(&entry.path)?, true)),
            [] => Err(refuse(format!("no {timeframe} bars of {symbol}: `tide data ls` shows what is there"))),
            several => {
                let names: Vec<String> = several.iter().map(|e| full_name(&e.symbol)).collect();
                Err(refuse(format!("{symbol} is one of {}: name the exchange too", names.join(", "))))
            }
        }
    }

    /// Files in the folder and one below, in order of their paths.
    fn files(&self) -> Result<Vec<PathBuf>, ImportError> {
        let mut files = Vec::new();
        for path in children(&self.root)? {
            if path.is_dir() {
                files.extend(children(&path)?.into_iter().filter(|p| p.is_file()))
            } else {
                files.push(path)
            }
        }
        files.sort();
        Ok(files)
    }
}

/// The data files in a folder, in order of their names; a file stands for itself.
pub fn data_files(path: &Path) -> Result<Vec<PathBuf>, ImportError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let ending = |p: &PathBuf| {
        p.extension().is_some_and(|e| DATA_ENDINGS.contains(&e.to_string_lossy().to_lowercase().as_str()))
    };
    let mut files: Vec<PathBuf> = children(path)?.into_iter().filter(|p| p.is_file() && ending(p)).collect();
    files.sort();
    Ok(files)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let error = |source| ImportError::Io { path: folder.to_owned(), source };
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>().map_err(error),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(error(e)),
    }
}

fn full_name(symbol: &SymbolInfo) -> String {
    match symbol.exchange.as_str() {
        "" => symbol.ticker.clone(),
        exchange => format!("{exchange}:{}", symbol.ticker),
    }
}

fn is_bar_path(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "arrow")
}

fn unreadable(path: &Path, error: &ImportError) -> Finding {
    let message = match error {
        ImportError::Damaged { problem, .. } => problem.clone(),
        other => other.to_string(),
    };
    Finding::new(path, Severity::Error, "unreadable", message, "import the source again, or delete the file")
}

fn entry(path: &Path) -> Result<DataEntry, ImportError> {
    let file = BarFile::open(path)?;
    let bytes = fs::metadata(path).map_err(|source| ImportError::Io { path: path.to_owned(), source })?.len();
    let (view, meta) = (file.view(), file.meta());
    let known = meta.report.as_ref().map(|r| r.gaps.clone());
    Ok(DataEntry {
        path: path.to_owned(),
        symbol: meta.symbol.clone(),
        timeframe: meta.timeframe,
        bars: view.len() as u64,
        from_ms: view.time.first().copied().unwrap_or(0),
        to_ms: view.time.last().copied().unwrap_or(0),
        bytes,
        hash: file.hash().to_string(),
        gaps: known.unwrap_or_else(|| find_gaps(view.time, meta.timeframe)),
        source: meta.source.clone(),
    })
}
