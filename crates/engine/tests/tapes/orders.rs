//! Market orders, closes, cancels, sizing.

use crate::harness::*;
use springtide_engine::{Account, Commission, QtyType};

#[test]
fn close_all_and_cancel_all() {
    let account = Account { pyramiding: 2, ..account() };
    check("order-close-all-cancel-all-01", &account, |b| {
        if b.at(4, 15) {
            let c = b.close();
            b.buy("PENDING_L", a("pending low").qty(1.0).limit(c * 0.80));
            b.sell("PENDING_S", a("pending high").qty(1.0).limit(c * 1.20));
        }
        if b.at(4, 30) {
            b.broker.cancel_all();
        }
        if b.at(5, 15) && b.flat() {
            b.buy("A", a("first").qty(1.0));
        }
        if b.at(5, 45) && b.long() {
            b.buy("B", a("second").qty(1.0));
        }
        if b.at(6, 15) && !b.flat() {
            b.close_all_now("global flat");
        }
    });
}

#[test]
fn close_immediately_and_at_the_next_open() {
    check("order-close-immediate-vs-next-bar-01", &account(), |b| {
        if b.at(2, 15) && b.flat() {
            b.buy("NEXT", a("normal close case").qty(1.0));
        }
        if b.at(3, 15) && b.long() {
            b.close_id("NEXT", "normal close");
        }
        if b.at(10, 15) && b.flat() {
            b.buy("IMM", a("immediate close case").qty(1.0));
        }
        if b.at(11, 15) && b.long() {
            b.close_now("IMM", "immediate close");
        }
    });
}

#[test]
fn entry_and_cancel_in_one_pass() {
    check("order-cross-entry-cancel-same-pass-01", &account(), |b| {
        if b.at(2, 15) && b.flat() {
            let p = b.high() + TICK;
            b.buy("L", a("entry first cancel second").stop(p));
            b.cancel("L");
        }
        if b.at(4, 15) && b.flat() {
            b.cancel("L2");
            let p = b.high() + TICK;
            b.buy("L2", a("cancel first entry second").stop(p));
        }
        if b.at(6, 15) && b.long() {
            b.close_all("long cleanup");
        }
        if b.at(14, 15) && b.flat() {
            let p = b.low() - TICK;
            b.sell("S", a("short entry first cancel second").stop(p));
            b.cancel("S");
        }
        if b.at(16, 15) && b.flat() {
            b.cancel("S2");
            let p = b.low() - TICK;
            b.sell("S2", a("short cancel first entry second").stop(p));
        }
        if b.at(18, 15) && b.short() {
            b.close_all("short cleanup");
        }
    });
}

#[test]
fn entry_and_close_in_one_pass() {
    check("order-cross-entry-close-same-pass-01", &account(), |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("entry first").qty(1.0));
            b.close_id("L", "close second");
        }
        if b.at(6, 15) && b.flat() {
            b.close_id("L2", "close first");
            b.buy("L2", a("entry second").qty(1.0));
        }
        if b.at(7, 15) && b.long() {
            b.close_all("cleanup");
        }
        if b.at(12, 15) && b.flat() {
            b.sell("S", a("short entry first").qty(1.0));
            b.close_id("S", "short close second");
        }
        if b.at(18, 15) && b.flat() {
            b.close_id("S2", "short close first");
            b.sell("S2", a("short entry second").qty(1.0));
        }
        if b.at(19, 15) && b.short() {
            b.close_all("short cleanup");
        }
    });
}

#[test]
fn exit_and_close_in_one_pass() {
    check("order-cross-exit-close-same-pass-01", &account(), |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("long").qty(1.0));
        }
        if b.at(0, 45) && b.long() {
            let e = b.avg();
            b.exit("X", "L", a("exit first").limit(e * 1.02).stop(e * 0.98));
            b.close_id("L", "close second");
        }
        if b.at(6, 15) && b.flat() {
            b.buy("L2", a("long2").qty(1.0));
        }
        if b.at(6, 45) && b.long() {
            let e = b.avg();
            b.close_id("L2", "close first");
            b.exit("X2", "L2", a("exit second").limit(e * 1.02).stop(e * 0.98));
        }
    });
}

#[test]
fn an_entry_against_the_position_reverses_it() {
    check("order-entry-implicit-reversal-exit-01", &account(), |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("open long").qty(1.0));
        }
        if b.at(0, 45) && b.long() {
            b.sell("S", a("reverse short").qty(1.0));
        }
        if b.at(1, 15) && b.short() {
            b.buy("L", a("reverse long").qty(1.0));
        }
        if b.at(1, 45) && !b.flat() {
            b.close_all("flat");
        }
    });
}

#[test]
fn market_closes_fill_at_the_next_open() {
    check("order-market-close-fill-basis-01", &account(), |b| {
        if b.at(3, 15) && b.flat() {
            b.buy("L", a("long").qty(1.0));
        }
        if b.at(5, 15) && b.long() {
            b.close_id("L", "market close long");
        }
        if b.at(15, 15) && b.flat() {
            b.sell("S", a("short").qty(1.0));
        }
        if b.at(17, 15) && b.short() {
            b.close_id("S", "market close short");
        }
    });
}

