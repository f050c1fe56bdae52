//! A worker thread: takes turns, runs tasks, steals, sleeps.

use super::{
    Shared,
    central::{Central, HELP_NS, Lane, SIGNAL_SHUTDOWN, SIGNAL_URGENT, Ticket, Usage, Work, steal},
    reactor::Turn,
    task::Ran,
};
use crate::{
    exec::{Cell as TaskCell, ScopeCore},
    lock,
    policy::FlowId,
    priority::Priority,
    registry::{Desk, Slot, Tally, add_alone},
    sync::{driver, now, thread_local},
    wait,
};
use crossbeam_deque::Worker as Deque;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant},
};

type NotHandedOver = (Option<Arc<TaskCell>>, Arc<TaskCell>);

/// Longest turn of the lane between two looks for events, and of a worker's steps that are handed over.
const LANE_TURN: Duration = Duration::from_micros(100);
/// Most steps of the lane between two looks for events.
const LANE_STEPS: usize = 64;

thread_local! {
    /// The worker this thread is, if it is one.
    static CURRENT: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

fn set_current(local: Option<Rc<Local>>) {
    let before = CURRENT.with(|current| current.replace(local));
    drop(before);
}

/// What belongs to one worker alone.
pub(crate) struct Local {
    shared: Arc<Shared>,
    pub(super) index: usize,
    deque: Deque<Ticket>,
    usage: RefCell<Vec<Usage>>,
    /// Time the running task has spent waiting for its children, running others meanwhile.
    away: Cell<Duration>,
    depth: Cell<u32>,
    /// Whether a step that this thread submits may be handed over.
    hands_over: Cell<bool>,
    /// The step that was handed over, to be run next.
    handed: Cell<Option<Arc<TaskCell>>>,
    /// Cost of such steps, until the policy is told.
    handed_usage: RefCell<Vec<HandedUsage>>,
}

/// Cost of steps that were handed over: of them the policy knows nothing yet.
struct HandedUsage {
    flow: FlowId,
    tasks: u64,
    actual: u64,
    /// Keeps the flow open until it is charged.
    _scope: Arc<ScopeCore>,
}

/// Where a task runs: a worker, and the slot that shows the task.
#[derive(Clone, Copy)]
pub(crate) struct Seat<'a> {
    pub(super) local: &'a Local,
    pub(crate) slot: &'a Slot,
}

impl Seat<'_> {
    pub(crate) fn tally(&self, class: Priority) -> &Tally {
        &self.local.desk().tallies.0[class.index()]
    }

    pub(super) fn watch_is_late(&self, deadline: Option<Instant>) -> bool {
        let shared = &self.local.shared;
        shared.watch.too_late_for(deadline, &shared.board)
    }

    pub(super) fn ring(&self, deadline: Instant) {
        let shared = &self.local.shared;
        shared.watch.ring(deadline, &shared.board);
    }
}

/// Body of a worker thread.
pub(super) fn work(shared: Arc<Shared>, index: usize, deque: Deque<Ticket>) {
    let local = Local::enter(shared, index, deque);
    let mut clock = now();
    while let Some(ticket) = local.next(&mut clock) {
        clock = match (&ticket.work, &local.shared.tokio) {
            (Work::Step(_), Some(tokio)) => local.run_steps(ticket, clock, tokio),
            _ => local.run(ticket, &local.desk().slot, clock),
        };
    }
    local.leave();
    Local::exit();
}

/// Hands a step over: from the step that runs on this thread to the next one it runs, past the queue, its lock and
/// its order. Only where that is what the queue would come to: nothing else is queued or in hand, so that the policy
/// has no choice; and both steps are expected to be short, so that nobody need be woken. What does not fit these terms
/// is given back for the queue, with what was handed over before, which must stay ahead of it.
///
/// Nobody is passed over: before the step runs its thread looks again whether something was queued meanwhile, and if
/// so queues the step, too; every turn ends with an empty hand. A step handed over waits for the rest of one short
/// step at most, unseen by other workers.
pub(super) fn hand_over(cell: Arc<TaskCell>) -> Result<(), NotHandedOver> {
    let shared = cell.scope().shared();
    let hands_over = |local: &Rc<Local>| Arc::ptr_eq(&local.shared, shared) && local.hands_over.get();
    let local = CURRENT.try_with(|current| current.borrow().as_ref().filter(|l| hands_over(l)).cloned());
    let Some(local) = local.ok().flatten() else { return Err((None, cell)) };
    let earlier = local.handed.take();
    let is_short = (1..=HELP_NS).contains(&cell.expected_ns());
    if earlier.is_some() || !is_short || !local.deque.is_empty() || !shared.is_calm() {
        return Err((earlier, cell));
    }
    local.handed.set(Some(cell));
    Ok(())
}

