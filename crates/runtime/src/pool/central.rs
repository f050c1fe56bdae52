//! The queues and the policy: everything behind the one lock.

use super::{Shared, task::Task, worker};
use crate::sync::{Condvar, MutexGuard};
use crate::{
    exec::Cell,
    lock,
    policy::{Decision, FlowId, Policy},
    priority::Priority,
};
use crossbeam_deque::{Steal, Stealer, Worker as Deque};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

/// A critical task waits and may jump ahead.
pub(super) const SIGNAL_URGENT: u8 = 1;
/// The pool is being dropped.
pub(super) const SIGNAL_SHUTDOWN: u8 = 2;

/// Expected time of queued steps from which an idle worker is worth waking.
pub(super) const HELP_NS: u64 = 50_000;

/// A queued task: one pointer to its closure, label and group.
pub(super) type BoxedTask = Box<dyn Task>;

/// What a worker runs: a task to its end, or an asynchronous task to its next wait.
pub(super) enum Work {
    Task(BoxedTask),
    Step(Arc<Cell>),
}

/// Work in a worker's hands.
pub(super) struct Ticket {
    pub(super) work: Work,
    pub(super) flow: FlowId,
    /// What the policy charged for it.
    pub(super) charge: u64,
}

/// Queued tasks of one group, which is one flow of the policy.
pub(super) struct GroupQueue {
    pub(super) tasks: VecDeque<BoxedTask>,
    pub(super) max_queued: usize,
    /// Producers asleep until there is room.
    pub(super) producers: usize,
    pub(super) room: Arc<Condvar>,
}

/// Cost of ended tasks, collected by a worker until it next holds the lock.
pub(super) struct Usage {
    pub(super) flow: FlowId,
    pub(super) tasks: u64,
    pub(super) charged: u64,
    /// `None` when they were not run.
    pub(super) actual: Option<u64>,
}

/// Where the queued work of a flow lies.
enum Queue {
    Closed,
    Group(GroupQueue),
    Steps(VecDeque<Arc<Cell>>),
}

/// What the reactor's thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// There is none.
    Absent,
    /// It waits for events and must be woken for light work.
    Parked,
    /// It waits for events and, because steps wait that are not for it now, for a time after which it takes one.
    Held,
    /// It runs steps, or was told to.
    Busy,
}

pub(super) struct Central {
    pub(super) policy: Policy,
    /// By flow.
    queues: Vec<Queue>,
    /// Workers asleep.
    pub(super) idle: usize,
    pub(super) lane: Lane,
    /// Steps queued.
    pub(super) steps: usize,
    /// Draws so far: unchanged over some time, it says that every worker is taken for so long.
    pub(super) drawn: u64,
    pub(super) shutdown: bool,
}

impl Central {
    pub(super) fn new(policy: Policy, lane: Lane) -> Self {
        Self { policy, queues: Vec::new(), idle: 0, lane, steps: 0, drawn: 0, shutdown: false }
    }

    fn place(&mut self, flow: FlowId, queue: Queue) {
        if self.queues.len() <= flow.index() {
            self.queues.resize_with(flow.index() + 1, || Queue::Closed);
        }
        self.queues[flow.index()] = queue;
    }

    /// Opens a flow of steps.
    pub(super) fn open_steps(&mut self, class: Priority, owner: u64) -> FlowId {
        let flow = self.policy.open_light(class, owner);
        self.place(flow, Queue::Steps(VecDeque::new()));
        flow
    }

    /// Forgets a flow of steps. Steps still queued belong to tasks that have ended.
    pub(super) fn close_steps(&mut self, flow: FlowId) {
        if let Queue::Steps(cells) = std::mem::replace(&mut self.queues[flow.index()], Queue::Closed) {
            self.steps -= cells.len();
            self.policy.withdraw(flow, cells.len() as u64);
            self.policy.close(flow);
        }
    }

    /// Queues a step.
    fn enqueue_step(&mut self, cell: Arc<Cell>) {
        let flow = cell.flow();
        if let Queue::Steps(cells) = &mut self.queues[flow.index()] {
            cells.push_back(cell);
            self.steps += 1;
            self.policy.arrive(flow, 1);
        }
    }

