//! Odd text files: each a case of (text, options) and what must come of it.

use springtide_domain::{OwnedBars, Timeframe};
use springtide_io::{BarMeta, DateOrder, ImportError, ImportOptions, ImportReport, read_csv_bytes};
use std::path::Path;

fn options() -> ImportOptions {
    ImportOptions { threads: 1, ..ImportOptions::default() }
}

fn read_with(text: &str, options: &ImportOptions) -> Result<(OwnedBars, BarMeta), ImportError> {
    read_csv_bytes(Path::new("X-USD_1h.csv"), text.as_bytes(), options)
}

fn report(text: &str, options: &ImportOptions) -> (OwnedBars, ImportReport) {
    let (bars, meta) = read_with(text, options).unwrap_or_else(|e| panic!("{e}\n{text}"));
    (bars, meta.report.unwrap())
}

fn refused(text: &str) -> String {
    match read_with(text, &options()) {
        Ok((bars, meta)) => panic!("accepted {} bars: {:?}\n{text}", bars.time.len(), meta.report),
        Err(error) => error.to_string(),
    }
}

/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200_000;
const HOUR: i64 = 3_600_000;

/// Three hourly bars, whatever the text looks like.
fn three_bars() -> OwnedBars {
    let mut bars = OwnedBars::default();
    bars.push(START, 10.0, 12.5, 9.5, 11.0, 100.0);
    bars.push(START + HOUR, 11.0, 13.0, 10.0, 12.0, 200.5);
    bars.push(START + 2 * HOUR, 12.0, 12.25, 11.0, 11.5, 0.0);
    bars
}

#[test]
fn dialects_read_alike() {
    let cases = [
        "time,open,high,low,close,volume\n2024-01-01 00:00:00,10,12.5,9.5,11,100\n2024-01-01 01:00:00,11,13,10,12,200.5\n2024-01-01 02:00:00,12,12.25,11,11.5,0\n",
        // No line end at the end, CRLF, byte order mark, blank lines.
        "\u{feff}Time;Open;High;Low;Close;Volume\r\n2024-01-01T00:00;10.0;12.5;9.50;11.0;100\r\n\r\n2024-01-01T01:00;11;13;10;12;200.5\r\n2024-01-01T02:00;12;12.25;11;11.5;0",
        // Spaces after separators, trailing commas.
        "datetime, open, high, low, close, volume,\n2024-01-01 00:00:00, 10, 12.5, 9.5, 11, 100,\n2024-01-01 01:00:00, 11, 13, 10, 12, 200.5,\n2024-01-01 02:00:00, 12, 12.25, 11, 11.5, 0,\n",
        // Tabs, split date and time, names in angle brackets, more columns.
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n2024.01.01\t00:00:00\t10\t12.5\t9.5\t11\t7\t100\t3\n2024.01.01\t01:00:00\t11\t13\t10\t12\t7\t200.5\t3\n2024.01.01\t02:00:00\t12\t12.25\t11\t11.5\t7\t0\t3\n",
        // No header: by position, also with date and time apart.
        "1704067200,10,12.5,9.5,11,100\n1704070800,11,13,10,12,200.5\n1704074400,12,12.25,11,11.5,0\n",
        "2024.01.01,00:00,10,12.5,9.5,11,100\n2024.01.01,01:00,11,13,10,12,200.5\n2024.01.01,02:00,12,12.25,11,11.5,0\n",
        "20240101,000000,10,12.5,9.5,11,100\n20240101,010000,11,13,10,12,200.5\n20240101,020000,12,12.25,11,11.5,0\n".replacen("20240101,0", "date,time,open,high,low,close,vol\n20240101,0", 1).leak(),
        // A kline dump: twelve columns, milliseconds.
        "1704067200000,10,12.5,9.5,11,100,1704070799999,1,2,3,4,0\n1704070800000,11,13,10,12,200.5,1704074399999,1,2,3,4,0\n1704074400000,12,12.25,11,11.5,0,1704077999999,1,2,3,4,0\n",
        // Microseconds, nanoseconds, floats.
        "open_time|o|h|l|c|v\n1704067200000000|10|12.5|9.5|11|100\n1704070800000000|11|13|10|12|200.5\n1704074400000000|12|12.25|11|11.5|0\n",
        "t,o,h,l,c,v\n1704067200000000000,1e1,12.5,9.5,11,1E2\n1704070800000000000,11,13,10,12,200.5\n1704074400000000000,12,12.25,11,11.5,0\n",
        "t,o,h,l,c,v\n1704067200.0,10,12.5,9.5,11,100\n1704070800.0,11,13,10,12,200.5\n1704074400.0,12,12.25,11,11.5,0\n",
        // Quotes everywhere; columns in another order; lines above the table.
        "\"Close\",\"Volume USD\",\"Date and time\",\"Open\",\"High\",\"Low\"\n\"11\",\"100\",\"2024-01-01T00:00:00.000Z\",\"10\",\"12.5\",\"9.5\"\n\"12\",\"200.5\",\"2024-01-01T01:00:00Z\",\"11\",\"13\",\"10\"\n\"11.5\",\"0\",\"2024-01-01T02:00:00Z\",\"12\",\"12.25\",\"11\"\n",
        "https://www.example.com/data\nunix,date,symbol,open,high,low,close,Volume X,Volume USD\n1704067200,2024-01-01 00:00:00,X/USD,10,12.5,9.5,11,100,1\n1704070800,2024-01-01 01:00:00,X/USD,11,13,10,12,200.5,1\n1704074400,2024-01-01 02:00:00,X/USD,12,12.25,11,11.5,0,1\n",
        // An unnamed index, offsets, a day-first date, twelve hours.
        ",Open,High,Low,Close,Volume\n2024-01-01 02:00:00+02:00,10,12.5,9.5,11,100\n2023-12-31 20:00:00-05:00,11,13,10,12,200.5\n2024-01-01 02:00:00+00:00,12,12.25,11,11.5,0\n",
        "Gmt time,Open,High,Low,Close,Volume\n01.01.2024 00:00:00.000,10,12.5,9.5,11,100\n01.01.2024 01:00:00.000,11,13,10,12,200.5\n01.01.2024 02:00:00.000,12,12.25,11,11.5,0\n",
        "Date,Open,High,Low,Close,Volume\n2024/01/01 12:00 AM,10,12.5,9.5,11,100\n2024/01/01 1:00 AM,11,13,10,12,200.5\n2024/01/01 2:00 AM,12,12.25,11,11.5,0\n",
        // The latest bar first.
        "time,open,high,low,close,volume\n2024-01-01 02:00,12,12.25,11,11.5,0\n2024-01-01 01:00,11,13,10,12,200.5\n2024-01-01 00:00,10,12.5,9.5,11,100\n",
        // The same row twice.
        "time,open,high,low,close,volume\n2024-01-01 00:00,10,12.5,9.5,11,100\n2024-01-01 00:00,10.0,12.50,9.5,11,100\n2024-01-01 01:00,11,13,10,12,200.5\n2024-01-01 02:00,12,12.25,11,11.5,0\n",
    ];
    for text in cases {
        for chunk_bytes in [1, 7, 64, 0] {
            let (bars, report) = report(text, &ImportOptions { chunk_bytes, ..options() });
            assert_eq!(bars, three_bars(), "parts of {chunk_bytes}\n{text}");
            assert_eq!((report.timeframe, report.symbol.as_str()), (Timeframe::Minutes(60), "X-USD"));
        }
    }
}