#[test]
fn percent_of_equity_with_commission_per_order() {
    let account = Account {
        qty_type: QtyType::PercentOfEquity,
        qty_value: 25.0,
        commission: Commission::PerOrder(1.5),
        ..account()
    };
    check_sizes_loosely("order-percent-equity-cash-commission-01", &account, |b| {
        if b.at(8, 15) && b.flat() {
            b.buy("L", a("default percent sizing"));
        }
        if b.at(12, 15) && b.long() {
            b.close_id("L", "sizing close");
        }
    });
}

fn ema_cross(name: &str, on_close: bool) {
    let Some(s) = Series::get() else { return };
    let (rsi, fast, slow) = (s.rsi(14), s.ema(9), s.ema(21));
    let account = springtide_engine::Account { process_orders_on_close: on_close, ..account() };
    check(name, &account, |b| {
        if crossover(&fast, &slow, b.i) && rsi[b.i] < 70.0 && b.flat() {
            b.buy("L", a("entry").qty(1.0));
        }
        if crossunder(&fast, &slow, b.i) && b.long() {
            b.close_id("L", "exit");
        }
    });
}

#[test]
fn orders_processed_at_the_next_open() {
    ema_cross("order-process-on-close-false-01", false);
}

#[test]
fn orders_processed_on_close() {
    ema_cross("order-process-on-close-true-01", true);
}

#[test]
fn an_add_and_a_close_of_one_id_in_one_pass() {
    check("order-same-id-entry-close-same-bar-01", &account(), |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("open long").qty(1.0));
        }
        if b.at(0, 45) && b.long() {
            b.buy("L", a("same-pass add long").qty(1.0));
            b.close_id("L", "same-pass close long");
        }
        if b.at(6, 15) && !b.flat() {
            b.close_all("cleanup long");
        }
        if b.at(12, 15) && b.flat() {
            b.sell("S", a("open short").qty(1.0));
        }
        if b.at(12, 45) && b.short() {
            b.sell("S", a("same-pass add short").qty(1.0));
            b.close_id("S", "same-pass close short");
        }
        if b.at(18, 15) && !b.flat() {
            b.close_all("cleanup short");
        }
    });
}

#[test]
fn two_market_entries_of_one_id() {
    let account = Account { pyramiding: 3, ..account() };
    check("order-same-id-market-entry-repeat-01", &account, |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("first same-id").qty(1.0));
            b.buy("L", a("second same-id").qty(1.0));
        }
        if b.at(1, 15) && b.long() {
            b.close_id("L", "close same-id");
        }
        if b.at(12, 15) && b.flat() {
            b.sell("S", a("first same-id short").qty(1.0));
            b.sell("S", a("second same-id short").qty(1.0));
        }
        if b.at(13, 15) && b.short() {
            b.close_id("S", "close same-id short");
        }
    });
}

fn weekly(name: &str, account: &Account, qty: impl Fn(&Bar<'_, '_>) -> Option<f64>, comment: &str) {
    check_sizes_loosely(name, account, |b| {
        if b.weekday == 2 && b.at(0, 0) && b.flat() {
            let args = Args { qty: qty(b), ..a(comment) };
            b.buy("E", args);
        }
        let opened = b.broker.open_trades().first().map(|t| t.entry_bar as usize);
        if opened.is_some_and(|bar| b.i > bar) && b.long() {
            b.close_id("E", "next-bar flatten");
        }
    });
}

fn thousandth(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

#[test]
fn half_of_the_equity_by_explicit_quantity() {
    let qty = |b: &Bar<'_, '_>| Some(thousandth(b.broker.equity() * 0.5 / b.close()));
    weekly("analyzer-parity-edge-margin-50-pct-01", &account(), qty, "qty = 50% equity / close");
}

#[test]
fn a_tenth_of_the_equity_by_explicit_quantity() {
    let qty = |b: &Bar<'_, '_>| Some((b.broker.equity() / b.close() * 100.0).round() / 1000.0);
    weekly("analyzer-parity-small-equity-fraction-01", &account(), qty, "qty = 10% equity / close");
}

#[test]
fn ninety_nine_percent_of_equity() {
    let account = Account { qty_type: QtyType::PercentOfEquity, qty_value: 99.0, ..account() };
    weekly("analyzer-parity-percent-of-equity-sizing-01", &account, |_| None, "auto-sized 99% equity");
}

#[test]
fn a_trailing_stop_kept_by_the_script() {
    // This export starts five days later.
    let first = 5 * 96;
    let Some(s) = Series::from(first) else { return };
    let (atr, ma) = (s.atr(14), s.ema(20));
    let (mut trail, mut is_long) = (f64::NAN, false);
    check_from("bracket-atr-trailing-stop-state-01", &account(), 0.0, first, |b| {
        let (i, c) = (b.i, b.close());
        let reach = atr[i] * 2.0;
        if crossover(s.close, &ma, i) {
            b.buy("Long", a(""));
            (is_long, trail) = (true, c - reach);
        }
        if crossunder(s.close, &ma, i) {
            b.sell("Short", a(""));
            (is_long, trail) = (false, c + reach);
        }
        if is_long && b.long() {
            trail = trail.max(c - reach);
            if c < trail {
                b.close_id("Long", "");
                is_long = false;
            }
        }
        if !is_long && b.short() {
            trail = trail.min(c + reach);
            if c > trail {
                b.close_id("Short", "");
            }
        }
    });
}
