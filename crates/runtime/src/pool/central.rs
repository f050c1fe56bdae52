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

pub(super) struct Central {
    pub(super) policy: Policy,
    /// By flow.
    groups: Vec<Option<GroupQueue>>,
    /// Workers asleep.
    pub(super) idle: usize,
    pub(super) shutdown: bool,
}

impl Central {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, groups: Vec::new(), idle: 0, shutdown: false }
    }

    pub(super) fn open_group(
        &mut self,
        class: Priority,
        owner: u64,
        max_queued: usize,
        room: Arc<Condvar>,
    ) -> FlowId {
        let flow = self.policy.open(class, owner);
        if self.groups.len() <= flow.index() {
            self.groups.resize_with(flow.index() + 1, || None);
        }
        let queue = GroupQueue { tasks: VecDeque::new(), max_queued: max_queued.max(1), producers: 0, room };
        self.groups[flow.index()] = Some(queue);
        flow
    }

    /// Forgets a group, which must have no tasks left.
    pub(super) fn close_group(&mut self, flow: FlowId) {
        if let Some(queue) = self.groups[flow.index()].take() {
            debug_assert!(queue.tasks.is_empty(), "a group was closed with tasks queued");
            self.policy.close(flow);
        }
    }

    pub(super) fn queue(&mut self, flow: FlowId) -> &mut GroupQueue {
        self.groups[flow.index()].as_mut().expect("a group was used after its close")
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
        let open = |(_, group): &(usize, &Option<GroupQueue>)| group.is_some();
        let flows: Vec<FlowId> =
            self.groups.iter().enumerate().filter(open).map(|(i, _)| FlowId::at(i)).collect();
        flows.into_iter().flat_map(|flow| self.drain(flow)).collect()
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
        let queue = self.queue(flow);
        let first = queue.pop();
        for _ in 1..count {
            deque.push(Ticket { task: queue.pop(), flow, charge });
        }
        queue.wake_producers();
        Ticket { task: first, flow, charge }
    }

    /// Takes a task of one group out of turn.
    pub(super) fn draw_from(&mut self, flow: FlowId) -> Option<Ticket> {
        let charge = self.policy.draw(flow)?.charge_each;
        let queue = self.queue(flow);
        let task = queue.pop();
        queue.wake_producers();
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
            self.queue(ticket.flow).tasks.push_front(ticket.task);
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
    /// The next task; the policy says that there is one.
    fn pop(&mut self) -> BoxedTask {
        self.tasks.pop_front().expect("the policy drew from an empty queue")
    }

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