#[test]
fn reports_name_what_was_done() {
    let (_, r) = report(
        "time,open,high,low,close,volume,rsi\n2024-01-01 02:00,12,12.25,11,11.5,0,1\n2024-01-01 01:00,11,13,10,12,200.5,2\n2024-01-01 01:00,11,13,10,12,200.5,2\n",
        &options(),
    );
    assert!(r.reversed && r.notes.iter().any(|n| n.contains("turned round")));
    assert_eq!((r.duplicates.count, r.duplicates.samples[0].line), (1, 4));
    assert_eq!(r.ignored_columns, ["rsi"]);
    assert_eq!((r.rows, r.bars, r.mintick), (3, 2, 0.01));
    assert_eq!((r.from_ms, r.to_ms), (START + HOUR, START + 2 * HOUR));
    let json = serde_json::to_string(&r).unwrap();
    assert_eq!(serde_json::from_str::<ImportReport>(&json).unwrap(), r);
}

#[test]
fn volumes_may_be_missing() {
    let (bars, r) = report("time,open,high,low,close\n2024-01-01,1,1,1,1\n2024-01-02,1,1,1,1\n", &options());
    assert!(bars.volume.iter().all(|v| v.is_nan()) && r.notes.iter().any(|n| n.contains("no volume")));
    let (bars, r) = report(
        "time,open,high,low,close,vol\n2024-01-01,1,1,1,1,NaN\n2024-01-02,1,1,1,1,\n2024-01-03,1,1,1,1,5\n",
        &options(),
    );
    assert_eq!((bars.volume[2], r.missing_volume), (5.0, 2));
}

