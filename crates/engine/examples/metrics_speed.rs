//! Time of `metrics::compute` for one run: 31,066 bars of 15 minutes, 700 trades, half the time in position.
//!
//! `cargo run --release -p springtide-engine --example metrics_speed`

use springtide_domain::OwnedBars;
use springtide_engine::{
    EquitySegment, Side, Trade,
    broker::NameId,
    metrics::{Calendar, MetricsInput, compute},
};
use std::{hint::black_box, time::Instant};

const BARS: usize = 31_066;
const TRADES: usize = 700;
const BATCHES: usize = 100;
const ROUNDS: u32 = 200;

fn main() {
    let bars = random_walk();
    let (trades, segments) = trend_follower(&bars);
    let view = bars.view();
    let calendar = Calendar::new(&view);
    let input = MetricsInput::new(100_000.0);
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                black_box(compute(&view, &calendar, black_box(&trades), black_box(&segments), &input));
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let (best, median) = (times[0], times[BATCHES / 2]);
    println!("{BARS} bars, {} trades: best {best:.2} us, median {median:.2} us per run", trades.len());
}

/// A xorshift walk: the same bars on every machine.
fn random_walk() -> OwnedBars {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut price = 20_000.0;
    let mut bars = OwnedBars::default();
    for i in 0..BARS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let step = (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        price *= 1.0 + step * 0.006;
        bars.push(i as i64 * 900_000, price, price, price, price, 1.0);
    }
    bars
}

/// All in for 22 bars, out for 22, 0.1 % per side.
fn trend_follower(bars: &OwnedBars) -> (Vec<Trade>, Vec<EquitySegment>) {
    let (mut trades, mut segments) = (Vec::new(), Vec::new());
    let (mut cash, step) = (100_000.0, BARS / TRADES / 2);
    for k in 0..TRADES {
        let (entry, exit) = (k * 2 * step, (k * 2 + 1) * step);
        let (entry_price, exit_price) = (bars.close[entry], bars.close[exit]);
        let qty = cash / (entry_price * 1.001);
        let commission = qty * (entry_price + exit_price) * 0.001;
        let profit = qty * (exit_price - entry_price) - commission;
        segments.push(EquitySegment {
            from_bar: entry as u32,
            base: cash - qty * entry_price * 1.001,
            slope: qty,
        });
        cash += profit;
        segments.push(EquitySegment { from_bar: exit as u32, base: cash, slope: 0.0 });
        trades.push(closed(qty, (entry, entry_price), (exit, exit_price), commission, profit));
    }
    (trades, segments)
}

fn closed(qty: f64, entry: (usize, f64), exit: (usize, f64), commission: f64, profit: f64) -> Trade {
    let none = NameId::default();
    Trade {
        side: Side::Long,
        qty,
        entry_bar: entry.0 as u32,
        exit_bar: exit.0 as u32,
        entry_price: entry.1,
        exit_price: exit.1,
        entry_id: none,
        exit_id: none,
        entry_comment: none,
        exit_comment: none,
        reason: springtide_engine::trade::ExitReason::Order,
        commission,
        profit,
        max_runup: 0.0,
        max_drawdown: 0.0,
        entry_seq: 0,
        exit_seq: 0,
    }
}
