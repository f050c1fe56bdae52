//! The log: events as JSON lines in a file, through a bounded channel, so that nothing waits for the disk.

use crate::args::Cli;
use springtide_io::files::{AppendOptions, Appender, Durability};
use springtide_lab::LabError;
use springtide_runtime::{
    channel::{ChannelConfig, Receiver, Sender, WhenFull},
    observe::{Component, Condition, Health},
};
use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

/// What may wait to be written; what is more is dropped and counted.
const WAITING_LINES: usize = 16_384;
const WAITING_BYTES: usize = 4 << 20;
/// A line in the log is on disk after this long at most.
const DURABLE: Duration = Duration::from_secs(1);
/// So long after the last loss the log counts as well again.
const WELL_AFTER: Duration = Duration::from_secs(10);

type Line = Vec<u8>;
/// Taken away at the end: the subscriber lives as long as the process.
type Door = Arc<RwLock<Option<Sender<Line>>>>;

/// An open log; when dropped, everything that waits is written.
#[derive(Debug)]
pub struct Log {
    door: Door,
    writer: Option<JoinHandle<Written>>,
    name: String,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    dropped: u64,
    failed: u64,
}

/// Opens the log that was asked for. What it loses shows in `health`, too.
///
/// # Errors
/// When the file cannot be opened or somebody else writes it, or the levels cannot be read.
pub fn start(cli: &Cli, health: &Health) -> Result<Option<Log>, LabError> {
    let Some(path) = &cli.log_file else { return Ok(None) };
    let levels = levels(&cli.log_level)?;
    let target = Target::open(path)?;
    let (sender, receiver) = ChannelConfig::new("log")
        .items(WAITING_LINES)
        .bytes(WAITING_BYTES)
        .weigh(|line: &Line| line.len())
        .when_full(WhenFull::DropNewest)
        .open();
    let door: Door = Arc::new(RwLock::new(Some(sender)));
    let component = health.component("log");
    component.ok();
    let writer = std::thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            let mut written = write(receiver, &|line| target.put(line), &component);
            written.failed += u64::from(!target.sync());
            written
        })
        .map_err(|source| LabError::File { path: path.clone(), source })?;
    let layer = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(Entrance(Arc::clone(&door)));
    let subscriber = tracing_subscriber::registry().with(levels).with(layer);
    // The one place that sets it.
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return Err(LabError::Usage("the log is open already".into()));
    }
    Ok(Some(Log { door, writer: Some(writer), name: path.display().to_string() }))
}

/// `info`, or `info,springtide_io=debug`. Other libraries speak only when something is wrong, unless named.
fn levels(text: &str) -> Result<Targets, LabError> {
    let wrong = |problem: String| {
        LabError::Usage(format!(
            "--log-level {text}: {problem}; write error, warn, info, debug or trace, and rooms apart if you like: \
             info,springtide_io=debug"
        ))
    };
    // A word alone would be taken for the name of a room.
    let bare = text
        .split(',')
        .map(str::trim)
        .find(|part| !part.contains('=') && part.parse::<LevelFilter>().is_err());
    if let Some(part) = bare {
        return Err(wrong(format!("`{part}` is no level")));
    }
    let asked: Targets =
        text.parse().map_err(|e: tracing_subscriber::filter::ParseError| wrong(e.to_string()))?;
    let Some(general) = asked.default_level() else { return Ok(asked) };
    let quiet = general.min(LevelFilter::WARN);
    let ours = Targets::new().with_default(quiet).with_targets([("springtide", general), ("tide", general)]);
    Ok(ours.with_targets(asked.iter()))
}

enum Target {
    File(Appender),
    Stderr,
}

impl Target {
    fn open(path: &Path) -> Result<Self, LabError> {
        if path == Path::new("-") {
            return Ok(Self::Stderr);
        }
        let options = AppendOptions { durability: Durability::Within(DURABLE), ..AppendOptions::default() };
        Appender::open(path, options).map(Self::File).map_err(|e| LabError::Data(format!("--log-file: {e}")))
    }

