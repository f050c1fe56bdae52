//! Collections and objects of one run: registers hold their handles. What no register, history or other
//! object leads to any more is collected, at moments that depend on the script and the bars alone.

use super::values::{Map, Matrix};

/// A collection or an object.
#[derive(Clone, Debug)]
pub(super) enum Object {
    Array(Vec<f64>),
    /// A window on another array's elements, by position: it sees what the array has there now.
    Slice {
        parent: u32,
        from: usize,
        len: usize,
    },
    Matrix(Matrix),
    Map(Map),
    Record(Vec<f64>),
}

impl Object {
    /// Values it holds itself, eight bytes each, with a word for the slot.
    fn weight(&self) -> usize {
        6 + match self {
            Object::Array(v) | Object::Record(v) => v.len(),
            Object::Slice { .. } => 0,
            Object::Matrix(m) => m.values.len(),
            Object::Map(m) => m.keys.len() * 4,
        }
    }
}

/// An object and whether its values are handles themselves.
#[derive(Clone, Debug)]
struct Slot {
    object: Object,
    links: bool,
}

/// Why a handle gives no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is na.
    Na,
    /// A slice whose array has shrunk below it.
    Outside,
}

/// All collections and objects of a run.
#[derive(Clone, Debug)]
pub(super) struct Heap {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// Values held, as far as known: exact after a collection, growing in between.
    values: usize,
    /// Collect when so many are held.
    due: usize,
}

/// Values that a run's collections may hold, eight bytes each.
const HEAP_MAX_VALUES: usize = 48 << 20;
/// Below this nothing is collected.
const COLLECT_MIN_VALUES: usize = 1 << 18;

impl Default for Heap {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), values: 0, due: COLLECT_MIN_VALUES }
    }
}

