//! Runs all contestants of a scenario in turn.

use crate::{
    Case, Figures, Mode, Place, Programs, Report, Rival, Row, Scenario, ScenarioError, Skipped, compare,
};
use springtide_runtime::CancelToken;
use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
};

/// A contestant whose first run took longer than this, seconds, is not run again.
const LONG_RUN_S: f64 = 10.0;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each contestant; the median counts.
    pub runs: u32,
    /// Programs to run beside.
    pub programs: Option<Programs>,
    /// Ends it early, and what runs with it.
    pub cancel: CancelToken,
}

/// What a process of its own is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Run this case and print its [`Figures`] as JSON.
    Case(&'static str),
    /// [`Scenario::serve`]: print the address, end when stdin ends.
    Server,
}

/// Makes the command that plays a role of the scenario at a place: the program that measures, again.
pub type Launch<'a> = dyn Fn(Role, &Place) -> Command + 'a;

/// Told before each run: contestant, round from 1, rounds.
pub type Progress<'a> = dyn FnMut(&str, u32, u32) + 'a;

/// Prepares and runs everything; every contestant once, then every one again, so that none gets the machine's
/// better minute.
///
/// # Errors
/// When the input cannot be made, the server does not start, one of our own cases fails, or the plan was cancelled. Rivals
/// that fail are listed as skipped.
pub fn measure(
    scenario: &dyn Scenario,
    place: &Place,
    plan: &Plan,
    launch: &Launch<'_>,
    progress: &mut Progress<'_>,
) -> Result<Report, ScenarioError> {
    let about = scenario.about();
    scenario.prepare(place)?;
    let server = about.serves.then(|| Server::start(launch(Role::Server, place))).transpose()?;
    let place = place.clone().with_address(server.as_ref().map(|s| s.address.clone()));
    let rivals = plan.programs.as_ref().map_or_else(Vec::new, |p| scenario.rivals(&place, p));
    let mut entries: Vec<Entry<'_>> = about.cases.iter().map(|c| Entry::new(Who::Ours(c))).collect();
    entries.extend(rivals.iter().map(|r| Entry::new(Who::Rival(r))));
    for round in 1..=plan.runs {
        for entry in entries.iter_mut().filter(|e| e.wants_more()) {
            if plan.cancel.is_cancelled() {
                return Err(ScenarioError::Cancelled);
            }
            progress(entry.who.name(), round, plan.runs);
            if entry.who.cold() {
                scenario.chill(&place)?;
            }
            match entry.who.run(&place, launch, &plan.cancel) {
                Ok(figures) => entry.runs.push(figures),
                Err(error) if matches!(entry.who, Who::Ours(_)) => return Err(error),
                Err(error) => entry.failure = Some(error.to_string()),
            }
        }
    }
    drop(server);
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for entry in entries {
        let (name, who) = (entry.who.name().to_owned(), &entry.who);
        if let Some(reason) = entry.failure {
            skipped.push(Skipped { name, reason });
        } else if let Some(row) =
            Row::of(name, matches!(who, Who::Ours(_)), who.mode(), who.cold(), entry.runs)
        {
            rows.push(row);
        }
    }
    Ok(Report::new(about, place.scale(), rows, skipped))
}

enum Who<'a> {
    Ours(&'static Case),
    Rival(&'a Rival),
}

impl Who<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Ours(case) => case.name,
            Self::Rival(rival) => rival.name,
        }
    }

    fn mode(&self) -> Mode {
        match self {
            Self::Ours(case) => case.mode,
            Self::Rival(rival) => rival.mode,
        }
    }

    fn cold(&self) -> bool {
        match self {
            Self::Ours(case) => case.cold,
            Self::Rival(rival) => rival.cold,
        }
    }

    fn run(
        &self,
        place: &Place,
        launch: &Launch<'_>,
        cancel: &CancelToken,
    ) -> Result<Figures, ScenarioError> {
        match self {
            Self::Ours(case) => {
                let mut command = launch(Role::Case(case.name), place);
                let output = compare::run_to_end(case.name, &mut command, cancel)?;
                serde_json::from_str(&output).map_err(|e| ScenarioError::Program {
                    name: case.name.into(),
                    problem: format!("it printed no figures ({e})"),
                })
            }
            Self::Rival(rival) => rival.run(place.root(), cancel),
        }
    }
}

struct Entry<'a> {
    who: Who<'a>,
    runs: Vec<Figures>,
    failure: Option<String>,
}

impl<'a> Entry<'a> {
    fn new(who: Who<'a>) -> Self {
        Self { who, runs: Vec::new(), failure: None }
    }

    fn wants_more(&self) -> bool {
        self.failure.is_none() && self.runs.first().is_none_or(|f| f.work_s < LONG_RUN_S)
    }
}

/// The scenario's server in a process of its own, which ends with its stdin.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    address: String,
}

impl Server {
    fn start(mut command: Command) -> Result<Self, ScenarioError> {
        let failed = |problem: String| ScenarioError::Program { name: "server".into(), problem };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| failed(format!("cannot start: {e}")))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        // From here on dropping it ends the process.
        let mut server = Self { child, stdin, address: String::new() };
        let stdout = stdout.ok_or_else(|| failed("it has no output".into()))?;
        BufReader::new(stdout).read_line(&mut server.address).map_err(|e| failed(e.to_string()))?;
        server.address.truncate(server.address.trim_end().len());
        if server.address.is_empty() {
            return Err(failed("it ended before it told its address".into()));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // A server that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
