//! Everything that a script told: its runs, those that failed among them, and how it ended.

use super::{RUNS_MAX, files::ASKS_MAX};
use springtide_domain::RunStatus;
use springtide_python::{Ended, FailedRun, Fault, Finish, Message, ScriptEnd, ScriptRun};
use std::collections::BTreeSet;

/// Lines of output that go with an error.
const OUTPUT_LINES: usize = 12;
/// Strategies of one module that each have a process of their own where others did not come to their end.
const STRATEGIES_MAX: usize = 64;
/// Files that a script can have read; it is given fewer.
const READS_MAX: usize = 10_000;

/// A run that failed, or what ended a script outside of its runs.
#[derive(Debug)]
pub(super) struct Failure {
    /// Its place among the script's runs.
    pub(super) number: usize,
    pub(super) run: FailedRun,
    pub(super) status: RunStatus,
}

/// What one process of a script has told so far.
#[derive(Debug, Default)]
pub(super) struct Telling {
    runs: Vec<ScriptRun>,
    failures: Vec<Failure>,
    plots: Vec<(usize, Vec<u8>)>,
    beyond: usize,
    notes: Vec<String>,
    end: Option<ScriptEnd>,
    reads: BTreeSet<String>,
    needs: Option<String>,
    /// Of a module, the strategy that is under way: its class, its place, their number.
    begun: Option<(String, usize, usize)>,
}

impl Telling {
    /// Takes the next message.
    pub(super) fn hear(&mut self, message: Message) {
        let full = self.runs.len() + self.failures.len() >= RUNS_MAX;
        match message {
            Message::Run(_) | Message::Failed(_) if full => self.beyond += 1,
            Message::Run(run) => self.runs.push(*run),
            Message::Failed(run) => self.fail(*run, RunStatus::Failed),
            Message::Begins { strategy, number, count } => self.begun = Some((strategy, number, count)),
            Message::Notes(notes) => self.notes = notes,
            Message::Plot(run, page) => self.plots.push((run, page)),
            Message::End(word) => self.end = Some(*word),
            Message::Reads(file) if self.reads.len() < READS_MAX => {
                self.reads.insert(file);
            }
            Message::Needs(file) => self.needs = Some(file),
            Message::Reads(_) | Message::Shape(_) | Message::Imports(_) => {}
        }
    }

    fn fail(&mut self, run: FailedRun, status: RunStatus) {
        let number = self.runs.len() + self.failures.len();
        self.failures.push(Failure { number, run, status });
    }

    /// What it came to, `ended` being how its process did.
    pub(super) fn over(mut self, ended: Ended) -> Told {
        let came_to_its_end = ended.finish == Finish::Code(0) && ended.broken.is_none();
        let needs = self.needs.take().filter(|_| came_to_its_end);
        let next = match (self.end.take(), &self.begun) {
            _ if needs.is_some() => {
                let name = needs.as_deref().unwrap_or_default();
                self.fail(
                    FailedRun { fault: asked_too_often(name), ..FailedRun::default() },
                    RunStatus::Failed,
                );
                None
            }
            (Some(end), _) if came_to_its_end => {
                self.notes = end.notes;
                match (end.fault, self.failures.last_mut()) {
                    (Some(fault), Some(last)) if end.again => last.run.fault = fault,
                    (Some(fault), _) => {
                        self.fail(FailedRun { fault, ..FailedRun::default() }, RunStatus::Failed)
                    }
                    (None, _) => {}
                }
                None
            }
            (_, begun) => {
                let begun = begun.clone();
                let (strategy, next) = match begun {
                    Some((strategy, number, count)) => (strategy, Some(number + 1).filter(|n| *n < count)),
                    None => (String::new(), None),
                };
                let status = match ended.finish {
                    Finish::TimedOut => RunStatus::Timeout,
                    _ => RunStatus::Failed,
                };
                self.fail(FailedRun { strategy, fault: ended.fault(), ..FailedRun::default() }, status);
                next.filter(|next| *next < STRATEGIES_MAX)
            }
        };
        if self.runs.is_empty() && self.failures.is_empty() {
            let fault = Fault::new("NothingRan", "it told of no run");
            self.fail(FailedRun { fault, ..FailedRun::default() }, RunStatus::Failed);
        }
        if self.beyond > 0 {
            self.notes.push(format!("{} more runs than the {RUNS_MAX} that are recorded", self.beyond));
        }
        let output = ended.log.last_lines(OUTPUT_LINES);
        self.failures.iter_mut().for_each(|failure| failure.run.fault.output.clone_from(&output));
        let Self { runs, failures, plots, notes, reads, .. } = self;
        Told { runs, failures, plots, notes, ended, next, reads, needs }
    }
}

/// What is told of a script that asks for yet another file, where nobody gives it any more.
fn asked_too_often(name: &str) -> Fault {
    Fault::new(
        "FileNotGiven",
        format!(
            "it asks for `{name}`, and has been begun anew {ASKS_MAX} times with other files that it asked for: let it \
             name its files in full (`'sub/x.csv'`), so that it has them from the start"
        ),
    )
}

/// Everything a script told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) runs: Vec<ScriptRun>,
    /// In order.
    pub(super) failures: Vec<Failure>,
    pub(super) plots: Vec<(usize, Vec<u8>)>,
    pub(super) notes: Vec<String>,
    pub(super) ended: Ended,
    /// The first strategy of a module that did not get its turn, since the process ended before.
    pub(super) next: Option<usize>,
    /// Files beside it that it has read, and modules.
    pub(super) reads: BTreeSet<String>,
    /// It stopped for want of this file, and is to be run again with it.
    pub(super) needs: Option<String>,
}

impl Told {
    /// Somebody told it to stop.
    pub(super) fn is_cut_short(&self) -> bool {
        self.ended.finish == Finish::Stopped && self.ended.broken.is_none()
    }

    /// How many runs there are, failed ones included.
    pub(super) fn count(&self) -> usize {
        self.runs.len() + self.failures.len()
    }

    /// The failure at this place.
    pub(super) fn failure(&self, number: usize) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.number == number)
    }

    /// The first failure after this place.
    pub(super) fn failure_after(&self, number: usize) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.number > number)
    }

    /// The index among the good runs of the one at this place.
    pub(super) fn good(&self, number: usize) -> Option<usize> {
        let before = self.failures.iter().filter(|failure| failure.number < number).count();
        (self.failure(number).is_none() && number < self.count()).then(|| number - before)
    }

    /// Adds what another process of the same script told.
    pub(super) fn and(mut self, later: Self) -> Self {
        let count = self.count();
        self.runs.extend(later.runs);
        let moved =
            later.failures.into_iter().map(|failure| Failure { number: failure.number + count, ..failure });
        self.failures.extend(moved);
        self.plots.extend(later.plots.into_iter().map(|(number, page)| (number + count, page)));
        self.reads.extend(later.reads);
        self.notes.extend(later.notes);
        let mut seen = std::collections::HashSet::new();
        self.notes.retain(|note| seen.insert(note.clone()));
        let (before, mut ended) = (self.ended, later.ended);
        ended.log.stdout.insert_str(0, &before.log.stdout);
        ended.log.stderr.insert_str(0, &before.log.stderr);
        ended.cpu += before.cpu;
        ended.wall += before.wall;
        ended.peak_bytes = ended.peak_bytes.max(before.peak_bytes);
        Self { ended, next: later.next, needs: later.needs, ..self }
    }
}
