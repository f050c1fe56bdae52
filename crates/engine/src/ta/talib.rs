//! TA-Lib's definitions, from its official Rust port: functions that the Pine language lacks, or
//! defines otherwise.
//!
//! Where the two sets share a name they differ in seeds (TA-Lib's ATR and RSI start one bar
//! later, its MACD aligns both averages on the slow one), in `stoch` (smoothed, two lines), in
//! `bbands` (any average), in `cci` (of the typical price) and in the sign of `willr`.

use springtide_domain::BarsView;
use ta_lib::{Core, MAType, OutRange, RetCode};

/// One parameter: TA-Lib's name without prefix, in lower case, and TA-Lib's default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TalibParam {
    /// The name.
    pub name: &'static str,
    /// The value of an omitted parameter. Types of averages are TA-Lib's codes (0 SMA, 1 EMA, …).
    pub default: f64,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TalibError {
    /// More parameters than the function has.
    #[error("{name} takes at most {most} parameters, {given} were given")]
    TooManyParams {
        /// TA-Lib's name of the function.
        name: &'static str,
        /// How many it has.
        most: usize,
        /// How many came.
        given: usize,
    },
    /// The source's length is not that of the bars.
    #[error("{name}: the source has {source_len} values for {bars} bars")]
    Length {
        /// TA-Lib's name of the function.
        name: &'static str,
        /// Values in the source.
        source_len: usize,
        /// Bars.
        bars: usize,
    },
    /// TA-Lib has no notion of na between values.
    #[error("{name}: input value {index} is not a number; TA-Lib allows na only before the first value")]
    Gap {
        /// TA-Lib's name of the function.
        name: &'static str,
        /// Index of the offending value.
        index: usize,
    },
    /// A parameter outside TA-Lib's bounds.
    #[error("{name} refused its parameters {params:?}: {code}")]
    Refused {
        /// TA-Lib's name of the function.
        name: &'static str,
        /// The parameters as passed on, defaults filled in.
        params: Vec<f64>,
        /// TA-Lib's reason.
        code: String,
    },
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $source:literal, $outputs:literal, [$($param:literal = $default:literal),*];)*) => {
        /// The functions offered, each with its outputs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum TalibFunc { $($(#[$doc])* $variant,)* }

        impl TalibFunc {
            /// All functions, in declaration order.
            pub const ALL: &'static [TalibFunc] = &[$(TalibFunc::$variant,)*];

            /// TA-Lib's name, in capitals.
            pub const fn name(self) -> &'static str {
                match self { $(TalibFunc::$variant => $name,)* }
            }

            /// Whether it reads the source; otherwise it reads the bars.
            pub const fn reads_source(self) -> bool {
                match self { $(TalibFunc::$variant => $source,)* }
            }

            /// Number of output series.
            pub const fn outputs(self) -> usize {
                match self { $(TalibFunc::$variant => $outputs,)* }
            }

            /// The parameters in TA-Lib's order.
            pub const fn params(self) -> &'static [TalibParam] {
                match self {
                    $(TalibFunc::$variant => const { &[$(TalibParam { name: $param, default: $default }),*] },)*
                }
            }
        }
    };
}

