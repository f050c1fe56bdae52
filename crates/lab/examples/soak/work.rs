//! What a round does.

#[path = "../../tests/common/cross.rs"]
mod cross;

use springtide_lab::{
    Ledger,
    batch::{self, BatchOptions, Plan, Progress},
};
use springtide_runtime::{
    CancelToken, GroupOptions, Outcome, Pool, PoolConfig, Priority,
    channel::{ChannelConfig, WhenFull},
    exec::{Named, Runtime, RuntimeConfig, Scope},
    observe::{Observatory, Watchdog, WatchdogConfig},
    permit::{Ask, LimitConfig, PermitConfig, Permits},
    process::{ChildOptions, ChildSpec, Children, ChildrenConfig, Limits},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(60);

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What lives from the first round to the last.
pub struct Work {
    _folder: tempfile::TempDir,
    ledger: Ledger,
    pool: Pool,
    plan: Plan,
    runtime: Runtime,
    children: Children,
    permits: Permits,
    seen: Observatory,
    _watchdog: Watchdog,
    runs: AtomicU64,
    tasks: AtomicU64,
    ended: AtomicU64,
    items: Arc<AtomicU64>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Work {
    pub fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(text)?;
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).map_err(text)?;
        let pool = Pool::new(PoolConfig { name: "cpu".into(), ..PoolConfig::default() }).map_err(text)?;
        let plan = cross::plan(vec![cross::SCRIPT.to_owned()], 32, 1, 2_000, &pool);
        let runtime =
            Runtime::new(RuntimeConfig { name: "io".into(), ..RuntimeConfig::default() }).map_err(text)?;
        let children = Children::new(ChildrenConfig::default()).map_err(text)?;
        let permits = Permits::new(PermitConfig {
            name: "soak".into(),
            total: LimitConfig::gradient(4, 16),
            ..PermitConfig::default()
        });
        let seen = Observatory::new("soak");
        let watchdog = Watchdog::start(WatchdogConfig::default(), &seen).map_err(text)?;
        Ok(Self {
            _folder: folder,
            ledger,
            pool,
            plan,
            runtime,
            children,
            permits: permits.map_err(text)?,
            seen,
            _watchdog: watchdog,
            runs: AtomicU64::new(0),
            tasks: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            items: Arc::default(),
        })
    }

    pub fn counts(&self) -> String {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (runs, tasks) = (read(&self.runs), read(&self.tasks));
        format!("{runs} runs, {tasks} tasks, {} children, {} items", read(&self.ended), read(&self.items))
    }

    pub fn round(&self, number: u64) -> Result<(), String> {
        self.batch(number)?;
        self.tasks(number)?;
        self.children(number)?;
        self.channels()?;
        // What a person would ask for while it runs.
        let (state, metrics) = (self.seen.state().to_string(), self.seen.metrics().text());
        if !state.contains("\"pools\"") || !metrics.contains("tide_pool_run_seconds_bucket") {
            return Err("the process does not show itself as it should".into());
        }
        Ok(())
    }

    /// A batch; every tenth is cancelled on its way.
    fn batch(&self, number: u64) -> Result<(), String> {
        let cancel = CancelToken::new();
        let (stop, seen) = (cancel.clone(), AtomicU64::new(0));
        let on_run = Box::new(move |_: &springtide_lab::ledger::RunRecord, _: bool| {
            if number % 10 == 9 && seen.fetch_add(1, Ordering::Relaxed) == 5 {
                stop.cancel();
            }
        });
        let options = BatchOptions {
            priority: Priority::Standard,
            timeout: LIMIT,
            // The same runs again and again; every other round finds them in the ledger.
            resume: number % 2 == 1,
            fail_fast: false,
            command: "soak".into(),
        };
        let progress = Arc::new(Progress::default());
        let done =
            batch::run(&self.plan, &options, &self.pool, &self.ledger, &cancel, &progress, on_run, None);
        let summary = done.map_err(text)?;
        self.runs.fetch_add(summary.ok, Ordering::Relaxed);
        if summary.failed > 0 {
            return Err(format!("{} runs failed", summary.failed));
        }
        Ok(())
    }

    /// Nested scopes: tasks that end, that are late, that are cancelled, that panic, that fail with their scope.
    fn tasks(&self, number: u64) -> Result<(), String> {
        let permits = self.permits.clone();
        let count =
            self.runtime.run("tasks", move |scope| async move { many(&scope, &permits, number).await });
        self.tasks.fetch_add(count.map_err(text)?.map_err(text)?, Ordering::Relaxed);
        Ok(())
    }

    /// Children with output; some fail, some are ended by their limit, some by us.
    fn children(&self, number: u64) -> Result<(), String> {
        let start = |spec: ChildSpec| self.children.spawn(spec, ChildOptions::new("soak")).map_err(text);
        let shell =
            |script: &str| ChildSpec::new("/bin/sh").args(["-c", script]).limits(Limits::within(LIMIT));
        let good: Vec<_> = (0..4).map(|_| start(shell("echo ok"))).collect::<Result<_, _>>()?;
        let bad = start(shell("exit 3"))?;
        let late = start(shell("sleep 60").limits(Limits::within(Duration::from_millis(20))))?;
        let stopped = start(shell("sleep 60"))?;
        if number.is_multiple_of(3) {
            stopped.stop();
        }
        drop(stopped);
        for child in good {
            let exit = child.wait().map_err(text)?;
            if !exit.is_success() || exit.stdout.text() != "ok\n" {
                return Err(format!("a child: {}", exit.ending));
            }
        }
        if bad.wait().map_err(text)?.is_success() || late.wait().map_err(text)?.is_success() {
            return Err("a child that must fail did not".into());
        }
        self.ended.fetch_add(7, Ordering::Relaxed);
        Ok(())
    }

    /// A channel of every kind between the pool's tasks; slow consumers, ends that go early.
    fn channels(&self) -> Result<(), String> {
        for when_full in WhenFull::ALL {
            let config = ChannelConfig::new(when_full.as_str()).items(64).bytes(4_096).weigh(Vec::len);
            let (sender, mut receiver) =
                config.when_full(when_full).key(|item: &Vec<u8>| item.len() as u64).open();
            let group = self.pool.group::<u64>(GroupOptions::default());
            let items = Arc::clone(&self.items);
            group.spawn("source", move |_| {
                let sent =
                    (0..2_000).filter(|n| sender.send_blocking(vec![0; n % 97]).is_ok()).count() as u64;
                items.fetch_add(sent, Ordering::Relaxed);
                sent
            });
            let mut taken = 0_u64;
            while let Some(item) = receiver.recv_blocking() {
                std::hint::black_box(item);
                taken += 1;
                if when_full == WhenFull::Block && taken == 1_500 {
                    break;
                }
            }
            let seen = receiver.snapshot();
            drop(receiver);
            let sent: u64 = group.results().filter_map(|(_, outcome)| outcome.done()).sum();
            if seen.counts.bytes_max > 4_096 || seen.counts.items_max > 64 || sent == 0 {
                return Err(format!("channel {when_full}: {seen:?}"));
            }
        }
        Ok(())
    }
}

