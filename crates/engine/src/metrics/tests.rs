//! Small cases worked out by hand, and the fast walk beside a plain one that looks at every bar.

use super::*;
use crate::{Side, broker::NameId};
use proptest::prelude::*;
use springtide_domain::OwnedBars;

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;

fn bars_at(times: impl IntoIterator<Item = i64>, closes: &[f64]) -> OwnedBars {
    let mut bars = OwnedBars::default();
    for (t, &c) in times.into_iter().zip(closes) {
        bars.push(t, c, c, c, c, 1.0);
    }
    bars
}

fn daily(closes: &[f64]) -> OwnedBars {
    bars_at((0..closes.len() as i64).map(|i| i * DAY), closes)
}

fn trade(side: Side, qty: f64, entry: (u32, f64), exit: (u32, f64), commission: f64) -> Trade {
    Trade {
        side,
        qty,
        entry_bar: entry.0,
        exit_bar: exit.0,
        entry_price: entry.1,
        exit_price: exit.1,
        entry_id: NameId(0),
        exit_id: NameId(0),
        entry_comment: NameId(0),
        exit_comment: NameId(0),
        reason: crate::trade::ExitReason::Order,
        commission,
        profit: side.sign() * qty * (exit.1 - entry.1) - commission,
        max_runup: 0.0,
        max_drawdown: 0.0,
        entry_seq: 0,
        exit_seq: 0,
    }
}

fn segment(from_bar: u32, base: f64, slope: f64) -> EquitySegment {
    EquitySegment { from_bar, base, slope }
}

fn run(bars: &OwnedBars, trades: &[Trade], segments: &[EquitySegment], input: &MetricsInput) -> Metrics {
    let view = bars.view();
    compute(&view, &Calendar::new(&view), trades, segments, input)
}

#[track_caller]
fn close(got: Option<f64>, want: f64) {
    let got = got.expect("a value");
    assert!((got - want).abs() <= 1e-12 * want.abs().max(1.0), "got {got}, want {want}");
}

/// Bought 10 at 10, closed at 12 (+20), then sold 10 short at 12, closed at 13 (-10); 1,000 to start.
fn two_trades() -> (OwnedBars, Vec<Trade>, Vec<EquitySegment>) {
    let bars = daily(&[10.0, 11.0, 9.0, 12.0, 12.0, 13.0, 13.0]);
    let trades = vec![
        trade(Side::Long, 10.0, (0, 10.0), (3, 12.0), 0.0),
        trade(Side::Short, 10.0, (4, 12.0), (6, 13.0), 0.0),
    ];
    let segments = vec![
        segment(0, 900.0, 10.0),
        segment(3, 1_020.0, 0.0),
        segment(4, 1_140.0, -10.0),
        segment(6, 1_010.0, 0.0),
    ];
    (bars, trades, segments)
}

#[test]
fn two_trades_by_hand() {
    let (bars, trades, segments) = two_trades();
    let m = run(&bars, &trades, &segments, &MetricsInput::new(1_000.0));
    assert_eq!(
        equity_curve(&bars.view(), &segments, 1_000.0),
        [1_000.0, 1_010.0, 990.0, 1_020.0, 1_020.0, 1_010.0, 1_010.0]
    );
    assert_eq!((m.trades, m.wins, m.losses, m.bars), (2, 1, 1, 7));
    assert_eq!((m.net_profit, m.gross_profit, m.gross_loss), (10.0, 20.0, 10.0));
    assert_eq!((m.equity_final, m.equity_peak), (1_010.0, 1_020.0));
    close(m.return_pct, 1.0);
    close(m.buy_and_hold_pct, 30.0);
    assert_eq!(m.max_drawdown, 20.0);
    close(m.max_drawdown_pct, 20.0 / 1_010.0 * 100.0);
    close(m.avg_drawdown, 15.0);
    close(m.avg_drawdown_pct, (20.0 / 1_010.0 + 10.0 / 1_020.0) / 2.0 * 100.0);
    // Peak at bar 1, back at bar 3; peak at bar 4, still below at bar 6.
    assert_eq!((m.max_drawdown_duration_bars, m.max_drawdown_duration_ms), (2, 2 * DAY));
    close(m.exposure_pct, 5.0 / 7.0 * 100.0);
    close(m.profit_factor, 2.0);
    close(m.payoff_ratio, 2.0);
    close(m.win_rate_pct, 50.0);
    close(m.expectancy, 5.0);
    close(m.expectancy_pct, (20.0 - 10.0 / 120.0 * 100.0) / 2.0);
    close(m.avg_trade_geometric_pct, ((1.2f64 * (1.0 - 10.0 / 120.0)).sqrt() - 1.0) * 100.0);
    close(m.kelly, 0.5 - 0.5 / 2.0);
    close(m.sqn, 2f64.sqrt() * 5.0 / 450f64.sqrt());
    close(m.recovery_factor, 0.5);
    close(m.avg_bars_in_trade, 2.5);
    assert_eq!((m.best_trade, m.worst_trade), (Some(20.0), Some(-10.0)));
    assert_eq!((m.long_trades, m.long_net_profit, m.long_win_rate_pct), (1, 20.0, Some(100.0)));
    assert_eq!((m.short_trades, m.short_net_profit, m.short_win_rate_pct), (1, -10.0, Some(0.0)));
    // Seven days from a Thursday: 2/7 of the bars on the weekend.
    assert_eq!(m.periods_per_year, 365.0);
    close(m.cagr_pct, (1.01f64.powf(365.25 / 7.0) - 1.0) * 100.0);
}

