//! Files of trades, through the public door.

use springtide_domain::Timeframe;
use springtide_io::{
    DataStore, ImportError, ImportOptions, ImportReport,
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

#[test]
fn times_that_no_calendar_has_are_refused() {
    let whole = "no whole number of epoch milliseconds";
    let unit = "its unit seems to differ";
    for (time, want) in [
        ("9223372036854775807", unit),
        ("-9223372036854775808", unit),
        ("-1", unit),
        // The same second in other units, and the last and the first one that may not be.
        ("1704067200000000", unit),
        ("1704067200", unit),
        ("7258118400000", unit),
        ("99999999999", unit),
        ("99999999999999999999999", whole),
        ("1704067200000.5", whole),
    ] {
        let text = read(&format!("ts,price\n{START},5\n{time},5\n")).expect_err("not read").to_string();
        assert!(text.contains("line 3") && text.contains(want) && text.contains("--skip-bad"), "{text}");
    }
    let text = format!("ts,price\n{START},5\n7258118399999,5\n100000000000,5\n");
    assert_eq!(read(&text).expect("reads").rows, 3);
    assert_eq!(read("ts,price\n0,5\n1704067200,5\n").expect("seconds go back to 1970").rows, 2);
}

#[test]
fn numbers_that_are_none_are_refused() {
    for (trade, want) in [("1e400,1", "the price `1e400`"), ("1,1e400", "the quantity `1e400`")] {
        let text =
            read(&format!("ts,price,qty\n{START},1,1\n{START},{trade}\n")).expect_err("not read").to_string();
        assert!(text.contains("line 3") && text.contains(want), "{text}");
    }
    let error = read(&format!("ts,price,qty\n{START},1,1e308\n{START},1,1e308\n")).expect_err("not read");
    assert!(matches!(error, TickError::Overflow { time_ms: START, .. }), "{error}");
}

#[test]
fn windows_line_ends_belong_to_no_symbol() {
    let start = START + 1;
    let long = "A-SYMBOL-LONGER-THAN-SIXTEEN-BYTES";
    let text = format!(
        "ts,price,symbol\r\n{START},1,AAA\r\n{START},1,{long}\r\n{start},2,AAA\n{start},2,{long}\n{start},3,AAA"
    );
    let found = read(&text).expect("reads");
    let found: Vec<_> = found.symbols.iter().map(|s| (s.symbol.as_str(), s.trades.as_slice())).collect();
    assert_eq!(found, [(long, &[2][..]), ("AAA", &[3][..])]);
}

#[test]
fn blank_lines_are_no_trades() {
    let found = read(&format!("ts,price\n\n{START},5\n\r\n  \n{START},6\n\n\n")).expect("reads");
    assert_eq!((found.rows, found.symbols[0].trades.as_slice()), (2, &[2][..]));
    let error = read(&format!("ts,price\n\n{START},5\n\n{START}\n")).expect_err("not read");
    assert!(matches!(error, TickError::Line { line: 5, .. }), "{error}");
    assert_eq!(read("ts,price\n\n\n").expect("reads").rows, 0);
}

#[test]
fn lines_that_are_no_trades_are_left_out_when_asked() {
    // Long lines, so that the last bad one is in a later piece.
    let note = "z".repeat(9_000_000);
    let text = format!(
        "ts,price,note\nyesterday,5,\n{START},5,a\n\n{START},5,{note}\n{START},6,\"q\"\n{START},7,{note}\n{START},0,\n{START}\n"
    );
    let place = place(&text);
    let pool = FilePool::new(PoolOptions { threads: Some(2) }).expect("threads");
    let options = TickOptions { skip_bad: true, ..TickOptions::default() };
    let found = bars_from_ticks(&pool, &place.path, Timeframe::Minutes(60), options).expect("reads");
    assert_eq!((found.rows, found.symbols[0].bars.close.as_slice()), (3, &[7.0][..]));
    let bad: Vec<_> =
        found.bad.samples.iter().map(|s| (s.line, s.reason.as_str(), s.text.as_str())).collect();
    let zero = format!("{START},0,");
    let few = format!("{START}");
    assert_eq!(bad[0], (2, "the time `yesterday` is no whole number of epoch milliseconds", "yesterday,5,"));
    assert_eq!((bad[1].0, bad[1].1), (6, "a quotation mark: files of trades must be plain"));
    assert_eq!(bad[2], (8, "the price `0` is no number above zero", zero.as_str()));
    assert_eq!((bad[3].0, bad[3].2), (9, few.as_str()));
    assert_eq!(found.bad.count, 4);
}

/// Imports files of trades as hourly bars; what each gave, and the store.
fn import<T: AsRef<[u8]>>(
    files: &[(&str, T)],
    columns: Option<&str>,
    options: &ImportOptions,
) -> (Vec<Result<Vec<ImportReport>, ImportError>>, DataStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    let write = |(name, text): &(&str, T)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let paths: Vec<PathBuf> = files.iter().map(write).collect();
    let store = DataStore::new(folder.path().join("store"));
    let pool = FilePool::new(PoolOptions { threads: Some(2) }).expect("threads");
    let columns = columns.map(|names| names.split(',').map(str::to_owned).collect());
    let ticks = TickOptions { columns, ..TickOptions::default() };
    let results = store.import_trades(&pool, &paths, Timeframe::Minutes(60), &ticks, options);
    (results, store, folder)
}

#[test]
fn each_symbol_of_a_file_becomes_a_data_set() {
    let text = format!(
        "ts_ms,symbol,price,qty\n{START},BTC-USD,10.25,1\n{START},E,3,2\n{},BTC-USD,11.5,2\n{},BTC-USD,9,1\n",
        START + 1,
        START + 3 * HOUR
    );
    let (results, store, _folder) = import(&[("trades.csv", &text)], None, &ImportOptions::default());
    let reports = results.into_iter().next().expect("one file").expect("imported");
    let said: Vec<_> =
        reports.iter().map(|r| (r.symbol.as_str(), r.rows, r.bars, r.gaps.missing_bars)).collect();
    assert_eq!(said, [("BTC-USD", 3, 2, 2), ("E", 1, 1, 0)]);
    assert!(reports[0].notes.iter().any(|n| n == "summed up from 3 trades"), "{:?}", reports[0].notes);
    let kept = store.ls().expect("lists").entries;
    let kept: Vec<_> = kept.iter().map(|e| (e.symbol.ticker.as_str(), e.bars, e.hash.as_str())).collect();
    assert_eq!(kept, [("BTC-USD", 2, reports[0].hash.as_str()), ("E", 1, reports[1].hash.as_str())]);
    assert!(store.check().expect("checks").iter().all(|f| f.code != "hash" && f.code != "order"));
    let bars = springtide_io::BarFile::open(&store.root().join("BTC-USD").join("60.arrow")).expect("opens");
    let view = bars.view();
    assert_eq!(
        (view.open[0], view.high[0], view.low[0], view.close[0], view.volume[0]),
        (10.25, 11.5, 10.25, 11.5, 3.0)
    );
}

#[test]
fn a_file_without_a_head_line_is_read_by_names() {
    // As the largest exchange publishes them.
    let text =
        format!("28457,42,0.5,21,{START}000,True,True\n28458,43.5,0.5,21.75,{}000,True,True\n", START + HOUR);
    let names = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match";
    let file = [("ETHUSDT-trades-2024-01.csv", text.as_str())];
    let (results, ..) = import(&file, Some(names), &ImportOptions::default());
    let reports = results.into_iter().next().expect("one file").expect("imported");
    assert_eq!((reports[0].symbol.as_str(), reports[0].bars, reports[0].from_ms), ("ETHUSDT", 2, START));
    let (results, ..) = import(
        &file,
        Some(names),
        &ImportOptions { symbol: Some("ETH-USDT".into()), ..ImportOptions::default() },
    );
    let reports = results.into_iter().next().expect("one file").expect("imported");
    assert_eq!(
        (reports[0].symbol.as_str(), reports[0].dialect.as_ref().and_then(|d| d.header_line)),
        ("ETH-USDT", None)
    );
    for (names, want) in [
        (None, "pass --columns"),
        (Some("time,price"), "2 columns were named"),
        (Some("a,b,c,d,e,f,g"), "`a,b,c,d,e,f,g` names no column"),
    ] {
        let (results, store, _folder) = import(&file, names, &ImportOptions::default());
        let error = results.into_iter().next().expect("one file").expect_err("refused").to_string();
        assert!(error.contains(want) && error.contains("ETHUSDT-trades"), "{error}");
        assert!(store.ls().expect("lists").entries.is_empty());
    }
    // Names for a file that has a head line all the same.
    let text = format!("{names}\n{text}");
    let (results, ..) = import(&[("ETHUSDT.csv", text.as_str())], Some(names), &ImportOptions::default());
    assert_eq!(results.into_iter().next().expect("one file").expect("imported")[0].rows, 2);
}

#[test]
fn what_cannot_be_kept_is_refused_whole() {
    let one = format!("ts,symbol,price\n{START},A,1\n{START},,1\n");
    let two = format!("ts,symbol,price\n{START},A,1\n{START},B,1\n");
    let three = format!("ts,symbol,price\n{START},C,1\n{START},B,1\n");
    let files = [
        ("one.csv", one.as_str()),
        ("two.csv", two.as_str()),
        ("three.csv", three.as_str()),
        ("four.csv", "ts,price\n"),
    ];
    let (results, store, _folder) = import(&files, None, &ImportOptions::default());
    let said: Vec<String> =
        results.iter().map(|r| r.as_ref().map_or_else(|e| e.to_string(), |r| r.len().to_string())).collect();
    assert!(said[0].contains("trades without a symbol"), "{said:?}");
    assert_eq!(said[1], "2");
    assert!(said[2].contains("was imported as B 60 too"), "{said:?}");
    assert!(said[3].contains("there are no trades"), "{said:?}");
    let kept: Vec<String> =
        store.ls().expect("lists").entries.iter().map(|e| e.symbol.ticker.clone()).collect();
    assert_eq!(kept, ["A", "B"], "nothing of the others");
    let options = ImportOptions { symbol: Some("X".into()), ..ImportOptions::default() };
    let (results, ..) = import(&files[1..2], None, &options);
    let error = results.into_iter().next().expect("one file").expect_err("refused").to_string();
    assert!(error.contains("names its symbols (A, B): leave out --symbol X"), "{error}");
}

/// The refusal of a file that is imported alone; nothing of it may be in the store.
fn refusal<T: AsRef<[u8]>>(name: &str, text: T, columns: Option<&str>, options: &ImportOptions) -> String {
    let (results, store, _folder) = import(&[(name, text)], columns, options);
    assert!(store.ls().expect("lists").entries.is_empty() && store.check().expect("checks").is_empty());
    results.into_iter().next().expect("one file").expect_err("refused").to_string()
}

#[test]
fn symbols_for_the_same_place_are_refused() {
    for names in [["BTC/USD", "BTC USD"], ["BTC USD", "BTC_USD"], ["\u{6bd4}\u{7279}", "\u{4ee5}\u{592a}"]] {
        let [a, b] = names;
        let text = format!("ts,symbol,price\n{START},A,1\n{START},{a},1\n{START},{b},2\n");
        let error = refusal("x.csv", &text, None, &ImportOptions::default());
        assert!(error.contains(&format!("`{a}`")) && error.contains(&format!("`{b}`")), "{error}");
    }
}

#[test]
fn a_head_line_is_known_by_its_names() {
    let options = ImportOptions { symbol: Some("X".into()), ..ImportOptions::default() };
    let rows = |text: &str, columns| {
        let (results, ..) = import(&[("x.csv", text)], columns, &options);
        let reports = results.into_iter().next().expect("one file").expect("imported");
        (reports[0].rows, reports[0].dialect.as_ref().and_then(|d| d.header_line))
    };
    let trades = format!("{START},5\n{START},6\n");
    for mark in ["", "\u{feff}"] {
        assert_eq!(rows(&format!("{mark}{trades}"), Some("time,price")), (2, None));
        assert_eq!(rows(&format!("{mark}TIME,\"Price\"\n{trades}"), Some("Time,price")), (2, Some(1)));
        assert_eq!(rows(&format!("{mark}time,price\n{trades}"), None), (2, Some(1)));
    }
    for first in ["N/A,5", "1704067200000.5,5", "ts,px", "time,px"] {
        let error = refusal("x.csv", format!("{first}\n{trades}"), Some("time,price"), &options);
        assert!(error.contains("line 1: the time `") && error.contains("head line"), "{error}");
    }
    let error = refusal("x.csv", "N/A,5\n", Some("time,price"), &options);
    assert!(error.contains("line 1: the time `N/A`"), "{error}");
}

#[test]
fn what_is_no_text_is_refused_in_few_words() {
    let options = ImportOptions { symbol: Some("X".into()), ..ImportOptions::default() };
    let long = [b"\x00\xff".repeat(50_000), b"\n1,2\n".to_vec()].concat();
    for (bytes, want) in [
        (b"\x1f\x8b\x08\x00trades".to_vec(), "this is a gzip file; unpack it first"),
        (b"PAR1....".to_vec(), "kind parquet; trades are read from text only"),
        (b"ARROW1..".to_vec(), "kind arrow; trades are read from text only"),
        (long, "no column for the time"),
        (format!("ts,price\n{},5\n", "9".repeat(100_000)).into_bytes(), "no whole number"),
        (format!("ts,price\n{START},5\n{START},{}x\n", "9".repeat(100_000)).into_bytes(), "the price `999"),
    ] {
        let error = refusal("x.csv", bytes, None, &options);
        assert!(error.contains(want) && error.len() < 1_500, "{error}");
    }
}

#[test]
fn columns_go_by_their_names_not_their_places() {
    let text = format!(
        "amount,last,trade_time,Size,price,TS_ms,side\n9,8,7,0.5,42,{START},b\n9,8,7,0.25,43,{START},s\n"
    );
    let (results, store, _folder) = import(&[("BTC-USD_trades.csv", &text)], None, &ImportOptions::default());
    let report = results.into_iter().next().expect("one file").expect("imported").remove(0);
    let columns: Vec<_> = report.columns.iter().map(|(what, name)| (what.as_str(), name.as_str())).collect();
    assert_eq!(columns, [("time", "TS_ms"), ("price", "price"), ("quantity", "Size")]);
    assert_eq!(report.ignored_columns, ["amount", "last", "trade_time", "side"]);
    let bars = springtide_io::BarFile::open(&store.root().join("BTC-USD").join("60.arrow")).expect("opens");
    assert_eq!((bars.view().open[0], bars.view().volume[0]), (42.0, 0.75));
}

#[test]
fn names_that_name_no_symbol_are_refused() {
    let text = format!("ts,price\n{START},1\n");
    for name in ["trades.csv", "Trades-2024-01.csv", "aggTrades.csv", "ticks.csv"] {
        let error = refusal(name, &text, None, &ImportOptions::default());
        assert!(error.contains("pass --symbol"), "{error}");
    }
    for symbol in ["", " ", "COINBASE:"] {
        let options = ImportOptions { symbol: Some(symbol.into()), ..ImportOptions::default() };
        let error = refusal("BTC-USD.csv", &text, None, &options);
        assert!(error.contains(&format!("the symbol `{symbol}` has no name")), "{error}");
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("BTC-USD_1m.csv");
        std::fs::write(&path, "time,open,high,low,close\n60000,1,1,1,1\n120000,1,1,1,1\n").expect("writes");
        let bars = DataStore::new(folder.path().join("store")).import(&[path], &options);
        let error = bars[0].as_ref().expect_err("refused").to_string();
        assert!(error.contains("has no name"), "{error}");
    }
}

#[test]
fn bad_lines_are_counted_in_the_report() {
    let text = format!("ts,symbol,price\n{START},A,1\n{START},B,x\n{START},B,2\n");
    let options = ImportOptions { skip_bad: true, ..ImportOptions::default() };
    let (results, ..) = import(&[("x.csv", &text)], None, &options);
    let reports = results.into_iter().next().expect("one file").expect("imported");
    let said: Vec<_> =
        reports.iter().map(|r| (r.rows, r.bad_rows.count, r.bad_rows.samples[0].line)).collect();
    assert_eq!(said, [(1, 1, 3), (1, 1, 3)]);
    let error = refusal("x.csv", format!("ts,symbol,price\n{START},A,0\n"), None, &options);
    assert!(error.contains("all 1 rows were left out as bad"), "{error}");
}

#[test]
fn an_import_that_ends_between_symbols_says_which_are_in_place() {
    let folder = tempfile::tempdir().expect("folder");
    let store = DataStore::new(folder.path().join("store"));
    std::fs::create_dir(store.root()).expect("makes");
    // Where the folder of a symbol should be stands a file.
    std::fs::write(store.root().join("B"), "").expect("writes");
    let path = folder.path().join("x.csv");
    std::fs::write(&path, format!("ts,symbol,price\n{START},A,1\n{START},B,1\n{START},C,1\n"))
        .expect("writes");
    let pool = FilePool::new(PoolOptions { threads: Some(1) }).expect("threads");
    let results = store.import_trades(
        &pool,
        &[path],
        Timeframe::Minutes(60),
        &TickOptions::default(),
        &ImportOptions::default(),
    );
    let error = results[0].as_ref().expect_err("refused").to_string();
    assert!(error.contains("in place are A, the others are as they were"), "{error}");
    let kept: Vec<String> =
        store.ls().expect("lists").entries.iter().map(|e| e.symbol.ticker.clone()).collect();
    assert_eq!(kept, ["A"]);
    assert!(store.check().expect("checks").iter().all(|f| f.code != "unfinished"));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    use springtide_runtime::{GroupOptions, TaskCtx};
    use std::time::{Duration, SystemTime};
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("BTC-USD.csv");
    let text = format!("ts,price\n{START},1\n");
    std::fs::write(&path, &text).expect("writes");
    let store = DataStore::new(folder.path().join("store"));
    let pool = FilePool::new(PoolOptions { threads: Some(1) }).expect("threads");
    // Holds the only thread until the import waits for it, and then writes the same text in the same place.
    let (registry, changed) = (pool.registry(), path.clone());
    let (started, starts) = std::sync::mpsc::channel();
    let group = pool.group(GroupOptions::default());
    group.spawn("change", move |_: &TaskCtx<'_>| {
        started.send(()).expect("is waited for");
        while registry.snapshot().queued.0.iter().sum::<u64>() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::write(&changed, text).expect("writes");
        let file = std::fs::File::options().write(true).open(&changed).expect("opens");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("sets");
    });
    starts.recv().expect("starts");
    let (ticks, options) = (TickOptions::default(), ImportOptions::default());
    let results = store.import_trades(&pool, &[path], Timeframe::Minutes(60), &ticks, &options);
    let error = results[0].as_ref().expect_err("refused").to_string();
    assert!(error.contains("changed while it was read"), "{error}");
    assert!(store.ls().expect("lists").entries.is_empty());
}
