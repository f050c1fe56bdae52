//! The live display of what goes on: redrawn in place on a terminal, plain lines elsewhere.

use crate::{
    output::si,
    table::one_line,
    term::{Term, cut, printable},
};
use crossterm::{
    QueueableCommand,
    cursor::{MoveToColumn, MoveUp},
    style::Print,
    terminal::{Clear, ClearType, DisableLineWrap, EnableLineWrap},
};
use springtide_lab::batch::Progress;
use springtide_runtime::Registry;
use springtide_runtime::locks::{Condvar, Mutex, lock};
use std::{
    io::Write,
    sync::{Arc, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

const LIVE_EVERY: Duration = Duration::from_millis(100);
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// A running display; ends with [`finish`](Self::finish) or when dropped.
#[derive(Debug)]
pub struct Display {
    done: Arc<(Mutex<bool>, Condvar)>,
    speaker: Speaker,
    thread: Option<JoinHandle<()>>,
}

/// Prints text to stderr without tearing the display: above it on a terminal, at once elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Speaker {
    /// What waits for the next drawing; none where nothing is redrawn.
    waiting: Option<Arc<Mutex<String>>>,
}

impl Speaker {
    /// Prints whole lines.
    pub fn say(&self, text: &str) {
        match &self.waiting {
            Some(waiting) => lock(waiting).push_str(&printable(text)),
            None => eprint!("{}", printable(text)),
        }
    }

    fn take(&self) -> String {
        let waiting = self.waiting.as_ref().map(|w| lock(w));
        waiting.map(|mut text| std::mem::take(&mut *text)).unwrap_or_default()
    }
}

/// What a display shows.
pub trait Picture: Send + 'static {
    /// The lines that are redrawn in place, for the terminal as it is now.
    fn lines(&self, term: Term) -> Vec<String>;

    /// All of it in a plain line.
    fn line(&self) -> String;
}

impl Display {
    /// Starts drawing a batch; with `--quiet` it stays silent.
    pub fn start(term: Term, progress: Arc<Progress>, registry: Registry) -> std::io::Result<Self> {
        Self::of(term, Batch { term, progress, registry, started: Instant::now() })
    }

    /// Starts drawing; with `--quiet` it stays silent.
    pub fn of(term: Term, picture: impl Picture) -> std::io::Result<Self> {
        let done = Arc::new((Mutex::new(false), Condvar::new()));
        let speaker = Speaker { waiting: term.live.then(Arc::default) };
        let (signal, spoken) = (Arc::clone(&done), speaker.clone());
        let thread = (!term.quiet)
            .then(|| {
                std::thread::Builder::new()
                    .name("progress".into())
                    .spawn(move || draw(&Screen { term, picture, spoken }, &signal))
            })
            .transpose()?;
        Ok(Self { done, speaker, thread })
    }

    /// A way to print beside the display.
    pub fn speaker(&self) -> Speaker {
        self.speaker.clone()
    }

