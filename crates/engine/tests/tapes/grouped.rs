//! Orders in groups: one-cancels-all, pyramids, risk limits.

use crate::harness::*;
use springtide_engine::{
    Account, Commission, QtyType, Side,
    broker::{OcaKind, RiskRule},
};

#[test]
fn raw_orders_that_reduce_each_other() {
    check("oca-raw-strategy-order-reduce-01", &account(), |b| {
        if b.at(7, 15) && b.flat() {
            b.buy("L", a("oca source").qty(1.0));
        }
        if b.long() {
            let (q, e) = (b.size().abs(), b.avg());
            let oca = Some(("BRACKET", OcaKind::Reduce));
            b.raw("TP", Side::Short, Args { oca, ..a("").qty(q).limit(e * 1.004) });
            b.raw("SL", Side::Short, Args { oca, ..a("").qty(q).stop(e * 0.996) });
        }
        if b.flat() {
            b.cancel("TP");
            b.cancel("SL");
        }
        if b.long() && b.at(13, 15) {
            b.close_id("L", "timeout");
        }
    });
}

#[test]
fn a_bracket_of_raw_orders() {
    let Some(s) = Series::get() else { return };
    let (fast, slow) = (s.sma(9), s.sma(21));
    check("bracket-tp-sl-oca-reduce-isolate-01", &account(), |b| {
        if crossover(&fast, &slow, b.i) && b.size() <= 0.0 {
            b.buy("L", a("ma cross up"));
        }
        if crossunder(&fast, &slow, b.i) && b.size() >= 0.0 {
            b.sell("S", a("ma cross dn"));
        }
        let (q, e, dir) = (b.size().abs(), b.avg(), b.size().signum());
        if q > 0.0 {
            let side = if dir > 0.0 { Side::Short } else { Side::Long };
            let oca = Some(("bracket97a", OcaKind::Reduce));
            b.raw("BracketTP", side, Args { oca, ..a("TP").qty(q).limit(e + dir * 10.0 * TICK) });
            b.raw("BracketSL", side, Args { oca, ..a("SL").qty(q).stop(e - dir * 10.0 * TICK) });
        } else {
            b.cancel("BracketTP");
            b.cancel("BracketSL");
        }
    });
}

#[test]
fn a_bracket_cancels_its_other_half() {
    let Some(s) = Series::get() else { return };
    let (rsi, atr) = (s.rsi(14), s.atr(14));
    let thirty = vec![30.0; rsi.len()];
    check("oca-exit-bracket-internal-cancel-01", &account(), |b| {
        if crossover(&rsi, &thirty, b.i) && b.flat() {
            b.buy("L", a("entry").qty(1.0));
        }
        if b.long() {
            let (e, r) = (b.avg(), atr[b.i] * 1.5);
            b.exit("X", "L", a("").qty(1.0).limit(e + r).stop(e - r));
        }
    });
}

#[test]
fn two_brackets_on_halves() {
    let Some(s) = Series::get() else { return };
    let (rsi, atr, fast, slow) = (s.rsi(14), s.atr(14), s.ema(9), s.ema(21));
    let account = Account { qty_value: 2.0, ..account() };
    check("oca-multi-bracket-isolation-01", &account, |b| {
        if crossover(&fast, &slow, b.i) && rsi[b.i] < 60.0 && b.flat() {
            b.buy("L", a("entry").qty(2.0));
        }
        if b.long() {
            let (e, r) = (b.avg(), atr[b.i]);
            b.exit("X_A", "L", a("").qty(1.0).limit(e + r).stop(e - r));
            b.exit("X_B", "L", a("").qty(1.0).limit(e + r * 2.0).stop(e - r * 2.0));
        }
    });
}

