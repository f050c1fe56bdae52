//! How fast CSV is read: `cargo run --release -p springtide-io --example ingest_speed -- FILE [MB]`.
//!
//! Repeats the rows of a 15-minute CSV file with later dates until it has the given size (200 MB unless said), then
//! reads it on one and two threads, into memory and into a bar file: the best of five, and the peak memory.

use springtide_io::{DataStore, ImportOptions, read_bars};
use std::{
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let source = args.next().ok_or("usage: ingest_speed FILE [MB] [read|import THREADS]")?;
    let megabytes: u64 = args.next().map_or(Ok(200), |n| n.parse())?;
    if let (Some(what), Some(threads)) = (args.next(), args.next()) {
        return measure(Path::new(&source), &what, threads.parse()?);
    }
    let folder = std::env::temp_dir().join(format!("ingest_speed-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let big = folder.join("BIG-USD_15m.csv");
    repeat(Path::new(&source), &big, megabytes * 1_000_000)?;
    println!("{} bytes", fs::metadata(&big)?.len());
    // Each in a process of its own: peak memory never goes down again.
    for what in ["read", "import"] {
        for threads in ["1", "2"] {
            let this = std::env::current_exe()?;
            std::process::Command::new(this).arg(&big).args(["0", what, threads]).status()?;
        }
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn measure(path: &Path, what: &str, threads: usize) -> Result<(), Box<dyn Error>> {
    let options = ImportOptions { threads, ..ImportOptions::default() };
    let store = DataStore::new(path.parent().ok_or("no folder")?.join("store"));
    let bytes = fs::metadata(path)?.len() as f64;
    let (mut best, mut bars) = (f64::MAX, 0);
    for _ in 0..5 {
        let start = Instant::now();
        bars = match what {
            "read" => read_bars(path, &options)?.0.time.len() as u64,
            _ => store.import(&[PathBuf::from(path)], &options).remove(0)?.bars,
        };
        best = best.min(start.elapsed().as_secs_f64());
    }
    let peak = peak_kilobytes().map_or("unknown".to_owned(), |k| format!("{} MB", k / 1024));
    println!(
        "{what:6} {threads} thread(s): {:5.0} MB/s, {bars} bars, peak memory {peak}",
        bytes / best / 1e6
    );
    Ok(())
}

/// The rows again and again, each time with dates that go on where the last ones ended.
fn repeat(source: &Path, target: &Path, bytes: u64) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(source)?;
    let (header, rows) = text.split_once('\n').ok_or("no rows")?;
    let tails: Vec<&str> = rows.lines().filter_map(|l| l.split_once(',')).map(|(_, tail)| tail).collect();
    let mut out = BufWriter::new(File::create(target)?);
    writeln!(out, "{header}")?;
    let mut time = jiff::civil::date(1980, 1, 1).at(0, 0, 0, 0);
    let mut written = 0;
    for tail in tails.iter().cycle() {
        written += tail.len() as u64 + 21;
        if written > bytes {
            break;
        }
        writeln!(out, "{},{tail}", time.strftime("%Y-%m-%d %H:%M:%S"))?;
        time += jiff::SignedDuration::from_mins(15);
    }
    Ok(out.flush()?)
}

fn peak_kilobytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok())
}
