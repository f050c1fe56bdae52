//! Groups: the handle through which tasks go in and outcomes come out.

use super::{
    Shared,
    central::{BoxedTask, Central, SIGNAL_SHUTDOWN},
    task::{Job, Outcome, TaskCtx},
    worker::Local,
};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::{CancelHook, CancelToken, Label, Priority, lock, policy::FlowId, wait, wait_for};
use crossbeam_utils::CachePadded;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a reader of results naps before it asks to be woken. While it naps, results gather and nobody
/// pays for waking it, which would cost more than a short task.
const NAP: Duration = Duration::from_millis(1);
/// Results at which a napping reader is woken all the same.
const NAP_RESULTS: usize = 1_024;
/// Tasks moved into the queues at once by [`Group::spawn_all`] and [`Group::feed`].
const CHUNK: usize = 64;

/// Settings of a [`Group`].
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// Class of its tasks.
    pub priority: Priority,
    /// Whose work it is: owners within a class take turns, however many groups and tasks each has.
    pub owner: u64,
    /// Cancels the group when cancelled. The group works with a child of it, so that dropping the group leaves
    /// this token alone.
    pub cancel: CancelToken,
    /// Longest run of each task, counted from its start; `None` for no limit.
    pub deadline: Option<Duration>,
    /// Most tasks queued at a time (at least one): [`Group::spawn`] blocks while there are as many.
    pub max_queued: usize,
}

impl Default for GroupOptions {
    /// Standard class, owner 0, a new token, no deadline, 65,536 queued tasks.
    fn default() -> Self {
        Self {
            priority: Priority::Standard,
            owner: 0,
            cancel: CancelToken::new(),
            deadline: None,
            max_queued: 65_536,
        }
    }
}

/// Tasks that belong together and return `T`. Each task has exactly one outcome, delivered in the order of
/// completion. Dropping the group cancels what is left of it and waits until its running tasks have ended.
pub struct Group<T: Send + 'static> {
    core: Arc<Core<T>>,
    _hook: CancelHook,
}

/// What the tasks of a group have in common.
pub(super) struct Head {
    pub(super) shared: Arc<Shared>,
    pub(super) flow: FlowId,
    pub(super) id: u64,
    pub(super) priority: Priority,
    pub(super) owner: u64,
    pub(super) token: CancelToken,
    pub(super) deadline: Option<Duration>,
    /// When the whole group's time is over: the deadline of the task that opened it.
    pub(super) until: Option<Instant>,
    room: Arc<Condvar>,
}

pub(super) struct Core<T> {
    pub(super) head: Head,
    /// Written by producers; kept apart from what workers write.
    spawned: CachePadded<AtomicU64>,
    inbox: CachePadded<Mutex<Inbox<T>>>,
    ready: Condvar,
}

struct Inbox<T> {
    ready: VecDeque<(u64, Outcome<T>)>,
    finished: u64,
    delivered: u64,
    /// Readers to be woken by the next result, by many, and by the last.
    awaiting_next: u32,
    napping: u32,
    awaiting_end: u32,
    /// Counts tasks put back into the queue.
    requeues: u64,
}

