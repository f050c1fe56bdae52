//! What a person writes on the command line is understood or refused, without a panic, and what it means holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use springtide_domain::{
    OwnedBars, ParamValue, Timeframe,
    resample::{Session, resample},
};
use springtide_engine::{Commission, Rules, Slippage};
use springtide_lab::{
    filter,
    sweep::{Axis, Grid},
};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(axis) = Axis::parse(&text) {
        assert!(!axis.name.is_empty() && !axis.values.is_empty() && axis.values.len() <= 1_000_000);
        let grid = Grid::new(Default::default(), vec![axis.clone()]);
        assert_eq!(grid.count().expect("one axis can be counted"), axis.values.len() as u64);
        assert_eq!(grid.at(0)[&axis.name], axis.values[0]);
    }
    if let Ok(sql) = filter::compile(&text) {
        assert_eq!(sql.sql.matches('?').count(), sql.binds.len(), "{}", sql.sql);
        // Whatever was written goes in as a value, never as SQL.
        assert!(
            sql.sql.bytes().all(|b| b.is_ascii_alphanumeric() || b" _.,?()<>=!'$\n-+*\"".contains(&b)),
            "{}",
            sql.sql
        );
    }
    if let Ok(timeframe) = text.parse::<Timeframe>() {
        assert_eq!(timeframe.to_string().parse::<Timeframe>().ok(), Some(timeframe), "{timeframe}");
        assert!(timeframe.nominal_ms() > 0);
        if let Ok(bars) = resample(&bars().view(), timeframe, "America/New_York", "") {
            assert!(bars.time.is_sorted() && !bars.time.is_empty());
        }
    }
    if Session::parse(&text).is_ok() {
        let days = resample(&bars().view(), Timeframe::Days(1), "America/New_York", &text);
        assert!(days.is_ok_and(|d| !d.time.is_empty()), "{text}");
    }
    for fee in Commission::parse(&text).into_iter() {
        let (Commission::Percent(x) | Commission::PerContract(x) | Commission::PerOrder(x)) = fee;
        assert!(x.is_finite() && x >= 0.0);
    }
    for slip in Slippage::parse(&text).into_iter() {
        let (Slippage::Percent(x) | Slippage::Ticks(x)) = slip;
        assert!(x.is_finite() && x >= 0.0);
    }
    if let ParamValue::Float(x) = ParamValue::parse(&text) {
        assert!(x.is_finite());
    }
    let mut rules = Rules::default();
    if rules.set(&text).is_ok() {
        assert!(rules.name.ends_with('*'));
    }
});

/// A day of hours.
fn bars() -> OwnedBars {
    let mut bars = OwnedBars::default();
    (0..24).for_each(|i| bars.push(1_704_067_200_000 + i * 3_600_000, 1.0, 2.0, 0.5, 1.5, 1.0));
    bars
}