#[test]
fn sharpe_and_sortino_by_hand() {
    // Daily returns +10 %, -5 %, +10 %.
    let bars = daily(&[100.0, 110.0, 104.5, 114.95]);
    let input = MetricsInput { risk_free_rate: 3.65, ..MetricsInput::new(100.0) };
    let m = run(&bars, &[], &[segment(0, 0.0, 1.0)], &input);
    let (mean, hurdle) = (0.05, 0.0365 / 365.0);
    let deviation = ((0.05f64.powi(2) * 2.0 + 0.1f64.powi(2)) / 2.0).sqrt();
    close(m.sharpe, (mean - hurdle) / deviation * 365f64.sqrt());
    let downside = ((0.05 + hurdle) * (0.05 + hurdle) / 3.0).sqrt();
    close(m.sortino, (mean - hurdle) / downside * 365f64.sqrt());
    close(m.volatility_ann_pct, deviation * 365f64.sqrt() * 100.0);
    // Four period ends, one of them 5 % under the peak.
    close(m.ulcer_index_pct, 2.5);
    assert_eq!(m.exposure_pct, Some(100.0));
}

#[test]
fn nothing_happened() {
    let m = run(&daily(&[1.0, 2.0, 3.0]), &[], &[], &MetricsInput::new(100.0));
    assert_eq!((m.equity_final, m.equity_peak, m.max_drawdown), (100.0, 100.0, 0.0));
    assert_eq!((m.return_pct, m.cagr_pct, m.exposure_pct), (Some(0.0), Some(0.0), Some(0.0)));
    let undefined =
        [m.sharpe, m.sortino, m.calmar, m.profit_factor, m.win_rate_pct, m.sqn, m.kelly, m.avg_drawdown];
    assert_eq!(undefined, [None; 8]);
    let empty = run(&daily(&[]), &[], &[], &MetricsInput::new(100.0));
    assert_eq!((empty.bars, empty.equity_final, empty.buy_and_hold_pct), (0, 100.0, None));
}

#[test]
fn a_loss_on_the_first_bar_is_a_drawdown_from_the_initial_capital() {
    let m = run(&daily(&[1.0, 1.0]), &[], &[segment(0, 90.0, 0.0)], &MetricsInput::new(100.0));
    assert_eq!((m.max_drawdown, m.max_drawdown_pct), (10.0, Some(10.0)));
    assert_eq!(m.max_drawdown_duration_bars, 1);
}

#[test]
fn a_ruined_account_has_lost_everything() {
    let bars = daily(&[10.0, 5.0, 1.0, 1.0, 1.0]);
    let m = run(&bars, &[], &[segment(0, -50.0, 15.0)], &MetricsInput::new(100.0));
    assert_eq!(m.equity_final, -35.0);
    assert_eq!(m.cagr_pct, Some(-100.0));
    assert_eq!(m.max_drawdown_pct, Some(135.0));
    assert!(m.sharpe.is_some_and(f64::is_finite));
}

