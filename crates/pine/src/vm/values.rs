//! Strings, matrices and maps of one run.

use rustc_hash::FxHashMap;
use springtide_engine::broker::NameId;
use std::sync::Arc as Rc;

/// Texts of order ids and comments by [`NameId`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameTable(Vec<Rc<str>>);

impl NameTable {
    /// Texts by their place; the first belongs to the name that stands for none and is empty.
    pub fn new(texts: Vec<String>) -> Self {
        Self(texts.into_iter().map(Rc::from).collect())
    }

    /// The text of a name.
    pub fn get(&self, id: NameId) -> &str {
        self.0.get(id.0 as usize).map_or("", |s| s)
    }
}

/// All strings of a run, each once.
#[derive(Debug)]
pub(super) struct Strings {
    texts: Vec<Rc<str>>,
    index: FxHashMap<Rc<str>, u32>,
    bytes: usize,
}

impl Default for Strings {
    fn default() -> Self {
        let empty: Rc<str> = "".into();
        Self { texts: vec![Rc::clone(&empty)], index: FxHashMap::from_iter([(empty, 0)]), bytes: 0 }
    }
}

/// Text that a run may make; a script that builds strings without end is stopped, not the machine.
const TEXT_MAX_BYTES: usize = 64 << 20;

impl Strings {
    /// The handle of a text.
    pub fn intern(&mut self, text: &str) -> f64 {
        if let Some(id) = self.index.get(text) {
            return f64::from(*id);
        }
        let id = self.texts.len() as u32;
        let text: Rc<str> = text.into();
        self.bytes += text.len() + 48;
        self.texts.push(Rc::clone(&text));
        self.index.insert(text, id);
        f64::from(id)
    }

    /// The text of a handle; `na` is no text.
    pub fn get(&self, handle: f64) -> Option<&str> {
        if handle.is_nan() { None } else { self.texts.get(handle as usize).map(|s| &**s) }
    }

    pub fn name(&self, handle: f64) -> NameId {
        if handle.is_nan() { NameId(0) } else { NameId(handle as u32) }
    }

    pub fn full(&self) -> bool {
        self.bytes > TEXT_MAX_BYTES
    }

    pub fn into_names(self) -> NameTable {
        NameTable(self.texts)
    }
}

/// Rows by columns, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f64>,
}

/// Keys in order of insertion.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    pub keys: Vec<f64>,
    pub values: Vec<f64>,
    index: FxHashMap<u64, usize>,
}

impl Map {
    fn bits(key: f64) -> u64 {
        // 0.0 and -0.0 are one key.
        (key + 0.0).to_bits()
    }

    pub fn get(&self, key: f64) -> Option<f64> {
        self.index.get(&Self::bits(key)).map(|k| self.values[*k])
    }

    pub fn put(&mut self, key: f64, value: f64) -> Option<f64> {
        if let Some(k) = self.index.get(&Self::bits(key)) {
            return Some(std::mem::replace(&mut self.values[*k], value));
        }
        self.index.insert(Self::bits(key), self.keys.len());
        self.keys.push(key);
        self.values.push(value);
        None
    }

    pub fn remove(&mut self, key: f64) -> Option<f64> {
        let at = self.index.remove(&Self::bits(key))?;
        self.keys.remove(at);
        let value = self.values.remove(at);
        self.index.values_mut().filter(|k| **k > at).for_each(|k| *k -= 1);
        Some(value)
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
