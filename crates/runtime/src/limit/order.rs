//! Who is next among those who wait: classes by weight, owners in turn, each owner's work as it came.
//!
//! The same start-time fair queuing as in [`crate::policy`], for work whose cost is known beforehand: a class's
//! tag is the limit it has used up divided by its weight, and the waiting class with the smallest tag is next.

use crate::priority::{BadWeight, PerClass, Priority, Weights};
use std::collections::{BTreeMap, BTreeSet};

/// Fixed-point scale of inverse shares.
const SCALE: f64 = 65_536.0;
/// Owners without waiting work whose debts are remembered; beyond this they are forgiven to bound memory.
const DEBTORS_MAX: usize = 1_024;

/// The classes' tags at one limit.
#[derive(Clone, Debug)]
pub(super) struct Tags {
    inverse: PerClass<u64>,
    tag: [u128; 4],
    /// Head start of critical work in the comparison.
    head_start: u128,
    now: u128,
}

impl Tags {
    /// `burst` is how far, in nanoseconds of the limit, critical work may run ahead of its share.
    pub(super) fn new(weights: &Weights, burst: u64) -> Result<Self, BadWeight> {
        let inverse = PerClass(weights.shares()?.0.map(|share| (SCALE / share).round() as u64));
        let head_start = u128::from(burst) * u128::from(inverse[Priority::Critical]);
        // All start where critical's rank is zero, so that its head start is whole from the outset.
        Ok(Self { inverse, tag: [head_start; 4], head_start, now: head_start })
    }

    fn rank(&self, class: Priority) -> u128 {
        let start = if class == Priority::Critical { self.head_start } else { 0 };
        self.tag[class.index()].saturating_sub(start)
    }

    /// A class that had nothing waiting has something again: it neither hoards credit nor pays for the past.
    pub(super) fn arrive(&mut self, class: Priority) {
        let tag = &mut self.tag[class.index()];
        *tag = self.now.max(*tag);
    }

    /// The class whose turn it is among those that `waits` names; ties go to the more urgent.
    pub(super) fn first(&self, waits: impl Fn(Priority) -> bool) -> Option<Priority> {
        Priority::ALL.into_iter().filter(|class| waits(*class)).min_by_key(|class| self.rank(*class))
    }

    /// `class` was served with work that uses up `span` nanoseconds of the limit.
    pub(super) fn charge(&mut self, class: Priority, span: u64) {
        self.now = self.now.max(self.rank(class));
        self.tag[class.index()] += u128::from(span.max(1)) * u128::from(self.inverse[class]);
    }

    /// Nobody waits any more: all debts are forgiven.
    pub(super) fn rest(&mut self) {
        self.now = self.tag.iter().copied().fold(self.now, u128::max);
    }
}

#[derive(Clone, Debug, Default)]
struct Owner {
    tag: u64,
    /// Order among equal tags: who was served longest ago comes first.
    turn: u64,
    /// Tickets in the order of arrival.
    waiting: BTreeSet<u64>,
}

