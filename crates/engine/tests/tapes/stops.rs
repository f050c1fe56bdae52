//! Stop entries: replaced, cancelled, met in pairs, flipping a position.

use crate::harness::*;
use springtide_engine::Account;

/// Long stops over the high in the hour from 2:00, short stops under the low in the hour from 14:00.
fn windows(name: &str, comments: [&str; 2], minutes: &[i64], shorts: bool) {
    check(name, &account(), |b| {
        let in_window = minutes.contains(&b.minute) && b.flat();
        if b.hour == 2 && in_window {
            let p = b.high() + TICK;
            b.buy("LE", a(comments[0]).stop(p));
        }
        if shorts && b.hour == 14 && in_window {
            let p = b.low() - TICK;
            b.sell("SE", a(comments[1]).stop(p));
        }
        if b.long() && b.at(6, 15) {
            b.close_id("LE", "long close");
        }
        if b.short() && b.at(18, 15) {
            b.close_id("SE", "short close");
        }
    });
}

#[test]
fn both_sides_replaced_and_never_cancelled() {
    windows(
        "order-dual-side-same-id-stop-no-cancel-01",
        ["dual long stop", "dual short stop"],
        &[0, 15, 30, 45],
        true,
    );
}

#[test]
fn a_stop_of_one_id_replaced() {
    windows(
        "order-same-id-stop-modification-01",
        ["moving long stop", "moving short stop"],
        &[0, 15, 30, 45],
        true,
    );
}

#[test]
fn a_stop_of_one_id_raised() {
    windows(
        "order-same-id-stop-raise-only-01",
        ["raised long stop", "lowered short stop"],
        &[15, 30, 45],
        true,
    );
}

#[test]
fn a_window_of_four_bars() {
    windows("order-same-id-stop-window-four-bars-01", ["four-bar long stop", ""], &[0, 15, 30, 45], false);
}

#[test]
fn one_stop_at_the_full_hour() {
    let comments = ["minute zero long stop", "minute zero short stop"];
    windows("order-same-id-stop-minute-zero-01", comments, &[0], true);
}

#[test]
fn a_stop_that_outlives_a_close() {
    windows("order-stale-stop-after-close-no-cancel-01", ["long stop", "short stop"], &[15], true);
}

#[test]
fn both_sides_without_closes() {
    check("order-dual-four-bar-stop-no-close-01", &account(), |b| {
        if b.hour == 2 && b.flat() {
            let p = b.high() + TICK;
            b.buy("LE", a("dual four long stop").stop(p));
        }
        if b.hour == 14 && b.flat() {
            let p = b.low() - TICK;
            b.sell("SE", a("dual four short stop").stop(p));
        }
        if !b.flat() && b.at(23, 45) {
            b.close_all("late flat");
        }
    });
}

/// A pair of stops around the close and a market close hours later.
fn pair(
    name: &str,
    at: (i64, i64),
    reach: f64,
    long: (&str, &str),
    short: (&str, &str),
    close: (i64, &str),
    short_first: bool,
    when: impl Fn(&Bar<'_, '_>) -> bool,
) {
    check(name, &account(), |b| {
        if b.at(at.0, at.1) && b.flat() && when(b) {
            let c = b.close();
            // As the scripts write them: close * 1.002 and close * 0.998.
            let (up, down) = (c * (1.0 + reach), c * (1.0 - reach));
            if short_first {
                b.sell(short.0, a(short.1).stop(down));
            }
            b.buy(long.0, a(long.1).stop(up));
            if !short_first {
                b.sell(short.0, a(short.1).stop(down));
            }
        }
        if !b.flat() && b.at(close.0, 15) {
            b.close_all(close.1);
        }
    });
}

#[test]
fn a_far_pair() {
    let (long, short) = (("LE", "farther long stop"), ("SE", "farther short stop"));
    pair("order-dual-stop-far-only-01", (14, 45), 0.004, long, short, (18, "evening flat"), false, |_| true);
}

