//! A binary heap whose members can be moved and removed by number.
//!
//! Its first member may be *loose*: its key was changed in place and it has not been put in order yet. Whoever is
//! served is charged twice, when it is dispatched and when its cost is known, and so is moved once.

/// Position of a member that is not in the heap.
const ABSENT: u32 = u32::MAX;

/// Numbers ordered by a key of two parts, smallest first.
#[derive(Debug, Default)]
pub(super) struct Heap {
    entries: Vec<Entry>,
    /// By member: where it stands in `entries`.
    places: Vec<u32>,
    /// The first entry may be larger than those below it.
    loose: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u128,
    member: u32,
}

/// Both parts as one number.
#[inline]
fn key(tag: u64, turn: u64) -> u128 {
    u128::from(tag) << 64 | u128::from(turn)
}

impl Heap {
    /// The member with the smallest key.
    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        // Where the first is loose, it or one of the two below it.
        let candidates = if self.loose { 3 } else { 1 };
        self.entries.iter().take(candidates).min_by_key(|entry| entry.key).map(|entry| entry.member)
    }

    /// As [`Heap::first`], for one who is about to move it.
    #[inline]
    pub(super) fn firm_first(&mut self) -> Option<u32> {
        self.firm();
        self.entries.first().map(|entry| entry.member)
    }

    /// Puts a loose first member in order.
    #[inline]
    pub(super) fn firm(&mut self) {
        if self.loose {
            self.loose = false;
            self.sink(0, self.entries[0]);
        }
    }

    /// Inserts a member that is absent, or moves one that is there. The first is not moved at once.
    #[inline]
    pub(super) fn set(&mut self, member: u32, tag: u64, turn: u64) {
        let entry = Entry { key: key(tag, turn), member };
        match self.entries.first_mut() {
            Some(first) if first.member == member => {
                *first = entry;
                self.loose = true;
            }
            _ => self.set_other(entry),
        }
    }

    /// As [`Heap::set`], but nothing is left loose.
    #[inline]
    pub(super) fn set_firm(&mut self, member: u32, tag: u64, turn: u64) {
        let entry = Entry { key: key(tag, turn), member };
        if self.entries.first().is_some_and(|first| first.member == member) {
            self.loose = false;
            self.sink(0, entry);
        } else {
            self.set_other(entry);
        }
    }

    /// As [`Heap::set`], for one that is not the first.
    fn set_other(&mut self, entry: Entry) {
        self.firm();
        match self.place(entry.member) {
            Some(place) => self.settle(place, entry),
            None => {
                if self.places.len() <= entry.member as usize {
                    self.places.resize(entry.member as usize + 1, ABSENT);
                }
                self.entries.push(entry);
                self.rise(self.entries.len() - 1, entry);
            }
        }
    }

    /// Removes a member, if it is there.
    pub(super) fn remove(&mut self, member: u32) {
        self.firm();
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
        if place > 0 && entry.key < self.entries[(place - 1) / 2].key {
            self.rise(place, entry);
        } else {
            self.sink(place, entry);
        }
    }

    fn rise(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.entries[parent].key <= entry.key {
                break;
            }
            self.put(place, self.entries[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn sink(&mut self, mut place: usize, entry: Entry) {
        let (entries, places) = (self.entries.as_mut_slice(), self.places.as_mut_slice());
        let last = entries.len() - 1;
        while 2 * place < last {
            let left = 2 * place + 1;
            // By arithmetic: which of two is smaller cannot be foretold, and a wrong guess costs more.
            let child = left + usize::from(entries[last.min(left + 1)].key < entries[left].key);
            let moved = entries[child];
            if entry.key <= moved.key {
                break;
            }
            entries[place] = moved;
            places[moved.member as usize] = place as u32;
            place = child;
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
        fn the_first_is_the_smallest(
            steps in prop::collection::vec((0..12_u32, 0..40_u64, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let (mut heap, mut model) = (Heap::default(), BTreeMap::new());
            for (turn, (member, tag, insert, firm)) in steps.into_iter().enumerate() {
                if insert {
                    if firm {
                        heap.set_firm(member, tag, turn as u64);
                    } else {
                        heap.set(member, tag, turn as u64);
                    }
                    model.insert(member, (tag, turn));
                } else {
                    heap.remove(member);
                    model.remove(&member);
                }
                let smallest = model.iter().min_by_key(|(_, key)| **key).map(|(member, _)| *member);
                prop_assert_eq!(heap.first(), smallest);
                if firm {
                    prop_assert_eq!(heap.firm_first(), smallest);
                }
                prop_assert_eq!(heap.entries.len(), model.len());
            }
        }
    }
}