impl<T: Send + 'static> Group<T> {
    pub(super) fn open(shared: &Arc<Shared>, options: GroupOptions, until: Option<Instant>) -> Self {
        let GroupOptions { priority, owner, cancel, deadline, max_queued } = options;
        let room = Arc::new(Condvar::new());
        let flow = lock(&shared.central).open_group(priority, owner, max_queued, Arc::clone(&room));
        let id = shared.group_ids.fetch_add(1, Ordering::Relaxed);
        let token = cancel.child();
        let head =
            Head { shared: Arc::clone(shared), flow, id, priority, owner, token, deadline, until, room };
        let core = Arc::new(Core {
            head,
            spawned: CachePadded::default(),
            inbox: CachePadded::new(Mutex::new(Inbox::new())),
            ready: Condvar::new(),
        });
        let weak = Arc::downgrade(&core);
        let hook = core.head.token.on_cancel(move || {
            if let Some(core) = weak.upgrade() {
                core.head.shared.cancel_group(core.head.flow, core.head.id);
            }
        });
        Self { core, _hook: hook }
    }

    /// Queues a task and returns its index: 0, 1, 2 … in the order of spawning. Blocks while the group has
    /// `max_queued` tasks queued (a task of the same pool that spawns into its child group runs queued
    /// children meanwhile). In a cancelled group the task's outcome is [`Outcome::Cancelled`] at once.
    pub fn spawn<F>(&self, label: impl Into<Label>, body: F) -> u64
    where
        F: FnOnce(&TaskCtx<'_>) -> T + Send + 'static,
    {
        let (index, task) = self.job(label.into(), body);
        self.core.head.submit_one(task);
        index
    }

    /// Queues many tasks, taking the lock once for every 64 of them; returns how many.
    pub fn spawn_all<L, F>(&self, jobs: impl IntoIterator<Item = (L, F)>) -> u64
    where
        L: Into<Label>,
        F: FnOnce(&TaskCtx<'_>) -> T + Send + 'static,
    {
        let mut jobs = jobs.into_iter();
        let mut chunk = Chunk(VecDeque::with_capacity(CHUNK));
        let mut count = 0;
        loop {
            for (label, body) in jobs.by_ref().take(CHUNK) {
                chunk.0.push_back(self.job(label.into(), body).1);
            }
            if chunk.0.is_empty() {
                return count;
            }
            count += chunk.0.len() as u64;
            self.core.head.submit(&mut chunk);
        }
    }

    /// Streams any number of tasks: draws from `jobs` as long as fewer than `max_queued` are on their way
    /// (queued, running, or ended and not yet seen by `sink`), and hands every outcome to `sink`, on this
    /// thread, in the order of completion. Memory stays bounded however long `jobs` is. Once the group is
    /// cancelled nothing more is drawn, and what was drawn still gets its outcomes. Returns how many tasks
    /// were drawn.
    pub fn feed<L, F>(
        &self,
        jobs: impl IntoIterator<Item = (L, F)>,
        mut sink: impl FnMut(u64, Outcome<T>),
    ) -> u64
    where
        L: Into<Label>,
        F: FnOnce(&TaskCtx<'_>) -> T + Send + 'static,
    {
        let window = lock(&self.core.head.shared.central).queue(self.core.head.flow).max_queued as u64;
        let mut jobs = jobs.into_iter().fuse();
        let mut chunk = Chunk(VecDeque::with_capacity(CHUNK));
        let mut drawn = 0;
        loop {
            let room = window.saturating_sub(self.outstanding()).min(CHUNK as u64) as usize;
            // Half a chunk of room at least, or every outcome would be followed by one small submission.
            if room >= CHUNK.min(window as usize).div_ceil(2) && !self.is_cancelled() {
                for (label, body) in jobs.by_ref().take(room) {
                    chunk.0.push_back(self.job(label.into(), body).1);
                }
                drawn += chunk.0.len() as u64;
            }
            let submitted = !chunk.0.is_empty();
            self.core.head.submit(&mut chunk);
            let mut outcome = if submitted { self.try_next() } else { self.next() };
            if outcome.is_none() && !submitted {
                return drawn;
            }
            while let Some((index, result)) = outcome {
                sink(index, result);
                outcome = self.try_next();
            }
        }
    }

    /// The next outcome, with its task's index; waits for it. `None` when all tasks spawned so far have been
    /// delivered. A task of the same pool that waits here runs the group's queued tasks meanwhile.
    pub fn next(&self) -> Option<(u64, Outcome<T>)> {
        match Local::current(&self.core.head.shared) {
            Some(local) => local.away(|| self.core.next_helping(&local)),
            None => self.core.next_blocking(None),
        }
    }

    /// The next outcome if one is there.
    pub fn try_next(&self) -> Option<(u64, Outcome<T>)> {
        self.core.pop(&mut lock(&self.core.inbox))
    }

    /// The next outcome if it comes within `time`. `None` also when all have been delivered; see
    /// [`Group::outstanding`]. Unlike [`Group::next`] it does not run tasks on a worker of the pool.
    pub fn next_within(&self, time: Duration) -> Option<(u64, Outcome<T>)> {
        self.core.next_blocking(Instant::now().checked_add(time))
    }

    /// Outcomes until all tasks spawned have been delivered.
    pub fn results(&self) -> Results<'_, T> {
        Results { group: self }
    }

    /// Tasks spawned and not yet delivered.
    pub fn outstanding(&self) -> u64 {
        let delivered = lock(&self.core.inbox).delivered;
        self.core.spawned.load(Ordering::Relaxed) - delivered
    }

    /// Cancels the group's tasks: the queued ones end now, the running ones when they ask.
    pub fn cancel(&self) {
        self.core.head.token.cancel();
    }

    /// True once the group, or the token it was opened with, was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.core.head.token.is_cancelled()
    }

    /// The group's own token.
    pub fn token(&self) -> &CancelToken {
        &self.core.head.token
    }

    fn job<F>(&self, label: Label, body: F) -> (u64, BoxedTask)
    where
        F: FnOnce(&TaskCtx<'_>) -> T + Send + 'static,
    {
        let index = self.core.spawned.fetch_add(1, Ordering::Relaxed);
        (index, Box::new(Job { core: Arc::clone(&self.core), index, label, body }))
    }
}

impl<T: Send + 'static> Drop for Group<T> {
    fn drop(&mut self) {
        let core = &self.core;
        if !core.is_finished(&lock(&core.inbox)) {
            core.head.token.cancel();
            match Local::current(&core.head.shared) {
                Some(local) => local.away(|| {
                    local.hand_back();
                    core.wait_until_finished();
                }),
                None => core.wait_until_finished(),
            }
        }
        // Here rather than on a worker, which may be the last to let go of the core.
        let unseen = std::mem::take(&mut lock(&core.inbox).ready);
        lock(&core.head.shared.central).close_group(core.head.flow);
        drop(unseen);
    }
}