#[test]
fn a_near_pair() {
    let (long, short) = (("LE", "near long stop"), ("SE", "near short stop"));
    pair("order-dual-stop-near-only-01", (2, 45), 0.002, long, short, (6, "morning flat"), false, |_| true);
}

#[test]
fn a_pair_placed_after_a_bar_near_its_high() {
    let near = |b: &Bar<'_, '_>| (b.high() - b.open()).abs() < (b.open() - b.low()).abs();
    let (long, short) = (("LE", "long stop"), ("SE", "short stop"));
    pair("order-dual-stop-open-high-first-path-01", (2, 45), 0.002, long, short, (6, "flat"), false, near);
}

#[test]
fn a_pair_placed_after_a_bar_near_its_low() {
    let near = |b: &Bar<'_, '_>| (b.open() - b.low()).abs() < (b.high() - b.open()).abs();
    let (long, short) = (("LE", "long stop"), ("SE", "short stop"));
    pair("order-dual-stop-open-low-first-path-01", (2, 45), 0.002, long, short, (6, "flat"), false, near);
}

#[test]
fn a_pair_with_the_long_first() {
    let (long, short) = (("LE", "long first"), ("SE", "short second"));
    pair(
        "order-dual-stop-source-order-long-first-01",
        (2, 45),
        0.002,
        long,
        short,
        (6, "flat"),
        false,
        |_| true,
    );
}

#[test]
fn a_pair_with_the_short_first() {
    let (long, short) = (("LE", "long second"), ("SE", "short first"));
    pair(
        "order-dual-stop-source-order-short-first-01",
        (2, 45),
        0.002,
        long,
        short,
        (6, "flat"),
        true,
        |_| true,
    );
}

#[test]
fn two_pairs_a_day() {
    check("order-dual-stop-both-touch-priority-01", &account(), |b| {
        let c = b.close();
        if b.at(2, 45) && b.flat() {
            b.buy("LE", a("near long stop").stop(c * 1.002));
            b.sell("SE", a("near short stop").stop(c * 0.998));
        }
        if !b.flat() && b.at(6, 15) {
            b.close_all("morning flat");
        }
        if b.at(14, 45) && b.flat() {
            b.buy("LE2", a("farther long stop").stop(c * 1.004));
            b.sell("SE2", a("farther short stop").stop(c * 0.996));
        }
        if !b.flat() && b.at(18, 15) {
            b.close_all("evening flat");
        }
    });
}

#[test]
fn a_pair_at_the_close_itself() {
    check("order-dual-stop-open-tie-01", &account(), |b| {
        let c = b.close();
        if b.at(4, 45) && b.flat() {
            b.buy("LE", a("long stop at close").stop(c));
            b.sell("SE", a("short stop at close").stop(c));
        }
        if !b.flat() && b.at(8, 15) {
            b.close_all("flat after open tie");
        }
        if b.at(16, 45) && b.flat() {
            b.sell("SE2", a("short first at close").stop(c));
            b.buy("LE2", a("long second at close").stop(c));
        }
        if !b.flat() && b.at(20, 15) {
            b.close_all("flat after reverse tie");
        }
    });
}

#[test]
fn a_far_opposite_stop() {
    check("order-one-side-four-bar-far-opposite-01", &account(), |b| {
        if b.at(2, 0) && b.flat() {
            let p = b.low() * 0.5;
            b.sell("SE", a("far opposite short").stop(p));
        }
        if b.hour == 2 && b.flat() {
            let p = b.high() + TICK;
            b.buy("LE", a("four-bar long stop").stop(p));
        }
        if b.at(6, 15) && b.long() {
            b.close_id("LE", "long close");
        }
    });
}

