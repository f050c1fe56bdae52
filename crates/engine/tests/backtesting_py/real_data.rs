//! Two strategies on real bars; the figures are backtesting.py 0.6.6's own on the same file.

use springtide_domain::OwnedBars;
use springtide_engine::{
    backtesting_py::{
        Commission, Config, DEFAULT_FRACTIONAL_UNIT, OrderRequest, Sim, SimTrade, Stats, scale_bars,
    },
    trade::ExitReason,
};

fn btc() -> Option<OwnedBars> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/BTC-USD-15m.csv");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: {path} is not there");
        return None;
    };
    let mut bars = OwnedBars::default();
    for line in text.lines().skip(1) {
        let (time, rest) = line.split_once(',').unwrap();
        let time: jiff::civil::DateTime = time.parse().unwrap();
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond();
        let v: Vec<f64> = rest.split(',').filter_map(|x| x.trim().parse().ok()).collect();
        bars.push(time, v[0], v[1], v[2], v[3], v[4]);
    }
    Some(bars)
}

fn config() -> Config {
    Config { cash: 100_000.0, commission: Commission::Relative(0.001), ..Config::default() }
}

/// Each window summed afresh, oldest first.
fn fresh_mean(close: &[f64], n: usize) -> Vec<f64> {
    let mut means = vec![f64::NAN; n - 1];
    means.extend(close.windows(n).map(|w| w.iter().sum::<f64>() / n as f64));
    means
}

/// One running sum, the newest value added before the oldest is taken off.
fn running_mean(close: &[f64], n: usize) -> Vec<f64> {
    let (mut sum, mut means) = (0.0, vec![f64::NAN; close.len()]);
    for (i, price) in close.iter().enumerate() {
        sum += price;
        if i >= n {
            sum -= close[i - n];
        }
        if i + 1 >= n {
            means[i] = sum / n as f64;
        }
    }
    means
}

fn sma_cross(bars: &OwnedBars, mean: fn(&[f64], usize) -> Vec<f64>) -> (Stats, SimTrade) {
    let (fast, slow) = (mean(&bars.close, 10), mean(&bars.close, 30));
    let mut sim = Sim::new(bars.view(), config()).unwrap();
    sim.run(29, |sim| {
        let i = sim.now();
        if fast[i - 1] < slow[i - 1] && fast[i] > slow[i] {
            sim.buy(OrderRequest::default()).unwrap();
        } else if slow[i - 1] < fast[i - 1] && slow[i] > fast[i] {
            sim.close_position(1.0).unwrap();
        }
    });
    (sim.stats(29), *sim.closed_trades().next().unwrap())
}

#[track_caller]
fn close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-9 * want.abs(), "{got}, not {want}");
}

#[test]
fn sma_10_30_in_whole_units_and_in_fractions() {
    let Some(bars) = btc() else { return };
    let (whole, _) = sma_cross(&bars, fresh_mean);
    close(whole.equity_final, 46_848.998_349_999_936);
    close(whole.sharpe_ratio, -4.884_751_873_384_542);
    close(whole.max_drawdown_pct, -59.498_525_974_164_494);
    close(whole.sqn, -2.485_262_149_442_599_3);
    assert_eq!(whole.trades, 683);

    // One crossing is a tie of floating-point sums: the order of summation moves it, and 11 of equity.
    let satoshi = scale_bars(&bars.view(), DEFAULT_FRACTIONAL_UNIT);
    let (fresh, first) = sma_cross(&satoshi, fresh_mean);
    let (first, exit) = (first.unscaled(DEFAULT_FRACTIONAL_UNIT), first.exit.unwrap());
    assert_eq!((first.size, first.entry_price, first.entry_bar, exit.bar), (6.04855427, 16_516.36, 32, 33));
    close(first.pnl(), -244.273_041_673_486_46);
    close(fresh.equity_final, 36_322.733_059_899);
    close(fresh.sharpe_ratio, -5.982_783_358_460_831);
    let (running, _) = sma_cross(&satoshi, running_mean);
    close(running.equity_final, 36_333.465_731_828_31);
    close(running.sqn, -2.529_494_550_306_076);
    let (micro, _) = sma_cross(&scale_bars(&bars.view(), 1e-6), running_mean);
    close(micro.equity_final, 36_333.473_459_355_98);
    assert_eq!((fresh.trades, running.trades, micro.trades), (683, 683, 683));
}

/// Wilder's RSI, seeded with the mean of the first `n` changes.
fn rsi(close: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![f64::NAN; close.len()];
    let (mut up, mut down, count) = (0.0, 0.0, n as f64);
    for i in 1..close.len() {
        let change = close[i] - close[i - 1];
        let (u, d) = (change.max(0.0), (-change).max(0.0));
        if i <= n {
            (up, down) = (up + u / count, down + d / count);
        } else {
            (up, down) = ((up * (count - 1.0) + u) / count, (down * (count - 1.0) + d) / count);
        }
        if i >= n {
            out[i] = if down == 0.0 { 100.0 } else { 100.0 - 100.0 / (1.0 + up / down) };
        }
    }
    out
}

#[test]
fn rsi_with_brackets_from_the_signal_close() {
    let Some(bars) = btc() else { return };
    let bars = scale_bars(&bars.view(), DEFAULT_FRACTIONAL_UNIT);
    let rsi = rsi(&bars.close, 14);
    let mut sim = Sim::new(bars.view(), Config { finalize_trades: true, ..config() }).unwrap();
    sim.run(14, |sim| {
        let i = sim.now();
        let price = bars.close[i];
        if rsi[i - 1] >= 30.0 && rsi[i] < 30.0 && sim.open_trades().is_empty() {
            let (sl, tp) = (Some(price * 0.98), Some(price * 1.04));
            sim.buy(OrderRequest { sl, tp, ..OrderRequest::default() }).unwrap();
        } else if rsi[i - 1] <= 70.0 && rsi[i] > 70.0 {
            sim.close_position(1.0).unwrap();
        }
    });
    let of = |reason| sim.closed_trades().filter(|t| t.exit.is_some_and(|e| e.reason == reason)).count();
    assert_eq!((of(ExitReason::Stop), of(ExitReason::Limit), of(ExitReason::Close)), (61, 7, 91));
    assert!((sim.stats(14).equity_final - 81_153.29).abs() < 0.01, "{}", sim.stats(14).equity_final);
}