#[test]
fn periods_follow_the_bars() {
    let of = |times: Vec<i64>| {
        let closes = vec![1.0; times.len()];
        let bars = bars_at(times, &closes);
        let calendar = Calendar::new(&bars.view());
        (calendar.period(), calendar.period_ends().to_vec(), calendar.periods_per_year(TradingDays::Auto))
    };
    assert_eq!(of((0..50).map(|i| i * HOUR).collect()), (Period::Day, vec![23, 47, 49], 252.0));
    assert_eq!(of((0..8 * 24).map(|i| i * HOUR).collect()).2, 365.0);
    let weekdays = (0..20).filter(|d| !matches!(d % 7, 2 | 3)).map(|d| d * DAY).collect();
    assert_eq!(of(weekdays).2, 252.0);
    assert_eq!(of((0..4).map(|i| i * 7 * DAY).collect()), (Period::Week, vec![0, 1, 2, 3], 52.0));
    // 1970-01-01, 02-01, 03-01, 04-01.
    assert_eq!(of(vec![0, 31 * DAY, 59 * DAY, 90 * DAY]), (Period::Month, vec![0, 1, 2, 3], 12.0));
    assert_eq!(of(vec![0, 365 * DAY, 730 * DAY]), (Period::Year, vec![0, 1, 2], 1.0));
    assert_eq!(of(vec![]), (Period::Day, vec![], 252.0));
    assert_eq!(of(vec![-DAY, 0]).1, [0, 1]);
}

#[test]
fn months_are_civil_months() {
    use super::calendar::month_of;
    // 1970-01-01, 1969-12-31, 2000-02-29, 2000-03-01, 2024-12-31.
    for (day, year, month) in
        [(0, 1970, 1), (-1, 1969, 12), (11_016, 2000, 2), (11_017, 2000, 3), (20_088, 2024, 12)]
    {
        assert_eq!(month_of(day * DAY + HOUR), year * 12 + month - 1, "day {day}");
    }
}

#[test]
fn months_in_a_table() {
    // December 1969 to February 1970, one bar in each; 100 -> 110 -> 99 -> 198.
    let bars = bars_at([-DAY, 0, 40 * DAY], &[110.0, 99.0, 198.0]);
    let table = monthly_returns(&bars.view(), &[segment(0, 0.0, 1.0)], 100.0);
    assert_eq!(table.iter().map(|row| row.year).collect::<Vec<_>>(), [1969, 1970]);
    close(table[0].months[11], 10.0);
    close(table[0].total_pct, 10.0);
    close(table[1].months[0], -10.0);
    close(table[1].months[1], 100.0);
    close(table[1].total_pct, 80.0);
    assert_eq!(table[1].months[2..], [None; 10]);
}

#[test]
fn deepest_drawdowns_first() {
    let (bars, _, segments) = two_trades();
    let found = drawdowns(&bars.view(), &segments, 1_000.0, 5);
    assert_eq!(
        found.iter().map(|d| (d.start, d.trough, d.end)).collect::<Vec<_>>(),
        [(1, 2, Some(3)), (4, 5, None)]
    );
    assert_eq!((found[0].money, found[0].duration_bars, found[0].duration_ms), (20.0, 2, 2 * DAY));
    assert_eq!(found[1].duration_bars, 2);
    assert_eq!(drawdowns(&bars.view(), &segments, 1_000.0, 1).len(), 1);
}

#[test]
fn streaks_end_at_break_even() {
    let bars = daily(&[1.0; 4]);
    let profits = [1.0, 1.0, 0.0, 1.0, -1.0, -1.0, -1.0];
    let trades: Vec<Trade> = profits
        .iter()
        .map(|p| Trade { profit: *p, ..trade(Side::Long, 1.0, (0, 100.0), (1, 100.0), 0.0) })
        .collect();
    let m = run(&bars, &trades, &[], &MetricsInput::new(100.0));
    assert_eq!((m.max_consecutive_wins, m.max_consecutive_losses), (2, 3));
    assert_eq!((m.trades, m.wins, m.losses), (7, 3, 3));
}

