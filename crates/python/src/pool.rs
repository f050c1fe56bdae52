//! Workers for as many threads as ask for one.

use crate::{BarsImage, Ended, Engine, Environment, RunLimits, Work, Worker, WorkerError, wire::Message};
use springtide_runtime::{
    locks::{Mutex, lock},
    observe::{Component, Condition},
    process::Children,
};
use springtide_sandbox::{Sandbox, Tier};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What workers are made of.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct WorkersConfig {
    pub children: Arc<Children>,
    pub sandbox: Sandbox,
    pub environment: Environment,
    pub engine: Engine,
    /// Modules to import beyond the usual ones.
    pub preload: Vec<String>,
    /// Tells whether workers can be had.
    pub health: Option<Component>,
}

/// Warm workers: one is started whenever a thread wants one and none is idle, and kept.
#[derive(Debug)]
pub struct Workers {
    config: WorkersConfig,
    idle: Mutex<Vec<Worker>>,
    /// Workers that live, idle or at work.
    up: AtomicUsize,
}

impl Workers {
    /// None yet.
    pub fn new(config: WorkersConfig) -> Self {
        Self { config, idle: Mutex::default(), up: AtomicUsize::new(0) }
    }

    /// The Python that they work in.
    pub fn environment(&self) -> &Environment {
        &self.config.environment
    }

    /// How well runs are held.
    pub fn tier(&self) -> Tier {
        self.config.sandbox.tier()
    }

    /// Starts `count` workers at once, so that the first runs do not wait for one after the other.
    ///
    /// # Errors
    /// The first that could not be started.
    pub fn warm_up(&self, count: usize) -> Result<(), WorkerError> {
        let started: Vec<Result<Worker, WorkerError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| self.start())).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        for worker in started {
            self.put(worker?);
        }
        Ok(())
    }

    fn start(&self) -> Result<Worker, WorkerError> {
        let WorkersConfig { children, sandbox, environment, engine, preload, health } = &self.config;
        let started = Worker::start(children, sandbox, environment, engine, preload);
        match &started {
            Ok(_) => {
                self.up.fetch_add(1, Ordering::Relaxed);
                health.iter().for_each(Component::ok);
            }
            Err(error) => self.tell_failure(&format!("no worker could be started: {error}")),
        }
        started
    }

    /// With other workers up the work goes on, less well.
    fn tell_failure(&self, why: &str) {
        let condition = match self.up.load(Ordering::Relaxed) {
            0 => Condition::Failed,
            _ => Condition::Degraded,
        };
        if let Some(component) = &self.config.health {
            component.set(condition, why);
        }
    }

    fn lose(&self, why: &str) {
        self.up.fetch_sub(1, Ordering::Relaxed);
        self.tell_failure(why);
    }

    fn put(&self, worker: Worker) {
        lock(&self.idle).push(worker);
    }

    /// Does work on an idle worker, or on a new one; see [`Worker::run`].
    ///
    /// # Errors
    /// When no worker can be started, or the one that did the work is lost before it has told of it.
    pub fn run(
        &self,
        work: &Work,
        data: Option<&BarsImage>,
        limits: &RunLimits,
        stop: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(Message),
    ) -> Result<Ended, WorkerError> {
        let idle = lock(&self.idle).pop();
        let mut worker = match idle {
            Some(worker) => worker,
            None => self.start()?,
        };
        let ended = worker.run(work, data, limits, stop, sink);
        match &ended {
            Ok(Ended { lost: Some(why), .. }) => self.lose(&format!("a worker was lost in {work}: {why}")),
            Ok(ended) if worker.is_reusable_after(ended) => {
                self.put(worker);
                // Whatever became of another one: here is one that works.
                self.config.health.iter().for_each(Component::ok);
            }
            // Nothing failed: a run left something behind, and goes with the worker.
            Ok(_) => drop(self.up.fetch_sub(1, Ordering::Relaxed)),
            Err(error) => self.lose(&format!("a worker was lost in {work}: {error}")),
        }
        ended
    }
}
