//! How far downloads are, for the terminal and for `tide tasks --json`.

use crate::{
    progress::{Picture, bar, seconds},
    term::{Term, cut, printable},
};
use springtide_io::http::{FailedOnce, Follow};
use springtide_runtime::locks::{Mutex, lock};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Most files with a line of their own.
const LINES_MAX: usize = 16;
const UNKNOWN: u64 = u64::MAX;

/// One file on its way.
pub struct Line {
    name: String,
    term: Term,
    bytes: AtomicU64,
    /// Whole length.
    length: AtomicU64,
    /// What was there before.
    before: AtomicU64,
    /// Why the last attempt failed, until the next one brings something.
    trouble: Mutex<Option<String>>,
    over: AtomicBool,
}

impl Line {
    pub fn new(term: Term, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            term,
            bytes: AtomicU64::new(0),
            length: AtomicU64::new(UNKNOWN),
            before: AtomicU64::new(UNKNOWN),
            trouble: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// There is nothing more to come, for good or bad.
    pub fn end(&self) {
        self.over.store(true, Relaxed);
    }

    fn length(&self) -> Option<u64> {
        Some(self.length.load(Relaxed)).filter(|length| *length != UNKNOWN)
    }

    /// Bytes that came since the start.
    fn fresh(&self) -> u64 {
        match self.before.load(Relaxed) {
            UNKNOWN => 0,
            before => self.bytes.load(Relaxed).saturating_sub(before),
        }
    }

    fn text(&self, rate: f64) -> String {
        let trouble = lock(&self.trouble).clone();
        let what = trouble.unwrap_or_else(|| format!("{:.1} MB/s", rate / 1e6));
        format!("{}: {} · {what}", self.name, of(self.bytes.load(Relaxed), self.length()))
    }

    fn view(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.name,
            "bytes": self.bytes.load(Relaxed),
            "length": self.length(),
            "trouble": *lock(&self.trouble),
            "over": self.over.load(Relaxed),
        })
    }
}

impl Follow for Line {
    fn reached(&self, bytes: u64, length: Option<u64>) {
        // Relaxed: the numbers are for show, and each is right by itself.
        let _ = self.before.compare_exchange(UNKNOWN, bytes, Relaxed, Relaxed);
        let earlier = self.bytes.swap(bytes, Relaxed);
        self.length.store(length.unwrap_or(UNKNOWN), Relaxed);
        if bytes > earlier {
            *lock(&self.trouble) = None;
        }
    }

    fn again(&self, failed: &FailedOnce<'_>) {
        let FailedOnce { attempt, phase, cause, took, rest } = failed;
        let text = format!(
            "attempt {attempt} failed after {} ({phase}: {cause}); the next begins in {}",
            seconds(*took),
            seconds(*rest)
        );
        match self.term.live {
            true => *lock(&self.trouble) = Some(text),
            false => self.term.note(&format!("{}: {text}", self.name)),
        }
    }
}

/// All of them.
#[derive(Clone)]
pub struct Downloads {
    lines: Vec<Arc<Line>>,
    started: Instant,
}

impl Downloads {
    pub fn new(lines: Vec<Arc<Line>>) -> Self {
        Self { lines, started: Instant::now() }
    }

    /// For those who look from outside.
    pub fn view(&self) -> serde_json::Value {
        self.lines.iter().map(|line| line.view()).collect()
    }

    fn rate(&self, bytes: u64) -> f64 {
        bytes as f64 / self.started.elapsed().as_secs_f64().max(1e-3)
    }

    fn bytes(&self) -> u64 {
        self.lines.iter().map(|line| line.bytes.load(Relaxed)).sum()
    }

    /// Of all files, where all are known.
    fn length(&self) -> Option<u64> {
        self.lines.iter().map(|line| line.length()).sum()
    }
}

impl Picture for Downloads {
    fn lines(&self, term: Term) -> Vec<String> {
        let share = self.length().map(|length| self.bytes() as f64 / length.max(1) as f64);
        let mut lines: Vec<String> = share.map(|share| bar(term, share)).into_iter().collect();
        lines.push(self.line());
        let live = self.lines.iter().filter(|line| !line.over.load(Relaxed));
        let texts = live.take(LINES_MAX).map(|line| format!("  {}", line.text(self.rate(line.fresh()))));
        lines.extend(texts.map(|text| cut(&printable(&text), term.width - 1).into_owned()));
        lines
    }

    fn line(&self) -> String {
        let over = self.lines.iter().filter(|line| line.over.load(Relaxed)).count();
        let rate = self.rate(self.lines.iter().map(|line| line.fresh()).sum());
        format!(
            "fetching: {over} of {} files · {} · {:.1} MB/s",
            self.lines.len(),
            of(self.bytes(), self.length()),
            rate / 1e6
        )
    }
}

fn of(bytes: u64, length: Option<u64>) -> String {
    let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    match length {
        Some(length) => format!("{} of {} MB", mb(bytes), mb(length)),
        None => format!("{} MB", mb(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_how_much_of_how_much_and_what_went_wrong() {
        let term =
            Term { color_out: false, color_err: false, live: true, quiet: false, width: 80, table: 80 };
        let files = ["a.csv", "b.csv"].map(|name| Arc::new(Line::new(term, name)));
        let all = Downloads::new(files.to_vec());
        files[0].reached(1_000_000, Some(4_000_000));
        files[0].reached(3_000_000, Some(4_000_000));
        assert_eq!(files[0].fresh(), 2_000_000, "what was there before is not counted as speed");
        assert!(all.line().starts_with("fetching: 0 of 2 files · 3.0 MB · "), "{}", all.line());
        assert_eq!(all.lines(term).len(), 3, "no bar while a length is not known");
        files[1].reached(0, Some(1_000_000));
        assert_eq!(all.lines(term).len(), 4);
        let cause = springtide_io::http::Cause::Timeout {
            what: "no answer",
            limit: std::time::Duration::from_secs(30),
        };
        let (took, rest) = (std::time::Duration::from_secs(30), std::time::Duration::from_millis(100));
        let phase = springtide_io::http::Phase::Headers;
        files[1].again(&FailedOnce { attempt: 1, phase, cause: &cause, took, rest });
        let line = all.lines(term).pop().unwrap_or_default();
        assert!(line.contains("b.csv: 0.0 of 1.0 MB · attempt 1 failed after 30 s (headers: no"), "{line}");
        files[1].reached(10, Some(1_000_000));
        files[0].end();
        assert!(all.lines(term).iter().all(|line| !line.contains("failed") && !line.contains("a.csv")));
        assert_eq!(all.view()[0]["over"], true);
    }
}
