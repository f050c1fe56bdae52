//! Random tables in random dialects come back bit by bit; parts and threads change nothing; no bytes panic.

use proptest::prelude::*;
use springtide_domain::OwnedBars;
use springtide_io::{ImportOptions, content_hash, fuzz_csv, read_csv_bytes};
use std::{fmt::Write, path::Path};

#[derive(Clone, Debug)]
struct Dialect {
    delimiter: char,
    space: bool,
    trailing: bool,
    crlf: bool,
    bom: bool,
    quotes: bool,
    header: bool,
    extra: bool,
    time: usize,
    last_line_end: bool,
    descending: bool,
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let flags = proptest::collection::vec(any::<bool>(), 9);
    (prop::sample::select(vec![',', ';', '\t', '|']), flags, 0usize..7).prop_map(|(delimiter, f, time)| {
        Dialect {
            delimiter,
            space: f[0],
            trailing: f[1],
            crlf: f[2],
            bom: f[3],
            quotes: f[4],
            header: f[5],
            extra: f[6],
            time,
            last_line_end: f[7],
            descending: f[8],
        }
    })
}

/// Prices of every magnitude and shape, volumes too.
fn tables() -> impl Strategy<Value = OwnedBars> {
    let price = prop_oneof![
        (1u32..100_000_000).prop_map(|n| f64::from(n) / 100.0),
        1e-8f64..1e9,
        any::<f32>().prop_map(|x| f64::from(x.abs()).clamp(1e-30, 1e30)),
    ];
    let volume = prop_oneof![0.0f64..1e9, (0u32..1_000_000).prop_map(f64::from)];
    let row = ([price.clone(), price.clone(), price.clone(), price], volume);
    (proptest::collection::vec(row, 3..60), 0i64..1_900_000_000, 1i64..100_000).prop_map(
        |(rows, start, step)| {
            let mut bars = OwnedBars::default();
            // Whole minutes with a step of its own, since some formats have no seconds.
            let (start, step) = (start / 60 * 60_000, step * 60_000);
            for (i, (mut p, volume)) in rows.into_iter().enumerate() {
                p.sort_by(f64::total_cmp);
                let (open, close) = if i % 2 == 0 { (p[1], p[2]) } else { (p[2], p[1]) };
                bars.push(start + step * i as i64, open, p[3], p[0], close, volume);
            }
            bars
        },
    )
}

fn time_text(ms: i64, format: usize) -> String {
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap();
    let civil = jiff::tz::Offset::UTC.to_datetime(instant);
    match format {
        0 => civil.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        1 => instant.to_string(),
        2 => civil.strftime("%Y.%m.%d %H:%M").to_string(),
        3 => (ms / 1000).to_string(),
        4 => format!("{}", ms as f64 / 1000.0),
        5 => civil.strftime("%Y-%m-%dT%H:%M:%S.000+00:00").to_string(),
        _ => civil.strftime("%d.%m.%Y %H:%M:%S").to_string(),
    }
}

fn write(bars: &OwnedBars, d: &Dialect) -> String {
    let mut out = String::from(if d.bom { "\u{feff}" } else { "" });
    let separator = if d.space { format!("{} ", d.delimiter) } else { d.delimiter.to_string() };
    let end = if d.crlf { "\r\n" } else { "\n" };
    let mut line = |cells: &[String]| {
        let cells: Vec<String> =
            cells.iter().map(|c| if d.quotes { format!("\"{c}\"") } else { c.clone() }).collect();
        let tail = if d.trailing { d.delimiter.to_string() } else { String::new() };
        write!(out, "{}{tail}{end}", cells.join(&separator)).unwrap();
    };
    let names = ["Date", "Open", "High", "Low", "Close", "Volume", "note"].map(str::to_owned);
    if d.header {
        line(&names[..if d.extra { 7 } else { 6 }]);
    }
    let mut order: Vec<usize> = (0..bars.time.len()).collect();
    if d.descending {
        order.reverse();
    }
    for i in order {
        let mut cells = vec![time_text(bars.time[i], d.time)];
        // Alternately the shortest decimal form and the one with an exponent.
        for (k, x) in
            [bars.open[i], bars.high[i], bars.low[i], bars.close[i], bars.volume[i]].into_iter().enumerate()
        {
            cells.push(if (i + k) % 5 == 4 { format!("{x:e}") } else { x.to_string() });
        }
        if d.extra {
            cells.push("n.a.".into());
        }
        line(&cells);
    }
    if !d.last_line_end {
        out.truncate(out.trim_end().len());
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_written_is_read(bars in tables(), dialect in dialects(), chunk_bytes in 1usize..400, threads in 1usize..4) {
        let text = write(&bars, &dialect);
        let options = ImportOptions { chunk_bytes, threads, ..ImportOptions::default() };
        let (read, meta) = read_csv_bytes(Path::new("A-B.csv"), text.as_bytes(), &options)
            .map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&read.time, &bars.time, "{}", text);
        prop_assert_eq!(
            content_hash(&read.view(), meta.timeframe), content_hash(&bars.view(), meta.timeframe), "{}", text
        );
    }

    #[test]
    fn broken_tables_break_alike(
        bars in tables(), dialect in dialects(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut text = write(&bars, &dialect).into_bytes();
        for (index, byte) in cuts {
            let at = index.index(text.len());
            text[at] = byte;
        }
        fuzz_csv(&text);
    }

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_csv(&data);
    }

    #[test]
    fn no_text_of_the_right_letters_panics(text in "([0-9.,:;TZ\"e+\\- \n\t]|time|open|high|low|close){0,80}") {
        fuzz_csv(text.as_bytes());
    }
}

/// Found by fuzzing: a row whose time came before on the far side of a border between parts was named before an
/// earlier line of its own part.
#[test]
fn bad_rows_are_named_by_their_lines() {
    let text = "00;1.5;2;1;1.25;10\n000;1.25;2;1;1.5;0\n72531200000;1se,\t\0\0\0\0\0\0\0open\u{fffd}l.5;2;1;1.25;5;10\n\
                1672531260001.5;0\n";
    fuzz_csv(text.as_bytes());
    let options = ImportOptions { skip_bad: true, ..ImportOptions::default() };
    let (_, meta) =
        read_csv_bytes(Path::new("A_1m.csv"), text.as_bytes(), &options).expect("one row is good");
    let bad = meta.report.expect("an import is reported").bad_rows;
    assert_eq!((bad.count, bad.samples.iter().map(|s| s.line).collect::<Vec<_>>()), (3, vec![2, 3, 4]));
}