catalogue! {
    /// Average directional movement index.
    Adx = "ADX", false, 1, ["timeperiod" = 14.0];
    /// Average directional movement index rating.
    Adxr = "ADXR", false, 1, ["timeperiod" = 14.0];
    /// Directional movement index.
    Dx = "DX", false, 1, ["timeperiod" = 14.0];
    /// Plus directional indicator.
    PlusDi = "PLUS_DI", false, 1, ["timeperiod" = 14.0];
    /// Minus directional indicator.
    MinusDi = "MINUS_DI", false, 1, ["timeperiod" = 14.0];
    /// Outputs: down, up.
    Aroon = "AROON", false, 2, ["timeperiod" = 14.0];
    /// Up minus down.
    AroonOsc = "AROONOSC", false, 1, ["timeperiod" = 14.0];
    /// Average true range.
    Atr = "ATR", false, 1, ["timeperiod" = 14.0];
    /// Average true range in percent of the close.
    Natr = "NATR", false, 1, ["timeperiod" = 14.0];
    /// Outputs: upper, middle, lower.
    Bbands = "BBANDS", true, 3, ["timeperiod" = 5.0, "nbdevup" = 2.0, "nbdevdn" = 2.0, "matype" = 0.0];
    /// Simple average.
    Sma = "SMA", true, 1, ["timeperiod" = 30.0];
    /// Exponential average.
    Ema = "EMA", true, 1, ["timeperiod" = 30.0];
    /// Double exponential average.
    Dema = "DEMA", true, 1, ["timeperiod" = 30.0];
    /// Triple exponential average.
    Tema = "TEMA", true, 1, ["timeperiod" = 30.0];
    /// Tillson's average.
    T3 = "T3", true, 1, ["timeperiod" = 5.0, "vfactor" = 0.7];
    /// Triangular average.
    Trima = "TRIMA", true, 1, ["timeperiod" = 30.0];
    /// Kaufman's adaptive average.
    Kama = "KAMA", true, 1, ["timeperiod" = 30.0];
    /// Outputs: adaptive average, its follower.
    Mama = "MAMA", true, 2, ["fastlimit" = 0.5, "slowlimit" = 0.05];
    /// Rate of change of a triple smoothed average.
    Trix = "TRIX", true, 1, ["timeperiod" = 30.0];
    /// Standard deviation.
    Stddev = "STDDEV", true, 1, ["timeperiod" = 5.0, "nbdev" = 1.0];
    /// Least squares line, its end.
    LinearReg = "LINEARREG", true, 1, ["timeperiod" = 14.0];
    /// Least squares line, one bar ahead.
    Tsf = "TSF", true, 1, ["timeperiod" = 14.0];
    /// Relative strength index.
    Rsi = "RSI", true, 1, ["timeperiod" = 14.0];
    /// Chande's momentum oscillator, smoothed as Wilder does.
    Cmo = "CMO", true, 1, ["timeperiod" = 14.0];
    /// Outputs: line, signal, histogram.
    Macd = "MACD", true, 3, ["fastperiod" = 12.0, "slowperiod" = 26.0, "signalperiod" = 9.0];
    /// Difference of two averages.
    Apo = "APO", true, 1, ["fastperiod" = 12.0, "slowperiod" = 26.0, "matype" = 0.0];
    /// Difference of two averages in percent.
    Ppo = "PPO", true, 1, ["fastperiod" = 12.0, "slowperiod" = 26.0, "matype" = 0.0];
    /// Outputs: fast K, fast D of the relative strength index.
    StochRsi = "STOCHRSI", true, 2, ["timeperiod" = 14.0, "fastk_period" = 5.0, "fastd_period" = 3.0, "fastd_matype" = 0.0];
    /// Outputs: slow K, slow D.
    Stoch = "STOCH", false, 2, ["fastk_period" = 5.0, "slowk_period" = 3.0, "slowk_matype" = 0.0, "slowd_period" = 3.0, "slowd_matype" = 0.0];
    /// Outputs: fast K, fast D.
    StochF = "STOCHF", false, 2, ["fastk_period" = 5.0, "fastd_period" = 3.0, "fastd_matype" = 0.0];
    /// Ultimate oscillator.
    UltOsc = "ULTOSC", false, 1, ["timeperiod1" = 7.0, "timeperiod2" = 14.0, "timeperiod3" = 28.0];
    /// Commodity channel index of the typical price.
    Cci = "CCI", false, 1, ["timeperiod" = 14.0];
    /// Williams' %R.
    Willr = "WILLR", false, 1, ["timeperiod" = 14.0];
    /// Money flow index of the typical price.
    Mfi = "MFI", false, 1, ["timeperiod" = 14.0];
    /// Accumulation/distribution oscillator.
    AdOsc = "ADOSC", false, 1, ["fastperiod" = 3.0, "slowperiod" = 10.0];
    /// Balance of power.
    Bop = "BOP", false, 1, [];
    /// Parabolic stop and reverse.
    Sar = "SAR", false, 1, ["acceleration" = 0.02, "maximum" = 0.2];
    /// Instantaneous trend line (Hilbert transform).
    HtTrendline = "HT_TRENDLINE", true, 1, [];
    /// Outputs: sine, lead sine (Hilbert transform).
    HtSine = "HT_SINE", true, 2, [];
}

