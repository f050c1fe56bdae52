//! A binary heap whose members can be moved and removed by number.

/// Position of a member that is not in the heap.
const ABSENT: u32 = u32::MAX;

/// Numbers ordered by a key of two parts, smallest first.
#[derive(Debug, Default)]
pub(super) struct Heap {
    entries: Vec<Entry>,
    /// By member: where it stands in `entries`.
    places: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u64,
    turn: u64,
    member: u32,
}

impl Entry {
    fn key(self) -> u128 {
        u128::from(self.tag) << 64 | u128::from(self.turn)
    }
}

impl Heap {
    /// The member with the smallest key.
    pub(super) fn first(&self) -> Option<u32> {
        self.entries.first().map(|entry| entry.member)
    }

    /// Inserts a member that is absent, or moves one that is there.
    pub(super) fn set(&mut self, member: u32, tag: u64, turn: u64) {
        let entry = Entry { tag, turn, member };
        match self.place(member) {
            Some(place) => self.settle(place, entry),
            None => {
                if self.places.len() <= member as usize {
                    self.places.resize(member as usize + 1, ABSENT);
                }
                self.entries.push(entry);
                self.rise(self.entries.len() - 1, entry);
            }
        }
    }

    /// Removes a member, if it is there.
    pub(super) fn remove(&mut self, member: u32) {
        let Some(place) = self.place(member) else { return };
        self.places[member as usize] = ABSENT;
        let last = self.entries.pop().expect("a member has a place in the heap");
        if last.member != member {
            self.settle(place, last);
        }
    }

    fn place(&self, member: u32) -> Option<usize> {
        self.places.get(member as usize).filter(|place| **place != ABSENT).map(|place| *place as usize)
    }

    /// Puts `entry` in the order, starting from a free place.
    fn settle(&mut self, place: usize, entry: Entry) {
        if place > 0 && entry.key() < self.entries[(place - 1) / 2].key() {
            self.rise(place, entry);
        } else {
            self.sink(place, entry);
        }
    }

    fn rise(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.entries[parent].key() <= entry.key() {
                break;
            }
            self.put(place, self.entries[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn sink(&mut self, mut place: usize, entry: Entry) {
        loop {
            let left = 2 * place + 1;
            let Some(mut child) = self.entries.get(left).copied() else { break };
            let mut at = left;
            if let Some(right) = self.entries.get(left + 1).copied()
                && right.key() < child.key()
            {
                (child, at) = (right, left + 1);
            }
            if entry.key() <= child.key() {
                break;
            }
            self.put(place, child);
            place = at;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.entries[place] = entry;
        self.places[entry.member as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_first_is_the_smallest(steps in prop::collection::vec((0..12_u32, 0..40_u64, any::<bool>()), 1..200)) {
            let (mut heap, mut model) = (Heap::default(), BTreeMap::new());
            for (turn, (member, tag, insert)) in steps.into_iter().enumerate() {
                if insert {
                    heap.set(member, tag, turn as u64);
                    model.insert(member, (tag, turn));
                } else {
                    heap.remove(member);
                    model.remove(&member);
                }
                let smallest = model.iter().min_by_key(|(_, key)| **key).map(|(member, _)| *member);
                prop_assert_eq!(heap.first(), smallest);
                prop_assert_eq!(heap.entries.len(), model.len());
            }
        }
    }
}
