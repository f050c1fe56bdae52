//! The catalogue of indicator functions: names, parameters, number of outputs.

/// What an argument of an indicator means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// One value per bar, in the source's own unit; NaN is na.
    Source,
    /// One truth value per bar: 0 or NaN is false, everything else true.
    Condition,
    /// A number of bars, truncated toward zero, at least 1.
    Length,
    /// A count or a code, truncated toward zero, at least 0.
    Index,
    /// A plain number.
    Number,
    /// A switch: 0 is off, everything else on.
    Flag,
}

/// One parameter of an indicator, in Pine's positional order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Param {
    /// Pine's name of the parameter.
    pub name: &'static str,
    /// What the argument means.
    pub kind: ParamKind,
    /// Value of an omitted argument; `None` means that the caller must give one. Where Pine
    /// defaults to a *series* (`ta.highest(length)` reads `high`) the caller passes that series.
    pub default: Option<f64>,
}

const fn p(name: &'static str, kind: ParamKind) -> Param {
    Param { name, kind, default: None }
}

const fn d(name: &'static str, kind: ParamKind, default: f64) -> Param {
    Param { name, kind, default: Some(default) }
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $outputs:literal, [$($param:expr),* $(,)?];)*) => {
        /// Every indicator of the Pine-compatible set. The arguments of each are listed, in
        /// positional order, by [`TaFunc::params`]; the outputs are described at the variant.
        ///
        /// Formulas follow TradingView's public reference and its exported values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum TaFunc {
            $($(#[$doc])* $variant,)*
        }

        impl TaFunc {
            /// All functions, in declaration order.
            pub const ALL: &'static [TaFunc] = &[$(TaFunc::$variant,)*];

            /// The name in the current version of the language, namespace included.
            pub const fn name(self) -> &'static str {
                match self { $(TaFunc::$variant => $name,)* }
            }

            /// Number of output series.
            pub const fn outputs(self) -> usize {
                match self { $(TaFunc::$variant => $outputs,)* }
            }

            /// The parameters in canonical positional order. Callers always pass all of them.
            pub const fn params(self) -> &'static [Param] {
                use ParamKind::*;
                match self { $(TaFunc::$variant => const { &[$($param),*] },)* }
            }
        }
    };
}