/// Parameters with the omitted ones filled in.
struct Given(Vec<f64>);

impl Given {
    /// Truncated; out of an i32's range it is refused by every function's own bounds.
    fn int(&self, k: usize) -> i32 {
        self.0[k] as i32
    }

    fn average(&self, k: usize) -> Result<MAType, RetCode> {
        MAType::try_from(self.int(k))
    }
}

/// Computes the outputs of a function over all bars. `params` may leave out a tail, which takes
/// the defaults. `source` is read where [`TalibFunc::reads_source`] says so, and may begin with
/// na. `outs` gets one vector per output, one value per bar, NaN before the first.
///
/// # Errors
/// Parameters beyond TA-Lib's bounds, too many of them, a source of another length than the bars,
/// na between values.
///
/// # Panics
/// When `outs` has not as many elements as the function has outputs.
pub fn run(
    func: TalibFunc,
    bars: &BarsView<'_>,
    source: &[f64],
    params: &[f64],
    outs: &mut [Vec<f64>],
) -> Result<(), TalibError> {
    let name = func.name();
    assert_eq!(outs.len(), func.outputs(), "outputs of {name}");
    let specs = func.params();
    if params.len() > specs.len() {
        return Err(TalibError::TooManyParams { name, most: specs.len(), given: params.len() });
    }
    if func.reads_source() && source.len() != bars.len() {
        return Err(TalibError::Length { name, source_len: source.len(), bars: bars.len() });
    }
    let given =
        Given(specs.iter().enumerate().map(|(k, s)| params.get(k).copied().unwrap_or(s.default)).collect());
    let lead = lead(func, bars, source)?;
    let live = bars.slice(lead..bars.len());
    let source = if func.reads_source() { &source[lead..] } else { &[] };
    for out in outs.iter_mut() {
        out.clear();
        out.resize(bars.len(), f64::NAN);
    }
    if live.is_empty() {
        return Ok(());
    }
    let range = call(func, &live, source, &given, outs).map_err(|code| TalibError::Refused {
        name,
        params: given.0.clone(),
        code: code.to_string(),
    })?;
    for out in outs {
        align(out, lead + range.beg_idx, range.count);
    }
    Ok(())
}

/// Values before the first number; na after it is an error.
fn lead(func: TalibFunc, bars: &BarsView<'_>, source: &[f64]) -> Result<usize, TalibError> {
    let columns: &[&[f64]] = if func.reads_source() {
        &[source]
    } else if matches!(func, TalibFunc::Mfi | TalibFunc::AdOsc) {
        &[bars.open, bars.high, bars.low, bars.close, bars.volume]
    } else {
        &[bars.open, bars.high, bars.low, bars.close]
    };
    let holed = |i: usize| columns.iter().any(|c| !c[i].is_finite());
    let lead = (0..bars.len()).find(|i| !holed(*i)).unwrap_or(bars.len());
    match (lead..bars.len()).find(|i| holed(*i)) {
        Some(index) => Err(TalibError::Gap { name: func.name(), index }),
        None => Ok(lead),
    }
}

