//! Every indicator column that TradingView exported, bar by bar, against ours.
//!
//! The exports belong to the test data of a public project and are fetched beside the sources;
//! without them the test says so and passes.

use springtide_domain::{BarsView, OwnedBars};
use springtide_engine::ta::{ColumnArg, Sums, TaFunc, TaState, run_column_with};
use std::collections::HashMap;
use std::path::PathBuf;

/// Relative tolerance of the comparison. TradingView's own order of summation must reach it
/// everywhere; correctly rounded sums everywhere but in `correlation`, which divides differences
/// of nearly equal squares and shows the last bits of its sums enlarged.
const RELATIVE: f64 = 1e-8;
/// Absolute tolerance, for values that are the small difference of large ones.
const ABSOLUTE: f64 = 1e-12;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../corpora/pynecore/tests/t01_lib/t20_ta/data")
}

/// One exported table: bars and named columns.
struct Table {
    file: String,
    sums: Sums,
    bars: OwnedBars,
    columns: HashMap<String, Vec<f64>>,
}

fn split(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for c in line.trim_end().chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().expect("one cell at least").push(c),
        }
    }
    cells
}

impl Table {
    fn read(file: &str, sums: Sums) -> Self {
        let text = std::fs::read_to_string(folder().join(file)).expect(file);
        let mut lines = text.lines();
        let names: Vec<String> =
            split(lines.next().expect("header")).into_iter().map(|n| n.replace("&quot;", "'")).collect();
        let mut columns: HashMap<String, Vec<f64>> = HashMap::new();
        for line in lines.filter(|l| !l.trim().is_empty()) {
            for (name, cell) in names.iter().zip(split(line)) {
                let value: f64 = cell.parse().unwrap_or(f64::NAN);
                // 1e100 is how some exports write na.
                let value = if value == 1e100 { f64::NAN } else { value };
                columns.entry(name.clone()).or_default().push(value);
            }
        }
        let mut take = |name: &str| columns.remove(name).expect(name);
        let time = take("time").iter().map(|t| *t as i64 * 1000).collect();
        let bars = OwnedBars {
            time,
            open: take("open"),
            high: take("high"),
            low: take("low"),
            close: take("close"),
            volume: take("Volume"),
        };
        Self { file: file.to_owned(), sums, bars, columns }
    }

    fn view(&self) -> BarsView<'_> {
        self.bars.view()
    }

    fn blend(&self, f: impl Fn(f64, f64, f64, f64) -> f64) -> Vec<f64> {
        let b = &self.bars;
        (0..b.time.len()).map(|i| f(b.open[i], b.high[i], b.low[i], b.close[i])).collect()
    }

    /// Runs a function by both drivers, which must agree, and returns its outputs.
    fn run(&self, func: TaFunc, args: &[ColumnArg<'_>]) -> Vec<Vec<f64>> {
        let bars = self.view();
        let fixed: Vec<Option<f64>> = args
            .iter()
            .map(|a| match a {
                ColumnArg::Const(v) => Some(*v),
                ColumnArg::Col(_) => None,
            })
            .collect();
        let mut outs = vec![Vec::new(); func.outputs()];
        run_column_with(func, self.sums, &fixed, &bars, args, &mut outs);
        let mut state = TaState::with_sums(func, self.sums, &fixed);
        let mut out = vec![0.0; func.outputs()];
        for i in 0..bars.len() {
            let now: Vec<f64> = args
                .iter()
                .map(|a| match a {
                    ColumnArg::Const(v) => *v,
                    ColumnArg::Col(c) => c[i],
                })
                .collect();
            state.step(&bars, i, &now, &mut out);
            for (k, v) in out.iter().enumerate() {
                let same = v.to_bits() == outs[k][i].to_bits() || (v.is_nan() && outs[k][i].is_nan());
                assert!(same, "{} bar {i}: drivers differ", func.name());
            }
        }
        outs
    }
}

