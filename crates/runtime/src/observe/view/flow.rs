//! What waits for what: channels, permits, limiters, children, as others read them.

use super::{ms, ms_of_ns};
#[cfg(target_os = "linux")]
use crate::process::ChildrenSnapshot;
use crate::{
    channel::ChannelSnapshot,
    limit::LimiterSnapshot,
    permit::{PermitSnapshot, TicketState},
};
use serde::{Deserialize, Serialize};

/// A channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ChannelView {
    pub name: String,
    /// `block`, `drop-newest`, `drop-oldest`, `conflate` or `fail`.
    pub when_full: String,
    pub items: u64,
    pub items_limit: u64,
    pub items_max: u64,
    pub bytes: u64,
    pub bytes_limit: u64,
    pub bytes_max: u64,
    pub senders: u64,
    /// Senders that wait for room.
    pub waiting: u64,
    /// How long the first of them has been waiting, ms.
    pub longest_wait_ms: Option<f64>,
    /// Whether the receiver waits for an item.
    pub receiver_waits: bool,
    pub closed: bool,
    pub sent: u64,
    pub received: u64,
    /// Items that were handed over and no receiver saw, of all kinds.
    pub dropped: u64,
    pub dropped_newest: u64,
    pub dropped_oldest: u64,
    pub conflated: u64,
    pub abandoned: u64,
    /// Items given back to their senders.
    pub refused: u64,
    pub withdrawn: u64,
    /// Items that had to wait for room, and for how long in all.
    pub waits: u64,
    pub waited_ms: f64,
}

impl From<&ChannelSnapshot> for ChannelView {
    fn from(seen: &ChannelSnapshot) -> Self {
        let counts = &seen.counts;
        Self {
            name: seen.name.to_string(),
            when_full: seen.when_full.as_str().into(),
            items: seen.items as u64,
            items_limit: seen.bound.items as u64,
            items_max: counts.items_max as u64,
            bytes: seen.bytes as u64,
            bytes_limit: seen.bound.bytes as u64,
            bytes_max: counts.bytes_max as u64,
            senders: seen.senders as u64,
            waiting: seen.waiting as u64,
            longest_wait_ms: seen.longest_wait.map(ms),
            receiver_waits: seen.receiver_waits,
            closed: seen.closed,
            sent: counts.sent,
            received: counts.received,
            dropped: counts.dropped(),
            dropped_newest: counts.dropped_newest,
            dropped_oldest: counts.dropped_oldest,
            conflated: counts.conflated,
            abandoned: counts.abandoned,
            refused: counts.refused,
            withdrawn: counts.withdrawn,
            waits: counts.waits,
            waited_ms: ms(counts.waited),
        }
    }
}

/// A source of permits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PermitsView {
    pub name: String,
    pub limit: u64,
    pub in_flight: u64,
    pub waiting: u64,
    /// The round trip without queueing, ms, as far as known.
    pub base_ms: Option<f64>,
    pub keys: Vec<PermitKeyView>,
    /// Who waits or holds, longest first, at most 64.
    pub tickets: Vec<TicketView>,
    /// Permits held for longer than is usual.
    pub overheld: u64,
    pub granted: u64,
    pub answered: u64,
    pub overloaded: u64,
    pub withdrawn: u64,
    pub refused: u64,
    pub waited_ms: f64,
    pub wait_p50_ms: Option<f64>,
    pub wait_p99_ms: Option<f64>,
}

/// One key of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PermitKeyView {
    pub name: String,
    /// None where the key has no limit of its own.
    pub limit: Option<u64>,
    pub in_flight: u64,
    pub waiting: u64,
}

/// Somebody who waits for a permit or holds one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TicketView {
    pub label: String,
    pub class: String,
    pub owner: u64,
    pub key: String,
    pub for_ms: f64,
    pub held: bool,
}

impl From<&PermitSnapshot> for PermitsView {
    fn from(seen: &PermitSnapshot) -> Self {
        let counts = &seen.counts;
        Self {
            name: seen.name.to_string(),
            limit: seen.limit.into(),
            in_flight: seen.in_flight.into(),
            waiting: seen.waiting.0.iter().sum(),
            base_ms: seen.base.map(ms),
            keys: seen
                .keys
                .iter()
                .map(|key| PermitKeyView {
                    name: key.name.to_string(),
                    limit: (key.limit < u32::MAX).then(|| key.limit.into()),
                    in_flight: key.in_flight.into(),
                    waiting: key.waiting.into(),
                })
                .collect(),
            tickets: seen.tickets.iter().map(TicketView::from).collect(),
            overheld: seen.overheld.len() as u64,
            granted: counts.granted,
            answered: counts.answered,
            overloaded: counts.overloaded,
            withdrawn: counts.withdrawn,
            refused: counts.refused,
            waited_ms: ms(seen.waits.sum()),
            wait_p50_ms: seen.waits.quantile(0.5).map(ms),
            wait_p99_ms: seen.waits.quantile(0.99).map(ms),
        }
    }
}

