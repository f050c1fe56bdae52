//! A batch's runs as tasks for the pool, made when they are asked for, without those that the ledger has already.

use super::{Batch, Market, OnOutput, Plan, Task, failed_pair, order};
use crate::{
    LabError,
    compiled::CompiledStrategy,
    ledger::RunRecord,
    python::{self, Reads},
    strategy::StrategySource,
};
use springtide_domain::RunId;
use springtide_runtime::TaskCtx;
use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::Arc,
};

/// Runs looked up in the ledger at once when resuming.
const LOOKUP: usize = 512;

/// The plan's runs, one after the other.
pub(super) struct Jobs<'a> {
    plan: &'a Plan,
    batch: &'a Batch<'a>,
    on_output: Option<OnOutput>,
    /// Strategies and markets in the order in which they are taken.
    pairs: Vec<(usize, usize)>,
    /// Pair, rules.
    place: [usize; 2],
    /// Next point of the grid and their number.
    point: u64,
    points: u64,
    /// When resuming: the next runs, and those of them that are finished.
    ahead: VecDeque<(Vec<RunId>, Task)>,
    /// When resuming: what runs of scripts, by the places of these, have read that still is as it was.
    read: HashMap<PathBuf, Vec<Reads>>,
    finished: HashMap<RunId, RunRecord>,
    index: u64,
}

impl<'a> Jobs<'a> {
    pub(super) fn new(plan: &'a Plan, batch: &'a Batch<'a>, on_output: Option<OnOutput>) -> Self {
        let pairs = order::pairs(plan, batch.ledger).unwrap_or_else(|error| {
            batch.fail(error);
            Vec::new()
        });
        let read = if batch.options.resume { read(plan, batch) } else { Ok(HashMap::new()) };
        let read = read.unwrap_or_else(|error| {
            batch.fail(error);
            HashMap::new()
        });
        let mut jobs = Self {
            plan,
            batch,
            on_output,
            pairs,
            place: [0, 0],
            point: 0,
            points: 0,
            ahead: VecDeque::new(),
            read,
            finished: HashMap::new(),
            index: 0,
        };
        jobs.enter();
        jobs
    }

    /// Starts on the pair at `place`; pairs that cannot run are recorded here.
    fn enter(&mut self) {
        self.point = 0;
        let [pair, r] = self.place;
        let Some((s, m)) = self.pairs.get(pair).copied() else {
            self.points = 0;
            return;
        };
        let ((strategy, grid), market) = (&self.plan.strategies[s], &self.plan.markets[m]);
        self.points = match (strategy.runnable(), market) {
            (Ok(_), Market::Ready(_)) => grid.count().unwrap_or(0),
            (Ok(_), Market::Broken { name, path, error }) => {
                self.broken(strategy, name, path, error, r);
                0
            }
            (Err(why), _) => {
                self.cannot_run(strategy, market, &why, r);
                0
            }
        };
    }

    fn broken(&self, strategy: &CompiledStrategy, name: &str, path: &str, error: &str, rules: usize) {
        if rules == 0 {
            self.batch.hand_over(failed_pair(self.plan, self.batch.job, strategy, name, path, error));
        }
    }

    fn cannot_run(&self, strategy: &CompiledStrategy, market: &Market, why: &str, rules: usize) {
        if rules > 0 {
            return;
        }
        let (name, path) = match market {
            Market::Ready(data) => (data.name.clone(), data.path.display().to_string()),
            Market::Broken { name, path, .. } => (name.clone(), path.clone()),
        };
        self.batch.hand_over(failed_pair(self.plan, self.batch.job, strategy, &name, &path, why));
    }

    /// The next pair, or the same under the next rules; false when all are done.
    fn advance(&mut self) -> bool {
        let rules = |(s, _): &(usize, usize)| self.plan.rules_of(&self.plan.strategies[*s].0).len();
        self.place[1] += 1;
        if self.place[1] >= self.pairs.get(self.place[0]).map_or(0, rules) {
            self.place = [self.place[0] + 1, 0];
        }
        self.enter();
        self.place[0] < self.pairs.len()
    }

    fn task(&self, point: u64) -> Option<Task> {
        let [pair, r] = self.place;
        let (s, m) = *self.pairs.get(pair)?;
        let (strategy, grid) = &self.plan.strategies[s];
        let Market::Ready(data) = &self.plan.markets[m] else { return None };
        Some(Task {
            strategy: Arc::clone(strategy),
            data: Arc::clone(data),
            rules: Arc::clone(self.plan.rules_of(strategy).get(r)?),
            overrides: self.plan.overrides.clone(),
            library: Arc::clone(&self.plan.library),
            python: self.plan.python.clone(),
            params: grid.at(point),
            job: self.batch.job,
            timeout: self.batch.options.timeout,
            cancel: self.batch.stop.clone(),
        })
    }