#[test]
fn three_lots_closed_by_one_id() {
    let account = Account { pyramiding: 3, ..account() };
    check("pyramid-close-id-grouping-01", &account, |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("lot 1").qty(1.0));
        }
        if b.at(0, 30) && b.long() {
            b.buy("L", a("lot 2").qty(1.0));
        }
        if b.at(0, 45) && b.long() {
            b.buy("L", a("lot 3").qty(1.0));
        }
        if b.at(1, 15) && b.long() {
            b.close_id("L", "close all L");
        }
        if b.at(12, 15) && b.flat() {
            b.sell("S", a("short lot 1").qty(1.0));
        }
        if b.at(12, 30) && b.short() {
            b.sell("S", a("short lot 2").qty(1.0));
        }
        if b.at(12, 45) && b.short() {
            b.sell("S", a("short lot 3").qty(1.0));
        }
        if b.at(13, 15) && b.short() {
            b.close_id("S", "close all S");
        }
    });
}

#[test]
fn stops_against_a_pyramid() {
    let Some(s) = Series::get() else { return };
    let (rsi, atr, fast, slow) = (s.rsi(14), s.atr(14), s.ema(9), s.ema(21));
    let fifty = vec![50.0; rsi.len()];
    let account = Account { pyramiding: 4, ..account() };
    check("pyramid-deferred-flip-close-all-01", &account, |b| {
        let i = b.i;
        if crossover(&fast, &slow, i) && rsi[i] < 70.0 {
            b.buy("L", a("add long market").qty(1.0));
        }
        if crossunder(&rsi, &fifty, i) {
            let p = b.low() - atr[i] * 0.25;
            b.sell("S", a("flip short stop").qty(1.0).stop(p));
        }
        if b.at(21, 45) {
            b.close_all("session close_all");
        }
    });
}

#[test]
fn cash_lots_with_commission_per_contract() {
    let Some(s) = Series::get() else { return };
    let (rsi, fast, slow) = (s.rsi(14), s.ema(9), s.ema(21));
    let account = Account {
        pyramiding: 3,
        qty_type: QtyType::Cash,
        qty_value: 50_000.0,
        commission: Commission::PerContract(0.05),
        ..account()
    };
    check_sizes_loosely("pyramid-cash-fractional-commission-01", &account, |b| {
        let i = b.i;
        if crossover(&fast, &slow, i) && rsi[i] > 40.0 && rsi[i] < 70.0 {
            b.buy("L", a("cash add"));
        }
        if b.at(23, 45) {
            b.close_all("session close");
        }
    });
}

#[test]
fn a_limit_of_fills_a_day() {
    let Some(s) = Series::get() else { return };
    let (fast, slow) = (s.sma(5), s.sma(13));
    check("cap-max-intraday-filled-orders-isolate-01", &account(), |b| {
        b.broker.risk(RiskRule::MaxIntradayFilledOrders(5.0));
        if crossover(&fast, &slow, b.i) && b.size() <= 0.0 {
            b.buy("L", a("ma cross up"));
        }
        if crossunder(&fast, &slow, b.i) && b.size() >= 0.0 {
            b.sell("S", a("ma cross dn"));
        }
    });
}

#[test]
fn one_side_two_contracts_three_fills() {
    let account = Account { pyramiding: 10, ..account() };
    check("cap-risk-gates-allow-max-intraday-01", &account, |b| {
        b.broker.risk(RiskRule::AllowEntryIn(Some(Side::Long)));
        b.broker.risk(RiskRule::MaxPositionSize(2.0));
        b.broker.risk(RiskRule::MaxIntradayFilledOrders(3.0));
        if b.at(0, 15) {
            b.buy("L1", a("first long").qty(1.0));
        }
        if b.at(0, 30) {
            b.buy("L2", a("second long").qty(1.0));
        }
        if b.at(0, 45) {
            b.buy("L3", a("third long").qty(1.0));
        }
        if b.at(1, 0) {
            b.sell("S_BLOCKED", a("blocked short").qty(1.0));
        }
        if b.at(3, 0) && !b.flat() {
            b.close_all("daily reset");
        }
    });
}

#[test]
fn a_pyramid_gated_by_the_largest_position() {
    let account = Account { pyramiding: 10, ..account() };
    check("risk-max-contracts-held-gate-pyramid-01", &account, |b| {
        if b.minute == 0 && b.broker.max_contracts_held().0 < 5.0 {
            b.buy("LE", a("pyramid-add").qty(1.0));
        }
        if b.at(23, 45) && !b.flat() {
            b.close_all("daily-exit");
        }
    });
}
