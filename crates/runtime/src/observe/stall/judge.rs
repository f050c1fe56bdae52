//! Whether a thread goes on: a pure state machine. Time is an argument, in nanoseconds.
//!
//! A thread is looked at again and again. It does not go on when
//! - an asynchronous task has been in one step for longer than the threshold, as steps should be short, whether
//!   they compute or block;
//! - a task of pure computing has used no processor time for that long, unless it waits for its own children;
//! - a reactor has not taken the turn that it was asked for.

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) now_ns: u64,
    /// What the thread is in.
    pub(super) doing: Doing,
    /// Processor time of the thread so far; `None` where the system does not tell.
    pub(super) cpu_ns: Option<u64>,
    /// Whether it runs, or would if a processor were free.
    pub(super) runnable: bool,
}

/// What a thread is in. Equal beginnings stand for the same piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing, or waiting as it may.
    Nothing,
    /// A task of pure computing.
    Task { since_ns: u64 },
    /// A step of an asynchronous task.
    Step { since_ns: u64 },
    /// It owes a turn.
    Turn { since_ns: u64 },
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It has not gone on since then. `computes` when it used the processor meanwhile.
    Began { since_ns: u64, computes: bool },
    /// It went on; it had been held up for this long.
    Ended { for_ns: u64 },
}

/// Share of a span that a thread must have used the processor for to count as computing.
const AT_WORK: u64 = 20;

/// The memory of one thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judge {
    doing: Option<Doing>,
    /// When it was last seen to compute, and its processor time then.
    computed: Option<(u64, u64)>,
    /// Since when it does not go on, once that was told.
    stalled_ns: Option<u64>,
}

impl Judge {
    /// Judges after a look.
    pub(super) fn look(&mut self, look: Look, threshold_ns: u64) -> Option<Event> {
        let Look { now_ns, doing, cpu_ns, runnable } = look;
        let goes_on = self.doing.replace(doing) != Some(doing);
        if goes_on || doing == Doing::Nothing {
            self.computed = cpu_ns.map(|cpu| (now_ns, cpu));
            return self.end(now_ns);
        }
        let computes = self.computes(now_ns, cpu_ns, runnable);
        let since_ns = match doing {
            Doing::Nothing => return None,
            Doing::Step { since_ns } | Doing::Turn { since_ns } => since_ns,
            // Without knowing its processor time nothing can be said.
            Doing::Task { .. } if computes || cpu_ns.is_none() => return self.end(now_ns),
            Doing::Task { since_ns } => self.computed.map_or(since_ns, |(then, _)| then.max(since_ns)),
        };
        if self.stalled_ns.is_some() || now_ns.saturating_sub(since_ns) < threshold_ns {
            return None;
        }
        self.stalled_ns = Some(since_ns);
        Some(Event::Began { since_ns, computes })
    }

    /// Whether the thread has used the processor since it was last seen to, or waits for one.
    fn computes(&mut self, now_ns: u64, cpu_ns: Option<u64>, runnable: bool) -> bool {
        let Some(cpu) = cpu_ns else { return false };
        let (then, before) = *self.computed.get_or_insert((now_ns, cpu));
        let computes = runnable || (cpu.saturating_sub(before)) * AT_WORK > now_ns.saturating_sub(then);
        if computes {
            self.computed = Some((now_ns, cpu));
        }
        computes
    }

    fn end(&mut self, now_ns: u64) -> Option<Event> {
        let since_ns = self.stalled_ns.take()?;
        Some(Event::Ended { for_ns: now_ns.saturating_sub(since_ns) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THRESHOLD: u64 = 1_000;

    fn run(judge: &mut Judge, looks: &[(u64, Doing, Option<u64>)]) -> Vec<Event> {
        let look = |&(now_ns, doing, cpu_ns): &_| {
            judge.look(Look { now_ns, doing, cpu_ns, runnable: false }, THRESHOLD)
        };
        looks.iter().filter_map(look).collect()
    }

    #[test]
    fn a_long_step_is_told_once_and_so_is_its_end() {
        let step = Doing::Step { since_ns: 100 };
        let looks = [
            (200, step, Some(0)),
            (900, step, Some(0)),
            (1_200, step, Some(0)),
            (1_900, step, Some(0)),
            (2_300, Doing::Nothing, Some(0)),
            (2_500, Doing::Nothing, Some(0)),
        ];
        let want = [Event::Began { since_ns: 100, computes: false }, Event::Ended { for_ns: 2_200 }];
        assert_eq!(run(&mut Judge::default(), &looks), want);
    }

    #[test]
    fn computing_is_no_stall_of_a_task_but_one_of_a_step() {
        let at = |doing| (0..9).map(|n| (n * 400, doing, Some(n * 390))).collect::<Vec<_>>();
        assert_eq!(run(&mut Judge::default(), &at(Doing::Task { since_ns: 0 })), []);
        let told = run(&mut Judge::default(), &at(Doing::Step { since_ns: 0 }));
        assert_eq!(told, [Event::Began { since_ns: 0, computes: true }]);
    }

    #[test]
    fn a_task_that_stops_computing_is_told_from_there_on() {
        let task = Doing::Task { since_ns: 0 };
        let looks = [
            (400, task, Some(350)),
            (800, task, Some(700)),
            (1_200, task, Some(701)),
            (1_900, task, Some(702)),
            (2_300, task, Some(1_000)),
        ];
        let want = [Event::Began { since_ns: 800, computes: false }, Event::Ended { for_ns: 1_500 }];
        assert_eq!(run(&mut Judge::default(), &looks), want);
        // One that would run if it could is not blocked, however little it gets.
        let starved = |n: u64| Look { now_ns: n * 400, doing: task, cpu_ns: Some(0), runnable: true };
        let mut judge = Judge::default();
        assert_eq!((0..9).find_map(|n| judge.look(starved(n), THRESHOLD)), None);
        // Where the system tells no processor time, a long task is just a long task.
        let blind: Vec<_> = (0..9).map(|n| (n * 400, task, None)).collect();
        assert_eq!(run(&mut Judge::default(), &blind), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn beginnings_and_ends_take_turns(
            looks in prop::collection::vec((1..900_u64, 0..4_u8, 0..4_u64, 0..400_u64), 1..60),
        ) {
            let (mut judge, mut now, mut cpu, mut stalled) = (Judge::default(), 0, 0, false);
            for (step, kind, since, used) in looks {
                now += step;
                cpu += used.min(step);
                let since_ns = since * 700;
                let doing = match kind {
                    _ if since_ns > now => Doing::Nothing,
                    0 => Doing::Nothing,
                    1 => Doing::Task { since_ns },
                    2 => Doing::Step { since_ns },
                    _ => Doing::Turn { since_ns },
                };
                let look = Look { now_ns: now, doing, cpu_ns: Some(cpu), runnable: used > 300 };
                match judge.look(look, THRESHOLD) {
                    Some(Event::Began { since_ns, .. }) => {
                        prop_assert!(!stalled && doing != Doing::Nothing && now - since_ns >= THRESHOLD);
                        stalled = true;
                    }
                    Some(Event::Ended { for_ns }) => {
                        prop_assert!(stalled && for_ns >= THRESHOLD);
                        stalled = false;
                    }
                    None => prop_assert!(!(stalled && doing == Doing::Nothing), "an end was not told"),
                }
            }
        }
    }
}
