//! The two drivers: one call at a time, or a column at once, over the same steps.

use super::Sums;
use super::core::{Args, Fixed, Kernel, MAX_ARGS, MAX_OUTS, Outs};
use super::func::TaFunc;
use super::{averages, events, extremes, momentum, rank, spread, trend, volume};
use springtide_domain::BarsView;

/// One argument of [`run_column`].
#[derive(Clone, Copy, Debug)]
pub enum ColumnArg<'a> {
    /// The same value on every bar.
    Const(f64),
    /// One value per bar; as long as the bars.
    Col(&'a [f64]),
}

macro_rules! kernels {
    ($($func:ident => $kernel:ty,)*) => {
        #[derive(Clone)]
        enum Inner { $($func($kernel),)* }

        impl Inner {
            fn new(func: TaFunc, fixed: Fixed<'_>) -> Self {
                match func { $(TaFunc::$func => Inner::$func(Kernel::new(fixed)),)* }
            }

            fn func(&self) -> TaFunc {
                match self { $(Inner::$func(_) => TaFunc::$func,)* }
            }

            fn step(&mut self, bars: &BarsView<'_>, i: usize, a: &Args, out: &mut Outs) {
                match self { $(Inner::$func(k) => Kernel::step(k, bars, i, a, out),)* }
            }

            fn reset(&mut self) {
                match self { $(Inner::$func(k) => Kernel::reset(k),)* }
            }
        }

        fn drive_any(func: TaFunc, fixed: Fixed<'_>, bars: &BarsView<'_>, args: &[ColumnArg<'_>], outs: &mut [Vec<f64>]) {
            match func {
                $(TaFunc::$func => drive::<$kernel>(fixed, bars, args, outs),)*
            }
        }
    };
}

kernels! {
    Sma => averages::Sma,
    Ema => averages::Ema,
    Rma => averages::Rma,
    Wma => averages::Wma,
    Hma => averages::Hma,
    Vwma => averages::Vwma,
    Swma => averages::Swma,
    Alma => averages::Alma,
    Linreg => averages::Linreg,
    Stdev => spread::Stdev,
    Variance => spread::Variance,
    Dev => spread::Dev,
    Tr => spread::Tr,
    Atr => spread::Atr,
    Rsi => momentum::Rsi,
    RsiRatio => momentum::RsiRatio,
    Macd => momentum::Macd,
    Stoch => momentum::Stoch,
    Bb => spread::Bollinger<false>,
    Bbw => spread::Bollinger<true>,
    Kc => spread::Keltner<false>,
    Kcw => spread::Keltner<true>,
    Cci => spread::Cci,
    Cmo => momentum::Cmo,
    Cog => averages::Cog,
    Mfi => momentum::Mfi,
    Dmi => trend::Dmi,
    Supertrend => trend::Supertrend,
    Sar => trend::Sar,
    PivotHigh => extremes::Pivot<true>,
    PivotLow => extremes::Pivot<false>,
    PivotPointLevels => volume::Levels,
    Highest => extremes::Extreme<true>,
    Lowest => extremes::Extreme<false>,
    HighestBars => extremes::ExtremeBars<true>,
    LowestBars => extremes::ExtremeBars<false>,
    Crossover => events::Crossing<true>,
    Crossunder => events::Crossing<false>,
    Cross => events::Cross,
    Change => momentum::Lag<momentum::Difference>,
    ChangeBool => momentum::Lag<momentum::Differs>,
    Mom => momentum::Lag<momentum::Difference>,
    Roc => momentum::Lag<momentum::Percent>,
    Cum => events::Cum,
    Sum => averages::Sum,
    BarsSince => events::BarsSince,
    ValueWhen => events::ValueWhen,
    Rising => momentum::Streak<true>,
    Falling => momentum::Streak<false>,
    PercentRank => rank::PercentRank,
    PercentileLinear => rank::Percentile<true>,
    PercentileNearest => rank::Percentile<false>,
    Correlation => spread::Correlation,
    Covariance => spread::Covariance,
    Tsi => momentum::Tsi,
    Wpr => momentum::Wpr,
    Vwap => volume::Vwap<false>,
    VwapBands => volume::Vwap<true>,
    Obv => volume::Total<volume::Obv>,
    Pvt => volume::Total<volume::Pvt>,
    Pvi => volume::VolumeIndex<true>,
    Nvi => volume::VolumeIndex<false>,
    AccDist => volume::Total<volume::AccDist>,
    Iii => volume::Iii,
    Wad => volume::Total<volume::Wad>,
    Wvad => volume::Wvad,
    Median => rank::Median,
    Mode => rank::Mode,
    Range => extremes::Range,
    Rci => rank::Rci,
    Max => extremes::AllTime<true>,
    Min => extremes::AllTime<false>,
    FixNan => events::FixNan,
}

/// The memory of one call site.
///
/// All values are doubles: na is NaN, a truth value is 0 or 1, integers are whole numbers. An
/// invalid length (below 1 or na) gives na; [`super::validate`] reports one that is known early.
#[derive(Clone)]
pub struct TaState {
    inner: Inner,
    args: Args,
    outs: Outs,
    outputs: usize,
}

impl TaState {
    /// A state before its first call. `fixed[k]` is `Some` when argument `k` is known before the
    /// first bar and never changes (const, input or simple); then the value passed for it to
    /// [`TaState::step`] may be anything. A missing tail of `fixed` counts as `None`.
    pub fn new(func: TaFunc, fixed: &[Option<f64>]) -> Self {
        Self::with_sums(func, Sums::default(), fixed)
    }

    /// As [`TaState::new`], with the order of summation.
    pub fn with_sums(func: TaFunc, sums: Sums, fixed: &[Option<f64>]) -> Self {
        Self {
            inner: Inner::new(func, Fixed { args: fixed, sums }),
            args: [f64::NAN; MAX_ARGS],
            outs: [f64::NAN; MAX_OUTS],
            outputs: func.outputs(),
        }
    }

    /// The function this state belongs to.
    pub fn func(&self) -> TaFunc {
        self.inner.func()
    }

    /// One call on chart bar `i` of `bars`. `args` holds the current value of every argument
    /// ([`TaFunc::arity`]); the first [`TaFunc::outputs`] elements of `out` are written.
    ///
    /// The state remembers its own calls only, except that true ranges read the chart's previous
    /// close and that windows of `highest` and the like age in bars.
    ///
    /// # Panics
    /// When `out` is shorter than the number of outputs or `i` is no bar.
    #[inline]
    pub fn step(&mut self, bars: &BarsView<'_>, i: usize, args: &[f64], out: &mut [f64]) {
        for (to, from) in self.args.iter_mut().zip(args) {
            *to = *from;
        }
        self.inner.step(bars, i, &self.args, &mut self.outs);
        out[..self.outputs].copy_from_slice(&self.outs[..self.outputs]);
    }

    /// Back to before the first call, keeping allocated storage.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

impl std::fmt::Debug for TaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TaState({})", self.func().name())
    }
}

