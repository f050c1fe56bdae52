//! Bar files, column files, the store and the cache, on real files.

use arrow_array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray,
};
use arrow_ipc::{
    CompressionType,
    reader::FileReader,
    writer::{FileWriter, IpcWriteOptions, StreamWriter},
};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use springtide_domain::{
    Bars, OwnedBars, Severity, SymbolInfo, Timeframe,
    synth::{SynthSpec, bars as synth_bars},
};
use springtide_io::{
    BarFile, BarMeta, DataStore, ImportOptions, content_hash, data_files, load_any, read_bars, write_bars,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

const START: i64 = 1_704_067_200_000;
const QUARTER: Timeframe = Timeframe::Minutes(15);

fn sample(count: usize) -> OwnedBars {
    synth_bars(&SynthSpec { bars: count, start_ms: START, ..SynthSpec::default() })
}

fn meta() -> BarMeta {
    BarMeta { symbol: SymbolInfo::default(), timeframe: QUARTER, source: "made".into(), report: None }
}

fn csv(bars: &OwnedBars) -> String {
    let row = |i: usize| {
        let b = bars;
        format!("{},{},{},{},{},{}\n", b.time[i], b.open[i], b.high[i], b.low[i], b.close[i], b.volume[i])
    };
    (0..bars.time.len()).map(row).collect()
}

/// A file that was last changed a minute ago, so that its import may be cached.
fn settled(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

fn bitcoin() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/BTC-USD-15m.csv");
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

#[test]
fn the_bitcoin_file_imports_as_it_is() {
    let Some(path) = bitcoin() else { return };
    let folder = TempDir::new().unwrap();
    let store = DataStore::new(folder.path());
    let report = store.import(std::slice::from_ref(&path), &ImportOptions::default()).remove(0).unwrap();
    assert_eq!((report.bars, report.bad_rows.count, report.duplicates.count), (31_066, 0, 0));
    assert_eq!((report.symbol.as_str(), report.timeframe, report.mintick), ("BTC-USD", QUARTER, 0.01));
    let loaded = store.open("BTC-USD", QUARTER).unwrap();
    let view = loaded.bars.view();
    assert_eq!((view.time[0], view.open[0], view.volume[0]), (1_672_531_200_000, 16531.83, 231.05338022));
    assert_eq!((view.time[31_065], view.close[31_065]), (1_700_507_700_000, 37606.48));
    let (bars, _) = read_bars(&path, &ImportOptions::default()).unwrap();
    assert_eq!(content_hash(&bars.view(), QUARTER), loaded.hash);
    assert_eq!(store.check().unwrap().iter().filter(|f| f.severity == Severity::Error).count(), 0);
}

#[test]
fn bars_come_back_mapped_and_aligned() {
    let folder = TempDir::new().unwrap();
    for count in [0, 1, 7, 8, 1000, 20_001] {
        let bars = sample(count);
        let path = folder.path().join("a.arrow");
        let hash = write_bars(&path, &bars.view(), &meta()).unwrap();
        let file = BarFile::open(&path).unwrap();
        assert!(file.verify() && file.hash() == hash && file.meta() == &meta());
        let view = file.view();
        assert_eq!(view.to_owned(), bars);
        for column in [view.open, view.high, view.low, view.close, view.volume] {
            assert_eq!(column.as_ptr() as usize % 64, 0);
        }
        let shared = Bars::new(file);
        fs::remove_file(&path).unwrap();
        assert_eq!(shared.view().time, bars.time);
    }
}

#[test]
fn other_readers_of_arrow_read_bar_files() {
    let folder = TempDir::new().unwrap();
    let (path, bars) = (folder.path().join("a.arrow"), sample(1_234));
    write_bars(&path, &bars.view(), &meta()).unwrap();
    let mut reader = FileReader::try_new(File::open(&path).unwrap(), None).unwrap();
    assert_eq!(
        reader.schema().metadata().get("springtide.symbol").map(|s| s.to_string()).as_deref(),
        Some("SYMBOL")
    );
    let batch = reader.next().unwrap().unwrap();
    let time = batch.column(0).as_any().downcast_ref::<TimestampMillisecondArray>().unwrap();
    assert_eq!((time.values().to_vec(), time.timezone()), (bars.time.clone(), Some("UTC")));
    let close = batch.column(4).as_any().downcast_ref::<Float64Array>().unwrap();
    assert_eq!(close.values().to_vec(), bars.close);
    assert!(reader.next().is_none());
}

#[test]
fn equal_bars_have_equal_hashes_wherever_they_come_from() {
    let folder = TempDir::new().unwrap();
    let bars = sample(500);
    let want = content_hash(&bars.view(), QUARTER);
    let text = folder.path().join("A-B_15m.csv");
    fs::write(&text, csv(&bars)).unwrap();
    let (read, meta) = read_bars(&text, &ImportOptions::default()).unwrap();
    assert_eq!(content_hash(&read.view(), meta.timeframe), want);
    assert_eq!(meta.report.unwrap().hash, want.to_string());
    assert_ne!(content_hash(&bars.view(), Timeframe::Minutes(5)), want);
    let mut other = bars.clone();
    other.volume[499] += 1.0;
    assert_ne!(content_hash(&other.view(), QUARTER), want);
}

fn batch_with(time: ArrayRef, prices: [ArrayRef; 4], volume: ArrayRef) -> RecordBatch {
    let [o, h, l, c] = prices;
    let columns = [("Time", time), ("Open", o), ("High", h), ("Low", l), ("Close", c), ("Volume", volume)];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn price_arrays(bars: &OwnedBars, make: impl Fn(&[f64]) -> ArrayRef) -> [ArrayRef; 4] {
    [&bars.open, &bars.high, &bars.low, &bars.close].map(|c| make(c))
}

fn whole_prices() -> OwnedBars {
    let mut bars = sample(64);
    for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close, &mut bars.volume] {
        column.iter_mut().for_each(|x| *x = x.round());
    }
    bars
}

/// Writes a batch in all containers; each must give `want`.
fn check_containers(batch: &RecordBatch, want: &OwnedBars, case: &str) {
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let mut parquet =
        ArrowWriter::try_new(File::create(place("A-B_15m.parquet")).unwrap(), batch.schema(), None).unwrap();
    parquet.write(batch).unwrap();
    parquet.close().unwrap();
    let mut stream =
        StreamWriter::try_new(File::create(place("A-B_15m.ipc")).unwrap(), &batch.schema()).unwrap();
    stream.write(batch).unwrap();
    stream.finish().unwrap();
    for (name, compression) in [
        ("A-B_15m.arrow", None),
        ("A-B_15m.lz4.feather", Some(CompressionType::LZ4_FRAME)),
        ("A-B_15m.zstd.feather", Some(CompressionType::ZSTD)),
    ] {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let file = File::create(place(name)).unwrap();
        let mut writer = FileWriter::try_new_with_options(file, &batch.schema(), options).unwrap();
        // Two batches, cut in the middle.
        let half = batch.num_rows() / 2;
        writer.write(&batch.slice(0, half)).unwrap();
        writer.write(&batch.slice(half, batch.num_rows() - half)).unwrap();
        writer.finish().unwrap();
    }
    let store = DataStore::new(place("store"));
    for path in data_files(folder.path()).unwrap() {
        let (bars, meta) =
            read_bars(&path, &ImportOptions::default()).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(&bars, want, "{case} {}", path.display());
        assert_eq!(meta.timeframe, QUARTER, "{case}");
        let hash = store.import(&[path], &ImportOptions::default()).remove(0).unwrap().hash;
        assert_eq!(hash, content_hash(&want.view(), QUARTER).to_string(), "{case}");
    }
}

#[test]
fn column_files_of_any_types_read_alike() {
    let bars = whole_prices();
    let doubles = |c: &[f64]| Arc::new(Float64Array::from(c.to_vec())) as ArrayRef;
    let volume = || doubles(&bars.volume);
    let of = |f: &dyn Fn(i64) -> i64| bars.time.iter().map(|t| f(*t)).collect::<Vec<i64>>();
    let text = |f: &str| -> ArrayRef {
        let stamp = |t: &i64| jiff::Timestamp::from_millisecond(*t).unwrap().strftime(f).to_string();
        Arc::new(StringArray::from(bars.time.iter().map(stamp).collect::<Vec<_>>()))
    };
    let times: Vec<(&str, ArrayRef)> = vec![
        ("s", Arc::new(TimestampSecondArray::from(of(&|t| t / 1000)))),
        ("ms", Arc::new(TimestampMillisecondArray::from(of(&|t| t)).with_timezone("UTC"))),
        ("us", Arc::new(TimestampMicrosecondArray::from(of(&|t| t * 1000)).with_timezone("Europe/Berlin"))),
        ("ns", Arc::new(TimestampNanosecondArray::from(of(&|t| t * 1_000_000)))),
        ("epoch s", Arc::new(Int64Array::from(of(&|t| t / 1000)))),
        ("epoch ms", Arc::new(Int64Array::from(of(&|t| t)))),
        (
            "epoch i32",
            Arc::new(Int32Array::from(bars.time.iter().map(|t| (t / 1000) as i32).collect::<Vec<_>>())),
        ),
        (
            "epoch float",
            Arc::new(Float64Array::from(bars.time.iter().map(|t| *t as f64 / 1e3).collect::<Vec<_>>())),
        ),
        ("text", text("%Y-%m-%d %H:%M:%S")),
        ("iso", text("%Y-%m-%dT%H:%M:%SZ")),
    ];
    for (case, time) in times {
        check_containers(&batch_with(time, price_arrays(&bars, doubles), volume()), &bars, case);
    }
    let time = || Arc::new(TimestampMillisecondArray::from(bars.time.clone())) as ArrayRef;
    let kinds: Vec<(&str, [ArrayRef; 4])> = vec![
        (
            "f32",
            price_arrays(&bars, |c| {
                Arc::new(Float32Array::from(c.iter().map(|x| *x as f32).collect::<Vec<_>>()))
            }),
        ),
        (
            "i64",
            price_arrays(&bars, |c| {
                Arc::new(Int64Array::from(c.iter().map(|x| *x as i64).collect::<Vec<_>>()))
            }),
        ),
        (
            "decimal",
            price_arrays(&bars, |c| {
                let digits =
                    Decimal128Array::from(c.iter().map(|x| (*x * 100.0) as i128).collect::<Vec<_>>());
                Arc::new(digits.with_precision_and_scale(20, 2).unwrap())
            }),
        ),
        (
            "text",
            price_arrays(&bars, |c| {
                Arc::new(StringArray::from(c.iter().map(f64::to_string).collect::<Vec<_>>()))
            }),
        ),
    ];
    for (case, prices) in kinds {
        check_containers(&batch_with(time(), prices, volume()), &bars, case);
    }
}

#[test]
fn days_and_local_stamps_follow_the_zone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ABC_1d.parquet");
    let one = || Arc::new(Float64Array::from(vec![1.0; 3])) as ArrayRef;
    let days: ArrayRef = Arc::new(Date32Array::from(vec![19_723, 19_724, 19_725]));
    let batch = batch_with(days, [one(), one(), one(), one()], one());
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let (bars, meta) = read_bars(&path, &ImportOptions::default()).unwrap();
    assert_eq!((bars.time[0], meta.timeframe), (START, Timeframe::Days(1)));
    let zone = ImportOptions { timezone: Some("America/New_York".into()), ..ImportOptions::default() };
    assert_eq!(read_bars(&path, &zone).unwrap().0.time[0], START + 5 * 3_600_000);
}

#[test]
fn bad_rows_of_column_files_are_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("A-B.parquet");
    let column = |v: Vec<Option<f64>>| Arc::new(Float64Array::from(v)) as ArrayRef;
    let time: ArrayRef = Arc::new(Int64Array::from(vec![START, START + 900_000, START + 1_800_000]));
    let fine = || column(vec![Some(2.0); 3]);
    let low = column(vec![Some(1.0), None, Some(1.5)]);
    let batch = batch_with(time, [fine(), fine(), low, fine()], column(vec![None, Some(1.0), Some(1.0)]));
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let error = read_bars(&path, &ImportOptions::default()).unwrap_err().to_string();
    assert!(error.contains("line 2: low is empty"), "{error}");
    let skip = ImportOptions { skip_bad: true, ..ImportOptions::default() };
    let (bars, meta) = read_bars(&path, &skip).unwrap();
    let report = meta.report.unwrap();
    assert!(bars.time.len() == 2 && bars.volume[0].is_nan() && report.missing_volume == 1);
    assert_eq!((report.bad_rows.count, report.rows), (1, 3));
}