#[test]
fn bad_rows_are_named_by_line_and_reason() {
    for (row, reason) in [
        ("2024-01-01 01:00,11,10,9,12,1", "high is below open"),
        ("2024-01-01 01:00,11,12,11.5,12,1", "low is above open"),
        ("2024-01-01 01:00,11,11.5,10,12,1", "high is below close"),
        ("2024-01-01 01:00,11,12,13,12,1", "high is below low"),
        ("2024-01-01 01:00,11,12,-1,12,1", "low is not above zero"),
        ("2024-01-01 01:00,0,12,0,12,1", "open is not above zero"),
        ("2024-01-01 01:00,11,12,10,12,-1", "volume is negative"),
        ("2024-01-01 01:00,11,NaN,10,12,1", "high is empty"),
        ("2024-01-01 01:00,11,,10,12,1", "high is empty"),
        ("2024-01-01 01:00,11,1e999,10,12,1", "high is not finite"),
        ("2024-01-01 01:00,11,abc,10,12,1", "high is no number"),
        ("2024-01-01 01:00,\"1,100\",12,10,12,1", "open is no number"),
        ("2024-01-01 25:00,11,12,10,12,1", "the time cannot be read"),
        ("2024-02-30 01:00,11,12,10,12,1", "the time cannot be read"),
        (",11,12,10,12,1", "the time cannot be read"),
        ("2024-01-01 01:00,11,12,10", "4 fields where at least 6"),
        ("2024-01-01 01:00,11,12,10,12,1,7", "7 fields where 6"),
        ("2024-01-01 00:00,11,12,10,12,1", "another bar with this time"),
        ("garbage", "1 fields"),
        ("2024-01-01 01:00,11,12\0,10,12,1", "high is no number"),
    ] {
        let lines = |row: &str| {
            format!(
                "time,open,high,low,close,volume\n2024-01-01 00:00,10,12,9,11,1\n{row}\n2024-01-01 02:00,10,12,9,11,1\n2024-01-01 03:00,10,12,9,11,1\n2024-01-01 04:00,10,12,9,11,1\n"
            )
        };
        let text = lines(row);
        let error = refused(&text);
        assert!(
            error.contains("line 3") && error.contains(reason) && error.contains("1 bad row"),
            "{row}: {error}"
        );
        let skip = ImportOptions { skip_bad: true, ..options() };
        for chunk_bytes in [3, 50, 0] {
            let (bars, r) = report(&text, &ImportOptions { chunk_bytes, ..skip.clone() });
            assert_eq!((bars.time.len(), r.bad_rows.count, r.bad_rows.samples[0].line), (4, 1, 3), "{row}");
            assert!(r.bad_rows.samples[0].reason.contains(reason), "{row}: {:?}", r.bad_rows);
        }
    }
}

#[test]
fn many_bad_rows_are_counted_and_the_first_shown() {
    let rows: String = (0..500)
        .map(|i| format!("{},1,1,1,{},1\n", START / 1000 + i * 60, if i % 5 == 4 { "x" } else { "1" }))
        .collect();
    let error = refused(&format!("t,o,h,l,c,v\n{rows}"));
    assert!(
        error.contains("100 bad rows") && error.contains("line 6") && error.contains("and 90 more"),
        "{error}"
    );
}

#[test]
fn disorder_is_refused_or_sorted() {
    let text = "t,o,h,l,c,v\n2024-01-01 00:00,1,1,1,1,1\n2024-01-01 02:00,3,3,3,3,1\n2024-01-01 01:00,2,2,2,2,1\n2024-01-01 03:00,4,4,4,4,1\n2024-01-01 00:00,1,1,1,1,1\n";
    let error = refused(text);
    assert!(error.contains("line 4") && error.contains("--sort") && error.contains("2 rows"), "{error}");
    for chunk_bytes in [5, 40, 0] {
        let (bars, r) = report(text, &ImportOptions { sort: true, chunk_bytes, ..options() });
        assert_eq!(bars.open, [1.0, 2.0, 3.0, 4.0]);
        assert!(r.sorted && r.out_of_order.count == 2 && r.duplicates.count == 1, "{r:?}");
        assert_eq!(r.duplicates.samples[0].line, 6);
    }
    let clash = text.replace("00:00,1,1,1,1,1\n2024-01-01 02", "00:00,9,9,9,9,1\n2024-01-01 02");
    let error = read_with(&clash, &ImportOptions { sort: true, ..options() }).unwrap_err().to_string();
    assert!(error.contains("line 6") && error.contains("another bar"), "{error}");
}