#[test]
fn json_has_null_where_there_is_no_number() {
    let (bars, trades, segments) = two_trades();
    let m = run(&bars, &trades, &segments, &MetricsInput::new(1_000.0));
    let text = serde_json::to_string(&m).unwrap();
    assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), m);

    let odd = Metrics { net_profit: f64::INFINITY, sharpe: Some(f64::NAN), ..m };
    let text = serde_json::to_string(&odd).unwrap();
    assert!(text.contains(r#""net_profit":null"#) && text.contains(r#""sharpe":null"#), "{text}");
    let back: Metrics = serde_json::from_str(&text).unwrap();
    assert_eq!((back.get("net_profit"), back.sharpe), (None, None));
    assert!(serde_json::from_str::<Metrics>(&text.replace(r#""trades":2"#, r#""trades":null"#)).is_err());
}

#[test]
fn registry_struct_and_document_agree() {
    let json = serde_json::to_value(Metrics::default()).unwrap();
    let fields: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), METRICS.len());
    let document = include_str!("../../../../docs/metrics.md");
    let rows: Vec<&str> = document.lines().filter(|l| l.starts_with("| `")).collect();
    assert_eq!(rows.len(), METRICS.len(), "one row per metric");
    for (info, row) in METRICS.iter().zip(rows) {
        assert!(json.get(info.name).is_some(), "{}", info.name);
        assert_eq!(row, document_row(info));
        assert!(MetricInfo::find(info.name).is_some_and(|found| found == info));
    }
    assert_eq!(Metrics::default().get("no_such_metric"), None);
    assert_eq!(Metrics { trades: 3, ..Metrics::default() }.get("trades"), Some(3.0));
}

fn document_row(info: &MetricInfo) -> String {
    let better = match info.higher_is_better {
        Some(true) => "higher",
        Some(false) => "lower",
        None => "",
    };
    let (name, title, unit) = (info.name, info.title, info.unit.as_str());
    format!("| `{name}` | {title} | {unit} | {better} | {} |", info.definition)
}

// ---- the plain implementation ----

/// Everything the fast walk finds, from an equity per bar.
fn plain(bars: &OwnedBars, trades: &[Trade], segments: &[EquitySegment], input: &MetricsInput) -> Metrics {
    let (time, curve) = (&bars.time, equity_curve(&bars.view(), segments, input.initial_capital));
    let mut m = Metrics { bars: curve.len() as u32, trades: trades.len() as u32, ..Metrics::default() };
    plain_drawdowns(&mut m, &curve, time, input.initial_capital);
    plain_returns(&mut m, &curve, time, input);
    plain_trades(&mut m, trades, input.point_value);
    let exposed = (0..curve.len()).filter(|&bar| slope_at(segments, bar) != 0.0).count();
    m.exposure_pct = Some(exposed as f64 / curve.len() as f64 * 100.0);
    m
}

fn slope_at(segments: &[EquitySegment], bar: usize) -> f64 {
    segments.iter().rev().find(|s| s.from_bar as usize <= bar).map_or(0.0, |s| s.slope)
}

fn plain_drawdowns(m: &mut Metrics, curve: &[f64], time: &[i64], initial: f64) {
    let (mut peak, mut peak_bar, mut low) = (initial, 0, initial);
    let mut depths: Vec<(f64, f64)> = Vec::new();
    for (bar, &e) in curve.iter().enumerate() {
        m.max_drawdown = m.max_drawdown.max(peak - e);
        m.max_drawdown_pct = Some(m.max_drawdown_pct.unwrap_or(0.0).max((peak - e) / peak * 100.0));
        let back = e >= peak;
        if low.min(e) < peak && (back || bar + 1 == curve.len()) {
            low = low.min(e);
            depths.push((peak - low, (peak - low) / peak));
            m.max_drawdown_duration_bars = m.max_drawdown_duration_bars.max((bar - peak_bar) as u32);
            m.max_drawdown_duration_ms = m.max_drawdown_duration_ms.max(time[bar] - time[peak_bar]);
        }
        low = low.min(e);
        if back {
            (peak, peak_bar, low) = (e, bar, e);
        }
    }
    m.equity_peak = peak;
    m.equity_final = curve[curve.len() - 1];
    let count = depths.len() as f64;
    m.avg_drawdown = ratio(depths.iter().map(|d| d.0).sum(), count);
    m.avg_drawdown_pct = percent(depths.iter().map(|d| d.1).sum(), count);
}

fn plain_returns(m: &mut Metrics, curve: &[f64], time: &[i64], input: &MetricsInput) {
    let mut days: Vec<(i64, f64)> = Vec::new();
    for (t, e) in time.iter().zip(curve) {
        days.retain(|d| d.0 != t.div_euclid(DAY));
        days.push((t.div_euclid(DAY), *e));
    }
    let r: Vec<f64> =
        days.windows(2).map(|w| if w[0].1 > 0.0 { w[1].1 / w[0].1 - 1.0 } else { 0.0 }).collect();
    let mut peak = input.initial_capital;
    let mut squares = 0.0;
    for d in &days {
        peak = peak.max(d.1);
        squares += (1.0 - d.1 / peak).powi(2);
    }
    m.ulcer_index_pct = Some((squares / days.len() as f64).sqrt() * 100.0);
    let n = r.len() as f64;
    if n < 2.0 {
        return;
    }
    let weekend =
        time.iter().filter(|t| [2, 3].contains(&(t.div_euclid(DAY) % 7))).count() as f64 / time.len() as f64;
    let year: f64 = if weekend > 2.0 / 7.0 * 0.6 { 365.0 } else { 252.0 };
    let mean = r.iter().sum::<f64>() / n;
    let free = input.risk_free_rate / 100.0 / year;
    let deviation = (r.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let downside = (r.iter().map(|x| (x - free).min(0.0).powi(2)).sum::<f64>() / n).sqrt();
    m.sharpe = ratio((mean - free) * year.sqrt(), deviation);
    m.sortino = ratio((mean - free) * year.sqrt(), downside);
}

fn plain_trades(m: &mut Metrics, trades: &[Trade], point_value: f64) {
    let profits: Vec<f64> = trades.iter().map(|t| t.profit).collect();
    let returns: Vec<f64> = trades.iter().map(|t| t.profit / (t.entry_price * t.qty * point_value)).collect();
    let n = profits.len() as f64;
    let total = |keep: fn(f64) -> bool| profits.iter().filter(|p| keep(**p)).sum::<f64>();
    m.net_profit = total(|_| true);
    m.gross_profit = total(|p| p > 0.0);
    m.gross_loss = -total(|p| p < 0.0);
    m.wins = profits.iter().filter(|p| **p > 0.0).count() as u32;
    m.avg_trade_pct = ratio(returns.iter().sum::<f64>() * 100.0, n);
    m.best_trade_pct = returns.iter().copied().reduce(f64::max).map(|x| x * 100.0);
    m.worst_trade = profits.iter().copied().reduce(f64::min);
    let log: f64 = returns.iter().map(|r| (1.0 + r).max(0.0).ln()).sum();
    m.avg_trade_geometric_pct = ratio(log, n).map(|x| (x.exp() - 1.0) * 100.0);
    m.avg_trade_geometric_pct = m.avg_trade_geometric_pct.or((n > 0.0).then_some(-100.0));
    let mean = m.net_profit / n;
    let variance = profits.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / (n - 1.0);
    m.sqn = (n >= 2.0).then(|| ratio(n.sqrt() * mean, variance.sqrt())).flatten();
}

/// Prices of a random walk, hourly, with some bars missing.
fn any_bars() -> impl Strategy<Value = OwnedBars> {
    proptest::collection::vec((-0.05f64..0.05, 1i64..30), 2..400).prop_map(|steps| {
        let (mut price, mut hour) = (100.0, 0);
        let mut bars = OwnedBars::default();
        for (change, gap) in steps {
            price *= 1.0 + change;
            hour += if gap > 25 { gap } else { 1 };
            bars.push(hour * HOUR, price, price, price, price, 0.0);
        }
        bars
    })
}

type Piece = (u32, u32, f64, bool);

/// Alternating flat and open stretches over `bars`, continuous in cash as a broker would leave them.
fn books(bars: &OwnedBars, pieces: &[Piece]) -> (Vec<Trade>, Vec<EquitySegment>) {
    let (mut trades, mut segments) = (Vec::new(), Vec::new());
    let (mut bar, mut cash) = (0usize, 10_000.0);
    for &(wait, hold, qty, long) in pieces {
        let (entry, exit) = (bar + wait as usize, bar + (wait + hold) as usize);
        if exit >= bars.close.len() {
            break;
        }
        let side = if long { Side::Long } else { Side::Short };
        let (from, to) = (bars.close[entry], bars.close[exit]);
        let t = trade(side, qty, (entry as u32, from), (exit as u32, to), qty * 0.01);
        segments.push(segment(entry as u32, cash - side.sign() * qty * from, side.sign() * qty));
        cash += t.profit;
        segments.push(segment(exit as u32, cash, 0.0));
        trades.push(t);
        bar = exit;
    }
    (trades, segments)
}

fn any_run() -> impl Strategy<Value = (OwnedBars, Vec<Trade>, Vec<EquitySegment>)> {
    let piece = (0u32..20, 0u32..150, 0.1f64..60.0, any::<bool>());
    (any_bars(), proptest::collection::vec(piece, 0..40)).prop_map(|(bars, pieces)| {
        let (trades, segments) = books(&bars, &pieces);
        (bars, trades, segments)
    })
}

proptest! {
    #[test]
    fn equals_the_plain_walk((bars, trades, segments) in any_run()) {
        let input = MetricsInput { risk_free_rate: 2.0, ..MetricsInput::new(10_000.0) };
        let fast = run(&bars, &trades, &segments, &input);
        let want = plain(&bars, &trades, &segments, &input);
        for name in [
            "bars", "trades", "wins", "net_profit", "gross_profit", "gross_loss", "equity_final", "equity_peak",
            "max_drawdown", "max_drawdown_pct", "max_drawdown_duration_ms", "max_drawdown_duration_bars",
            "avg_drawdown", "avg_drawdown_pct", "exposure_pct", "ulcer_index_pct", "sharpe", "sortino",
            "avg_trade_pct", "avg_trade_geometric_pct", "best_trade_pct", "worst_trade", "sqn",
        ] {
            let (a, b) = (fast.get(name), want.get(name));
            let equal = match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b.abs().max(1.0),
                _ => a == b,
            };
            prop_assert!(equal, "{}: fast {:?}, plain {:?}", name, a, b);
        }
    }

    #[test]
    fn books_and_bounds((bars, trades, segments) in any_run()) {
        let m = run(&bars, &trades, &segments, &MetricsInput::new(10_000.0));
        prop_assert!((10_000.0 + m.net_profit - m.equity_final).abs() < 1e-6);
        prop_assert!((m.long_net_profit + m.short_net_profit - m.net_profit).abs() < 1e-6);
        prop_assert!((m.gross_profit - m.gross_loss - m.net_profit).abs() < 1e-6);
        prop_assert_eq!(m.long_trades + m.short_trades, m.trades);
        prop_assert!(m.wins + m.losses <= m.trades);
        prop_assert!(m.max_drawdown >= m.avg_drawdown.unwrap_or(0.0) * (1.0 - 1e-12));
        prop_assert!(m.equity_peak >= m.equity_final && m.equity_peak >= 10_000.0);
        prop_assert!(m.exposure_pct.is_some_and(|x| (0.0..=100.0).contains(&x)));
        let deepest = drawdowns(&bars.view(), &segments, 10_000.0, 1).first().map_or(0.0, |d| d.depth_pct);
        prop_assert!((deepest - m.max_drawdown_pct.unwrap_or(0.0)).abs() < 1e-9);
    }

    /// Adding money to every bar's equity and to the start shrinks the drawdown in percent, not in money.
    #[test]
    fn a_richer_account_falls_less((bars, trades, segments) in any_run()) {
        let rich: Vec<_> = segments.iter().map(|s| EquitySegment { base: s.base + 5_000.0, ..*s }).collect();
        let poor = run(&bars, &trades, &segments, &MetricsInput::new(10_000.0));
        let rich = run(&bars, &trades, &rich, &MetricsInput::new(15_000.0));
        prop_assert!((rich.max_drawdown - poor.max_drawdown).abs() < 1e-6);
        prop_assert!(rich.max_drawdown_pct.unwrap() <= poor.max_drawdown_pct.unwrap() + 1e-9);
    }

    /// A month table multiplies to the whole return.
    #[test]
    fn months_compound_to_the_return((bars, trades, segments) in any_run()) {
        let m = run(&bars, &trades, &segments, &MetricsInput::new(10_000.0));
        prop_assume!(equity_curve(&bars.view(), &segments, 10_000.0).iter().all(|e| *e > 1.0));
        let table = monthly_returns(&bars.view(), &segments, 10_000.0);
        let months = table.iter().flat_map(|row| row.months).flatten();
        let growth: f64 = months.map(|pct| 1.0 + pct / 100.0).product();
        prop_assert!((growth - 1.0 - m.return_pct.unwrap() / 100.0).abs() < 1e-9);
    }
}