#[test]
fn the_store_lists_opens_and_checks() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("BINANCE_ETHUSDT, 15.csv");
    fs::write(&source, csv(&sample(300))).unwrap();
    let broken = folder.path().join("broken.csv");
    fs::write(&broken, "nothing\n").unwrap();
    let store = DataStore::new(folder.path().join("data"));
    assert!(store.ls().unwrap().entries.is_empty() && store.check().unwrap().is_empty());
    let results = store.import(&[source.clone(), broken, source.clone()], &ImportOptions::default());
    assert!(results[0].is_ok() && results[1].is_err());
    assert!(results[2].as_ref().unwrap_err().to_string().contains("join the files"));
    let entries = store.ls().unwrap().entries;
    let e = &entries[0];
    assert_eq!(
        (entries.len(), e.symbol.ticker.as_str(), e.symbol.exchange.as_str()),
        (1, "ETHUSDT", "BINANCE")
    );
    assert_eq!((e.bars, e.from_ms, e.timeframe), (300, START, QUARTER));
    assert!(e.path.ends_with("BINANCE_ETHUSDT/15.arrow"));
    for name in ["ETHUSDT", "BINANCE:ETHUSDT"] {
        assert_eq!(store.open(name, QUARTER).unwrap().bars.len(), 300);
    }
    assert!(store.open("ETHUSDT", Timeframe::Days(1)).unwrap_err().to_string().contains("tide data ls"));
    let again = store.import(&[source], &ImportOptions::default()).remove(0).unwrap();
    assert!(again.notes.iter().any(|n| n.contains("there already")), "{:?}", again.notes);
    assert!(store.check().unwrap().is_empty());
    // No unfinished file is left by imports that were refused.
    assert_eq!(fs::read_dir(store.root()).unwrap().count(), 1);
}