#[test]
fn a_stop_met_before_it_is_moved() {
    check("order-same-id-stop-cross-before-modify-01", &account(), |b| {
        if b.at(3, 15) && b.flat() {
            let p = b.close();
            b.buy("LE", a("touchable long stop").stop(p));
        }
        if b.at(3, 30) && b.flat() {
            let p = b.high() + TICK;
            b.buy("LE", a("modified long stop").stop(p));
        }
        if b.at(15, 15) && b.flat() {
            let p = b.close();
            b.sell("SE", a("touchable short stop").stop(p));
        }
        if b.at(15, 30) && b.flat() {
            let p = b.low() - TICK;
            b.sell("SE", a("modified short stop").stop(p));
        }
        if b.long() && b.at(6, 15) {
            b.close_id("LE", "long close");
        }
        if b.short() && b.at(18, 15) {
            b.close_id("SE", "short close");
        }
    });
}

#[test]
fn a_stop_placed_again_after_flat() {
    check("order-same-id-stop-after-flat-01", &account(), |b| {
        let p = b.high() + TICK;
        if b.hour == 2 && b.flat() {
            b.buy("LE", a("first window stop").stop(p));
        }
        if b.at(6, 15) && b.long() {
            b.close_id("LE", "first close");
        }
        if b.hour == 8 && b.flat() {
            b.buy("LE", a("second window stop").stop(p));
        }
        if b.at(12, 15) && b.long() {
            b.close_id("LE", "second close");
        }
    });
}

#[test]
fn a_stop_one_tick_beyond() {
    check("order-stop-entry-touch-boundary-01", &account(), |b| {
        let last = b.i.max(1) - 1;
        let (up, down) = (b.bars.high[last] + TICK, b.bars.low[last] - TICK);
        if b.at(2, 15) && b.flat() {
            b.buy("LE", a("one tick over high").stop(up));
            b.cancel("SE");
        }
        if b.at(14, 15) && b.flat() {
            b.sell("SE", a("one tick under low").stop(down));
            b.cancel("LE");
        }
        if b.long() && b.at(6, 15) {
            b.close_id("LE", "long timeout");
        }
        if b.short() && b.at(18, 15) {
            b.close_id("SE", "short timeout");
        }
    });
}

#[test]
fn stops_on_alternating_sides() {
    check("order-dual-stop-cancel-rotation-01", &account(), |b| {
        let longs = b.hour < 12;
        if longs {
            let p = b.high() + TICK;
            b.buy("LE", a("rotating long stop").stop(p));
            b.cancel("SE");
        } else {
            let p = b.low() - TICK;
            b.sell("SE", a("rotating short stop").stop(p));
            b.cancel("LE");
        }
        if b.long() && !longs {
            b.close_id("LE", "long regime close");
        }
        if b.short() && longs {
            b.close_id("SE", "short regime close");
        }
    });
}

fn ema_stops(name: &str, closes: bool) {
    let Some(s) = Series::get() else { return };
    let (fast, slow) = (s.ema(8), s.ema(21));
    check(name, &account(), |b| {
        let i = b.i;
        // On the first bar the stop is na: a market order.
        let (up, down) = if i == 0 { (f64::NAN, f64::NAN) } else { (b.bars.high[i - 1], b.bars.low[i - 1]) };
        if fast[i] > slow[i] {
            b.buy("LE", a("live long stop").stop(up));
            b.cancel("SE");
        } else {
            b.sell("SE", a("live short stop").stop(down));
            b.cancel("LE");
        }
        if closes && b.long() && fast[i] < slow[i] {
            b.close_id("LE", "flip flat long");
        }
        if closes && b.short() && fast[i] > slow[i] {
            b.close_id("SE", "flip flat short");
        }
    });
}

#[test]
fn stops_on_the_trend_side() {
    ema_stops("order-stop-cancel-no-regime-close-01", false);
}

#[test]
fn stops_on_the_trend_side_with_closes() {
    ema_stops("order-stop-entry-cancel-opposite-01", true);
}