/// Computes whole columns: bit for bit what stepping a [`TaState`] on every bar gives.
///
/// `fixed` is as for [`TaState::new`], except that a constant argument's value is taken from
/// `args`. `outs` holds one vector per output; each is overwritten with one value per bar.
///
/// # Panics
/// When `args` or `outs` have the wrong number of elements or a column another length than the
/// bars.
pub fn run_column(
    func: TaFunc,
    fixed: &[Option<f64>],
    bars: &BarsView<'_>,
    args: &[ColumnArg<'_>],
    outs: &mut [Vec<f64>],
) {
    run_column_with(func, Sums::default(), fixed, bars, args, outs);
}

/// As [`run_column`], with the order of summation.
///
/// # Panics
/// As [`run_column`].
pub fn run_column_with(
    func: TaFunc,
    sums: Sums,
    fixed: &[Option<f64>],
    bars: &BarsView<'_>,
    args: &[ColumnArg<'_>],
    outs: &mut [Vec<f64>],
) {
    assert_eq!(args.len(), func.arity(), "arguments of {}", func.name());
    assert_eq!(outs.len(), func.outputs(), "outputs of {}", func.name());
    for arg in args {
        if let ColumnArg::Col(col) = arg {
            assert_eq!(col.len(), bars.len(), "column length for {}", func.name());
        }
    }
    drive_any(func, Fixed { args: fixed, sums }, bars, args, outs);
}

/// Lengths that [`run_lengths`] computes for hardly more than the price of one.
pub const LANES: usize = 8;

/// Columns of one function over one source for several lengths, in [`LANES`] at a time: for each length bit for bit
/// what [`run_column_with`] gives when it is constant. `None` for functions, lengths and sources that have no such form.
pub fn run_lengths(func: TaFunc, sums: Sums, source: &[f64], lengths: &[f64]) -> Option<Vec<Vec<f64>>> {
    match func {
        TaFunc::Sma => averages::sum_columns(true, sums, source, lengths),
        TaFunc::Sum => averages::sum_columns(false, sums, source, lengths),
        _ => None,
    }
}

/// Loops over one kernel's steps. Monomorphised per kernel, so that its state stays in registers.
fn drive<K: Kernel>(fixed: Fixed<'_>, bars: &BarsView<'_>, args: &[ColumnArg<'_>], outs: &mut [Vec<f64>]) {
    let len = bars.len();
    for out in outs.iter_mut() {
        out.clear();
        out.resize(len, f64::NAN);
    }
    let mut kernel = K::new(fixed);
    let mut a = [f64::NAN; MAX_ARGS];
    let mut columns: [Option<&[f64]>; MAX_ARGS] = [None; MAX_ARGS];
    for (k, arg) in args.iter().enumerate() {
        match *arg {
            ColumnArg::Const(v) => a[k] = v,
            ColumnArg::Col(col) => columns[k] = Some(&col[..len]),
        }
    }
    if let [out] = outs
        && kernel.column(bars, &a, &columns, out)
    {
        return;
    }
    match (columns[0], &columns[1..], outs) {
        (Some(x), rest, [out]) if rest.iter().all(Option::is_none) => {
            for (i, (x, out)) in x.iter().zip(out.iter_mut()).enumerate() {
                a[0] = *x;
                *out = step_one(&mut kernel, bars, i, &a);
            }
        }
        (None, rest, [out]) if rest.iter().all(Option::is_none) => {
            for (i, out) in out.iter_mut().enumerate() {
                *out = step_one(&mut kernel, bars, i, &a);
            }
        }
        (_, _, outs) => {
            let varying: Vec<(usize, &[f64])> =
                columns.iter().enumerate().filter_map(|(k, c)| c.map(|c| (k, c))).collect();
            let mut o = [f64::NAN; MAX_OUTS];
            for i in 0..len {
                for (k, col) in &varying {
                    a[*k] = col[i];
                }
                kernel.step(bars, i, &a, &mut o);
                for (out, v) in outs.iter_mut().zip(o) {
                    out[i] = v;
                }
            }
        }
    }
}

#[inline(always)]
fn step_one<K: Kernel>(kernel: &mut K, bars: &BarsView<'_>, i: usize, a: &Args) -> f64 {
    let mut o = [f64::NAN; MAX_OUTS];
    kernel.step(bars, i, a, &mut o);
    o[0]
}