#[test]
fn check_finds_every_kind_of_damage() {
    let folder = TempDir::new().unwrap();
    let store = DataStore::new(folder.path());
    let symbol = SymbolInfo::default();
    let mut bars = sample(200);
    bars.high[7] = 0.5;
    bars.time[9] = bars.time[8];
    let (path, _) = store.put(&symbol, QUARTER, &bars.view()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let codes =
        |store: &DataStore| -> Vec<String> { store.check().unwrap().into_iter().map(|f| f.code).collect() };
    // The bar that carries its neighbour's time is missing at its own.
    assert_eq!(codes(&store), ["order", "impossible-bar", "holes"]);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path.with_file_name("5.arrow"), &bytes).unwrap();
    fs::write(path.with_file_name("60.arrow"), &bytes[..middle]).unwrap();
    fs::write(folder.path().join("notes.txt"), "x").unwrap();
    fs::write(folder.path().join(".1.2.unfinished"), "x").unwrap();
    let found = codes(&store);
    for code in ["hash", "unreadable", "misplaced", "foreign", "unfinished"] {
        assert!(found.iter().any(|f| f == code), "{code} in {found:?}");
    }
    assert_eq!(store.ls().unwrap().unreadable.len(), 1);
}

#[test]
fn a_second_load_parses_nothing() {
    let folder = TempDir::new().unwrap();
    let (path, cache) = (folder.path().join("A-USD_15m.csv"), folder.path().join("cache"));
    let bars = sample(400);
    settled(&path, &csv(&bars));
    let load = |options: &ImportOptions| load_any(&path, options, Some(&cache)).unwrap();
    let plain = ImportOptions::default();
    let first = load(&plain);
    assert!(!first.cached && first.report.is_some());
    let second = load(&plain);
    assert!(second.cached && second.hash == first.hash && second.report == first.report);
    assert_eq!(second.bars.view().to_owned(), bars);
    // Other options and other content are other imports.
    assert!(!load(&ImportOptions { mintick: Some(0.5), ..plain.clone() }).cached);
    settled(&path, &csv(&sample(401)));
    let third = load(&plain);
    assert!(!third.cached && third.bars.len() == 401);
    // A damaged cache is made again.
    for file in fs::read_dir(&cache).unwrap() {
        fs::write(file.unwrap().path(), "damaged").unwrap();
    }
    assert!(!load(&plain).cached && load(&plain).cached);
    // A file that has just been written may change unseen: it is not cached.
    fs::write(&path, csv(&bars)).unwrap();
    let fresh = load(&plain);
    assert!(!fresh.cached && fresh.bars.len() == 400);
    assert!(!load_any(&path, &plain, None).unwrap().cached);
}