impl Heap {
    /// A new object; `links` when its values are handles of others.
    pub fn add(&mut self, object: Object, links: bool) -> f64 {
        self.values += object.weight();
        let slot = Some(Slot { object, links });
        match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                f64::from(id)
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as f64
            }
        }
    }

    /// So many values more were put somewhere.
    pub fn grew(&mut self, by: usize) {
        self.values += by;
    }

    /// Enough has been made since the last collection to look what is left of it.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.values >= self.due
    }

    /// More is held than a run may; right after a collection it is all in use.
    pub fn is_full(&self) -> bool {
        self.values > HEAP_MAX_VALUES
    }

    fn slot(&self, handle: f64) -> Option<&Slot> {
        if handle.is_nan() { None } else { self.slots.get(handle as usize)?.as_ref() }
    }

    pub fn get(&self, handle: f64) -> Option<&Object> {
        self.slot(handle).map(|s| &s.object)
    }

    fn get_mut(&mut self, handle: f64) -> Option<&mut Object> {
        if handle.is_nan() {
            None
        } else {
            self.slots.get_mut(handle as usize)?.as_mut().map(|s| &mut s.object)
        }
    }

    /// Whether the object's values are handles.
    pub fn links(&self, handle: f64) -> bool {
        self.slot(handle).is_some_and(|s| s.links)
    }

    // ---- arrays and windows on them ------------------------------------------------------------

    /// The array that an array or a slice stands on, and its part of it.
    fn window(&self, handle: f64) -> Result<(usize, usize, usize), Missing> {
        let mut id = handle;
        let mut part: Option<(usize, usize)> = None;
        loop {
            let (len, next) = match self.get(id) {
                Some(Object::Array(v)) => (v.len(), None),
                Some(Object::Slice { parent, from, len }) => (*len, Some((*parent, *from))),
                _ => return Err(Missing::Na),
            };
            let (start, length) = part.unwrap_or((0, len));
            if start + length > len {
                return Err(Missing::Outside);
            }
            match next {
                None => return Ok((id as usize, start, length)),
                Some((parent, from)) => {
                    part = Some((from + start, length));
                    id = f64::from(parent);
                }
            }
        }
    }

    /// An array's elements.
    pub fn array(&self, handle: f64) -> Result<&[f64], Missing> {
        if let Some(Object::Array(v)) = self.get(handle) {
            return Ok(v);
        }
        let (root, start, len) = self.window(handle)?;
        match self.slots[root].as_ref().map(|s| &s.object) {
            Some(Object::Array(v)) => Ok(&v[start..start + len]),
            _ => Err(Missing::Na),
        }
    }

    /// The same to be changed in place.
    pub fn array_mut(&mut self, handle: f64) -> Result<&mut [f64], Missing> {
        let (root, start, len) = self.window(handle)?;
        match self.slots[root].as_mut().map(|s| &mut s.object) {
            Some(Object::Array(v)) => Ok(&mut v[start..start + len]),
            _ => Err(Missing::Na),
        }
    }

    /// Replaces `count` elements from `at` on. What a slice gains or loses, its array does too, and so do
    /// the slices in between.
    pub fn splice(&mut self, handle: f64, at: usize, count: usize, new: &[f64]) -> Result<(), Missing> {
        self.values += new.len();
        if let Some(Object::Array(v)) = self.get_mut(handle) {
            replace(v, at, count, new);
            return Ok(());
        }
        let (root, start, _) = self.window(handle)?;
        let mut id = handle as usize;
        while let Some(Object::Slice { parent, len, .. }) = self.slots[id].as_mut().map(|s| &mut s.object) {
            *len = *len - count + new.len();
            id = *parent as usize;
        }
        match self.slots[root].as_mut().map(|s| &mut s.object) {
            Some(Object::Array(v)) => replace(v, start + at, count, new),
            _ => return Err(Missing::Na),
        }
        Ok(())
    }

    /// A window on elements `from..to` of an array.
    pub fn slice(&mut self, handle: f64, from: usize, to: usize) -> f64 {
        let links = self.links(handle);
        self.add(Object::Slice { parent: handle as u32, from, len: to - from }, links)
    }

    // ---- the others ----------------------------------------------------------------------------

    pub fn matrix(&self, handle: f64) -> Option<&Matrix> {
        match self.get(handle)? {
            Object::Matrix(m) => Some(m),
            _ => None,
        }
    }

    pub fn matrix_mut(&mut self, handle: f64) -> Option<&mut Matrix> {
        match self.get_mut(handle)? {
            Object::Matrix(m) => Some(m),
            _ => None,
        }
    }

    pub fn map(&self, handle: f64) -> Option<&Map> {
        match self.get(handle)? {
            Object::Map(m) => Some(m),
            _ => None,
        }
    }

    pub fn map_mut(&mut self, handle: f64) -> Option<&mut Map> {
        match self.get_mut(handle)? {
            Object::Map(m) => Some(m),
            _ => None,
        }
    }

    pub fn record_mut(&mut self, handle: f64) -> Option<&mut Vec<f64>> {
        match self.get_mut(handle)? {
            Object::Record(v) => Some(v),
            _ => None,
        }
    }

    // ---- collection ----------------------------------------------------------------------------

    /// Drops what the roots do not lead to. Roots may be any numbers; those that are no handles of a live
    /// object are passed over.
    pub fn collect(&mut self, roots: impl Iterator<Item = f64>) {
        let alive = self.reached(roots);
        self.values = 0;
        for (id, slot) in self.slots.iter_mut().enumerate() {
            match slot {
                Some(kept) if alive[id] => self.values += kept.object.weight(),
                Some(_) => {
                    *slot = None;
                    self.free.push(id as u32);
                }
                None => {}
            }
        }
        self.due = (self.values * 2).clamp(COLLECT_MIN_VALUES, HEAP_MAX_VALUES + 1);
    }

    /// Marks what the roots lead to.
    fn reached(&self, roots: impl Iterator<Item = f64>) -> Vec<bool> {
        let mut alive = vec![false; self.slots.len()];
        let mut waiting: Vec<usize> = Vec::new();
        let mut reach = |x: f64, waiting: &mut Vec<usize>| {
            let id = x as usize;
            if id < alive.len() && !alive[id] && self.slots[id].is_some() && x == id as f64 {
                alive[id] = true;
                waiting.push(id);
            }
        };
        roots.for_each(|x| reach(x, &mut waiting));
        while let Some(id) = waiting.pop() {
            let Some(slot) = &self.slots[id] else { continue };
            match &slot.object {
                Object::Slice { parent, .. } => reach(f64::from(*parent), &mut waiting),
                _ if !slot.links => {}
                Object::Array(v) | Object::Record(v) => v.iter().for_each(|x| reach(*x, &mut waiting)),
                Object::Matrix(m) => m.values.iter().for_each(|x| reach(*x, &mut waiting)),
                Object::Map(m) => m.values.iter().for_each(|x| reach(*x, &mut waiting)),
            }
        }
        alive
    }

    /// Back to how it was, except for what `kept` leads to, which stays as it is now. Nothing may have been
    /// collected since: a handle of then still means the same object.
    pub fn restore(&mut self, before: &Self, kept: impl Iterator<Item = f64>) {
        let alive = self.reached(kept);
        let now = std::mem::replace(self, before.clone());
        for (id, slot) in now.slots.into_iter().enumerate().filter(|(id, _)| alive[*id]) {
            if self.slots.len() <= id {
                self.free.extend(self.slots.len() as u32..id as u32);
                self.slots.resize(id + 1, None);
            }
            self.free.retain(|f| *f as usize != id);
            self.values += slot.as_ref().map_or(0, |s| s.object.weight());
            self.slots[id] = slot;
        }
    }
}