/// The asynchronous task whose step this thread runs.
pub(crate) fn current_cell() -> Option<Arc<TaskCell>> {
    let of = |local: &RefCell<Option<Rc<Local>>>| local.borrow().as_ref().and_then(|l| l.desk().slot.cell());
    CURRENT.try_with(of).ok().flatten()
}

/// The system's number of this thread; 0 where there is none.
fn own_tid() -> u32 {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    #[cfg(not(target_os = "linux"))]
    0
}

/// The worker that this thread is.
pub(super) fn current() -> Option<Rc<Local>> {
    // A thread that is ending is no worker any more.
    CURRENT.try_with(|local| local.borrow().clone()).ok().flatten()
}

/// True on a thread of this pool.
pub(crate) fn is_on(shared: &Arc<Shared>) -> bool {
    Local::current(shared).is_some()
}

impl Central {
    fn settle_handed(&mut self, handed: &[HandedUsage]) {
        for HandedUsage { flow, tasks, actual, .. } in handed {
            self.policy.handed_over(*flow, *tasks, *actual);
        }
    }
}

impl Local {
    /// Makes this thread a worker.
    pub(super) fn enter(shared: Arc<Shared>, index: usize, deque: Deque<Ticket>) -> Rc<Self> {
        let (usage, away, depth, hands_over, handed, handed_usage) = Default::default();
        let local =
            Rc::new(Self { shared, index, deque, usage, away, depth, hands_over, handed, handed_usage });
        local.desk().tid.store(own_tid(), Ordering::Relaxed);
        set_current(Some(Rc::clone(&local)));
        local
    }

    /// This thread is a worker no more.
    pub(super) fn exit() {
        set_current(None);
    }

    /// The current thread's worker, if it belongs to this pool.
    pub(super) fn current(shared: &Arc<Shared>) -> Option<Rc<Self>> {
        let this = |local: &RefCell<Option<Rc<Self>>>| {
            local.borrow().as_ref().filter(|l| Arc::ptr_eq(&l.shared, shared)).cloned()
        };
        // A thread that is ending is no worker any more.
        CURRENT.try_with(this).ok().flatten()
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.shared.board.desks[self.index]
    }

    /// The next task to run; sleeps while there is none. `None` when the pool ends. `clock` is the time the
    /// last task ended; it is read anew only where time may have passed since.
    fn next(&self, clock: &mut Instant) -> Option<Ticket> {
        let signal = self.shared.signal.load(Ordering::Relaxed);
        if signal & SIGNAL_SHUTDOWN != 0 {
            return None;
        }
        if signal & SIGNAL_URGENT != 0
            && let Some(ticket) = self.urgent()
        {
            return Some(ticket);
        }
        if let Some(ticket) = self.deque.pop() {
            return Some(ticket);
        }
        let ticket = self.turn_or_sleep();
        *clock = now();
        ticket
    }

    fn urgent(&self) -> Option<Ticket> {
        let mut central = lock(&self.shared.central);
        central.settle(&mut self.usage.borrow_mut());
        let ticket = central.draw_urgent(&self.deque);
        self.shared.release(central, 0);
        ticket
    }

    fn turn_or_sleep(&self) -> Option<Ticket> {
        let workers = self.shared.workers();
        loop {
            let mut central = lock(&self.shared.central);
            central.settle(&mut self.usage.borrow_mut());
            if central.shutdown {
                return None;
            }
            if let Some(ticket) = central.draw_turn(&self.deque, workers) {
                // What is in the deque now can be stolen.
                let helpers = self.worth_stealing(&ticket);
                self.shared.release(central, helpers);
                return Some(ticket);
            }
            self.shared.release(central, 0);
            if let Some(ticket) = self.steal() {
                return Some(ticket);
            }
            self.sleep();
        }
    }

    /// How many sleepers should come and steal from this worker's hand. A few short steps are not worth waking
    /// anybody.
    fn worth_stealing(&self, first: &Ticket) -> usize {
        let rest = self.deque.len();
        match first.work {
            Work::Step(_) if first.charge.saturating_mul(rest as u64) < HELP_NS => 0,
            Work::Step(_) => 1,
            Work::Task(_) => rest,
        }
    }

    /// Runs steps in hand, one after the other, as a tokio runtime would: with its clock and sockets, and with a
    /// budget of operations after which each of them has to let others go on.
    fn run_steps(&self, first: Ticket, start: Instant, tokio: &driver::Handle) -> Instant {
        let mut first = Some(first);
        tokio.block_on(poll_fn(|_| {
            let mut clock = start;
            loop {
                if let Some(cell) = self.take_handed() {
                    clock = self.run_handed(cell, clock);
                } else if let Some(ticket) = first.take().or_else(|| self.next_step()) {
                    self.hands_over.set(ticket.charge <= HELP_NS);
                    clock = self.run(ticket, &self.desk().slot, clock);
                } else {
                    break;
                }
                if clock - start >= LANE_TURN {
                    break;
                }
            }
            self.hands_over.set(false);
            self.desk().slot.end();
            self.settle_handed();
            self.queue_handed();
            Poll::Ready(clock)
        }))
    }