/// Collects the comparison of every column.
struct Report {
    sums: Sums,
    lines: Vec<String>,
    failed: usize,
    equal: usize,
}

impl Report {
    fn check(&mut self, table: &Table, column: &str, got: &[f64]) {
        let Some(want) = table.columns.get(column) else {
            self.failed += 1;
            self.lines.push(format!("{}: no column {column}", table.file));
            return;
        };
        let rough = self.sums == Sums::Exact && column == "correlation";
        let relative = if rough { 1e-6 } else { RELATIVE };
        let (mut worst, mut bits, mut bad) = (0.0_f64, 0, None);
        for (i, (w, g)) in want.iter().zip(got).enumerate() {
            let near = match (w.is_nan(), g.is_nan()) {
                (true, true) => true,
                (false, false) => (w - g).abs() <= relative * w.abs() + ABSOLUTE,
                _ => false,
            };
            if !w.is_nan() && !g.is_nan() && *w != 0.0 {
                worst = worst.max(((w - g) / w).abs());
            }
            bits += usize::from(w == g || w.is_nan() && g.is_nan());
            if !near && bad.is_none() {
                bad = Some((i, *w, *g));
            }
        }
        let n = want.len();
        let state = match bad {
            None => "ok".to_owned(),
            Some((i, w, g)) => {
                self.failed += 1;
                format!("DIFFERS at bar {i}: TradingView {w}, here {g}")
            }
        };
        self.lines
            .push(format!("{:32} {column:52} {bits:5}/{n:5} equal, worst {worst:.1e}  {state}", table.file));
        self.equal += usize::from(bits == n);
    }
}

use ColumnArg::{Col, Const};

fn averages(report: &mut Report) {
    let t = Table::read("ma.csv", report.sums);
    let c = &t.bars.close;
    let hl2 = t.blend(|_, h, l, _| (h + l) / 2.0);
    let hlc3 = t.blend(|_, h, l, c| (h + l + c) / 3.0);
    let ohlc4 = t.blend(|o, h, l, c| (o + h + l + c) / 4.0);
    let hlcc4 = t.blend(|_, h, l, c| (h + l + 2.0 * c) / 4.0);
    let cases: [(&str, TaFunc, &[f64], &[f64]); 15] = [
        ("ta.sma(close, 10)", TaFunc::Sma, c, &[10.0]),
        ("ta.sma(hl2, 20)", TaFunc::Sma, &hl2, &[20.0]),
        ("ta.sma(hlc3, 15)", TaFunc::Sma, &hlc3, &[15.0]),
        ("ta.ema(close, 20)", TaFunc::Ema, c, &[20.0]),
        ("ta.ema(ohlc4, 10)", TaFunc::Ema, &ohlc4, &[10.0]),
        ("ta.rma(hlcc4, 5)", TaFunc::Rma, &hlcc4, &[5.0]),
        ("ta.rma(high, 15)", TaFunc::Rma, &t.bars.high, &[15.0]),
        ("ta.alma(close, 5, 0.85, 6)", TaFunc::Alma, c, &[5.0, 0.85, 6.0, 0.0]),
        ("ta.alma(close, 10, 0.55, 12)", TaFunc::Alma, c, &[10.0, 0.55, 12.0, 0.0]),
        ("ta.wma(close, 5)", TaFunc::Wma, c, &[5.0]),
        ("ta.wma(close, 20)", TaFunc::Wma, c, &[20.0]),
        ("ta.hma(close, 9)", TaFunc::Hma, c, &[9.0]),
        ("ta.hma(close, 20)", TaFunc::Hma, c, &[20.0]),
        ("ta.swma(hlc3)", TaFunc::Swma, &hlc3, &[]),
        ("ta.vwma(close, 20)", TaFunc::Vwma, c, &[20.0]),
    ];
    for (column, func, source, rest) in cases {
        report.check(&t, column, &call(&t, func, &[source], rest)[0]);
    }
}

