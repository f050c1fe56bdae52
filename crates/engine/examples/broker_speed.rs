//! What the broker costs: random walks, an SMA cross's signals known beforehand, the broker alone.
//!
//! `cargo run --release -p springtide-engine --example broker_speed [ROUNDS [SETTINGS]]`

use springtide_domain::{OwnedBars, SymbolInfo};
use springtide_engine::{
    Account, Commission, QtyType, Rules, Side,
    broker::{Broker, CloseCommand, EntryCommand, ExitCommand, NameId, OcaKind, Simulation},
};
use std::time::{Duration, Instant};

const BARS: usize = 31_066;

/// A walk of whole cents from a small linear congruential generator.
fn walk() -> OwnedBars {
    let mut bars = OwnedBars::default();
    let (mut seed, mut price) = (0x2545_f491_4f6c_dd1du64, 2_000_000i64);
    let mut draw = |range: i64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) as i64).rem_euclid(2 * range + 1) - range
    };
    for i in 0..BARS {
        let (open, close) = (price, price + draw(4_000));
        let (high, low) = (open.max(close) + draw(1_500).abs(), open.min(close) - draw(1_500).abs());
        price = close.max(100_000);
        let money = |cents: i64| cents as f64 / 100.0;
        bars.push(i as i64 * 900_000, money(open), money(high), money(low), money(close), 1.0);
    }
    bars
}

fn sma(close: &[f64], n: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let next = |i: usize| {
        sum += close[i] - if i >= n { close[i - n] } else { 0.0 };
        if i + 1 >= n { sum / n as f64 } else { f64::NAN }
    };
    (0..close.len()).map(next).collect()
}

/// Bars of crossings, and whether upward.
fn signals(bars: &OwnedBars) -> Vec<(usize, bool)> {
    let (fast, slow) = (sma(&bars.close, 10), sma(&bars.close, 30));
    let cross = |i: usize| {
        let (before, now) = (fast[i - 1] - slow[i - 1], fast[i] - slow[i]);
        let up = before < 0.0 && now > 0.0;
        (up || (before > 0.0 && now < 0.0)).then_some((i, up))
    };
    (1..BARS).filter_map(cross).collect()
}

fn entry(side: Side) -> EntryCommand {
    let (id, none) = (NameId(1), NameId(0));
    EntryCommand {
        id,
        comment: none,
        side,
        qty: None,
        limit: None,
        stop: None,
        oca_name: none,
        oca: OcaKind::None,
        is_entry: true,
    }
}

fn close() -> CloseCommand {
    CloseCommand { id: Some(NameId(1)), comment: NameId(0), qty: None, qty_percent: None, immediately: false }
}

/// One run; `bracket` adds a stop and a target to each entry.
fn run(
    bars: &OwnedBars,
    signals: &[(usize, bool)],
    account: &Account,
    rules: &Rules,
    bracket: bool,
) -> Simulation {
    let mut broker = Broker::new(bars.view(), account, rules, &SymbolInfo::default());
    for &(bar, up) in signals {
        while broker.advance(bar) < bar {}
        broker.open_bar(bar);
        if up && broker.position_size() == 0.0 {
            broker.entry(entry(Side::Long));
            if bracket {
                let c = bars.close[bar];
                let (stop, limit) = (Some(c * 0.98), Some(c * 1.04));
                broker.exit(ExitCommand {
                    id: NameId(2),
                    from_entry: NameId(1),
                    stop,
                    limit,
                    ..ExitCommand::default()
                });
            }
        } else if !up {
            broker.close(close());
        }
        broker.close_bar(bar);
    }
    while broker.advance(BARS) < BARS {}
    broker.finish()
}

fn main() {
    let bars = walk();
    let signals = signals(&bars);
    let account = Account {
        initial_capital: 100_000.0,
        qty_type: QtyType::PercentOfEquity,
        qty_value: 99.0,
        commission: Commission::Percent(0.1),
        margin_long: 100.0,
        margin_short: 100.0,
        ..Account::default()
    };
    let argument = |k: usize| std::env::args().nth(k).and_then(|n| n.parse().ok());
    let (rounds, settings) = (argument(1).unwrap_or(400), argument(2).unwrap_or(4));
    let all = [("vectorbt", false), ("tradingview", false), ("tradingview", true), ("vectorbt", true)];
    for (preset, bracket) in all.into_iter().take(settings) {
        let rules = Rules::preset(preset).unwrap_or_default();
        let mut best = Duration::MAX;
        let mut trades = 0;
        for _ in 0..rounds {
            let started = Instant::now();
            let result = run(&bars, &signals, &account, &rules, bracket);
            best = best.min(started.elapsed());
            trades = result.trades.len();
        }
        let each = best.as_nanos() as f64 / trades.max(1) as f64;
        println!(
            "{preset:>12}, bracket {bracket:>5}: {best:>10.1?} a run, {trades} trades, {each:.0} ns each"
        );
    }
}
