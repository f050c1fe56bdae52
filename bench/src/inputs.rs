//! Bars to work on: a seeded walk, and files of any size.

use jiff::{SignedDuration, civil::DateTime};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

const BARS: usize = 31_066;
const HEADER: &str = "datetime, open, high, low, close, volume,";

/// Writes a walk of 15-minute bars in whole cents, the same for the same seed.
pub fn walk(folder: &Path, seed: u64) -> Result<PathBuf, String> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut draw = |range: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as i64).rem_euclid(2 * range + 1) - range
    };
    let (mut time, mut price) = (jiff::civil::date(2023, 1, 1).at(0, 0, 0, 0), 2_000_000i64);
    let mut text = format!("{HEADER}\n");
    for _ in 0..BARS {
        let (open, close) = (price, (price + draw(4_000)).max(100_000));
        let (high, low) = (open.max(close) + draw(1_500).abs(), open.min(close) - draw(1_500).abs());
        let volume = 10_000_000_000 + draw(9_999_999_999);
        let cents = |c: i64| format!("{}.{:02}", c / 100, c % 100);
        text += &format!(
            "{}, {}, {}, {}, {}, {}.{:08},\n",
            stamp(time),
            cents(open),
            cents(high),
            cents(low),
            cents(close),
            volume / 100_000_000,
            volume % 100_000_000
        );
        time += SignedDuration::from_mins(15);
        price = close;
    }
    let path = folder.join(format!("WALK{seed}-USD-15m.csv"));
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

fn stamp(time: DateTime) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Writes the rows of a file again and again, each time with dates that go on where the last ones ended, until there
/// are so many bytes. Returns their number.
pub fn repeat(source: &Path, target: &Path, bytes: u64) -> Result<u64, String> {
    let write = || -> io::Result<u64> {
        let text = fs::read_to_string(source)?;
        let (header, rows) = text.split_once('\n').unwrap_or((HEADER, ""));
        let tails: Vec<&str> = rows.lines().filter_map(|l| Some(l.split_once(',')?.1)).collect();
        let mut out = BufWriter::new(File::create(target)?);
        writeln!(out, "{header}")?;
        let mut written = header.len() as u64 + 1;
        let mut time = jiff::civil::date(1980, 1, 1).at(0, 0, 0, 0);
        for tail in tails.iter().cycle() {
            let size = tail.len() as u64 + 21;
            if written + size > bytes {
                break;
            }
            writeln!(out, "{},{tail}", stamp(time))?;
            written += size;
            time += SignedDuration::from_mins(15);
        }
        out.flush()?;
        Ok(written)
    };
    write().map_err(|e| format!("{}: {e}", target.display()))
}