    pub(super) fn open_group(
        &mut self,
        class: Priority,
        owner: u64,
        max_queued: usize,
        room: Arc<Condvar>,
    ) -> FlowId {
        let flow = self.policy.open(class, owner);
        let queue = GroupQueue { tasks: VecDeque::new(), max_queued: max_queued.max(1), producers: 0, room };
        self.place(flow, Queue::Group(queue));
        flow
    }

    /// Forgets a group, which must have no tasks left.
    pub(super) fn close_group(&mut self, flow: FlowId) {
        if let Queue::Group(queue) = std::mem::replace(&mut self.queues[flow.index()], Queue::Closed) {
            debug_assert!(queue.tasks.is_empty(), "a group was closed with tasks queued");
            self.policy.close(flow);
        }
    }

    pub(super) fn queue(&mut self, flow: FlowId) -> &mut GroupQueue {
        match &mut self.queues[flow.index()] {
            Queue::Group(queue) => queue,
            _ => panic!("a group was used after its close"),
        }
    }

    /// Queues tasks from the front of `tasks`, as many as the group has room for; returns how many.
    pub(super) fn enqueue(&mut self, flow: FlowId, tasks: &mut VecDeque<BoxedTask>) -> usize {
        let queue = self.queue(flow);
        let count = queue.max_queued.saturating_sub(queue.tasks.len()).min(tasks.len());
        queue.tasks.extend(tasks.drain(..count));
        self.policy.arrive(flow, count as u64);
        count
    }

    /// Queues one task; gives it back when the group has no room.
    pub(super) fn enqueue_one(&mut self, flow: FlowId, task: BoxedTask) -> Result<(), BoxedTask> {
        let queue = self.queue(flow);
        if queue.tasks.len() >= queue.max_queued {
            return Err(task);
        }
        queue.tasks.push_back(task);
        self.policy.arrive(flow, 1);
        Ok(())
    }

    /// Takes a group's queued tasks away.
    pub(super) fn drain(&mut self, flow: FlowId) -> VecDeque<BoxedTask> {
        let queue = self.queue(flow);
        let tasks = std::mem::take(&mut queue.tasks);
        queue.room.notify_all();
        self.policy.withdraw(flow, tasks.len() as u64);
        tasks
    }

    /// Takes all queued tasks away.
    pub(super) fn drain_all(&mut self) -> Vec<BoxedTask> {
        let is_group = |(_, queue): &(usize, &Queue)| matches!(queue, Queue::Group(_));
        let groups = self.queues.iter().enumerate().filter(is_group);
        let flows: Vec<FlowId> = groups.map(|(index, _)| FlowId::at(index)).collect();
        flows.into_iter().flat_map(|flow| self.drain(flow)).collect()
    }