async fn many(scope: &Scope, permits: &Permits, number: u64) -> Result<u64, Failed> {
    let mut handles = Vec::new();
    for n in 0..64_u64 {
        let permits = permits.clone();
        let limit = if n % 16 == 0 { Duration::from_millis(1) } else { LIMIT };
        handles.push(scope.spawn(Priority::ALL[n as usize % 4], format!("task {n}"), limit, async move {
            let permit =
                permits.acquire(Ask { key: "side".into(), ..Ask::default() }).named("a permit").await;
            let nap = Duration::from_millis(if n % 16 == 0 { 50 } else { n % 3 });
            tokio::time::sleep(nap).named("the clock").await;
            assert!(n % 17 != 3, "one that panics");
            permit.map(|permit| permit.answered()).is_ok()
        }));
    }
    handles.swap_remove(5).cancel();
    let mut count = 0;
    for handle in handles {
        match handle.await {
            Outcome::Done(true) | Outcome::Panicked(_) | Outcome::Cancelled | Outcome::TimedOut => count += 1,
            Outcome::Done(false) => return Err("permits were closed".into()),
        }
    }
    let inner = scope.nest("inner", |inner| async move {
        for n in 0..32_u64 {
            inner.start(Priority::Low, "inner", LIMIT, async move {
                tokio::time::sleep(Duration::from_millis(n % 5)).await;
                if n == 20 && number.is_multiple_of(2) { Err(Failed::from("one that fails")) } else { Ok(()) }
            });
        }
    });
    if inner.await.is_err() != number.is_multiple_of(2) {
        return Err("a scope's failure was lost, or made up".into());
    }
    Ok(count + 32)
}
