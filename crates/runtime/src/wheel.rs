//! A timer wheel: many deadlines, each set and removed at constant cost. Pure: time is an argument, in ticks.
//!
//! Six levels of 64 slots; a slot of level `n` spans 64ⁿ ticks. An entry lies in the level at which its tick
//! first differs from now, and moves down when that slot's time comes, at most five times.

const LEVELS: usize = 6;
const SLOTS: usize = 64;
const NONE: u32 = u32::MAX;
/// Farthest tick ahead that the levels can hold, a slot of the top level short of a full round; farther entries
/// wait there and are looked at again.
const AHEAD_MAX: u64 = 63 << (6 * (LEVELS - 1));

/// Number of an entry, used again after the entry was removed or fired.
pub(crate) type TimerId = u32;

#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    before: u32,
    after: u32,
    place: u16,
    value: Option<T>,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    now: u64,
    heads: [u32; LEVELS * SLOTS],
    occupied: [u64; LEVELS],
    entries: Vec<Entry<T>>,
    free: u32,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self { now: 0, heads: [NONE; LEVELS * SLOTS], occupied: [0; LEVELS], entries: Vec::new(), free: NONE }
    }
}

impl<T> Wheel<T> {
    /// Sets a timer for a tick; one that has passed fires at the next.
    pub(crate) fn insert(&mut self, tick: u64, value: T) -> TimerId {
        let entry = Entry { tick, before: NONE, after: NONE, place: 0, value: Some(value) };
        let id = self.free;
        let id = if id == NONE {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            self.free = self.entries[id as usize].after;
            self.entries[id as usize] = entry;
            id
        };
        self.link(id);
        id
    }

    /// Removes a timer that has neither fired nor been removed.
    pub(crate) fn remove(&mut self, id: TimerId) -> Option<T> {
        self.unlink(id);
        self.release(id)
    }

    /// A tick at or before which nothing fires but at which to look again; `None` when no timer is set.
    pub(crate) fn next(&self) -> Option<u64> {
        self.next_slot().map(|(_, tick)| tick)
    }

    /// Goes on to tick `to` and hands out what is due, in the order of ticks.
    pub(crate) fn advance(&mut self, to: u64, mut fire: impl FnMut(T)) {
        while let Some((place, tick)) = self.next_slot().filter(|(_, tick)| *tick <= to) {
            self.now = self.now.max(tick);
            let mut id = std::mem::replace(&mut self.heads[place], NONE);
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
            while id != NONE {
                let after = self.entries[id as usize].after;
                if self.entries[id as usize].tick <= self.now {
                    self.release(id).into_iter().for_each(&mut fire);
                } else {
                    self.link(id);
                }
                id = after;
            }
        }
        self.now = self.now.max(to);
    }

    /// The occupied slot whose time comes next.
    fn next_slot(&self) -> Option<(usize, u64)> {
        for (level, &occupied) in self.occupied.iter().enumerate() {
            if occupied == 0 {
                continue;
            }
            let shift = 6 * level;
            let current = (self.now >> shift) & 63;
            let slot = (u64::from(occupied.rotate_right(current as u32).trailing_zeros()) + current) & 63;
            let round = self.now >> shift >> 6 << 6;
            let mut tick = (round + slot) << shift;
            if tick <= self.now {
                // In the next round, which happens on the top level only.
                tick += (SLOTS as u64) << shift;
            }
            return Some((level * SLOTS + slot as usize, tick));
        }
        None
    }

    fn link(&mut self, id: u32) {
        let tick = self.entries[id as usize].tick.clamp(self.now + 1, self.now + AHEAD_MAX);
        let differs = (tick ^ self.now) | 63;
        let level = ((63 - differs.leading_zeros() as usize) / 6).min(LEVELS - 1);
        let slot = (tick >> (6 * level)) as usize & 63;
        let place = level * SLOTS + slot;
        let head = self.heads[place];
        let entry = &mut self.entries[id as usize];
        (entry.before, entry.after, entry.place) = (NONE, head, place as u16);
        if head != NONE {
            self.entries[head as usize].before = id;
        }
        self.heads[place] = id;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, id: u32) {
        let Entry { before, after, place, .. } = self.entries[id as usize];
        let place = usize::from(place);
        if after != NONE {
            self.entries[after as usize].before = before;
        }
        if before != NONE {
            self.entries[before as usize].after = after;
            return;
        }
        self.heads[place] = after;
        if after == NONE {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
    }

    fn release(&mut self, id: u32) -> Option<T> {
        let entry = &mut self.entries[id as usize];
        entry.after = self.free;
        self.free = id;
        entry.value.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Remove(usize),
        Advance(u64),
        ToNext,
    }

    fn step() -> impl Strategy<Value = Step> {
        let far = (0..46_u32, 0..64_u64).prop_map(|(shift, small)| (1 << shift) + small);
        let near = 0..200_u64;
        prop_oneof![
            3 => prop_oneof![far.clone(), near.clone()].prop_map(Step::Insert),
            1 => any::<usize>().prop_map(Step::Remove),
            2 => prop_oneof![far, near].prop_map(Step::Advance),
            1 => Just(Step::ToNext),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_timer_fires_once_in_its_time(steps in prop::collection::vec(step(), 1..150)) {
            let mut wheel = Wheel::default();
            let mut set: BTreeMap<u64, (u64, TimerId)> = BTreeMap::new();
            let (mut now, mut serial) = (0_u64, 0_u64);
            for step in steps {
                let to = match step {
                    Step::Insert(ahead) => {
                        serial += 1;
                        set.insert(serial, (now + ahead, wheel.insert(now + ahead, serial)));
                        continue;
                    }
                    Step::Remove(which) if !set.is_empty() => {
                        let key = *set.keys().nth(which % set.len()).unwrap();
                        let (_, id) = set.remove(&key).unwrap();
                        prop_assert_eq!(wheel.remove(id), Some(key));
                        continue;
                    }
                    Step::Remove(_) => continue,
                    Step::Advance(ahead) => now + ahead,
                    Step::ToNext => wheel.next().unwrap_or(now),
                };
                let earliest = set.values().map(|(tick, _)| (*tick).max(now + 1)).min();
                prop_assert_eq!(wheel.next().is_some(), earliest.is_some());
                if let (Some(next), Some(earliest)) = (wheel.next(), earliest) {
                    prop_assert!(next <= earliest, "looks again at {next}, too late for {earliest}");
                    prop_assert!(next > now);
                }
                let mut fired = Vec::new();
                wheel.advance(to, |serial| fired.push(serial));
                let due: Vec<u64> =
                    set.iter().filter(|(_, (tick, _))| (*tick).max(now + 1) <= to).map(|(s, _)| *s).collect();
                let in_order = fired.windows(2).all(|w| set[&w[0]].0.max(now + 1) <= set[&w[1]].0.max(now + 1));
                prop_assert!(in_order);
                fired.sort_unstable();
                prop_assert_eq!(&fired, &due);
                due.iter().for_each(|serial| { set.remove(serial); });
                now = now.max(to);
            }
        }
    }
}