impl From<&TicketState> for TicketView {
    fn from(ticket: &TicketState) -> Self {
        Self {
            label: ticket.label.to_string(),
            class: ticket.class.as_str().into(),
            owner: ticket.owner,
            key: ticket.key.to_string(),
            for_ms: ms_of_ns(ticket.for_ns),
            held: ticket.held,
        }
    }
}

/// A rate limiter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LimiterView {
    pub name: String,
    /// In how long somebody may go next, ms; none when nobody waits.
    pub next_in_ms: Option<f64>,
    /// Those with most waiters first.
    pub keys: Vec<LimiterKeyView>,
}

/// One key of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LimiterKeyView {
    pub key: String,
    pub waiting: u64,
    pub granted: u64,
    pub delayed: u64,
    pub waited_ms: f64,
    /// How much longer it is paused, ms, and why.
    pub paused_ms: Option<f64>,
    pub paused_by: Option<String>,
    pub pauses: u64,
    /// Of each unit: its name and how much may be taken now.
    pub available: Vec<(String, Option<u64>)>,
    pub waiters: Vec<TicketView>,
}

impl LimiterView {
    pub(crate) fn of(name: &str, seen: &LimiterSnapshot) -> Self {
        let keys = seen.keys.iter().map(|key| LimiterKeyView {
            key: key.key.to_string(),
            waiting: key.waiting as u64,
            granted: key.granted,
            delayed: key.delayed,
            waited_ms: ms(key.waited),
            paused_ms: key.paused.map(|(left, _)| ms(left)),
            paused_by: key.paused.map(|(_, why)| why.to_string()),
            pauses: key.pauses,
            available: key.levels.iter().map(|l| (l.unit.to_string(), l.available)).collect(),
            waiters: key
                .waiters
                .iter()
                .map(|waiter| TicketView {
                    label: waiter.label.to_string(),
                    class: waiter.class.as_str().into(),
                    owner: waiter.owner,
                    key: key.key.to_string(),
                    for_ms: ms(waiter.waited),
                    held: false,
                })
                .collect(),
        });
        Self { name: name.into(), next_in_ms: seen.next_in.map(ms), keys: keys.collect() }
    }
}

/// The child processes of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ChildrenView {
    pub children: Vec<ChildView>,
    pub started: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub limited: u64,
    pub cancelled: u64,
    pub not_started: u64,
    pub lost: u64,
    pub output_dropped_bytes: u64,
    pub descendants_ended: u64,
    pub survivors: u64,
    pub warden_restarts: u64,
}

/// A child that waits or runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ChildView {
    pub id: u64,
    pub label: String,
    pub class: String,
    pub owner: u64,
    /// None while it waits for its turn.
    pub pid: Option<u32>,
    pub for_ms: f64,
    /// Of the process and all that descend from it.
    pub cpu_ms: f64,
    pub resident_bytes: u64,
    #[serde(default)]
    pub processes: u32,
    /// The last progress it told.
    pub progress: Option<String>,
}

#[cfg(target_os = "linux")]
fn progress_text(progress: &crate::process::Progress) -> String {
    let total = progress.total.map_or(String::new(), |total| format!(" of {total}"));
    let note = progress.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
    format!("{}{total}{note}", progress.done)
}

#[cfg(target_os = "linux")]
impl From<&ChildrenSnapshot> for ChildrenView {
    fn from(seen: &ChildrenSnapshot) -> Self {
        let counts = &seen.counts;
        Self {
            children: seen
                .children
                .iter()
                .map(|child| ChildView {
                    id: child.id,
                    label: child.label.to_string(),
                    class: child.priority.as_str().into(),
                    owner: child.owner,
                    pid: child.pid,
                    for_ms: ms(child.elapsed),
                    cpu_ms: ms(child.cpu),
                    resident_bytes: child.resident_bytes,
                    processes: child.processes,
                    progress: child.progress.as_ref().map(progress_text),
                })
                .collect(),
            started: counts.started,
            succeeded: counts.succeeded,
            failed: counts.failed,
            limited: counts.limited,
            cancelled: counts.cancelled,
            not_started: counts.not_started,
            lost: counts.lost,
            output_dropped_bytes: counts.output_dropped_bytes,
            descendants_ended: counts.descendants_ended,
            survivors: counts.survivors,
            warden_restarts: counts.warden_restarts,
        }
    }
}