    /// The next step in hand, unless something else comes first.
    fn next_step(&self) -> Option<Ticket> {
        let go_on = self.shared.signal.load(Ordering::Relaxed) == 0 && driver::has_budget_remaining();
        // A hand is filled by one draw from one flow: what is there is steps.
        if go_on { self.deque.pop() } else { None }
    }

    /// A turn of the reactor's thread: runs light steps for a while.
    pub(super) fn lane_turn(&self) -> Turn {
        self.shared.board.lane_turns();
        self.hands_over.set(true);
        let turn = self.lane_steps();
        self.hands_over.set(false);
        self.desk().slot.end();
        self.queue_handed();
        turn
    }

    fn lane_steps(&self) -> Turn {
        let start = now();
        let mut clock = start;
        for _ in 0..LANE_STEPS {
            let signal = self.shared.signal.load(Ordering::Relaxed);
            if signal & SIGNAL_SHUTDOWN != 0 {
                return Turn::Over;
            }
            clock = match self.take_handed() {
                Some(cell) => self.run_handed(cell, clock),
                None => {
                    let ticket = if signal & SIGNAL_URGENT == 0 { self.deque.pop() } else { None };
                    match ticket.map_or_else(|| self.draw_light(), Ok) {
                        Ok(ticket) => self.run(ticket, &self.desk().slot, clock),
                        Err(turn) => return turn,
                    }
                }
            };
            if clock - start >= LANE_TURN || !driver::has_budget_remaining() {
                break;
            }
        }
        Turn::Ran
    }

    /// The step that was handed over, if it is still what comes next.
    fn take_handed(&self) -> Option<Arc<TaskCell>> {
        let cell = self.handed.take()?;
        if self.shared.is_calm() {
            return Some(cell);
        }
        self.shared.queue_step(None, cell);
        None
    }

    /// Queues the step that was handed over.
    pub(super) fn queue_handed(&self) {
        if let Some(cell) = self.handed.take() {
            self.shared.queue_step(None, cell);
        }
    }

    fn run_handed(&self, cell: Arc<TaskCell>, start: Instant) -> Instant {
        let flow = cell.flow();
        let known = self.handed_usage.borrow().iter().position(|used| used.flow == flow);
        let scope = known.is_none().then(|| Arc::clone(cell.scope()));
        let Ran { end, busy_ns } = cell.step(Seat { local: self, slot: &self.desk().slot }, start);
        if let Some(actual) = busy_ns {
            let mut usage = self.handed_usage.borrow_mut();
            match (known, scope) {
                (None, Some(_scope)) => usage.push(HandedUsage { flow, tasks: 1, actual, _scope }),
                (known, _) => {
                    let used = &mut usage[known.expect("else its scope was kept")];
                    used.tasks += 1;
                    used.actual += actual;
                }
            }
        }
        end
    }

    /// Tells the policy what steps that were handed over have cost.
    fn settle_handed(&self) {
        let mut handed = self.handed_usage.take();
        if !handed.is_empty() {
            let mut central = lock(&self.shared.central);
            central.settle_handed(&handed);
            self.shared.release(central, 0);
            // Not under the lock, which the last of a flow's scopes takes to close it.
            handed.clear();
        }
        self.handed_usage.replace(handed);
    }

    /// Draws light work; without any, the lane is parked when this returns.
    fn draw_light(&self) -> Result<Ticket, Turn> {
        let mut handed = self.handed_usage.take();
        let mut central = lock(&self.shared.central);
        central.settle(&mut self.usage.borrow_mut());
        central.settle_handed(&handed);
        let drawn = central.draw_light(&self.deque, self.shared.workers());
        let in_hand = drawn.or_else(|| {
            // An urgent task was looked for first; the hand comes after it.
            let ticket = self.deque.pop();
            if ticket.is_some() {
                central.lane = Lane::Busy;
            }
            ticket
        });
        let helpers = in_hand.as_ref().map_or(0, |ticket| self.worth_stealing(ticket));
        let without = if central.steps > 0 { Turn::Held(central.drawn) } else { Turn::Idle };
        self.shared.release(central, helpers);
        // As in `settle_handed`.
        handed.clear();
        self.handed_usage.replace(handed);
        in_hand.ok_or(without)
    }