impl<T: Send + 'static> fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("priority", &self.core.head.priority)
            .field("owner", &self.core.head.owner)
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

/// Iterator over a group's outcomes; see [`Group::results`].
#[derive(Debug)]
pub struct Results<'a, T: Send + 'static> {
    group: &'a Group<T>,
}

impl<T: Send + 'static> Iterator for Results<'_, T> {
    type Item = (u64, Outcome<T>);

    fn next(&mut self) -> Option<Self::Item> {
        self.group.next()
    }
}

/// Tasks on the way into the queues. Each has an index already, so that those left when an iterator of tasks
/// panics must still get their outcomes.
struct Chunk(VecDeque<BoxedTask>);

impl Drop for Chunk {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|task| task.abandon());
    }
}

impl Head {
    /// True when tasks of this group should neither begin nor go on.
    pub(super) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled() || self.shared.signal.load(Ordering::Relaxed) & SIGNAL_SHUTDOWN != 0
    }

    /// Moves tasks into the queues, waiting for room; ends them as cancelled when the group is.
    fn submit(&self, chunk: &mut Chunk) {
        let tasks = &mut chunk.0;
        while !tasks.is_empty() {
            let mut central = lock(&self.shared.central);
            // Checked under the lock: whoever cancels raises the flag first and drains the queue second.
            if central.shutdown || self.token.is_cancelled() {
                drop(central);
                tasks.drain(..).for_each(|task| task.abandon());
                return;
            }
            let queued = central.enqueue(self.flow, tasks);
            if tasks.is_empty() {
                self.shared.release(central, queued);
                return;
            }
            self.wait_for_room(central, queued);
        }
    }

    /// As `submit`, for one task and without an allocation for its passage.
    fn submit_one(&self, mut task: BoxedTask) {
        loop {
            let mut central = lock(&self.shared.central);
            if central.shutdown || self.token.is_cancelled() {
                drop(central);
                return task.abandon();
            }
            task = match central.enqueue_one(self.flow, task) {
                Ok(()) => return self.shared.release(central, 1),
                Err(task) => task,
            };
            self.wait_for_room(central, 0);
        }
    }

    fn wait_for_room(&self, mut central: MutexGuard<'_, Central>, queued: usize) {
        if let Some(local) = Local::current(&self.shared) {
            self.shared.release(central, queued);
            local.away(|| local.help(self.flow));
            return;
        }
        if queued > 0 {
            // Whoever sleeps must know before this thread does.
            self.shared.release(central, queued);
            return;
        }
        central.queue(self.flow).producers += 1;
        central = wait(&self.room, central);
        central.queue(self.flow).producers -= 1;
    }
}