#[test]
fn bar_files_load_as_they_are() {
    let folder = TempDir::new().unwrap();
    let (path, bars) = (folder.path().join("x.arrow"), sample(50));
    write_bars(&path, &bars.view(), &meta()).unwrap();
    let loaded = load_any(&path, &ImportOptions::default(), None).unwrap();
    assert!(loaded.cached && loaded.bars.view().to_owned() == bars && loaded.report.is_none());
    let renamed =
        ImportOptions { symbol: Some("Q-EUR".into()), mintick: Some(0.5), ..ImportOptions::default() };
    let loaded = load_any(&path, &renamed, None).unwrap();
    assert_eq!((loaded.symbol.currency.as_str(), loaded.symbol.mintick), ("EUR", 0.5));
    let other = ImportOptions { timeframe: Some(Timeframe::Days(1)), ..ImportOptions::default() };
    assert!(load_any(&path, &other, None).unwrap_err().to_string().contains("holds 15 bars"));
    let error = load_any(folder.path(), &ImportOptions::default(), None).unwrap_err().to_string();
    assert!(error.contains("folder"), "{error}");
}

#[test]
fn large_descending_files_turn_round_on_disk() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("A-USD_15m.csv");
    let bars = sample(150_000);
    let text: String = csv(&bars).lines().rev().flat_map(|l| [l, "\n"]).collect();
    fs::write(&path, text).unwrap();
    let store = DataStore::new(folder.path().join("data"));
    let report =
        store.import(&[path], &ImportOptions { threads: 2, ..ImportOptions::default() }).remove(0).unwrap();
    assert!(report.reversed);
    let loaded = store.open("A-USD", QUARTER).unwrap();
    assert!(loaded.bars.view().to_owned() == bars);
    assert!(BarFile::open(&store.ls().unwrap().entries[0].path).unwrap().verify());
}