    fn put(&self, line: &[u8]) -> bool {
        match self {
            Self::File(file) => file.append(line.strip_suffix(b"\n").unwrap_or(line)).is_ok(),
            Self::Stderr => io::stderr().write_all(line).is_ok(),
        }
    }

    fn sync(&self) -> bool {
        match self {
            Self::File(file) => file.sync().is_ok(),
            Self::Stderr => true,
        }
    }
}

fn write(mut lines: Receiver<Line>, put: &dyn Fn(&[u8]) -> bool, health: &Component) -> Written {
    let mut written = Written::default();
    let mut lost_at: Option<Instant> = None;
    while let Some(line) = lines.recv_blocking() {
        let dropped = lines.snapshot().counts.dropped_newest;
        let failed = u64::from(!put(&line));
        let lost = (dropped + failed).saturating_sub(written.dropped);
        written.failed += failed;
        written.dropped = dropped;
        // Work goes on without the log: less well, and by everybody to be seen.
        if lost > 0 {
            lost_at = Some(Instant::now());
            let text = format!(
                "{dropped} lines dropped because they came too fast, {} writes failed",
                written.failed
            );
            health.set(Condition::Degraded, text);
        } else if lost_at.is_some_and(|at| at.elapsed() >= WELL_AFTER) {
            lost_at = None;
            health.ok();
        }
    }
    let counts = lines.snapshot().counts;
    written.dropped = counts.dropped_newest;
    if written.dropped > 0 {
        let note = serde_json::json!({"level": "WARN", "target": "tide", "message": "lines dropped", "lines": written.dropped});
        written.failed += u64::from(!put(format!("{note}\n").as_bytes()));
    }
    written
}

impl Drop for Log {
    fn drop(&mut self) {
        self.door.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = self.writer.take() else { return };
        match writer.join() {
            Ok(Written { dropped: 0, failed: 0 }) => {}
            Ok(w) => eprintln!(
                "tide: log {}: {} lines dropped because they came faster than the disk took them, {} writes failed",
                self.name, w.dropped, w.failed
            ),
            Err(_) => eprintln!("tide: log {}: its writer panicked", self.name),
        }
    }
}

/// Gives out writers for single events.
struct Entrance(Door);

/// One event on its way; sent when dropped, so that its parts stay together.
struct Event<'a> {
    door: &'a Door,
    line: Line,
}

impl<'a> MakeWriter<'a> for Entrance {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event { door: &self.0, line: Vec::with_capacity(256) }
    }
}

impl Write for Event<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        let door = self.door.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = door.as_ref() {
            // A full channel counts what it drops; a closed one is at the end of the process.
            let _ = sender.try_send(std::mem::take(&mut self.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_shows_in_health() {
        let (sender, receiver) = ChannelConfig::new("test").items(2).when_full(WhenFull::DropNewest).open();
        (0..3).for_each(|_| drop(sender.try_send(b"line\n".to_vec())));
        drop(sender);
        let health = Health::default();
        let written = write(receiver, &|_| false, &health.component("log"));
        assert_eq!((written.dropped, written.failed), (1, 3), "two lines and the word about the third");
        let seen = &health.components()[0];
        assert_eq!(seen.condition, Condition::Degraded);
        assert!(health.is_ready(), "work goes on without it");
        let told = seen.error.as_deref().unwrap_or_default();
        assert!(told.contains("1 lines dropped") && told.contains("2 writes failed"), "{told}");
    }

    #[test]
    fn levels_are_for_our_rooms_and_others_speak_when_something_is_wrong() {
        use tracing::Level;
        let debug = levels("debug").expect("reads");
        assert!(debug.would_enable("springtide_io::http", &Level::DEBUG));
        assert!(
            !debug.would_enable("hyper::client", &Level::INFO) && debug.would_enable("hyper", &Level::WARN)
        );
        let named = levels("info,springtide_io=trace,hyper=debug").expect("reads");
        assert!(
            named.would_enable("springtide_io::db", &Level::TRACE)
                && named.would_enable("hyper", &Level::DEBUG)
        );
        assert!(!named.would_enable("springtide_lab", &Level::DEBUG));
        assert!(levels("loud").is_err());
    }
}