/// Source columns first, constants after them.
fn call(t: &Table, func: TaFunc, sources: &[&[f64]], rest: &[f64]) -> Vec<Vec<f64>> {
    let args: Vec<ColumnArg<'_>> =
        sources.iter().map(|s| Col(s)).chain(rest.iter().map(|v| Const(*v))).collect();
    t.run(func, &args)
}

fn check_all(report: &mut Report, t: &Table, columns: &[&str], got: &[Vec<f64>]) {
    for (column, got) in columns.iter().zip(got) {
        report.check(t, column, got);
    }
}

fn bands(report: &mut Report) {
    let t = Table::read("bb.csv", report.sums);
    let names = ["base", "upper", "lower"].map(|s| format!("ta.bb(close, 20, 2).{s}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let c = &t.bars.close;
    check_all(report, &t, &names, &call(&t, TaFunc::Bb, &[c], &[20.0, 2.0]));
    report.check(&t, "ta.bbw(close, 20, 2.1)", &call(&t, TaFunc::Bbw, &[c], &[20.0, 2.1])[0]);

    let t = Table::read("kc.csv", report.sums);
    let c = &t.bars.close;
    let names = ["base", "upper", "lower"].map(|s| format!("ta.kc(close, 20, 2).{s}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check_all(report, &t, &names, &call(&t, TaFunc::Kc, &[c], &[20.0, 2.0, 1.0]));
    let width = call(&t, TaFunc::Kcw, &[c], &[20.0, 2.1, 0.0]);
    report.check(&t, "ta.kcw(close, 20, 2.1, useTrueRange=false)", &width[0]);
}

fn ranges(report: &mut Report) {
    let t = Table::read("tr.csv", report.sums);
    report.check(&t, "ta.tr(false)", &call(&t, TaFunc::Tr, &[], &[0.0])[0]);
    report.check(&t, "ta.tr(true)", &call(&t, TaFunc::Tr, &[], &[1.0])[0]);
    report.check(&t, "ta.tr", &call(&t, TaFunc::Tr, &[], &[0.0])[0]);
    report.check(&t, "ta.atr(14)", &call(&t, TaFunc::Atr, &[], &[14.0])[0]);
    let t = Table::read("range.csv", report.sums);
    let c = &t.bars.close;
    report.check(&t, "ta.range(close, 20)", &call(&t, TaFunc::Range, &[c], &[20.0])[0]);
}

fn extremes(report: &mut Report) {
    let t = Table::read("highest+lowest.csv", report.sums);
    let b = &t.bars;
    for (name, func, own) in [
        ("highest", TaFunc::Highest, &b.high),
        ("lowest", TaFunc::Lowest, &b.low),
        ("highestbars", TaFunc::HighestBars, &b.high),
        ("lowestbars", TaFunc::LowestBars, &b.low),
    ] {
        report.check(&t, &format!("ta.{name}(10)"), &call(&t, func, &[own], &[10.0])[0]);
        let of_close = call(&t, func, &[&b.close], &[10.0]);
        report.check(&t, &format!("ta.{name}(close, 10)"), &of_close[0]);
    }
    let t = Table::read("pivot.csv", report.sums);
    let b = &t.bars;
    for (column, func, source) in [
        ("ta.pivothigh(10, 5)", TaFunc::PivotHigh, &b.high),
        ("ta.pivothigh(close, 10, 5)", TaFunc::PivotHigh, &b.close),
        ("ta.pivotlow(10, 5)", TaFunc::PivotLow, &b.low),
        ("ta.pivotlow(close, 10, 5)", TaFunc::PivotLow, &b.close),
    ] {
        report.check(&t, column, &call(&t, func, &[source], &[10.0, 5.0])[0]);
    }
    let t = Table::read("min+max+median+mode.csv", report.sums);
    let c = &t.bars.close;
    report.check(&t, "min(close)", &call(&t, TaFunc::Min, &[c], &[])[0]);
    report.check(&t, "max(close)", &call(&t, TaFunc::Max, &[c], &[])[0]);
    report.check(&t, "median(close)", &call(&t, TaFunc::Median, &[c], &[20.0])[0]);
    report.check(&t, "mode(close)", &call(&t, TaFunc::Mode, &[c], &[20.0])[0]);
}

fn oscillators(report: &mut Report) {
    let t = Table::read("cci+cmo+cog.csv", report.sums);
    let c = &t.bars.close;
    report.check(&t, "ta.cmo(close, 20)", &call(&t, TaFunc::Cmo, &[c], &[20.0])[0]);
    report.check(&t, "ta.cci(close, 20)", &call(&t, TaFunc::Cci, &[c], &[20.0])[0]);
    report.check(&t, "ta.cog(close, 21)", &call(&t, TaFunc::Cog, &[c], &[21.0])[0]);
    let t = Table::read("mfi+rsi+stoch.csv", report.sums);
    let b = &t.bars;
    report.check(&t, "ta.mfi(close, 14)", &call(&t, TaFunc::Mfi, &[&b.close], &[14.0])[0]);
    report.check(&t, "ta.rsi(close, 14)", &call(&t, TaFunc::Rsi, &[&b.close], &[14.0])[0]);
    let stoch = call(&t, TaFunc::Stoch, &[&b.close, &b.high, &b.low], &[20.0]);
    report.check(&t, "ta.stoch(close, high, low, 20)", &stoch[0]);
    let t = Table::read("macd.csv", report.sums);
    let names = ["macd", "signal", "hist"].map(|s| format!("ta.macd(close, 12, 26, 9).{s}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let macd = call(&t, TaFunc::Macd, &[&t.bars.close], &[12.0, 26.0, 9.0]);
    check_all(report, &t, &names, &macd);
    let t = Table::read("tsi.csv", report.sums);
    let tsi = call(&t, TaFunc::Tsi, &[&t.bars.close], &[12.0, 26.0]);
    report.check(&t, "ta.tsi(close, 12, 26)", &tsi[0]);
    let t = Table::read("wpr.csv", report.sums);
    report.check(&t, "ta.wpr(20)", &call(&t, TaFunc::Wpr, &[], &[20.0])[0]);
}

fn trends(report: &mut Report) {
    let t = Table::read("dmi.csv", report.sums);
    let names = ["dip", "dim", "adx"].map(|s| format!("ta.dmi(17, 14).{s}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check_all(report, &t, &names, &call(&t, TaFunc::Dmi, &[], &[17.0, 14.0]));
    let t = Table::read("supertrend.csv", report.sums);
    let out = call(&t, TaFunc::Supertrend, &[], &[3.0, 10.0]);
    let side = |up: bool| -> Vec<f64> {
        let shown = |(line, dir): (&f64, &f64)| if (*dir < 0.0) == up { *line } else { f64::NAN };
        out[0].iter().zip(&out[1]).map(shown).collect()
    };
    report.check(&t, "ta.supertrend(3, 10).up", &side(true));
    report.check(&t, "ta.supertrend(3, 10).down", &side(false));
    let t = Table::read("sar.csv", report.sums);
    report.check(&t, "ta.sar(0.02, 0.02, 0.2)", &call(&t, TaFunc::Sar, &[], &[0.02, 0.02, 0.2])[0]);
    let t = Table::read("linreg.csv", report.sums);
    let c = &t.bars.close;
    for offset in [0.0, 10.0] {
        let got = call(&t, TaFunc::Linreg, &[c], &[20.0, offset]);
        report.check(&t, &format!("ta.linreg(close, 20, {offset})"), &got[0]);
    }
}

fn scaled(values: &[f64], by: f64) -> Vec<f64> {
    values.iter().map(|v| v * by).collect()
}

fn events(report: &mut Report) {
    let t = Table::read("cross.csv", report.sums);
    let ema = |n: f64| call(&t, TaFunc::Ema, &[&t.bars.close], &[n]).remove(0);
    let (fast, slow) = (ema(5.0), ema(11.0));
    for (name, func, by) in [
        ("cross", TaFunc::Cross, 0.5),
        ("crossover", TaFunc::Crossover, 1.0),
        ("crossunder", TaFunc::Crossunder, -1.0),
    ] {
        let got = scaled(&call(&t, func, &[&fast, &slow], &[])[0], by);
        report.check(&t, &format!("ta.{name}(ema1, ema2)"), &got);
    }
    let t = Table::read("falling+rising.csv", report.sums);
    let ema = call(&t, TaFunc::Ema, &[&t.bars.close], &[20.0]).remove(0);
    let falling = scaled(&call(&t, TaFunc::Falling, &[&ema], &[5.0])[0], -1.0);
    report.check(&t, "ta.falling(ema, 5)", &falling);
    report.check(&t, "ta.rising(ema, 5)", &call(&t, TaFunc::Rising, &[&ema], &[5.0])[0]);

    let t = Table::read("valuewhen.csv", report.sums);
    let sma = |n: f64| call(&t, TaFunc::Sma, &[&t.bars.close], &[n]).remove(0);
    let cross = call(&t, TaFunc::Cross, &[&sma(7.0), &sma(14.0)], &[]).remove(0);
    let got = call(&t, TaFunc::ValueWhen, &[&cross, &t.bars.close], &[1.0]);
    report.check(&t, "ta.valuewhen(ta.cross(slow, fast), close, 1)", &got[0]);

    let t = Table::read("valuewhen_na.csv", report.sums);
    let c = &t.bars.close;
    let third: Vec<f64> = (0..c.len()).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
    let holed: Vec<f64> = c.iter().enumerate().map(|(i, v)| if i % 2 == 0 { f64::NAN } else { *v }).collect();
    for (column, source, k) in [("v0", &holed, 0.0), ("v1", &holed, 1.0), ("v2", &holed, 2.0), ("w0", c, 0.0)]
    {
        report.check(&t, column, &call(&t, TaFunc::ValueWhen, &[&third, source], &[k])[0]);
    }
}

fn ranks(report: &mut Report) {
    let t = Table::read("ppp.csv", report.sums);
    let c = &t.bars.close;
    // The headers name other percentages than the script that was exported used (20 and 20).
    let linear = call(&t, TaFunc::PercentileLinear, &[c], &[20.0, 20.0]);
    report.check(&t, "ta.percentile_linear_interpolation(close, 20, 30)", &linear[0]);
    let nearest = call(&t, TaFunc::PercentileNearest, &[c], &[20.0, 20.0]);
    report.check(&t, "ta.percentile_nearest_rank(close, 20, 0)", &nearest[0]);
    report.check(&t, "ta.percentrank(close, 33)", &call(&t, TaFunc::PercentRank, &[c], &[33.0])[0]);
    let t = Table::read("rci.csv", report.sums);
    let c = &t.bars.close;
    let hl2 = t.blend(|_, h, l, _| (h + l) / 2.0);
    report.check(&t, "ta.rci(close, 5)", &call(&t, TaFunc::Rci, &[c], &[5.0])[0]);
    report.check(&t, "ta.rci(close, 20)", &call(&t, TaFunc::Rci, &[c], &[20.0])[0]);
    report.check(&t, "ta.rci(hl2, 20)", &call(&t, TaFunc::Rci, &[&hl2], &[20.0])[0]);
    let t = Table::read("correlation.csv", report.sums);
    let sma = call(&t, TaFunc::Sma, &[&t.bars.close], &[20.0]).remove(0);
    let ema = call(&t, TaFunc::Ema, &[&t.bars.close], &[10.0]).remove(0);
    report.check(&t, "correlation", &call(&t, TaFunc::Correlation, &[&sma, &ema], &[20.0])[0]);
}

fn volumes(report: &mut Report) {
    let t = Table::read("accdist+pvi+pvt+wad+wvad.csv", report.sums);
    for func in [TaFunc::AccDist, TaFunc::Pvi, TaFunc::Pvt, TaFunc::Wad, TaFunc::Wvad] {
        report.check(&t, func.name(), &call(&t, func, &[], &[])[0]);
    }
    let t = Table::read("iii+nvi+obv.csv", report.sums);
    for func in [TaFunc::Iii, TaFunc::Nvi, TaFunc::Obv] {
        report.check(&t, func.name(), &call(&t, func, &[], &[])[0]);
    }
}

fn anchored(report: &mut Report) {
    // 15-minute bars that begin with a session; sessions last 96 bars, 240 minutes 16.
    let t = Table::read("vwap.csv", report.sums);
    let c = &t.bars.close;
    let every = |n: usize, first: bool| -> Vec<f64> {
        let hit = |i: usize| i.is_multiple_of(n) && (first || i > 0);
        (0..c.len()).map(|i| f64::from(u8::from(hit(i)))).collect()
    };
    report.check(&t, "ta.vwap(close)", &call(&t, TaFunc::Vwap, &[c, &every(96, true)], &[])[0]);
    let four = call(&t, TaFunc::Vwap, &[c, &every(16, false)], &[]);
    report.check(&t, "ta.vwap(close, timeframe.change('240'))", &four[0]);
    let six = call(&t, TaFunc::VwapBands, &[c, &every(24, false)], &[2.0]);
    let names = ["vwap", "upper_band", "lower_band"]
        .map(|s| format!("ta.vwap(close, timeframe.change('360'), 2.0).{s}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check_all(report, &t, &names, &six);

    // Trading days begin at 17:00 in New York.
    let t = Table::read("pivot_point_levels.csv", report.sums);
    let zone = jiff::tz::TimeZone::get("America/New_York").expect("bundled zone");
    let day = |ms: &i64| {
        let at = jiff::Timestamp::from_millisecond(*ms).expect("in range");
        (at.to_zoned(zone.clone()).datetime() + jiff::ToSpan::hours(7)).date()
    };
    let days: Vec<_> = t.bars.time.iter().map(day).collect();
    let anchor: Vec<f64> =
        (0..days.len()).map(|i| f64::from(u8::from(i > 0 && days[i] != days[i - 1]))).collect();
    let levels = |code: f64| t.run(TaFunc::PivotPointLevels, &[Const(code), Col(&anchor), Const(0.0)]);
    let traditional = ["P_trad", "R1_trad", "S1_trad", "R2_trad", "S2_trad", "R3_trad", "S3_trad"];
    check_all(report, &t, &traditional, &levels(0.0));
    check_all(report, &t, &["P_fib", "R1_fib", "S1_fib"], &levels(1.0));
    check_all(report, &t, &["P_woodie"], &levels(2.0));
    check_all(report, &t, &["P_dm", "R1_dm", "S1_dm"], &levels(4.0));
    let camarilla = levels(5.0);
    check_all(report, &t, &["P_cam"], &camarilla);
    check_all(report, &t, &["R4_cam", "S4_cam"], &camarilla[7..]);
}

#[test]
fn exported_columns_match() {
    if !folder().is_dir() {
        eprintln!("SKIPPED exported_columns_match: no reference data in {}", folder().display());
        return;
    }
    for sums in [Sums::TradingView, Sums::Exact] {
        let mut report = Report { sums, lines: Vec::new(), failed: 0, equal: 0 };
        for part in [averages, bands, ranges, extremes, oscillators, trends, events, ranks, volumes, anchored]
        {
            part(&mut report);
        }
        eprintln!("Sums::{sums:?}");
        for line in &report.lines {
            eprintln!("{line}");
        }
        let n = report.lines.len();
        eprintln!("{} of {n} columns equal in every bit", report.equal);
        assert_eq!(report.failed, 0, "{} of {n} columns differ with {sums:?} sums", report.failed);
    }
}