    /// Takes all queued steps away.
    pub(super) fn drain_steps(&mut self) -> Vec<Arc<Cell>> {
        let mut drained = Vec::new();
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if let Queue::Steps(cells) = queue {
                self.policy.withdraw(FlowId::at(index), cells.len() as u64);
                drained.extend(cells.drain(..));
            }
        }
        self.steps = 0;
        drained
    }

    /// Draws the next turn: one task to run, the rest of a batch into the worker's deque. With few tasks left
    /// batches shrink, so that every worker gets some.
    pub(super) fn draw_turn(&mut self, deque: &Deque<Ticket>, workers: usize) -> Option<Ticket> {
        let limit = self.policy.queued_total() / workers as u64;
        let decision = self.policy.decide(limit)?;
        Some(self.draw(decision, deque))
    }

    /// Draws a critical task if it may jump ahead.
    pub(super) fn draw_urgent(&mut self, deque: &Deque<Ticket>) -> Option<Ticket> {
        let decision = self.policy.decide_urgent()?;
        Some(self.draw(decision, deque))
    }

    fn draw(&mut self, decision: Decision, deque: &Deque<Ticket>) -> Ticket {
        let Decision { flow, count, charge_each: charge, .. } = decision;
        self.drawn += 1;
        let queue = &mut self.queues[flow.index()];
        let first = queue.pop();
        for _ in 1..count {
            deque.push(Ticket { work: queue.pop(), flow, charge });
        }
        match queue {
            Queue::Group(queue) => queue.wake_producers(),
            _ => self.steps -= count as usize,
        }
        Ticket { work: first, flow, charge }
    }

    /// Draws light work, if it is next; notes that the lane parks if not.
    pub(super) fn draw_light(&mut self, deque: &Deque<Ticket>, workers: usize) -> Option<Ticket> {
        let limit = self.policy.queued_total() / workers as u64;
        let decision = if self.steps > 0 { self.policy.decide_light(limit) } else { None };
        self.lane = match decision {
            Some(_) => Lane::Busy,
            None if self.steps > 0 => Lane::Held,
            None => Lane::Parked,
        };
        Some(self.draw(decision?, deque))
    }

    /// Draws one step out of turn when nobody has drawn anything since `drawn` was read.
    pub(super) fn draw_overdue(&mut self, drawn: u64, deque: &Deque<Ticket>) -> Option<Ticket> {
        if self.steps == 0 || self.drawn != drawn {
            return None;
        }
        let decision = self.policy.draw_overdue_light()?;
        self.lane = Lane::Busy;
        Some(self.draw(decision, deque))
    }

    /// Takes a task of one group out of turn.
    pub(super) fn draw_from(&mut self, flow: FlowId) -> Option<Ticket> {
        let charge = self.policy.draw(flow)?.charge_each;
        self.drawn += 1;
        let work = self.queues[flow.index()].pop();
        self.queue(flow).wake_producers();
        Some(Ticket { work, flow, charge })
    }

    /// Puts drawn tasks back to the front of their groups' queues, keeping their order. Those whose group was
    /// cancelled are given to `ended` instead: whoever cancels raises the flag first and drains the queue, under
    /// this lock, second, so that a task put back is either drained or not cancelled.
    pub(super) fn hand_back(&mut self, tickets: Vec<Ticket>, ended: &mut Vec<BoxedTask>) -> usize {
        let mut count = 0;
        for Ticket { work, flow, charge } in tickets.into_iter().rev() {
            match (work, &mut self.queues[flow.index()]) {
                (Work::Task(task), _) if self.shutdown || task.is_cancelled() => {
                    self.policy.forfeit(flow, 1, charge);
                    ended.push(task);
                    continue;
                }
                (Work::Task(task), Queue::Group(queue)) => {
                    task.requeued();
                    queue.tasks.push_front(task);
                }
                (Work::Step(cell), Queue::Steps(cells)) => {
                    cells.push_front(cell);
                    self.steps += 1;
                }
                // The flow was closed: a step of a task that has ended.
                _ => {
                    self.policy.forfeit(flow, 1, charge);
                    continue;
                }
            }
            self.policy.give_back(flow, 1, charge);
            count += 1;
        }
        count
    }

    pub(super) fn settle(&mut self, usage: &mut Vec<Usage>) {
        for used in usage.drain(..) {
            match used.actual {
                Some(actual) => self.policy.settle(used.flow, used.tasks, used.charged, actual),
                None => self.policy.forfeit(used.flow, used.tasks, used.charged),
            }
        }
    }
}

impl Queue {
    /// The next piece of work; the policy says that there is one.
    fn pop(&mut self) -> Work {
        let work = match self {
            Self::Group(queue) => queue.tasks.pop_front().map(Work::Task),
            Self::Steps(cells) => cells.pop_front().map(Work::Step),
            Self::Closed => None,
        };
        work.expect("the policy drew from an empty queue")
    }
}

impl GroupQueue {
    /// Wakes producers at half full, so that they come back with more than one task.
    fn wake_producers(&self) {
        if self.producers > 0 && self.tasks.len() <= self.max_queued / 2 {
            self.room.notify_all();
        }
    }
}