/// The tickets of one class at one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    owners: BTreeMap<u64, Owner>,
    ready: BTreeSet<(u64, u64, u64)>,
    now: u64,
    turns: u64,
    len: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, owner_id: u64, ticket: u64) {
        self.turns += 1;
        let owner = self.owners.entry(owner_id).or_default();
        if owner.waiting.is_empty() {
            owner.tag = owner.tag.max(self.now);
            owner.turn = self.turns;
            self.ready.insert((owner.tag, owner.turn, owner_id));
        }
        self.len += usize::from(owner.waiting.insert(ticket));
    }

    /// The ticket that is next.
    pub(super) fn head(&self) -> Option<u64> {
        let (_, _, owner) = self.ready.first()?;
        self.owners.get(owner)?.waiting.first().copied()
    }

    /// Removes a ticket that will not be served.
    pub(super) fn withdraw(&mut self, owner_id: u64, ticket: u64) {
        let Some(owner) = self.owners.get_mut(&owner_id) else { return };
        if !owner.waiting.remove(&ticket) {
            return;
        }
        self.len -= 1;
        if owner.waiting.is_empty() {
            self.ready.remove(&(owner.tag, owner.turn, owner_id));
        }
        self.forgive();
    }

    /// Serves the head's owner with work that uses up `span` nanoseconds of the limit.
    pub(super) fn serve(&mut self, owner_id: u64, ticket: u64, span: u64) {
        self.turns += 1;
        let Some(owner) = self.owners.get_mut(&owner_id) else { return };
        self.ready.remove(&(owner.tag, owner.turn, owner_id));
        self.len -= usize::from(owner.waiting.remove(&ticket));
        self.now = self.now.max(owner.tag);
        owner.tag += span.max(1);
        owner.turn = self.turns;
        if !owner.waiting.is_empty() {
            self.ready.insert((owner.tag, owner.turn, owner_id));
        }
        self.forgive();
    }

    /// Owners without work are kept while their tag may still matter.
    fn forgive(&mut self) {
        if self.len == 0 {
            self.owners.clear();
        } else if self.owners.len() > DEBTORS_MAX.max(2 * self.ready.len()) {
            let now = self.now;
            self.owners.retain(|_, owner| !owner.waiting.is_empty() || owner.tag > now);
            if self.owners.len() > DEBTORS_MAX.max(2 * self.ready.len()) {
                self.owners.retain(|_, owner| !owner.waiting.is_empty());
            }
        }
    }

    /// Tickets, owner by owner in the order of their turns. For display.
    pub(super) fn tickets(&self) -> impl Iterator<Item = u64> + '_ {
        self.ready.iter().flat_map(|(_, _, owner)| self.owners[owner].waiting.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(line: &mut Line, owners: &BTreeMap<u64, u64>, span: u64) -> u64 {
        let ticket = line.head().unwrap();
        line.serve(owners[&ticket], ticket, span);
        ticket
    }

    #[test]
    fn owners_take_turns_whatever_they_bring() {
        let mut line = Line::default();
        let mut owners = BTreeMap::new();
        for ticket in 0..100 {
            line.push(1, ticket);
            owners.insert(ticket, 1);
        }
        for ticket in 100..105 {
            line.push(2, ticket);
            owners.insert(ticket, 2);
        }
        let order: Vec<u64> = (0..10).map(|_| owners[&serve(&mut line, &owners, 10)]).collect();
        assert_eq!(order.iter().filter(|owner| **owner == 2).count(), 5, "{order:?}");
    }

    #[test]
    fn a_withdrawn_ticket_leaves_no_trace() {
        let mut line = Line::default();
        line.push(1, 1);
        line.push(1, 2);
        line.withdraw(1, 1);
        line.withdraw(1, 1);
        assert_eq!((line.len(), line.head()), (1, Some(2)));
        line.withdraw(1, 2);
        assert!(line.is_empty() && line.head().is_none() && line.owners.is_empty());
    }

    #[test]
    fn classes_share_by_weight() {
        let mut tags = Tags::new(&Weights::default(), 0).unwrap();
        let mut served = [0_u32; 4];
        for _ in 0..10_000 {
            let class = tags.first(|_| true).unwrap();
            served[class.index()] += 1;
            tags.charge(class, 1_000);
        }
        for (got, want) in served.iter().zip([4_000, 3_000, 2_000, 1_000_u32]) {
            assert!(got.abs_diff(want) <= 2, "{served:?}");
        }
    }

    #[test]
    fn critical_goes_first_within_its_burst() {
        let mut tags = Tags::new(&Weights::default(), 50_000).unwrap();
        let mut first = 0;
        while tags.first(|_| true) == Some(Priority::Critical) {
            tags.charge(Priority::Critical, 1_000);
            first += 1;
        }
        assert_eq!(first, 51, "the burst in steps of 1,000 and the one that goes over");
    }
}
