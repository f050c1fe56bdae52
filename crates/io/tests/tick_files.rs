//! Files of trades, through the public door.

use springtide_domain::Timeframe;
use springtide_io::{
    files::{FilePool, PoolOptions},
    ticks::{SymbolBars, TickBars, TickError, TickOptions, bars_from_ticks},
};
use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place(text: &str) -> Place {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("trades.csv");
    std::fs::write(&path, text).expect("writes");
    Place { _folder: folder, path }
}

fn read(text: &str) -> Result<TickBars, TickError> {
    let place = place(text);
    let pool = FilePool::new(PoolOptions { threads: Some(3) }).expect("threads");
    bars_from_ticks(&pool, &place.path, Timeframe::Minutes(60), TickOptions::default())
}

/// Open, high, low, close, volume, trades.
type Plain = (f64, f64, f64, f64, f64, u64);

const HOUR: i64 = 3_600_000;
const START: i64 = 1_704_067_200_000;

#[test]
fn bars_are_what_plain_counting_gives() {
    // Long lines make few trades span pieces, which keeps a debug build quick.
    let mut text = String::from("ts_ms,symbol,price,qty,side,note\n");
    let mut plain: BTreeMap<(String, i64), Plain> = BTreeMap::new();
    let mut state = 7u64;
    let mut random = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let symbols = ["BTC-USD", "E", "A-SYMBOL-LONGER-THAN-SIXTEEN-BYTES", "XRPUSDT"];
    let note = "z".repeat(40_000);
    let mut time = START;
    let mut rows = 0;
    for _ in 0..900 {
        time += random(600_000) as i64;
        let symbol = symbols[random(4) as usize];
        let (price, quantity) = (1_000 + random(100_000), random(500_000));
        let (p, q) = (price as f64 / 100.0, quantity as f64 / 1e5);
        writeln!(text, "{time},{symbol},{p},{q},b,{note}").expect("writes");
        rows += 1;
        let bar = plain.entry((symbol.into(), time.div_euclid(HOUR) * HOUR)).or_insert((p, p, p, p, 0.0, 0));
        (bar.1, bar.2, bar.3) = (bar.1.max(p), bar.2.min(p), p);
        bar.4 += q;
        bar.5 += 1;
    }
    assert!(text.len() > 2 * (16 << 20), "more than two pieces");
    let found = read(&text).expect("reads");
    assert_eq!((found.rows, found.out_of_order, found.bytes), (rows, 0, text.len() as u64));
    let mut count = 0;
    for SymbolBars { symbol, bars, trades } in &found.symbols {
        for i in 0..bars.time.len() {
            let want = plain[&(symbol.clone(), bars.time[i])];
            let got = (bars.open[i], bars.high[i], bars.low[i], bars.close[i]);
            assert_eq!((got, trades[i]), ((want.0, want.1, want.2, want.3), want.5));
            assert!((bars.volume[i] - want.4).abs() <= 1e-12 * want.4.max(1.0));
            count += 1;
        }
    }
    assert_eq!(count, plain.len());
}

#[test]
fn names_of_columns_units_and_ends_differ() {
    let seconds = START / 1000;
    let text = format!("Price;Time;Amount\r\n10.5;{seconds};1\r\n9.5;{};2", seconds + 1);
    let found = read(&text).expect("reads");
    let [only] = found.symbols.as_slice() else { panic!("one symbol") };
    assert_eq!((only.symbol.as_str(), only.trades.as_slice()), ("", &[2][..]));
    assert_eq!((only.bars.time[0], only.bars.open[0], only.bars.volume[0]), (START, 10.5, 3.0));
    // Without quantities, with an earlier trade behind a later one.
    let text = format!("ts,px\n{}000,5\n{START}000,4\n{}000,6\n", START + HOUR, START + HOUR);
    let found = read(&text).expect("reads");
    let only = &found.symbols[0];
    assert_eq!((found.out_of_order, only.trades.as_slice()), (1, &[1, 2][..]));
    assert_eq!((only.bars.open.as_slice(), only.bars.close.as_slice()), (&[4.0, 5.0][..], &[4.0, 6.0][..]));
    assert!(only.bars.volume[0].is_nan());
    let empty = read("ts,price\n").expect("reads");
    assert_eq!((empty.rows, empty.symbols.len()), (0, 0));
}

#[test]
fn what_is_no_trade_is_named_by_its_line() {
    let good = format!("{START},A,1,1\n").repeat(40_000);
    let head = "ts_ms,symbol,price,qty\n";
    for (line, want) in [
        ("yesterday,A,1,1\n", "the time `yesterday`"),
        ("1704067200000,A,-1,1\n", "the price `-1`"),
        ("1704067200000,A,nan,1\n", "the price `nan`"),
        ("1704067200000,A,1,x\n", "the quantity `x`"),
        ("1704067200000,A,1\n", "3 fields where 4"),
        ("1704067200000,\"A\",1,1\n", "quotation mark"),
    ] {
        let error = read(&format!("{head}{good}{line}{good}")).expect_err("not read");
        let text = error.to_string();
        assert!(matches!(error, TickError::Line { line: 40_002, .. }) && text.contains(want), "{text}");
    }
    for (head, want) in [("a,b\n", "column for the time"), ("ts,b\n", "column for the price")] {
        let text = read(head).expect_err("not read").to_string();
        assert!(text.contains(want), "{text}");
    }
    let text = read("time,price\n2024-01-01 00:00:00,5\n").expect_err("not read").to_string();
    assert!(text.contains("no whole number"), "{text}");
}