catalogue! {
    /// Mean of the last `length` non-na values: compensated sum, then one division.
    Sma = "ta.sma", 1, [p("source", Source), p("length", Length)];
    /// Exponential average, weight 2/(length+1), seeded with the mean.
    Ema = "ta.ema", 1, [p("source", Source), p("length", Length)];
    /// Wilder's average, weight 1/length, seeded with the mean.
    Rma = "ta.rma", 1, [p("source", Source), p("length", Length)];
    /// Linearly weighted average; an na bar repeats the value before it.
    Wma = "ta.wma", 1, [p("source", Source), p("length", Length)];
    /// Hull average: wma(2·wma(x, n/2) − wma(x, n), √n).
    Hma = "ta.hma", 1, [p("source", Source), p("length", Length)];
    /// Volume weighted average over a window.
    Vwma = "ta.vwma", 1, [p("source", Source), p("length", Length)];
    /// Symmetric weights 1, 2, 2, 1 over four values.
    Swma = "ta.swma", 1, [p("source", Source)];
    /// Arnaud Legoux average: Gaussian weights.
    Alma = "ta.alma", 1, [p("series", Source), p("length", Length), d("offset", Number, 0.85),
        d("sigma", Number, 6.0), d("floor", Flag, 0.0)];
    /// Least squares line over the window, read `offset` bars before its end.
    Linreg = "ta.linreg", 1, [p("source", Source), p("length", Length), d("offset", Number, 0.0)];
    /// Standard deviation, of the population unless `biased` is off.
    Stdev = "ta.stdev", 1, [p("source", Source), p("length", Length), d("biased", Flag, 1.0)];
    /// Variance, of the population unless `biased` is off.
    Variance = "ta.variance", 1, [p("source", Source), p("length", Length), d("biased", Flag, 1.0)];
    /// Mean absolute deviation from the simple average.
    Dev = "ta.dev", 1, [p("source", Source), p("length", Length)];
    /// True range; na on the first bar unless `handle_na`.
    Tr = "ta.tr", 1, [d("handle_na", Flag, 0.0)];
    /// Wilder's average of the true range.
    Atr = "ta.atr", 1, [p("length", Length)];
    /// Relative strength index, 0 to 100.
    Rsi = "ta.rsi", 1, [p("source", Source), p("length", Length)];
    /// The two-series form of version 4: 100 − 100/(1 + x/y).
    RsiRatio = "rsi", 1, [p("x", Source), p("y", Source)];
    /// Outputs: line, signal, histogram.
    Macd = "ta.macd", 3, [p("source", Source), p("fastlen", Length), p("slowlen", Length), p("siglen", Length)];
    /// Position in the window's range in percent, not smoothed, not clamped.
    Stoch = "ta.stoch", 1, [p("source", Source), p("high", Source), p("low", Source), p("length", Length)];
    /// Bollinger bands. Outputs: middle, upper, lower.
    Bb = "ta.bb", 3, [p("series", Source), p("length", Length), p("mult", Number)];
    /// Width of the Bollinger bands relative to the middle, in percent.
    Bbw = "ta.bbw", 1, [p("series", Source), p("length", Length), p("mult", Number)];
    /// Keltner channels. Outputs: middle, upper, lower.
    Kc = "ta.kc", 3, [p("series", Source), p("length", Length), p("mult", Number), d("useTrueRange", Flag, 1.0)];
    /// Width of the Keltner channels relative to the middle.
    Kcw = "ta.kcw", 1, [p("series", Source), p("length", Length), p("mult", Number), d("useTrueRange", Flag, 1.0)];
    /// Commodity channel index.
    Cci = "ta.cci", 1, [p("source", Source), p("length", Length)];
    /// Chande's momentum oscillator, −100 to 100.
    Cmo = "ta.cmo", 1, [p("series", Source), p("length", Length)];
    /// Centre of gravity.
    Cog = "ta.cog", 1, [p("source", Source), p("length", Length)];
    /// Money flow index, 0 to 100.
    Mfi = "ta.mfi", 1, [p("series", Source), p("length", Length)];
    /// Directional movement. Outputs: +DI, −DI, ADX.
    Dmi = "ta.dmi", 3, [p("diLength", Length), p("adxSmoothing", Length)];
    /// Outputs: line, direction (−1 is an uptrend).
    Supertrend = "ta.supertrend", 2, [p("factor", Number), p("atrPeriod", Length)];
    /// Wilder's parabolic stop and reverse.
    Sar = "ta.sar", 1, [p("start", Number), p("inc", Number), p("max", Number)];
    /// The value `rightbars` ago where it is a local high, else na.
    PivotHigh = "ta.pivothigh", 1, [p("source", Source), p("leftbars", Length), p("rightbars", Length)];
    /// The value `rightbars` ago where it is a local low, else na.
    PivotLow = "ta.pivotlow", 1, [p("source", Source), p("leftbars", Length), p("rightbars", Length)];
    /// Outputs: P, R1, S1, R2, S2, R3, S3, R4, S4, R5, S5. `type` is a code:
    /// 0 Traditional, 1 Fibonacci, 2 Woodie, 3 Classic, 4 DM, 5 Camarilla.
    PivotPointLevels = "ta.pivot_point_levels", 11,
        [p("type", Index), p("anchor", Condition), d("developing", Flag, 0.0)];
    /// Highest value of the last `length` bars.
    Highest = "ta.highest", 1, [p("source", Source), p("length", Length)];
    /// Lowest value of the last `length` bars.
    Lowest = "ta.lowest", 1, [p("source", Source), p("length", Length)];
    /// Minus the number of bars since the highest value (the older one of equals).
    HighestBars = "ta.highestbars", 1, [p("source", Source), p("length", Length)];
    /// Minus the number of bars since the lowest value (the older one of equals).
    LowestBars = "ta.lowestbars", 1, [p("source", Source), p("length", Length)];
    /// 1 where the first series comes to lie above the second, exactly compared.
    Crossover = "ta.crossover", 1, [p("source1", Source), p("source2", Source)];
    /// 1 where the first series comes to lie below the second, exactly compared.
    Crossunder = "ta.crossunder", 1, [p("source1", Source), p("source2", Source)];
    /// 1 where the strict order of the two series turns round.
    Cross = "ta.cross", 1, [p("source1", Source), p("source2", Source)];
    /// Difference to the value `length` bars ago.
    Change = "ta.change", 1, [p("source", Source), d("length", Length, 1.0)];
    /// 1 where a truth value differs from the one `length` bars ago.
    ChangeBool = "ta.change", 1, [p("source", Condition), d("length", Length, 1.0)];
    /// Same as change.
    Mom = "ta.mom", 1, [p("source", Source), p("length", Length)];
    /// Rate of change in percent.
    Roc = "ta.roc", 1, [p("source", Source), p("length", Length)];
    /// Running total; na values are left out.
    Cum = "ta.cum", 1, [p("source", Source)];
    /// Sum of the last `length` non-na values.
    Sum = "math.sum", 1, [p("source", Source), p("length", Length)];
    /// Bars since the condition was last true, 0 on that bar.
    BarsSince = "ta.barssince", 1, [p("condition", Condition)];
    /// The source on the `occurrence`-th most recent bar with a true condition.
    ValueWhen = "ta.valuewhen", 1, [p("condition", Condition), p("source", Source), p("occurrence", Index)];
    /// 1 after `length` rising steps in a row (steps above 1e-10).
    Rising = "ta.rising", 1, [p("source", Source), p("length", Length)];
    /// 1 after `length` falling steps in a row (steps above 1e-10).
    Falling = "ta.falling", 1, [p("source", Source), p("length", Length)];
    /// Share of the previous `length` values not above the current one, in percent.
    PercentRank = "ta.percentrank", 1, [p("source", Source), p("length", Length)];
    /// Percentile, interpolated between the two nearest ranks.
    PercentileLinear = "ta.percentile_linear_interpolation", 1,
        [p("source", Source), p("length", Length), p("percentage", Number)];
    /// Percentile by nearest rank.
    PercentileNearest = "ta.percentile_nearest_rank", 1,
        [p("source", Source), p("length", Length), p("percentage", Number)];
    /// Pearson's correlation over the window.
    Correlation = "ta.correlation", 1, [p("source1", Source), p("source2", Source), p("length", Length)];
    /// Population covariance over the window.
    Covariance = "ta.covariance", 1, [p("source1", Source), p("source2", Source), p("length", Length)];
    /// True strength index, −1 to 1.
    Tsi = "ta.tsi", 1, [p("source", Source), p("short_length", Length), p("long_length", Length)];
    /// Williams' %R, −100 to 0.
    Wpr = "ta.wpr", 1, [p("length", Length)];
    /// Volume weighted average price since the last true anchor.
    Vwap = "ta.vwap", 1, [p("source", Source), p("anchor", Condition)];
    /// Outputs: vwap, upper band, lower band.
    VwapBands = "ta.vwap", 3, [p("source", Source), p("anchor", Condition), p("stdev_mult", Number)];
    /// On balance volume.
    Obv = "ta.obv", 1, [];
    /// Price volume trend.
    Pvt = "ta.pvt", 1, [];
    /// Positive volume index, starts at 1.
    Pvi = "ta.pvi", 1, [];
    /// Negative volume index, starts at 1.
    Nvi = "ta.nvi", 1, [];
    /// Accumulation/distribution.
    AccDist = "ta.accdist", 1, [];
    /// Intraday intensity.
    Iii = "ta.iii", 1, [];
    /// Williams' accumulation/distribution.
    Wad = "ta.wad", 1, [];
    /// Williams' variable accumulation/distribution.
    Wvad = "ta.wvad", 1, [];
    /// Middle value of the last `length` non-na values; the mean of two for an even length.
    Median = "ta.median", 1, [p("source", Source), p("length", Length)];
    /// Most frequent value of the window, the smallest of equals.
    Mode = "ta.mode", 1, [p("source", Source), p("length", Length)];
    /// Highest minus lowest of the window.
    Range = "ta.range", 1, [p("source", Source), p("length", Length)];
    /// Rank correlation index, −100 to 100.
    Rci = "ta.rci", 1, [p("source", Source), p("length", Length)];
    /// Highest value since the first bar.
    Max = "ta.max", 1, [p("source", Source)];
    /// Lowest value since the first bar.
    Min = "ta.min", 1, [p("source", Source)];
    /// The last value that is not na.
    FixNan = "fixnan", 1, [p("source", Source)];
}

impl TaFunc {
    /// Number of arguments, all of them, in the order of [`TaFunc::params`].
    pub const fn arity(self) -> usize {
        self.params().len()
    }

    /// The name without its namespace, as messages quote it.
    pub fn short_name(self) -> &'static str {
        self.name().rsplit('.').next().unwrap_or(self.name())
    }
}

/// Checks the arguments that are known before the first bar (`fixed[k]` is `Some`).
///
/// # Errors
/// A sentence in the words users of the language know, naming argument, value, function and bound.
pub fn validate(func: TaFunc, fixed: &[Option<f64>]) -> Result<(), String> {
    for (param, value) in func.params().iter().zip(fixed) {
        let Some(value) = *value else { continue };
        let bound = match param.kind {
            ParamKind::Length if value.is_nan() || value < 1.0 => "> 0",
            ParamKind::Index if value.is_nan() || value <= -1.0 => ">= 0",
            _ => continue,
        };
        let shown = if value.is_nan() { "na".to_owned() } else { value.trunc().to_string() };
        return Err(format!(
            "Invalid value of the '{}' argument ({shown}) in the '{}' function. It must be {bound}",
            param.name,
            func.short_name(),
        ));
    }
    Ok(())
}