fn gap_stops(name: &str, on_close: bool) {
    let account = Account { process_orders_on_close: on_close, ..account() };
    check(name, &account, |b| {
        let (down, up) = (b.at(8, 0), b.at(14, 0));
        if down {
            let p = b.high() * 10.0;
            b.sell("SE", a("open-guaranteed short").qty(1.0).stop(p));
            b.cancel("LE");
        }
        if up {
            let p = b.low() * 0.1;
            b.buy("LE", a("open-guaranteed long").qty(1.0).stop(p));
            b.cancel("SE");
        }
        if down && b.long() {
            b.close_id("LE", "flip flat long");
        }
        if up && b.short() {
            b.close_id("SE", "flip flat short");
        }
        if b.weekday == 2 && b.at(0, 0) && !b.flat() {
            b.close_all("weekly reset");
        }
    });
}

#[test]
fn flips_carried_over_a_close() {
    gap_stops("order-deferred-flip-guaranteed-gap-stops-01", false);
}

#[test]
fn flips_carried_over_a_close_on_the_bar_before() {
    gap_stops("order-deferred-flip-pooc-cross-bar-01", true);
}

#[test]
fn a_stop_that_flips() {
    check("order-flip-stop-no-paired-close-01", &account(), |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("open long").qty(1.0));
        }
        if b.at(0, 45) && b.long() {
            let p = b.low() - TICK;
            b.sell("S", a("flip via stop").qty(1.0).stop(p));
        }
        if b.at(12, 0) && !b.flat() {
            b.close_all("cleanup");
        }
    });
}

fn opposite(name: &str, pyramiding: u32) {
    let account = Account { pyramiding, ..account() };
    check(name, &account, |b| {
        let p = b.low() - TICK;
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("open long").qty(1.0));
        }
        if b.at(0, 45) && b.long() {
            b.sell("S", a("opposite stop first").qty(1.0).stop(p));
            b.close_id("L", "close long second");
        }
        if b.at(6, 15) && b.flat() {
            b.buy("L2", a("open long2").qty(1.0));
        }
        if b.at(6, 45) && b.long() {
            b.close_id("L2", "close long first");
            b.sell("S2", a("opposite stop second").qty(1.0).stop(p));
        }
        if b.at(12, 15) && b.short() {
            b.close_all("cleanup short");
        }
    });
}

#[test]
fn an_opposite_stop_beside_a_close() {
    opposite("order-opposite-entry-close-same-pass-01", 1);
}

#[test]
fn an_opposite_stop_beside_a_close_with_room_for_two() {
    opposite("pyramid-flip-stop-pyramiding-2-01", 2);
}

#[test]
fn stops_that_reverse_two_lots() {
    let account = Account { pyramiding: 2, ..account() };
    check("order-stop-entry-reversal-grouping-01", &account, |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L1", a("long lot 1").qty(1.0));
        }
        if b.at(0, 30) && b.long() {
            b.buy("L2", a("long lot 2").qty(1.0));
        }
        if b.at(0, 45) && b.long() {
            let p = b.high();
            b.sell("SREV", a("short stop reversal").qty(1.0).stop(p));
        }
        if b.at(1, 15) && b.short() {
            let p = b.low();
            b.buy("LREV", a("long stop reversal").qty(1.0).stop(p));
        }
        if b.at(1, 45) && !b.flat() {
            b.close_all("flat");
        }
    });
}

#[test]
fn stops_after_wide_bars() {
    let Some(s) = Series::get() else { return };
    let atr = s.atr(14);
    check("order-range-expansion-pending-stop-01", &account(), |b| {
        let i = b.i;
        let v = b.bars;
        if i == 0 {
            return;
        }
        let wide = v.high[i - 1] - v.low[i - 1] > atr[i - 1];
        if wide && v.close[i - 1] > v.open[i - 1] {
            b.buy("LongOnRng", a("").stop(v.high[i - 1]));
        } else {
            b.cancel("LongOnRng");
        }
        if wide && v.close[i - 1] < v.open[i - 1] {
            b.sell("ShortOnRng", a("").stop(v.low[i - 1]));
        } else {
            b.cancel("ShortOnRng");
        }
    });
}