impl Shared {
    /// Shows the queues' depth and whether critical work waits. Called with the lock held, after each change.
    pub(super) fn publish(&self, central: &Central) {
        for class in Priority::ALL {
            self.board.queued[class.index()].store(central.policy.queued(class), Ordering::Relaxed);
        }
        let signal = self.signal.load(Ordering::Relaxed);
        let urgent = if central.policy.urgent() { SIGNAL_URGENT } else { 0 };
        if signal & SIGNAL_URGENT != urgent {
            // All writers hold the lock.
            self.signal.store(signal & !SIGNAL_URGENT | urgent, Ordering::Relaxed);
        }
    }

    /// Ends a change of the queues: publishes, unlocks, and wakes sleepers for up to `tasks` new tasks, and the
    /// lane when light work is next.
    pub(super) fn release(&self, mut central: MutexGuard<'_, Central>, tasks: usize) {
        self.publish(&central);
        let mut wake = tasks.min(central.idle);
        let mut wake_lane = false;
        if central.steps > 0 {
            let light = central.policy.light_is_next();
            // The first step that is not for it starts the lane's time.
            wake_lane = central.lane == Lane::Parked || light && central.lane == Lane::Held;
            if wake_lane {
                central.lane = Lane::Busy;
            }
            // What is next is not for the lane: somebody else must be awake.
            wake = wake.max(usize::from(!light && central.idle > 0));
        }
        let all = wake == central.idle;
        drop(central);
        if all && wake > 1 {
            self.work.notify_all();
        } else {
            (0..wake).for_each(|_| self.work.notify_one());
        }
        if wake_lane {
            self.wake_lane();
        }
    }

    /// Has a step run: right after the one that this thread runs, or from the queue.
    pub(crate) fn submit_step(cell: Arc<Cell>) {
        if let Err((earlier, cell)) = worker::hand_over(cell) {
            let shared = Arc::clone(cell.scope().shared());
            shared.queue_step(earlier, cell);
        }
    }

    /// True when nothing waits for anybody's turn, and no worker is called to anything.
    pub(super) fn is_calm(&self) -> bool {
        self.signal.load(Ordering::Relaxed) == 0
            && self.board.queued.iter().all(|queued| queued.load(Ordering::Relaxed) == 0)
    }

    /// Queues a step, behind one that came before it. The lane takes it, as a rule: waking a worker costs more than
    /// a short step. A worker is woken when steps are long, or have piled up before a busy lane.
    pub(super) fn queue_step(&self, earlier: Option<Arc<Cell>>, cell: Arc<Cell>) {
        earlier.iter().for_each(Cell::set_timer);
        cell.set_timer();
        let flow = cell.flow();
        let mut central = lock(&self.central);
        if central.shutdown {
            return;
        }
        earlier.into_iter().for_each(|earlier| central.enqueue_step(earlier));
        central.enqueue_step(cell);
        let mut helpers = 0;
        if central.idle > 0 {
            let backlog = central.policy.expected(flow).saturating_mul(central.steps as u64);
            helpers = usize::from(central.lane == Lane::Busy && backlog >= HELP_NS);
        }
        self.release(central, helpers);
    }

    /// Opens a flow of steps.
    pub(crate) fn open_steps(&self, class: Priority, owner: u64) -> FlowId {
        lock(&self.central).open_steps(class, owner)
    }

    /// Closes a flow of steps, whose tasks have ended.
    pub(crate) fn close_steps(&self, flow: FlowId) {
        lock(&self.central).close_steps(flow);
    }

    /// Cancels a group's queued tasks, also those in workers' hands, and asks its running ones to stop.
    pub(super) fn cancel_group(&self, flow: FlowId, id: u64) {
        let mut central = lock(&self.central);
        let mut ended: Vec<BoxedTask> = central.drain(flow).into();
        let in_hand = self.stealers.iter().flat_map(|s| std::iter::from_fn(|| steal(s))).collect();
        let put_back = central.hand_back(in_hand, &mut ended);
        self.release(central, put_back);
        self.board.cancel_running(Some(id));
        ended.into_iter().for_each(|task| task.abandon());
    }
}

/// Takes one task from a worker's hands.
pub(super) fn steal(from: &Stealer<Ticket>) -> Option<Ticket> {
    loop {
        match from.steal() {
            Steal::Success(ticket) => return Some(ticket),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}
