//! The watch over one child, as a pure state machine: `(state, event, now) → actions`. Times are nanoseconds
//! of any steady clock.
//!
//! ```text
//! Running ──limit, stop──▶ Asked ──grace over──▶ Killed ──no end──▶ Reported (stuck)
//!    └────────────┬──────────┴───────────┬─────────┘
//!                 └──the child ends──▶ Sweeping ──nobody left, or given up──▶ Reported
//! ```

use crate::process::{exit::Cause, wire::WatchLimits};

const MS: u64 = 1_000_000;
/// How often memory is looked at.
const MEMORY_EVERY: u64 = 25 * MS;
/// Bounds of the time between two looks at the processor time.
const CPU_EVERY: std::ops::RangeInclusive<u64> = 5 * MS..=1_000 * MS;
/// How often a kill is repeated: a tree that forks while it is killed may have new members.
const KILL_EVERY: u64 = 20 * MS;
/// After this long without an end a child is reported as stuck.
const STUCK_AFTER: u64 = 10_000 * MS;
/// How often descendants are looked for after the child ended, unless one of them ends earlier.
const SWEEP_EVERY: u64 = 10 * MS;
/// After this long what is left is reported as surviving.
const SWEEP_MAX: u64 = 5_000 * MS;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time passed.
    Tick,
    /// What the tree uses, as asked for by [`Action::Sample`].
    Sampled { cpu_ns: u64, memory_bytes: u64 },
    /// Someone wants it to end.
    Stop(Cause),
    /// The child itself ended (or was found dead).
    Ended,
    /// After [`Action::Sweep`]: so many descendants are still there.
    Left(u32),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Measure the tree and tell [`Event::Sampled`].
    Sample,
    /// Ask the tree to end.
    Ask,
    /// End the tree.
    Kill,
    /// End what is left of the tree and tell [`Event::Left`].
    Sweep,
    /// Tell the outcome; nothing comes after.
    Report { survivors: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running { sample_at: u64 },
    Asked { kill_at: u64 },
    Killed { again_at: u64, stuck_at: u64 },
    Sweeping { again_at: u64, until: u64 },
    Reported,
}

/// The state. At most one action follows an event.
#[derive(Clone, Debug)]
pub(crate) struct Vigil {
    limits: WatchLimits,
    /// Processors a tree can use at once: how fast its processor time may grow.
    processors: u64,
    wall_at: u64,
    phase: Phase,
    cause: Option<Cause>,
}

impl Vigil {
    pub(crate) fn new(limits: WatchLimits, processors: u64, now: u64) -> Self {
        let mut vigil = Self {
            limits,
            processors: processors.max(1),
            wall_at: now.saturating_add(limits.wall_ns),
            phase: Phase::Reported,
            cause: None,
        };
        vigil.phase = Phase::Running { sample_at: vigil.next_sample(0, now) };
        vigil
    }

    /// Why the child was ended, if we did it.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// The tree's limit of memory; `u64::MAX` for none.
    pub(crate) fn memory_limit(&self) -> u64 {
        self.limits.memory_bytes
    }

    /// When [`Event::Tick`] is due; `u64::MAX` for never.
    pub(crate) fn wake_at(&self) -> u64 {
        match self.phase {
            Phase::Running { sample_at } => sample_at.min(self.wall_at),
            Phase::Asked { kill_at } => kill_at,
            Phase::Killed { again_at, stuck_at } => again_at.min(stuck_at),
            Phase::Sweeping { again_at, until } => again_at.min(until),
            Phase::Reported => u64::MAX,
        }
    }

    /// Goes on from an event.
    pub(crate) fn on(&mut self, event: Event, now: u64) -> Option<Action> {
        match (event, self.phase) {
            (_, Phase::Reported) => None,
            (Event::Ended, Phase::Sweeping { .. }) => None,
            (Event::Ended, _) => {
                self.phase = Phase::Sweeping { again_at: now + SWEEP_EVERY, until: now + SWEEP_MAX };
                Some(Action::Sweep)
            }
            (Event::Tick, _) => self.tick(now),
            (Event::Stop(cause), Phase::Running { .. }) => Some(self.stop(cause, now)),
            (Event::Sampled { cpu_ns, memory_bytes }, Phase::Running { .. }) => {
                self.weigh(cpu_ns, memory_bytes, now)
            }
            (Event::Left(0), Phase::Sweeping { .. }) => Some(self.report(0)),
            (Event::Left(left), Phase::Sweeping { until, .. }) if now >= until => Some(self.report(left)),
            (Event::Left(_), Phase::Sweeping { until, .. }) => {
                self.phase = Phase::Sweeping { again_at: now + SWEEP_EVERY, until };
                None
            }
            (Event::Stop(_) | Event::Sampled { .. } | Event::Left(_), _) => None,
        }
    }

