//! `strategy.exit`: targets, stops, trails, parts, given early or late.

use crate::harness::*;

#[test]
fn a_fixed_bracket() {
    check("bracket-exit-tp-sl-fixed-01", &account(), |b| {
        if b.at(0, 15) && b.flat() {
            b.buy("L", a("periodic long").qty(1.0));
        }
        if b.long() {
            let e = b.avg();
            b.exit("LX", "L", a("bracket").limit(e * 1.004).stop(e * 0.996));
        }
        if b.long() && b.at(6, 15) {
            b.close_id("L", "timeout");
        }
    });
}

#[test]
fn the_later_exit_of_one_id_holds() {
    check("bracket-same-id-exit-replace-01", &account(), |b| {
        if b.at(8, 15) && b.flat() {
            b.buy("L", a("long for exit replace").qty(1.0));
        }
        if b.long() {
            let e = b.avg();
            b.exit("X", "L", a("first exit").limit(e * 1.01).stop(e * 0.99));
            b.exit("X", "L", a("replacement exit").limit(e * 1.003).stop(e * 0.997));
        }
        if b.long() && b.at(16, 15) {
            b.close_id("L", "timeout");
        }
    });
}

#[test]
fn half_by_a_target_and_the_rest_by_a_stop() {
    check("bracket-partial-exit-qty-percent-01", &account(), |b| {
        if b.at(1, 15) && b.flat() {
            b.buy("L", a("two lots").qty(2.0));
        }
        if b.long() {
            let e = b.avg();
            b.exit("HALF_TP", "L", Args { percent: Some(50.0), ..a("half tp").limit(e * 1.003) });
            b.exit("REST_SL", "L", a("rest stop").stop(e * 0.994));
        }
        if b.long() && b.at(9, 15) {
            b.close_id("L", "timeout");
        }
    });
}

#[test]
fn a_bracket_given_with_its_entry() {
    check("bracket-entry-exit-same-pass-attach-01", &account(), |b| {
        let c = b.close();
        if b.at(8, 15) && b.flat() {
            b.buy("L", a("entry with bracket").qty(1.0));
            b.exit("X", "L", a("same-pass bracket").limit(c * 1.005).stop(c * 0.995));
        }
        if b.at(16, 15) && b.flat() {
            b.sell("S", a("short entry with bracket").qty(1.0));
            b.exit("XS", "S", a("same-pass short bracket").limit(c * 0.995).stop(c * 1.005));
        }
        if !b.flat() && b.at(23, 45) {
            b.close_all("timeout");
        }
    });
}

#[test]
fn stops_and_targets_by_atr() {
    let Some(s) = Series::get() else { return };
    let atr = s.atr(14);
    check("analyzer-parity-stop-limit-timing-01", &account(), |b| {
        if (b.at(0, 0) || b.at(12, 0)) && b.flat() && !atr[b.i].is_nan() {
            let (c, r) = (b.close(), atr[b.i]);
            b.buy("L", a("periodic entry"));
            let args = Args { comment_loss: "stop fill", comment_profit: "tp fill", ..a("") };
            b.exit("X", "L", args.stop(c - r).limit(c + r * 2.0));
        }
    });
}

/// Entry with a stop, a target and a trail at 8:00 long and at 20:00 short.
fn three_ways(name: &str, comments: [&str; 2], levels: impl Fn(usize, f64) -> (f64, f64, f64)) {
    check(name, &account(), |b| {
        let c = b.close();
        let (stop, limit, points) = levels(b.i, c);
        if b.at(8, 0) && b.flat() {
            b.buy("L", a("entry long").qty(1.0));
            b.exit("LX", "L", a(comments[0]).stop(c - stop).limit(c + limit).trail(points, None));
        }
        if b.at(20, 0) && b.flat() {
            b.sell("S", a("entry short").qty(1.0));
            b.exit("SX", "S", a(comments[1]).stop(c + stop).limit(c - limit).trail(points, None));
        }
    });
}

#[test]
fn three_ways_set_once() {
    three_ways("bracket-exit-three-way-set-once-entry-01", ["3-way set once"; 2], |_, c| {
        (c * 0.01, c * 0.02, 20.0)
    });
}

#[test]
fn a_trail_of_eight_ticks_with_far_levels() {
    let comments = ["trail8 + far stop/limit"; 2];
    three_ways("bracket-trail-points-no-offset-explicit-01", comments, |_, c| (c * 0.05, c * 0.05, 8.0));
}

#[test]
fn a_trail_of_eight_ticks_with_near_levels() {
    let comments = ["narrow stop/limit + trail8"; 2];
    three_ways("bracket-narrow-stop-limit-with-trail8-01", comments, |_, _| (10.0, 20.0, 8.0));
}

#[test]
fn a_trail_of_a_broken_number_of_ticks() {
    let Some(s) = Series::get() else { return };
    let atr = s.atr(14);
    let levels = |i: usize, _: f64| (atr[i] * 1.2, atr[i] * 1.2 * 2.0, atr[i]);
    three_ways("bracket-atr-trail-series-int-points-01", ["atr trail long", "atr trail short"], levels);
}

#[test]
fn three_ways_given_anew_on_every_bar() {
    let Some(s) = Series::get() else { return };
    let atr = s.atr(14);
    check("bracket-exit-stop-limit-trail-same-bar-01", &account(), |b| {
        if b.at(8, 15) && b.flat() {
            b.buy("L", a("probe long").qty(1.0));
        }
        if b.at(16, 15) && b.flat() {
            b.sell("S", a("probe short").qty(1.0));
        }
        let (e, r) = (b.avg(), atr[b.i]);
        if b.long() {
            b.exit("LX", "L", a("triple exit long").stop(e - r * 0.8).limit(e + r * 1.6).trail(r, None));
        }
        if b.short() {
            b.exit("SX", "S", a("triple exit short").stop(e + r * 0.8).limit(e - r * 1.6).trail(r, None));
        }
        if !b.flat() && b.at(23, 45) {
            b.close_all("timeout");
        }
    });
}

fn trails(name: &str, comments: [&str; 2], points: f64, offset: f64) {
    check(name, &account(), |b| {
        if b.at(9, 15) && b.flat() {
            b.buy("L", a(comments[0]).qty(1.0));
        }
        if b.at(15, 15) && b.flat() {
            b.sell("S", a(comments[1]).qty(1.0));
        }
        if b.long() {
            b.exit("LX", "L", a(comments[0]).trail(points, Some(offset)));
        }
        if b.short() {
            b.exit("SX", "S", a(comments[1]).trail(points, Some(offset)));
        }
        if !b.flat() && b.at(23, 45) {
            b.close_all("timeout");
        }
    });
}

#[test]
fn a_close_trail() {
    trails("bracket-trail-points-with-offset-only-01", ["trail long", "trail short"], 80.0, 40.0);
}

#[test]
fn a_wide_trail() {
    trails(
        "bracket-trailing-activation-offset-path-01",
        ["trail path long", "trail path short"],
        800.0,
        400.0,
    );
}

#[test]
fn a_target_at_the_entry_price() {
    let mut price = f64::NAN;
    check("stats-eventrades-zero-pnl-count-01", &account(), |b| {
        if b.at(0, 0) && b.flat() {
            b.buy("LE", a("even-trade entry").qty(1.0));
            price = b.close();
        }
        if b.long() && !price.is_nan() {
            b.exit("LX", "LE", a("even-trade exit @ entry").limit(price));
        }
    });
}
