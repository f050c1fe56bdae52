//! The queues and the policy: everything behind the one lock.

use super::{Shared, task::Task};
use crate::{
    lock,
    policy::{Decision, FlowId, Policy},
    priority::Priority,
};
use crossbeam_deque::{Steal, Stealer, Worker as Deque};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, MutexGuard, atomic::Ordering},
};

/// A critical task waits and may jump ahead.
pub(super) const SIGNAL_URGENT: u8 = 1;
/// The pool is being dropped.
pub(super) const SIGNAL_SHUTDOWN: u8 = 2;

/// A queued task: one pointer to its closure, label and group.
pub(super) type BoxedTask = Box<dyn Task>;

/// A task in a worker's hands.
pub(super) struct Ticket {
    pub(super) task: BoxedTask,
    pub(super) flow: FlowId,
    /// What the policy charged for it.
    pub(super) charge: u64,
}

/// Place of a group's queue in [`Central`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupKey(u32);

pub(super) struct GroupQueue {
    pub(super) tasks: VecDeque<BoxedTask>,
    pub(super) flow: FlowId,
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

pub(super) struct Central {
    pub(super) policy: Policy,
    groups: Vec<Option<GroupQueue>>,
    free: Vec<GroupKey>,
    /// By flow: its groups with queued tasks, which take turns.
    turns: Vec<VecDeque<GroupKey>>,
    /// Workers asleep.
    pub(super) idle: usize,
    pub(super) shutdown: bool,
}

impl Central {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, groups: Vec::new(), free: Vec::new(), turns: Vec::new(), idle: 0, shutdown: false }
    }

    pub(super) fn open_group(
        &mut self,
        class: Priority,
        owner: u64,
        max_queued: usize,
        room: Arc<Condvar>,
    ) -> GroupKey {
        let flow = self.policy.open(class, owner);
        if self.turns.len() <= flow.index() {
            self.turns.resize_with(flow.index() + 1, VecDeque::new);
        }
        let key = self.free.pop().unwrap_or(GroupKey(self.groups.len() as u32));
        if key.0 as usize == self.groups.len() {
            self.groups.push(None);
        }
        let queue =
            GroupQueue { tasks: VecDeque::new(), flow, max_queued: max_queued.max(1), producers: 0, room };
        self.groups[key.0 as usize] = Some(queue);
        key
    }

    /// Forgets a group, which must have no tasks left.
    pub(super) fn close_group(&mut self, key: GroupKey) {
        if let Some(queue) = self.groups[key.0 as usize].take() {
            debug_assert!(queue.tasks.is_empty(), "a group was closed with tasks queued");
            self.policy.close(queue.flow);
            self.free.push(key);
        }
    }

    pub(super) fn queue(&mut self, key: GroupKey) -> &mut GroupQueue {
        self.groups[key.0 as usize].as_mut().expect("group key used after close")
    }

    /// Queues tasks from the front of `tasks`, as many as the group has room for; returns how many.
    pub(super) fn enqueue(&mut self, key: GroupKey, tasks: &mut VecDeque<BoxedTask>) -> usize {
        let queue = self.queue(key);
        let count = queue.max_queued.saturating_sub(queue.tasks.len()).min(tasks.len());
        if count == 0 {
            return 0;
        }
        let was_empty = queue.tasks.is_empty();
        queue.tasks.extend(tasks.drain(..count));
        let flow = queue.flow;
        if was_empty {
            self.turns[flow.index()].push_back(key);
        }
        self.policy.arrive(flow, count as u64);
        count
    }

    /// Queues one task; gives it back when the group has no room.
    pub(super) fn enqueue_one(&mut self, key: GroupKey, task: BoxedTask) -> Result<(), BoxedTask> {
        let queue = self.queue(key);
        if queue.tasks.len() >= queue.max_queued {
            return Err(task);
        }
        queue.tasks.push_back(task);
        let (flow, first) = (queue.flow, queue.tasks.len() == 1);
        if first {
            self.turns[flow.index()].push_back(key);
        }
        self.policy.arrive(flow, 1);
        Ok(())
    }

    /// Takes a group's queued tasks away.
    pub(super) fn drain(&mut self, key: GroupKey) -> VecDeque<BoxedTask> {
        let queue = self.queue(key);
        let tasks = std::mem::take(&mut queue.tasks);
        queue.room.notify_all();
        let flow = queue.flow;
        if !tasks.is_empty() {
            self.turns[flow.index()].retain(|k| *k != key);
            self.policy.withdraw(flow, tasks.len() as u64);
        }
        tasks
    }

    /// Takes all queued tasks away.
    pub(super) fn drain_all(&mut self) -> Vec<BoxedTask> {
        let keys: Vec<GroupKey> = (0..self.groups.len() as u32).map(GroupKey).collect();
        let open = keys.into_iter().filter(|k| self.groups[k.0 as usize].is_some()).collect::<Vec<_>>();
        open.into_iter().flat_map(|key| self.drain(key)).collect()
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
        let group = self.turns[flow.index()].front().copied();
        let first = Ticket { task: self.pop(flow), flow, charge };
        for _ in 1..count {
            let task = self.pop(flow);
            deque.push(Ticket { task, flow, charge });
        }
        // The turn is over: the next one is another group's.
        let turns = &mut self.turns[flow.index()];
        if turns.len() > 1 && turns.front().copied() == group {
            turns.rotate_left(1);
        }
        first
    }

    /// The next task of a flow, which has one.
    fn pop(&mut self, flow: FlowId) -> BoxedTask {
        let turns = &mut self.turns[flow.index()];
        let key = *turns.front().expect("the policy drew from an empty flow");
        let queue = self.groups[key.0 as usize].as_mut().expect("a closed group had a turn");
        let task = queue.tasks.pop_front().expect("an empty group had a turn");
        if queue.tasks.is_empty() {
            turns.pop_front();
        }
        queue.wake_producers();
        task
    }

    /// Takes a task of one group out of turn.
    pub(super) fn draw_from(&mut self, key: GroupKey) -> Option<Ticket> {
        let queue = self.queue(key);
        let task = queue.tasks.pop_front()?;
        queue.wake_producers();
        let (flow, empty) = (queue.flow, queue.tasks.is_empty());
        if empty {
            self.turns[flow.index()].retain(|k| *k != key);
        }
        let charge = self.policy.draw(flow).map_or(0, |d| d.charge_each);
        Some(Ticket { task, flow, charge })
    }

    /// Puts drawn tasks back to the front of their groups' queues, keeping their order. Those whose group was
    /// cancelled are given to `ended` instead: whoever cancels raises the flag first and drains the queue, under
    /// this lock, second, so that a task put back is either drained or not cancelled.
    pub(super) fn hand_back(&mut self, tickets: Vec<Ticket>, ended: &mut Vec<BoxedTask>) -> usize {
        let mut count = 0;
        for ticket in tickets.into_iter().rev() {
            let head = ticket.task.head();
            if self.shutdown || head.token.is_cancelled() {
                self.policy.forfeit(ticket.flow, 1, ticket.charge);
                ended.push(ticket.task);
                continue;
            }
            ticket.task.requeued();
            let key = head.key;
            let queue = self.queue(key);
            let was_empty = queue.tasks.is_empty();
            queue.tasks.push_front(ticket.task);
            if was_empty {
                self.turns[ticket.flow.index()].push_front(key);
            }
            self.policy.give_back(ticket.flow, 1, ticket.charge);
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

    /// Ends a change of the queues: publishes, unlocks, and wakes sleepers for up to `tasks` new tasks.
    pub(super) fn release(&self, central: MutexGuard<'_, Central>, tasks: usize) {
        self.publish(&central);
        let wake = tasks.min(central.idle);
        let all = wake == central.idle;
        drop(central);
        if all && wake > 1 {
            self.work.notify_all();
        } else {
            (0..wake).for_each(|_| self.work.notify_one());
        }
    }

    /// Cancels a group's queued tasks, also those in workers' hands, and asks its running ones to stop.
    pub(super) fn cancel_group(&self, key: GroupKey, id: u64) {
        let mut central = lock(&self.central);
        let mut ended: Vec<BoxedTask> = central.drain(key).into();
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
