//! Whose descendant an orphan is.
//!
//! A process that detaches itself (new session, parent gone) keeps nothing that names the child it came from,
//! but it keeps its resource limits, through fork and exec, even with an empty environment. So each child gets
//! a limit of its own value where the value means nothing: `RLIMIT_RTTIME`, the processor time that real-time
//! processes may use without sleeping, set so high that it is never reached. Only a process that lowers this
//! very limit on purpose hides itself; code that hostile belongs in a sandbox.

use super::launch::{limit_of, own_limit};

/// The highest tag; far beyond any real limit (146,000 years), below "no limit".
const TOP: u64 = 1 << 62;
/// Room for the tags that a supervised supervisor gives in its turn.
const NESTED: u64 = 1 << 32;

pub(super) struct Tags {
    top: u64,
    step: u64,
    /// Tags can be set and read on this system.
    pub(super) work: bool,
}

impl Tags {
    pub(super) fn new() -> Self {
        let hard = own_limit(libc::RLIMIT_RTTIME).map(|limit| limit.rlim_max);
        Self::below(hard)
    }

    /// `hard`: the limit this process lives under itself.
    fn below(hard: Option<u64>) -> Self {
        match hard {
            Some(libc::RLIM_INFINITY) => Self { top: TOP, step: NESTED, work: true },
            // We are somebody's child, with a tag: stay in its room.
            Some(hard) if hard > TOP >> 1 => Self { top: hard, step: 1, work: true },
            _ => Self { top: 0, step: 1, work: false },
        }
    }

    /// The limit that marks the child with this number (from 0).
    pub(super) fn limit(&self, number: u32) -> Option<(u32, libc::rlimit)> {
        let value = self.value(number)?;
        Some((libc::RLIMIT_RTTIME, libc::rlimit { rlim_cur: value, rlim_max: value }))
    }

    fn value(&self, number: u32) -> Option<u64> {
        // Number 0 would be the top itself, which is ours when nested.
        self.work.then(|| self.top - (u64::from(number) + 1) * self.step)
    }

    /// The number of the child that a process descends from; `None` when it cannot be told.
    pub(super) fn number_of(&self, pid: u32) -> Option<u32> {
        self.number(limit_of(pid, libc::RLIMIT_RTTIME)?.rlim_max)
    }

    fn number(&self, value: u64) -> Option<u32> {
        if !self.work || value >= self.top {
            return None;
        }
        let steps = (self.top - value) / self.step;
        u32::try_from(steps.checked_sub(1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_their_child_also_from_inside_a_nested_supervisor() {
        let outer = Tags::below(Some(libc::RLIM_INFINITY));
        for number in [0, 1, 77, 1 << 20] {
            let value = outer.value(number).unwrap();
            assert_eq!(outer.number(value), Some(number));
            let inner = Tags::below(Some(value));
            let nested = inner.value(5).unwrap();
            assert_eq!(inner.number(nested), Some(5));
            assert_eq!(outer.number(nested), Some(number), "a grandchild counts for the child");
        }
        assert_eq!(outer.number(libc::RLIM_INFINITY), None);
        assert_eq!(Tags::below(Some(1_000)).value(0), None, "under a real limit there are no tags");
    }
}