impl<T> Core<T> {
    fn is_finished(&self, inbox: &Inbox<T>) -> bool {
        inbox.finished == self.spawned.load(Ordering::Relaxed)
    }

    fn is_delivered(&self, inbox: &Inbox<T>) -> bool {
        inbox.delivered == self.spawned.load(Ordering::Relaxed)
    }

    /// Takes in a task's outcome and wakes whom it concerns.
    pub(super) fn deliver(&self, index: u64, outcome: Outcome<T>) {
        let mut inbox = lock(&self.inbox);
        inbox.ready.push_back((index, outcome));
        inbox.finished += 1;
        let wake = inbox.awaiting_next > 0
            || inbox.napping > 0 && (inbox.ready.len() >= NAP_RESULTS || self.is_finished(&inbox))
            || inbox.awaiting_end > 0 && self.is_finished(&inbox);
        drop(inbox);
        if wake {
            self.ready.notify_all();
        }
    }

    /// A task of this group is being put back into the queue, where a waiting worker may take it up.
    pub(super) fn requeued(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.requeues += 1;
        if inbox.awaiting_next > 0 {
            self.ready.notify_all();
        }
    }

    fn pop(&self, inbox: &mut Inbox<T>) -> Option<(u64, Outcome<T>)> {
        let result = inbox.ready.pop_front()?;
        inbox.delivered += 1;
        // Another reader may wait for a result that does not come.
        if inbox.awaiting_next + inbox.napping > 0 && self.is_delivered(inbox) {
            self.ready.notify_all();
        }
        Some(result)
    }

    fn next_blocking(&self, until: Option<Instant>) -> Option<(u64, Outcome<T>)> {
        let mut inbox = lock(&self.inbox);
        // Somebody who waits for critical work wants each result now.
        let mut rested = self.head.priority == Priority::Critical;
        loop {
            if let Some(result) = self.pop(&mut inbox) {
                return Some(result);
            }
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            if self.is_delivered(&inbox) || left == Some(Duration::ZERO) {
                return None;
            }
            if !rested {
                inbox.napping += 1;
                inbox = wait_for(&self.ready, inbox, NAP.min(left.unwrap_or(NAP)));
                inbox.napping -= 1;
                rested = true;
                continue;
            }
            inbox.awaiting_next += 1;
            inbox = match left {
                Some(left) => wait_for(&self.ready, inbox, left),
                None => wait(&self.ready, inbox),
            };
            inbox.awaiting_next -= 1;
        }
    }

    /// As `next_blocking`, on a worker: runs the group's queued tasks before it sleeps.
    fn next_helping(&self, local: &Local) -> Option<(u64, Outcome<T>)> {
        loop {
            let requeues = {
                let mut inbox = lock(&self.inbox);
                if let Some(result) = self.pop(&mut inbox) {
                    return Some(result);
                }
                if self.is_delivered(&inbox) {
                    return None;
                }
                inbox.requeues
            };
            if local.help(self.head.flow) {
                continue;
            }
            local.hand_back();
            let mut inbox = lock(&self.inbox);
            while inbox.ready.is_empty() && inbox.requeues == requeues && !self.is_delivered(&inbox) {
                inbox.awaiting_next += 1;
                inbox = wait(&self.ready, inbox);
                inbox.awaiting_next -= 1;
            }
        }
    }

    fn wait_until_finished(&self) {
        let mut inbox = lock(&self.inbox);
        while !self.is_finished(&inbox) {
            inbox.awaiting_end += 1;
            inbox = wait(&self.ready, inbox);
            inbox.awaiting_end -= 1;
        }
    }
}

impl<T> Inbox<T> {
    fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            finished: 0,
            delivered: 0,
            awaiting_next: 0,
            napping: 0,
            awaiting_end: 0,
            requeues: 0,
        }
    }
}