    /// Runs one step out of turn when no worker has come for work since `drawn` was read.
    pub(super) fn lane_overdue(&self, drawn: u64) {
        let mut central = lock(&self.shared.central);
        central.settle(&mut self.usage.borrow_mut());
        let ticket = central.draw_overdue(drawn, &self.deque);
        self.shared.release(central, 0);
        if let Some(ticket) = ticket {
            self.run(ticket, &self.desk().slot, now());
            self.desk().slot.end();
        }
    }

    /// Takes one task from another worker's hands. One, not a batch: tasks enter deques only under the central
    /// lock, which is what makes [`Local::sleep`] sure that it overlooks none.
    fn steal(&self) -> Option<Ticket> {
        let stealers = &self.shared.stealers;
        let others = (1..stealers.len()).map(|step| &stealers[(self.index + step) % stealers.len()]);
        let ticket = others.into_iter().find_map(steal)?;
        add_alone(&self.desk().stolen, 1);
        Some(ticket)
    }

    /// Sleeps until there may be work.
    fn sleep(&self) {
        let mut central = lock(&self.shared.central);
        while !central.shutdown
            && central.policy.queued_total() == 0
            && self.shared.stealers.iter().all(|s| s.is_empty())
        {
            central.idle += 1;
            central = wait(&self.shared.work, central);
            central.idle -= 1;
        }
    }

    /// Runs a task in a slot; returns when it ended.
    fn run(&self, ticket: Ticket, slot: &Slot, start: Instant) -> Instant {
        let Ticket { work, flow, charge } = ticket;
        let seat = Seat { local: self, slot };
        let Ran { end, busy_ns } = match work {
            Work::Task(task) => task.run(seat, start),
            Work::Step(cell) => cell.step(seat, start),
        };
        let mut usage = self.usage.borrow_mut();
        match usage.last_mut().filter(|u| u.flow == flow && u.actual.is_some() == busy_ns.is_some()) {
            Some(last) => {
                last.tasks += 1;
                last.charged += charge;
                last.actual = last.actual.zip(busy_ns).map(|(sum, ns)| sum + ns);
            }
            None => usage.push(Usage { flow, tasks: 1, charged: charge, actual: busy_ns }),
        }
        end
    }

    /// The pool ends: gives up what is in hand.
    pub(super) fn leave(&self) {
        while let Some(ticket) = self.deque.pop() {
            if let Work::Task(task) = ticket.work {
                task.abandon();
            }
        }
    }

    /// A task begins; to be handed to [`Local::away_end`].
    pub(super) fn away_begin(&self) -> Duration {
        self.away.take()
    }

    /// A task ended after `elapsed`: its own part of that, in nanoseconds.
    pub(super) fn away_end(&self, begun: Duration, elapsed: Duration) -> u64 {
        let away = self.away.replace(begun);
        if self.depth.get() == 0 {
            self.desk().away_ns.store(0, Ordering::Relaxed);
        }
        elapsed.saturating_sub(away).as_nanos() as u64
    }

    /// Runs `wait`, in which the current task waits for its children; that time is not its own.
    pub(super) fn away<R>(&self, wait: impl FnOnce() -> R) -> R {
        let start = now();
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() == 1 {
            let since_ns = self.shared.board.ns_at(start).max(1);
            self.desk().away_since_ns.store(since_ns, Ordering::Relaxed);
        }
        let result = wait();
        self.depth.set(self.depth.get() - 1);
        self.away.set(self.away.get() + (now() - start));
        if self.depth.get() == 0 {
            self.desk().away_ns.store(self.away.get().as_nanos() as u64, Ordering::Relaxed);
            self.desk().away_since_ns.store(0, Ordering::Relaxed);
        }
        result
    }

    /// Runs one queued task of a group, if there is one, on top of the task that waits.
    pub(super) fn help(&self, flow: FlowId) -> bool {
        let ticket = {
            let mut central = lock(&self.shared.central);
            central.settle(&mut self.usage.borrow_mut());
            let ticket = central.draw_from(flow);
            self.shared.release(central, 0);
            ticket
        };
        let Some(ticket) = ticket else { return false };
        let slot = Arc::new(Slot::default());
        lock(&self.desk().nested).push(Arc::clone(&slot));
        self.run(ticket, &slot, now());
        lock(&self.desk().nested).pop();
        true
    }

    /// Puts back what this worker has in hand, before it sleeps with a task on its stack: nobody may wait for
    /// a task that lies in the hands of a sleeper.
    pub(super) fn hand_back(&self) {
        let mut ended = Vec::new();
        let tickets: Vec<Ticket> = std::iter::from_fn(|| self.deque.pop()).collect();
        let mut central = lock(&self.shared.central);
        central.settle(&mut self.usage.borrow_mut());
        let put_back = central.hand_back(tickets, &mut ended);
        self.shared.release(central, put_back);
        ended.into_iter().for_each(|task| task.abandon());
    }
}