    fn tick(&mut self, now: u64) -> Option<Action> {
        match self.phase {
            Phase::Running { .. } if now >= self.wall_at => Some(self.stop(Cause::Wall, now)),
            Phase::Running { sample_at } if now >= sample_at => {
                // Until the sample comes; it sets the next time.
                self.phase = Phase::Running { sample_at: now + MEMORY_EVERY };
                Some(Action::Sample)
            }
            Phase::Asked { kill_at } if now >= kill_at => Some(self.kill(now)),
            Phase::Killed { stuck_at, .. } if now >= stuck_at => Some(self.report(1)),
            Phase::Killed { again_at, stuck_at } if now >= again_at => {
                self.phase = Phase::Killed { again_at: now + KILL_EVERY, stuck_at };
                Some(Action::Kill)
            }
            Phase::Sweeping { again_at, until } if now >= again_at.min(until) => {
                self.phase = Phase::Sweeping { again_at: now + SWEEP_EVERY, until };
                Some(Action::Sweep)
            }
            _ => None,
        }
    }

    fn weigh(&mut self, cpu_ns: u64, memory_bytes: u64, now: u64) -> Option<Action> {
        if cpu_ns >= self.limits.cpu_ns {
            return Some(self.stop(Cause::Cpu { used_ns: cpu_ns }, now));
        }
        if memory_bytes > self.limits.memory_bytes {
            return Some(self.stop(Cause::Memory { seen_bytes: memory_bytes }, now));
        }
        self.phase = Phase::Running { sample_at: self.next_sample(cpu_ns, now) };
        None
    }

    fn next_sample(&self, cpu_ns: u64, now: u64) -> u64 {
        let cpu = match self.limits.cpu_ns {
            u64::MAX => u64::MAX,
            // The limit cannot be reached earlier than on all processors at once.
            limit => {
                (limit.saturating_sub(cpu_ns) / self.processors).clamp(*CPU_EVERY.start(), *CPU_EVERY.end())
            }
        };
        let memory = if self.limits.memory_bytes == u64::MAX { u64::MAX } else { MEMORY_EVERY };
        now.saturating_add(cpu.min(memory))
    }

    fn stop(&mut self, cause: Cause, now: u64) -> Action {
        self.cause = Some(cause);
        if self.limits.grace_ns == 0 {
            return self.kill(now);
        }
        self.phase = Phase::Asked { kill_at: now.saturating_add(self.limits.grace_ns) };
        Action::Ask
    }

    fn kill(&mut self, now: u64) -> Action {
        self.phase = Phase::Killed { again_at: now + KILL_EVERY, stuck_at: now + STUCK_AFTER };
        Action::Kill
    }