#[test]
fn disordered_files_are_sorted_on_disk() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("A-USD_15m.csv");
    let bars = sample(2_000);
    let text = csv(&bars);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.rotate_left(700);
    fs::write(&path, lines.join("\n")).unwrap();
    let store = DataStore::new(folder.path().join("data"));
    assert!(store.import(std::slice::from_ref(&path), &ImportOptions::default())[0].is_err());
    let sort = ImportOptions { sort: true, ..ImportOptions::default() };
    assert!(store.import(&[path], &sort).remove(0).unwrap().sorted);
    assert!(store.open("A-USD", QUARTER).unwrap().bars.view().to_owned() == bars);
    assert!(store.check().unwrap().is_empty());
}

#[test]
fn packed_and_foreign_files_are_named() {
    let folder = TempDir::new().unwrap();
    for (bytes, part) in [
        (&b"\x1f\x8b\x08\0"[..], "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"PAR1garbage", "decoded"),
        (b"ARROW1\0\0garbage", "decoded"),
        (b"\xff\xff\xff\xff\x10\0\0\0garbage", "decoded"),
    ] {
        let path = folder.path().join("a.bin");
        fs::write(&path, bytes).unwrap();
        let error = load_any(&path, &ImportOptions::default(), None).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("a.bin"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A damaged bar file is refused, or read with the lengths it had; it never panics or reads beyond its end.
    #[test]
    fn damaged_bar_files_never_panic(
        cut in any::<prop::sample::Index>(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        shorten in any::<bool>(),
    ) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.arrow");
        write_bars(&path, &sample(20).view(), &meta()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        for (index, byte) in hits {
            // Most bytes are padding and numbers; footer and messages deserve most of the hits.
            let span = if byte % 2 == 0 { 0..bytes.len() } else { bytes.len() - 900..bytes.len() };
            let at = span.start + index.index(span.len());
            bytes[at] = byte;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        if let Ok(file) = BarFile::open(&path) {
            let view = file.view();
            prop_assert!(view.open.len() == view.len() && view.volume.len() == view.len());
            file.verify();
        }
        let _ = load_any(&path, &ImportOptions::default(), None);
    }
}

#[test]
#[cfg(unix)]
fn a_bar_file_that_is_cut_in_use_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.arrow");
    let bars = sample(20_000);
    write_bars(&path, &bars.view(), &meta()).unwrap();
    let file = BarFile::open(&path).unwrap();
    assert!(file.verify() && file.check().is_ok());
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    // Reading goes on, on zeros where the file has nothing.
    assert_eq!(file.view().volume.iter().sum::<f64>(), 0.0);
    assert!(!file.verify());
    let bars = Bars::new(file);
    let error = bars.check().unwrap_err();
    assert!(error.contains("x.arrow") && error.contains("was cut"), "{error}");
}