#[test]
fn files_that_are_no_tables_say_why() {
    for (text, part) in [
        ("", "blank"),
        ("\n\n\n", "blank"),
        ("hello\nworld\n", "no table"),
        ("time,open,high,low,close,volume\n", "nothing below the header"),
        ("time,open,high,low,volume,x\n1,2,3,4,5,6\n", "no column for close"),
        ("a,b,c,d,e,f\n1,2,3,4,5,6\n", "no column for time, open"),
        ("Datum;Open;High;Low;Close;Volume\n2024-01-01;1,5;1,6;1,4;1,5;10\n", "decimal comma"),
        (
            "Date,Open,High,Low,Close,Volume\n2024-01-01,1,5,1,6,1,4,1,5,10,0\n2024-01-02,1,5,1,6,1,4,1,5,10,0\n",
            "decimal comma",
        ),
        ("date,o,h,l,c,v\n01/02/2024,1,1,1,1,1\n01/03/2024,1,1,1,1,1\n", "--date-order"),
        ("date,o,h,l,c,v\nyesterday,1,1,1,1,1\n", "no time that is understood"),
        ("time,o,h,l,c,v\r2024-01-01,1,1,1,1,1\r2024-01-02,1,1,1,1,1\r", "carriage return"),
        ("t\0i\0m\0e\0", "UTF-16"),
        ("2024-01-01,1,1,1\n2024-01-02,1,1,1\n", "no table"),
    ] {
        let error = refused(text);
        assert!(error.contains(part) && error.contains("X-USD_1h.csv"), "{text:?}: {error}");
    }
    let one = "t,o,h,l,c,v\n2024-01-01,1,1,1,1,1\n";
    let error = read_csv_bytes(Path::new("X.csv"), one.as_bytes(), &options()).unwrap_err().to_string();
    assert!(error.contains("--timeframe"), "{error}");
    let error = read_csv_bytes(Path::new("1h.csv"), one.as_bytes(), &options()).unwrap_err().to_string();
    assert!(error.contains("--symbol"), "{error}");
}

#[test]
fn options_override_guesses() {
    let text = "date,o,h,l,c,v\n01/02/2024 10:00,1,1,1,1,1\n01/02/2024 11:00,1,1,1,1,1\n";
    let given = ImportOptions {
        symbol: Some("NYSE:ABC".into()),
        timezone: Some("America/New_York".into()),
        date_order: Some(DateOrder::Dmy),
        mintick: Some(0.5),
        timeframe: Some(Timeframe::Minutes(30)),
        ..options()
    };
    let (bars, meta) = read_with(text, &given).unwrap();
    assert_eq!(bars.time[0], 1_706_799_600_000); // 2024-02-01T15:00:00Z
    assert_eq!(
        (meta.symbol.ticker.as_str(), meta.symbol.exchange.as_str(), meta.symbol.mintick),
        ("ABC", "NYSE", 0.5)
    );
    assert!(
        meta.timeframe == Timeframe::Minutes(30)
            && meta.report.unwrap().notes.iter().any(|n| n.contains("60 apart"))
    );
    for (options, part) in [
        (ImportOptions { timezone: Some("Mars/Base".into()), ..options() }, "no time zone"),
        (ImportOptions { mintick: Some(0.0), date_order: Some(DateOrder::Mdy), ..options() }, "price step"),
    ] {
        let error = read_with(text, &options).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn wrong_names_are_noted_and_the_bars_believed() {
    let text = "t,o,h,l,c,v\n2024-01-01 00:00,1,1,1,1,1\n2024-01-01 00:05,1,1,1,1,1\n";
    let (_, r) = report(text, &options());
    assert_eq!(r.timeframe, Timeframe::Minutes(5));
    assert!(r.notes.iter().any(|n| n.contains("says 60")), "{:?}", r.notes);
}

#[test]
fn gaps_are_counted() {
    let rows: String = (0..200)
        .filter(|i| *i != 50 && !(80..90).contains(i))
        .map(|i| format!("{},1,1,1,1,1\n", START / 1000 + i * 3600))
        .collect();
    let (_, r) = report(&rows, &options());
    assert_eq!((r.gaps.holes, r.gaps.missing_bars, r.gaps.longest[0].missing), (2, 11, 10));
}

#[test]
fn a_header_in_the_middle_is_a_bad_row() {
    let text = "t,o,h,l,c,v\n2024-01-01 00:00,1,1,1,1,1\nt,o,h,l,c,v\n2024-01-01 01:00,1,1,1,1,1\n2024-01-01 02:00,1,1,1,1,1\n2024-01-01 03:00,1,1,1,1,1\n2024-01-01 04:00,1,1,1,1,1\n";
    assert!(refused(text).contains("line 3"));
}

#[test]
fn endless_lines_are_refused() {
    let mut text = String::from("t,o,h,l,c,v\n2024-01-01 00:00,1,1,1,1,1\n2024-01-01 01:00,1,1,1,1,1\n");
    text.push_str(&"9".repeat(3 << 20));
    for chunk_bytes in [1 << 16, 0] {
        let error = read_with(&text, &ImportOptions { chunk_bytes, threads: 2, ..options() })
            .unwrap_err()
            .to_string();
        assert!(error.contains("longer than"), "{error}");
    }
}
