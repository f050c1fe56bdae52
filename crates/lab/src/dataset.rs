//! A market ready to be traded: bars, symbol, cuts, and what is computed once for all its runs.

use springtide_domain::{Bars, ContentHash, SymbolInfo, Timeframe};
use springtide_engine::metrics::Calendar;
use springtide_io::{BarFile, BarMeta, ColumnPlaces};
use springtide_pine::vm::ColumnStore;
use springtide_python::{ArrowBars, BarsImage};
use springtide_runtime::locks::{Mutex, lock};
use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What part of the data is used and at which bar length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Cut {
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    pub resample: Option<Timeframe>,
}

/// One data set, shared by all runs on it.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct DataSet {
    /// `BTC-USD 15`.
    pub name: String,
    pub path: PathBuf,
    pub symbol: SymbolInfo,
    pub timeframe: Timeframe,
    /// After the cut.
    pub bars: Bars,
    /// Before it.
    pub whole: Bars,
    pub whole_timeframe: Timeframe,
    /// Of the whole data, before the cut.
    pub hash: ContentHash,
    pub cut: Cut,
    /// Indicator columns computed so far.
    pub columns: ColumnStore,
    /// Day ends, for the metrics.
    pub calendar: Calendar,
    /// The bar file that the whole data is mapped from.
    file: Option<Arc<BarFile>>,
    /// The bars as Python sees them, once that has been asked for.
    image: Mutex<Option<Arc<BarsImage>>>,
}

/// Indicator columns of one data set may take this much.
const COLUMN_BUDGET_BYTES: usize = 96 << 20;

impl DataSet {
    /// Cuts bars to a time range, then resamples them.
    pub fn new(
        path: &Path,
        symbol: SymbolInfo,
        timeframe: Timeframe,
        bars: Bars,
        hash: ContentHash,
        cut: Cut,
    ) -> Result<Self, String> {
        let (whole, whole_timeframe) = (bars.clone(), timeframe);
        let view = whole.view();
        let first = cut.from_ms.map_or(0, |t| view.time.partition_point(|x| *x < t));
        let last = cut.to_ms.map_or(view.len(), |t| view.time.partition_point(|x| *x < t)).max(first);
        let untouched = first == 0 && last == view.len();
        let (bars, timeframe) = match cut.resample {
            Some(target) => (resample(&view.slice(first..last), timeframe, target, &symbol)?, target),
            None if untouched => (bars, timeframe),
            None => (view.slice(first..last).to_owned().into(), timeframe),
        };
        whole.check()?;
        if bars.is_empty() {
            return Err("no bars are left after --from and --to".into());
        }
        Ok(Self {
            name: format!("{} {timeframe}", symbol.ticker),
            path: path.to_owned(),
            calendar: Calendar::new(&bars.view()),
            columns: ColumnStore::new(COLUMN_BUDGET_BYTES),
            file: None,
            image: Mutex::default(),
            symbol,
            timeframe,
            bars,
            whole,
            whole_timeframe,
            hash,
            cut,
        })
    }

    /// Names the bar file that the whole data is mapped from.
    #[must_use]
    pub fn mapped_from(self, file: Option<Arc<BarFile>>) -> Self {
        Self { file, ..self }
    }

    /// The bars as they are shared with Python's workers, made once: the bar file itself, or one in memory where the
    /// data was cut. A CSV file that is used as it is comes along, so that a script that reads it finds just what is
    /// in it.
    ///
    /// # Errors
    /// When the system has no memory or descriptor for it.
    pub fn image(&self) -> io::Result<Arc<BarsImage>> {
        let mut image = lock(&self.image);
        if let Some(image) = &*image {
            return Ok(Arc::clone(image));
        }
        let is_csv = self.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        let text = (is_csv && self.cut == Cut::default()).then(|| std::fs::read(&self.path)).transpose()?;
        let made = Arc::new(BarsImage::new(&self.name, self.arrow()?, text.as_deref())?);
        *image = Some(Arc::clone(&made));
        Ok(made)
    }

    fn arrow(&self) -> io::Result<ArrowBars> {
        let arrow = |file: OwnedFd, places: ColumnPlaces| ArrowBars {
            file,
            rows: places.rows,
            starts: places.starts,
        };
        let whole = self.file.as_ref().filter(|_| self.cut == Cut::default());
        if let Some((file, bars)) = whole.and_then(|bars| Some((bars.share().transpose()?, bars))) {
            return Ok(arrow(file?.into(), bars.places()));
        }
        let meta = BarMeta {
            symbol: self.symbol.clone(),
            timeframe: self.timeframe,
            source: self.path.display().to_string(),
            report: None,
        };
        let (bytes, places) = springtide_io::bar_file_bytes(&self.bars.view(), &meta)?;
        Ok(arrow(springtide_python::sealed(&bytes)?, places))
    }

    /// Hash of exactly the bars that runs see and of what the symbol says about them.
    pub fn identity(&self) -> ContentHash {
        let cut = format!("{:?}", self.cut);
        let symbol = serde_json::to_string(&self.symbol).unwrap_or_default();
        ContentHash::of_parts(&[&self.hash.0, cut.as_bytes(), symbol.as_bytes()])
    }
}

fn resample(
    view: &springtide_domain::BarsView<'_>,
    from: Timeframe,
    to: Timeframe,
    symbol: &SymbolInfo,
) -> Result<Bars, String> {
    if to.nominal_ms() < from.nominal_ms() {
        return Err(format!("cannot resample {from} bars down to {to}: give finer data"));
    }
    springtide_domain::resample::resample(view, to, &symbol.timezone, &symbol.session)
        .map(Bars::from)
        .map_err(|error| error.to_string())
}