/// Moves `count` values from the front to `at`, NaN elsewhere.
fn align(out: &mut [f64], at: usize, count: usize) {
    out.copy_within(..count, at);
    out[..at].fill(f64::NAN);
    out[at + count..].fill(f64::NAN);
}

fn call(
    func: TalibFunc,
    bars: &BarsView<'_>,
    x: &[f64],
    p: &Given,
    outs: &mut [Vec<f64>],
) -> Result<OutRange, RetCode> {
    use TalibFunc as F;
    let core = Core::new();
    let e = bars.len() - 1;
    let BarsView { open: o, high: h, low: l, close: c, volume: v, .. } = *bars;
    match (func, outs) {
        (F::Adx, [a]) => core.adx(0, e, h, l, c, p.int(0), a),
        (F::Adxr, [a]) => core.adxr(0, e, h, l, c, p.int(0), a),
        (F::Dx, [a]) => core.dx(0, e, h, l, c, p.int(0), a),
        (F::PlusDi, [a]) => core.plus_di(0, e, h, l, c, p.int(0), a),
        (F::MinusDi, [a]) => core.minus_di(0, e, h, l, c, p.int(0), a),
        (F::Aroon, [a, b]) => core.aroon(0, e, h, l, p.int(0), a, b),
        (F::AroonOsc, [a]) => core.aroonosc(0, e, h, l, p.int(0), a),
        (F::Atr, [a]) => core.atr(0, e, h, l, c, p.int(0), a),
        (F::Natr, [a]) => core.natr(0, e, h, l, c, p.int(0), a),
        (F::Bbands, [a, b, d]) => core.bbands(0, e, x, p.int(0), p.0[1], p.0[2], p.average(3)?, a, b, d),
        (F::Sma, [a]) => core.sma(0, e, x, p.int(0), a),
        (F::Ema, [a]) => core.ema(0, e, x, p.int(0), a),
        (F::Dema, [a]) => core.dema(0, e, x, p.int(0), a),
        (F::Tema, [a]) => core.tema(0, e, x, p.int(0), a),
        (F::T3, [a]) => core.t3(0, e, x, p.int(0), p.0[1], a),
        (F::Trima, [a]) => core.trima(0, e, x, p.int(0), a),
        (F::Kama, [a]) => core.kama(0, e, x, p.int(0), a),
        (F::Mama, [a, b]) => core.mama(0, e, x, p.0[0], p.0[1], a, b),
        (F::Trix, [a]) => core.trix(0, e, x, p.int(0), a),
        (F::Stddev, [a]) => core.stddev(0, e, x, p.int(0), p.0[1], a),
        (F::LinearReg, [a]) => core.linearreg(0, e, x, p.int(0), a),
        (F::Tsf, [a]) => core.tsf(0, e, x, p.int(0), a),
        (F::Rsi, [a]) => core.rsi(0, e, x, p.int(0), a),
        (F::Cmo, [a]) => core.cmo(0, e, x, p.int(0), a),
        (F::Macd, [a, b, d]) => core.macd(0, e, x, p.int(0), p.int(1), p.int(2), a, b, d),
        (F::Apo, [a]) => core.apo(0, e, x, p.int(0), p.int(1), p.average(2)?, a),
        (F::Ppo, [a]) => core.ppo(0, e, x, p.int(0), p.int(1), p.average(2)?, a),
        (F::StochRsi, [a, b]) => core.stochrsi(0, e, x, p.int(0), p.int(1), p.int(2), p.average(3)?, a, b),
        (F::Stoch, [a, b]) => {
            let (k, d) = (p.average(2)?, p.average(4)?);
            core.stoch(0, e, h, l, c, p.int(0), p.int(1), k, p.int(3), d, a, b)
        }
        (F::StochF, [a, b]) => core.stochf(0, e, h, l, c, p.int(0), p.int(1), p.average(2)?, a, b),
        (F::UltOsc, [a]) => core.ultosc(0, e, h, l, c, p.int(0), p.int(1), p.int(2), a),
        (F::Cci, [a]) => core.cci(0, e, h, l, c, p.int(0), a),
        (F::Willr, [a]) => core.willr(0, e, h, l, c, p.int(0), a),
        (F::Mfi, [a]) => core.mfi(0, e, h, l, c, v, p.int(0), a),
        (F::AdOsc, [a]) => core.adosc(0, e, h, l, c, v, p.int(0), p.int(1), a),
        (F::Bop, [a]) => core.bop(0, e, o, h, l, c, a),
        (F::Sar, [a]) => core.sar(0, e, h, l, p.0[0], p.0[1], a),
        (F::HtTrendline, [a]) => core.ht_trendline(0, e, x, a),
        (F::HtSine, [a, b]) => core.ht_sine(0, e, x, a, b),
        // `run` has checked the number of outputs.
        _ => Err(RetCode::InternalError),
    }
}