fn replace(v: &mut Vec<f64>, at: usize, count: usize, new: &[f64]) {
    match (count, new) {
        (0, [x]) if at == v.len() => v.push(*x),
        (1, []) if at + 1 == v.len() => v.truncate(at),
        _ => drop(v.splice(at..at + count, new.iter().copied())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(values: &[f64]) -> Object {
        Object::Array(values.to_vec())
    }

    #[test]
    fn a_slice_is_a_window_by_position() {
        let mut heap = Heap::default();
        let a = heap.add(array(&[0.0, 1.0, 2.0, 3.0]), false);
        let s = heap.slice(a, 1, 3);
        assert_eq!(heap.array(s), Ok(&[1.0, 2.0][..]));
        heap.splice(a, 0, 1, &[]).unwrap();
        assert_eq!(heap.array(s), Ok(&[2.0, 3.0][..]));
        heap.splice(s, 2, 0, &[4.0]).unwrap();
        heap.array_mut(s).unwrap()[0] = 20.0;
        assert_eq!(heap.array(a), Ok(&[1.0, 20.0, 3.0, 4.0][..]));
        // A window on the window grows with what is put into it, and so does the one it looks through.
        let inner = heap.slice(s, 0, 1);
        heap.splice(inner, 1, 0, &[5.0]).unwrap();
        assert_eq!(heap.array(s), Ok(&[20.0, 5.0, 3.0, 4.0][..]));
        heap.splice(a, 1, 4, &[]).unwrap();
        assert_eq!((heap.array(s), heap.array(inner)), (Err(Missing::Outside), Err(Missing::Outside)));
        assert_eq!(heap.array(f64::NAN), Err(Missing::Na));
    }

    #[test]
    fn collects_what_nothing_leads_to() {
        let mut heap = Heap::default();
        let leaf = heap.add(array(&[1.0; 100]), false);
        let window = heap.slice(leaf, 0, 10);
        let list = heap.add(array(&[window, f64::NAN]), true);
        let lost = heap.add(array(&[2.0; 1_000]), false);
        // Its numbers are no handles, though they look like one.
        let plain = heap.add(array(&[lost]), false);
        heap.collect([list, plain, f64::NAN, -1.0, 0.5, 1e300].into_iter());
        assert!(heap.get(lost).is_none());
        assert!(heap.array(window).is_ok());
        assert!(heap.values < 200);
        assert_eq!(heap.add(array(&[]), false), lost);
    }

    #[test]
    fn rings_are_collected_too() {
        let mut heap = Heap::default();
        let a = heap.add(Object::Record(vec![f64::NAN]), true);
        let b = heap.add(Object::Record(vec![a]), true);
        heap.record_mut(a).unwrap()[0] = b;
        heap.collect([b].into_iter());
        assert!(heap.get(a).is_some());
        heap.collect(std::iter::empty());
        assert!(heap.get(a).is_none() && heap.get(b).is_none());
        assert_eq!(heap.values, 0);
    }

    #[test]
    fn restores_all_but_what_is_kept() {
        let mut heap = Heap::default();
        let old = heap.add(array(&[1.0]), false);
        let kept = heap.add(array(&[1.0]), true);
        let before = heap.clone();
        heap.array_mut(old).unwrap()[0] = 2.0;
        let other = heap.add(array(&[8.0]), false);
        let inner = heap.add(array(&[9.0]), false);
        heap.array_mut(kept).unwrap()[0] = inner;
        heap.restore(&before, [kept].into_iter());
        assert_eq!(heap.array(old), Ok(&[1.0][..]));
        assert_eq!(heap.array(kept), Ok(&[inner][..]));
        assert_eq!(heap.array(inner), Ok(&[9.0][..]));
        assert!(heap.get(other).is_none());
        assert_eq!(heap.add(array(&[]), false), other);
    }
}
