//! `time` and sessions: bars of an hour, Monday 2024-01-01 00:00 UTC on.

use super::*;

const MONDAY: f64 = 1_704_067_200_000.0;

/// What an expression gives on each bar, in hours since that Monday.
fn on_bars(version: u8, n: usize, expression: &str) -> Vec<f64> {
    let source = format!("//@version={version}\nstrategy(\"t\")\nplot({expression}, \"x\")");
    let bars = hours(&vec![[1.0; 4]; n]);
    plot(&outcome(&source, &bars), "x").iter().map(|ms| (ms - MONDAY) / 3_600_000.0).collect()
}

fn at(expression: &str, bar: usize) -> f64 {
    on_bars(6, bar + 2, expression)[bar]
}

#[test]
fn a_day_with_a_session_is_the_sessions_run() {
    let starts = on_bars(6, 48, "time(\"D\", \"0930-1600\")");
    let ends = on_bars(6, 48, "time_close(\"D\", \"0930-1600\")");
    for hour in 0..48 {
        let (day, of_day) = (24.0 * f64::from(hour / 24), hour % 24);
        if (10..16).contains(&of_day) {
            assert_eq!((starts[hour as usize], ends[hour as usize]), (day + 9.5, day + 16.0), "hour {hour}");
        } else {
            assert!(starts[hour as usize].is_nan() && ends[hour as usize].is_nan(), "hour {hour}");
        }
    }
    // Over midnight it is one run, so that a change of it is the session's beginning.
    assert_eq!(at("time(\"D\", \"2200-0600\")", 23), 22.0);
    assert_eq!(at("time(\"D\", \"2200-0600\")", 25), 22.0);
    assert_eq!(at("time(\"1D\", \"0000-0000\")", 30), 24.0);
    assert_eq!(at("time(\"D\")", 30), 24.0);
    assert_eq!(at("time(\"D\", \"0930-1600\", \"UTC-5\")", 15), 14.5);
}

#[test]
fn shorter_timeframes_count_from_the_sessions_opening() {
    assert_eq!(at("time(\"60\", \"0930-1600\")", 10), 9.5);
    assert_eq!(at("time(\"\", \"0930-1600\")", 11), 10.5);
    assert_eq!(at("time(\"240\", \"0930-1600\")", 14), 13.5);
    assert_eq!(at("time_close(\"240\", \"0930-1600\")", 14), 16.0);
    assert!(at("time(\"240\", \"0930-1600\")", 16).is_nan());
}

#[test]
fn weeks_and_months_begin_with_their_first_run() {
    assert_eq!(at("time(\"W\", \"1700-0200:23456\")", 8), -7.0);
    assert_eq!(at("time_close(\"W\", \"1700-0200:23456\")", 8), 7.0 * 24.0 - 7.0);
    // February 2024 begins on a Thursday, March on a Friday.
    assert_eq!(at("time(\"M\", \"0930-1600:3\")", 3), 24.0 + 9.5);
    assert_eq!(at("time_close(\"M\", \"0930-1600:3\")", 3), 36.0 * 24.0 + 9.5);
}

#[test]
fn a_session_without_days_runs_on_weekdays_in_version_4() {
    let saturday_noon = 5 * 24 + 12;
    let x = |version, session: &str| {
        on_bars(version, saturday_noon + 1, &format!("time(\"D\", \"{session}\")"))[saturday_noon]
    };
    assert!(x(4, "0930-1600").is_nan());
    assert_eq!(x(5, "0930-1600"), 5.0 * 24.0 + 9.5);
    assert_eq!(x(4, "0930-1600:1234567"), 5.0 * 24.0 + 9.5);
}

#[test]
fn bars_back_and_to_come() {
    assert_eq!(at("time(\"\", 2)", 10), 8.0);
    assert_eq!(at("time(\"60\", -3)", 10), 13.0);
    assert_eq!(at("time_close(\"240\", -3)", 10), 16.0);
    assert!(at("time(\"\", 2)", 1).is_nan());
    assert_eq!(at("time(\"D\", \"0930-1600\", bars_back=6)", 20), 9.5);
}

#[test]
fn mistakes_are_named() {
    for (call, part) in [
        ("time(\"D\", \"930-1600\")", "`930-1600` is no session"),
        ("time(\"D\", \"0930-1600\", \"Mars\")", "unknown time zone `Mars`"),
        ("time(\"5y\")", "`5y` is no timeframe"),
    ] {
        let source = format!("//@version=6\nstrategy(\"t\")\nplot({call})");
        let error = execute(&source, &waves(3), ExecOptions::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_average_of_many_carries_what_additions_lose() {
    let source = "//@version=6\nstrategy(\"t\")\nbig = close * 0 + 1e16\none = close * 0 + 1\n\
                  plot(math.avg(big, one, one, one, one), \"many\")\nplot(math.avg(big, one), \"two\")\n\
                  plot(math.max(one, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18), \"max\")\n\
                  plot(array.from(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26).size(), \"size\")";
    let out = outcome(source, &waves(3));
    assert_eq!(plot(&out, "many")[0], (1e16 + 4.0) / 5.0);
    assert_eq!(plot(&out, "two")[0], (1e16 + 1.0) / 2.0);
    assert_eq!((plot(&out, "max")[0], plot(&out, "size")[0]), (18.0, 26.0));
}
