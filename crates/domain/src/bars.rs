//! Price bars as columns.

use std::sync::Arc;

/// One symbol's bars at one timeframe, column by column. All columns have the same length.
///
/// `time` is the bar's *open* time in milliseconds since 1970-01-01 UTC, strictly ascending.
/// Prices are in the symbol's quote currency; volume is in base units and may be NaN where unknown.
pub trait BarColumns: Send + Sync {
    /// Bar open times, milliseconds since the epoch, UTC, strictly ascending.
    fn time(&self) -> &[i64];
    /// First traded price of each bar.
    fn open(&self) -> &[f64];
    /// Highest traded price of each bar.
    fn high(&self) -> &[f64];
    /// Lowest traded price of each bar.
    fn low(&self) -> &[f64];
    /// Last traded price of each bar.
    fn close(&self) -> &[f64];
    /// Traded volume of each bar; NaN where the source gives none.
    fn volume(&self) -> &[f64];
    /// Whether the columns were whole whenever they were read; a store that lies outside this process's memory
    /// may have been damaged meanwhile. Says what happened when they were not: results computed from them are
    /// then not valid.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Shared, immutable bars: owned vectors or a mapped file behind one handle.
#[derive(Clone)]
pub struct Bars(Arc<dyn BarColumns>);

impl Bars {
    /// Wraps any column store.
    pub fn new(columns: impl BarColumns + 'static) -> Self {
        Self(Arc::new(columns))
    }

    /// A column store that somebody else holds, too.
    pub fn shared(columns: Arc<impl BarColumns + 'static>) -> Self {
        Self(columns)
    }

    /// Borrowed slices of all columns, what the engine computes on.
    pub fn view(&self) -> BarsView<'_> {
        BarsView {
            time: self.0.time(),
            open: self.0.open(),
            high: self.0.high(),
            low: self.0.low(),
            close: self.0.close(),
            volume: self.0.volume(),
        }
    }

    /// Whether the columns were whole whenever they were read; asked after a computation.
    ///
    /// # Errors
    /// What happened to them.
    pub fn check(&self) -> Result<(), String> {
        self.0.check()
    }

    /// Number of bars.
    pub fn len(&self) -> usize {
        self.0.time().len()
    }

    /// True when there is no bar.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Bars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bars({})", self.len())
    }
}

/// Borrowed columns of equal length. See [`BarColumns`] for units.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct BarsView<'a> {
    pub time: &'a [i64],
    pub open: &'a [f64],
    pub high: &'a [f64],
    pub low: &'a [f64],
    pub close: &'a [f64],
    pub volume: &'a [f64],
}

impl<'a> BarsView<'a> {
    /// Number of bars.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// True when there is no bar.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The bars `range`, borrowed.
    pub fn slice(&self, range: std::ops::Range<usize>) -> BarsView<'a> {
        BarsView {
            time: &self.time[range.clone()],
            open: &self.open[range.clone()],
            high: &self.high[range.clone()],
            low: &self.low[range.clone()],
            close: &self.close[range.clone()],
            volume: &self.volume[range],
        }
    }

    /// A copy in owned vectors.
    pub fn to_owned(&self) -> OwnedBars {
        OwnedBars {
            time: self.time.to_vec(),
            open: self.open.to_vec(),
            high: self.high.to_vec(),
            low: self.low.to_vec(),
            close: self.close.to_vec(),
            volume: self.volume.to_vec(),
        }
    }
}

/// Bars in vectors of their own.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct OwnedBars {
    pub time: Vec<i64>,
    pub open: Vec<f64>,
    pub high: Vec<f64>,
    pub low: Vec<f64>,
    pub close: Vec<f64>,
    pub volume: Vec<f64>,
}

impl OwnedBars {
    /// Appends one bar; `time` in epoch milliseconds.
    #[inline]
    pub fn push(&mut self, time: i64, open: f64, high: f64, low: f64, close: f64, volume: f64) {
        self.time.push(time);
        self.open.push(open);
        self.high.push(high);
        self.low.push(low);
        self.close.push(close);
        self.volume.push(volume);
    }

    /// Borrowed slices of all columns.
    pub fn view(&self) -> BarsView<'_> {
        BarsView {
            time: &self.time,
            open: &self.open,
            high: &self.high,
            low: &self.low,
            close: &self.close,
            volume: &self.volume,
        }
    }
}

impl BarColumns for OwnedBars {
    fn time(&self) -> &[i64] {
        &self.time
    }
    fn open(&self) -> &[f64] {
        &self.open
    }
    fn high(&self) -> &[f64] {
        &self.high
    }
    fn low(&self) -> &[f64] {
        &self.low
    }
    fn close(&self) -> &[f64] {
        &self.close
    }
    fn volume(&self) -> &[f64] {
        &self.volume
    }
}

impl From<OwnedBars> for Bars {
    fn from(bars: OwnedBars) -> Self {
        Self::new(bars)
    }
}