    fn report(&mut self, survivors: u32) -> Action {
        self.phase = Phase::Reported;
        Action::Report { survivors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: WatchLimits =
        WatchLimits { wall_ns: u64::MAX, cpu_ns: u64::MAX, memory_bytes: u64::MAX, grace_ns: 0 };

    #[test]
    fn an_ordinary_child_is_left_alone_and_reported_once() {
        let mut vigil = Vigil::new(NONE, 2, 0);
        assert_eq!(vigil.wake_at(), u64::MAX, "no limit, no waking");
        assert_eq!(vigil.on(Event::Ended, 5), Some(Action::Sweep));
        assert_eq!(vigil.on(Event::Left(0), 5), Some(Action::Report { survivors: 0 }));
        assert_eq!(vigil.on(Event::Ended, 6), None);
        assert_eq!(vigil.cause(), None);
    }

    #[test]
    fn a_deadline_asks_then_kills_then_gives_up() {
        let mut vigil = Vigil::new(WatchLimits { wall_ns: 100 * MS, grace_ns: 30 * MS, ..NONE }, 2, 0);
        assert_eq!(vigil.wake_at(), 100 * MS);
        assert_eq!(vigil.on(Event::Tick, 99 * MS), None);
        assert_eq!(vigil.on(Event::Tick, 100 * MS), Some(Action::Ask));
        assert_eq!(vigil.on(Event::Stop(Cause::Cancelled), 110 * MS), None, "the first reason stays");
        assert_eq!(vigil.on(Event::Tick, 130 * MS), Some(Action::Kill));
        assert_eq!(vigil.on(Event::Tick, 150 * MS), Some(Action::Kill), "again, for what forked meanwhile");
        assert_eq!(vigil.on(Event::Tick, 130 * MS + STUCK_AFTER), Some(Action::Report { survivors: 1 }));
        assert_eq!(vigil.cause(), Some(Cause::Wall));
    }

    #[test]
    fn descendants_are_swept_until_none_is_left_or_patience_is() {
        let mut vigil = Vigil::new(NONE, 2, 0);
        vigil.on(Event::Ended, 0);
        assert_eq!(vigil.on(Event::Left(2), 0), None);
        assert_eq!(vigil.on(Event::Tick, SWEEP_EVERY), Some(Action::Sweep));
        assert_eq!(vigil.on(Event::Left(1), SWEEP_MAX), Some(Action::Report { survivors: 1 }));
    }

    #[test]
    fn processor_time_is_looked_at_when_it_could_be_used_up() {
        let mut vigil = Vigil::new(WatchLimits { cpu_ns: 400 * MS, ..NONE }, 2, 0);
        assert_eq!(vigil.wake_at(), 200 * MS);
        assert_eq!(vigil.on(Event::Tick, 200 * MS), Some(Action::Sample));
        assert_eq!(vigil.on(Event::Sampled { cpu_ns: 300 * MS, memory_bytes: 0 }, 201 * MS), None);
        assert_eq!(vigil.wake_at(), 251 * MS);
        let used = Event::Sampled { cpu_ns: 400 * MS, memory_bytes: 0 };
        assert_eq!(vigil.on(used, 252 * MS), Some(Action::Kill));
        assert_eq!(vigil.cause(), Some(Cause::Cpu { used_ns: 400 * MS }));
    }

    fn events() -> impl Strategy<Value = Vec<(Event, u64)>> {
        let event = prop_oneof![
            4 => Just(Event::Tick),
            2 => (0..600 * MS, 0..200_u64).prop_map(|(cpu_ns, memory_bytes)| Event::Sampled { cpu_ns, memory_bytes }),
            1 => Just(Event::Stop(Cause::Cancelled)),
            1 => Just(Event::Ended),
            1 => (0..3_u32).prop_map(Event::Left),
        ];
        proptest::collection::vec((event, 0..300 * MS), 1..60)
    }

    proptest! {
        /// Whatever happens: one report, at the end; a cause never changes; nothing is due in the past once its
        /// tick was told; and a child past its time comes to an end by ticks alone.
        #[test]
        fn holds_whatever_happens(events in events(), grace in 0..200 * MS, limited in any::<bool>()) {
            let limits = WatchLimits {
                wall_ns: 2_000 * MS,
                grace_ns: grace,
                cpu_ns: if limited { 500 * MS } else { u64::MAX },
                memory_bytes: if limited { 100 } else { u64::MAX },
            };
            let mut vigil = Vigil::new(limits, 2, 0);
            let (mut now, mut reports, mut cause) = (0, 0, None);
            for (event, passed) in events {
                now += passed;
                let action = vigil.on(event, now);
                prop_assert!(reports == 0 || action.is_none(), "silent after the report");
                reports += u32::from(matches!(action, Some(Action::Report { .. })));
                prop_assert!(cause.is_none() || cause == vigil.cause());
                cause = vigil.cause();
                if event == Event::Tick {
                    prop_assert!(vigil.wake_at() > now || action == Some(Action::Sweep));
                }
            }
            let end = now + 2_000 * MS + grace + STUCK_AFTER + SWEEP_MAX;
            while reports == 0 {
                prop_assert!(vigil.wake_at() <= end, "an end is planned");
                now = now.max(vigil.wake_at());
                match vigil.on(Event::Tick, now) {
                    Some(Action::Report { .. }) => reports += 1,
                    Some(Action::Sweep) => {
                        let last = vigil.on(Event::Left(1), now);
                        reports += u32::from(last.is_some());
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(vigil.wake_at(), u64::MAX);
        }
    }
}