    /// Stops drawing and clears the display.
    pub fn finish(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        *lock(&self.done.0) = true;
        self.done.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A display that panicked has already told; the batch's results matter more.
            let _ = thread.join();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Screen<P> {
    term: Term,
    picture: P,
    spoken: Speaker,
}

fn draw(screen: &Screen<impl Picture>, signal: &(Mutex<bool>, Condvar)) {
    let every = if screen.term.live { LIVE_EVERY } else { PLAIN_EVERY };
    let mut drawn = 0;
    let mut stop = lock(&signal.0);
    while !*stop {
        let (guard, waited) = signal.1.wait_timeout(stop, every).unwrap_or_else(PoisonError::into_inner);
        stop = guard;
        if *stop || !waited.timed_out() {
            continue;
        }
        if screen.term.live {
            drawn = screen.redraw(drawn);
        } else {
            eprintln!("{}", screen.picture.line());
        }
    }
    if screen.term.live {
        erase(drawn);
        eprint!("{}", screen.spoken.take());
    }
}

fn erase(lines: usize) {
    let mut err = std::io::stderr().lock();
    let result = (|| -> std::io::Result<()> {
        if lines > 0 {
            err.queue(MoveUp(lines as u16))?
                .queue(MoveToColumn(0))?
                .queue(Clear(ClearType::FromCursorDown))?;
        }
        err.flush()
    })();
    // A terminal that went away is no reason to stop the batch.
    drop(result);
}

impl<P: Picture> Screen<P> {
    fn redraw(&self, before: usize) -> usize {
        let (lines, spoken) = (self.picture.lines(self.term.now()), self.spoken.take());
        let mut err = std::io::stderr().lock();
        let result = (|| -> std::io::Result<()> {
            if before > 0 {
                err.queue(MoveUp(before as u16))?;
            }
            if !spoken.is_empty() {
                err.queue(MoveToColumn(0))?.queue(Clear(ClearType::FromCursorDown))?.queue(Print(spoken))?;
            }
            // A line that goes on in the next would not be found when it is drawn again.
            err.queue(DisableLineWrap)?;
            for line in &lines {
                err.queue(MoveToColumn(0))?
                    .queue(Clear(ClearType::CurrentLine))?
                    .queue(Print(line))?
                    .queue(Print("\n"))?;
            }
            err.queue(EnableLineWrap)?.queue(Clear(ClearType::FromCursorDown))?.flush()
        })();
        if result.is_ok() { lines.len() } else { 0 }
    }
}

/// A batch of runs.
struct Batch {
    term: Term,
    progress: Arc<Progress>,
    registry: Registry,
    started: Instant,
}

impl Picture for Batch {
    fn lines(&self, term: Term) -> Vec<String> {
        let paint = term.err();
        let mut lines = vec![self.bar(term), self.summary(true)];
        for worker in self.registry.snapshot().workers.iter().take(16) {
            let text = match worker.running.last() {
                Some(task) => {
                    let room = term.width.saturating_sub(24);
                    let label = task.label.to_string();
                    format!("{} {}", cut(&one_line(&label), room), paint.dim(seconds(task.elapsed)))
                }
                None => paint.dim("idle"),
            };
            lines.push(format!("  {} {text}", paint.dim(format!("worker {}", worker.worker))));
        }
        lines
    }

    fn line(&self) -> String {
        self.summary(false)
    }
}

impl Batch {
    fn bar(&self, term: Term) -> String {
        let planned = self.progress.planned.load(Ordering::Relaxed).max(1);
        bar(term, self.progress.done() as f64 / planned as f64)
    }

    fn summary(&self, color: bool) -> String {
        let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let p = &self.progress;
        let (done, failed, planned) = (p.done(), get(&p.failed), get(&p.planned));
        let elapsed = self.started.elapsed();
        let fresh = done.saturating_sub(get(&p.reused) + get(&p.unusable));
        let rate = fresh as f64 / elapsed.as_secs_f64().max(1e-3);
        let bars = get(&p.bars) as f64 / elapsed.as_secs_f64().max(1e-3);
        let left = planned.saturating_sub(done);
        let eta = if rate > 0.0 && left > 0 {
            seconds(Duration::from_secs_f64((left as f64 / rate).min(1e8)))
        } else {
            "–".into()
        };
        let failed_text = format!("{failed} failed");
        let failed_text = if color && failed > 0 { self.term.err().red(failed_text) } else { failed_text };
        let reused = match get(&p.reused) {
            0 => String::new(),
            n => format!(" · {n} from the ledger"),
        };
        format!(
            "{done} done · {failed_text} · {left} queued{reused} · {} runs/s · {} bars/s · ETA {eta}",
            si(rate),
            si(bars)
        )
    }
}

/// How much of something is done, as a line.
pub fn bar(term: Term, share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    let width = term.width.saturating_sub(8).min(72);
    let full = (share * width as f64) as usize;
    let paint = term.err();
    format!(
        "{}{} {:>3.0} %",
        paint.green("━".repeat(full)),
        paint.dim("─".repeat(width - full)),
        share * 100.0
    )
}

/// `0.4 s`, `12 s`, `3 min 20 s`.
pub fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}