#[cfg(test)]
mod tests {
    use super::{TalibError, TalibFunc, run};
    use springtide_domain::OwnedBars;

    fn bars(n: usize) -> OwnedBars {
        let mut bars = OwnedBars::default();
        for i in 0..n {
            let mid = 100.0 + (i as f64 * 0.7).sin() * 5.0 + i as f64 * 0.1;
            bars.push(i as i64 * 60_000, mid, mid + 1.0, mid - 1.5, mid + 0.5, 10.0 + (i % 7) as f64);
        }
        bars
    }

    fn outputs(func: TalibFunc, bars: &OwnedBars, source: &[f64], params: &[f64]) -> Vec<Vec<f64>> {
        let mut outs = vec![Vec::new(); func.outputs()];
        run(func, &bars.view(), source, params, &mut outs).expect("defaults are valid");
        outs
    }

    #[test]
    fn every_function_ends_in_numbers() {
        let bars = bars(300);
        for func in TalibFunc::ALL {
            for out in outputs(*func, &bars, &bars.close, &[]) {
                assert_eq!(out.len(), 300, "{func:?}");
                let first = out.iter().position(|v| v.is_finite()).expect("a number");
                assert!(out[first..].iter().all(|v| v.is_finite()), "{func:?}");
            }
        }
    }

    #[test]
    fn values_stand_on_their_bars() {
        let bars = bars(10);
        let x: Vec<f64> = (0..10).map(f64::from).collect();
        let sma = outputs(TalibFunc::Sma, &bars, &x, &[3.0]).remove(0);
        assert!(sma[..2].iter().all(|v| v.is_nan()));
        assert_eq!(sma[2..], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let mut late = x;
        late[..4].fill(f64::NAN);
        let sma = outputs(TalibFunc::Sma, &bars, &late, &[3.0]).remove(0);
        assert!(sma[..6].iter().all(|v| v.is_nan()));
        assert_eq!(sma[6..], [5.0, 6.0, 7.0, 8.0]);
        let down = outputs(TalibFunc::Aroon, &bars, &late, &[3.0]);
        assert_eq!(down[0].iter().filter(|v| v.is_nan()).count(), 3);
    }

    #[test]
    fn refusals_say_why() {
        let bars = bars(10);
        let mut outs = [Vec::new()];
        let mut go = |source: &[f64], params: &[f64]| {
            run(TalibFunc::Sma, &bars.view(), source, params, &mut outs).unwrap_err()
        };
        assert!(matches!(go(&bars.close, &[0.0]), TalibError::Refused { name: "SMA", .. }));
        assert!(matches!(go(&bars.close, &[3.0, 1.0]), TalibError::TooManyParams { most: 1, .. }));
        assert!(matches!(go(&bars.close[1..], &[]), TalibError::Length { source_len: 9, .. }));
        let mut holed = bars.close.clone();
        holed[5] = f64::NAN;
        assert_eq!(go(&holed, &[]), TalibError::Gap { name: "SMA", index: 5 });
    }
}