    /// The next run of the plan, whether finished before or not.
    fn draw(&mut self) -> Option<Task> {
        while self.point >= self.points {
            if self.place[0] >= self.pairs.len() || !self.advance() {
                return None;
            }
        }
        self.point += 1;
        self.task(self.point - 1)
    }

    /// The next run that is still to be done; finished ones on the way to it are told of.
    fn draw_unfinished(&mut self) -> Option<Task> {
        if !self.batch.options.resume {
            return self.draw();
        }
        loop {
            if self.ahead.is_empty() {
                self.look_ahead();
            }
            let (ids, task) = self.ahead.pop_front()?;
            // Copies of a strategy have one id: what is found stays for the next of them.
            let found = ids.iter().find_map(|id| self.finished.get(id)).cloned();
            let Some(first) = found else { return Some(task) };
            match self.others(&task, &first) {
                Some(others) => self.batch.reuse(&first, &others),
                // Something of the script's runs is lost: all are made again.
                None => return Some(task),
            }
        }
    }

    /// The further runs of a script whose first one is recorded; none unless all are.
    fn others(&self, task: &Task, first: &RunRecord) -> Option<Vec<RunRecord>> {
        let Some(facts) = first.python.as_ref().filter(|facts| facts.runs > 1) else {
            return Some(Vec::new());
        };
        let id = |number| python::id(&task.spec(), number, &facts.files);
        let ids: Vec<RunId> = (1..facts.runs).map(id).collect();
        match self.batch.ledger.finished_among(&ids.iter().collect::<Vec<_>>()) {
            Ok(mut found) => ids.iter().map(|id| found.remove(id)).collect(),
            Err(error) => {
                self.batch.fail(error);
                None
            }
        }
    }

    /// What the run's identity can be: of a script, that of one that has read no file, or what earlier ones have.
    fn ids(&self, task: &Task) -> Vec<RunId> {
        let spec = task.spec();
        let read = self.read.get(&task.strategy.source.path).into_iter().flatten();
        std::iter::once(spec.id()).chain(read.map(|reads| python::id(&spec, 0, reads))).collect()
    }

    /// Draws the next runs and asks the ledger once for all of them.
    fn look_ahead(&mut self) {
        while self.ahead.len() < LOOKUP {
            let Some(task) = self.draw() else { break };
            self.ahead.push_back((self.ids(&task), task));
        }
        let ids: Vec<&RunId> = self.ahead.iter().flat_map(|(ids, _)| ids).collect();
        match self.batch.ledger.finished_among(&ids) {
            Ok(found) => self.finished = found,
            Err(error) => self.batch.fail(error),
        }
    }
}

/// What finished runs of the plan's scripts have read of the files beside them, where all of it still is as it was.
fn read(plan: &Plan, batch: &Batch<'_>) -> Result<HashMap<PathBuf, Vec<Reads>>, LabError> {
    let Some(lab) = &plan.python else { return Ok(HashMap::new()) };
    let scripts = || plan.strategies.iter().filter_map(|(s, _)| Some((&s.source, s.python()?)));
    let known = batch.ledger.files_read(scripts().map(|(source, _)| source.hash))?;
    let still = |source: &StrategySource, script| {
        let sets = known.get(&source.hash.to_string())?.iter();
        Some((
            source.path.clone(),
            sets.filter(|reads| lab.still_has(script, reads).is_ok()).cloned().collect(),
        ))
    };
    Ok(scripts().filter_map(|(source, script)| still(source, script)).collect())
}

pub(super) type Body = Box<dyn FnOnce(&TaskCtx<'_>) -> Vec<RunRecord> + Send>;

impl Iterator for Jobs<'_> {
    type Item = (String, Body);

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.stop.is_cancelled() {
            return None;
        }
        let task = self.draw_unfinished()?;
        if self.batch.stop.is_cancelled() {
            return None;
        }
        self.batch.pending.borrow_mut().insert(self.index, task.clone());
        self.index += 1;
        let on_output = self.on_output.clone();
        let label = task.label();
        Some((label, Box::new(move |context| task.run(context, on_output.as_ref()))))
    }
}
