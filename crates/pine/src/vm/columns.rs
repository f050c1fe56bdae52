//! Whole columns: what depends on the market alone is computed once per data set, not once per run.

use super::bits::Series;
use super::fold::{binary, truthy, unary};
use super::pure::{self, Pure};
use crate::ir::{BarField, Bin, Un};
use rustc_hash::FxHashMap;
use springtide_domain::BarsView;
use springtide_engine::ta::{ColumnArg, Sums, TaFunc, run_column_with};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

mod family;

use family::{Families, Family};

/// What a column is made of: equal nodes on one data set are equal columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Const(u64),
    Bar(BarField),
    /// A part of the bar's time or state, by the name of the built-in variable.
    Get(&'static str),
    Un(Un, u32),
    Bin(Bin, u32, u32),
    And(u32, u32),
    Or(u32, u32),
    Select(u32, u32, u32),
    /// The value so many bars ago; the fill before the first bar.
    Shift(u32, u32, u64),
    Pure(&'static str, Vec<u32>),
    /// The last part tells outputs apart, and orders of summation.
    Ta(TaFunc, Vec<u32>, (u8, Sums)),
    /// Comes from elsewhere (a security); never equal to another.
    Given(u64),
}

/// A finished column.
#[derive(Debug)]
pub(super) struct Column {
    pub values: Vec<f64>,
    /// The first bar with a value, and whether every later bar has one.
    pub first: usize,
    pub dense: bool,
    /// In single precision, made when it is compared a second time.
    narrow: OnceLock<Vec<f32>>,
    compared: AtomicBool,
}

impl Column {
    pub fn new(values: Vec<f64>) -> Self {
        let first = values.iter().position(|x| !x.is_nan()).unwrap_or(values.len());
        let dense = !values[first..].iter().any(|x| x.is_nan());
        Self { values, first, dense, narrow: OnceLock::new(), compared: AtomicBool::new(false) }
    }

    /// Nothing the first time: most columns of a single run are compared once.
    fn narrow(&self) -> Option<&[f32]> {
        let again = self.compared.swap(true, Ordering::Relaxed);
        again.then(|| &**self.narrow.get_or_init(|| self.values.iter().map(|x| *x as f32).collect()))
    }
}

/// Bytes of a column per bar, in both precisions.
const COLUMN_BYTES: usize = 12;

type Slot = Arc<OnceLock<Arc<Column>>>;

/// Indicator columns of one data set, shared by all runs on it, within a memory budget.
///
/// A column is computed by the first run that needs it while others wait. When the budget is used up,
/// further columns are computed for their run alone.
#[derive(Debug)]
pub struct ColumnStore {
    inner: Mutex<Inner>,
    budget_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    ids: FxHashMap<Node, u32>,
    slots: FxHashMap<u32, Slot>,
    families: Families,
    next: u32,
    bytes: usize,
}

/// Nodes remembered at most, about 60 bytes each: a sweep of millions of points must not grow without end.
const NODES_MAX: usize = 1 << 19;

impl ColumnStore {
    /// An empty store that keeps at most `budget_bytes` of columns.
    pub fn new(budget_bytes: usize) -> Self {
        Self { inner: Mutex::default(), budget_bytes }
    }

    /// Bytes of columns held.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a node; equal nodes have equal numbers.
    pub(super) fn id(&self, node: Node) -> u32 {
        let mut inner = self.lock();
        let next = inner.next;
        if inner.ids.len() >= NODES_MAX {
            // Numbers are never used twice: a node beyond the limit gets one of its own and is not shared.
            inner.next += 1;
            return inner.ids.get(&node).copied().unwrap_or(next);
        }
        match inner.ids.entry(node) {
            std::collections::hash_map::Entry::Occupied(known) => *known.get(),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(next);
                inner.next += 1;
                next
            }
        }
    }

    /// The column of `id`, computed by `make` unless some run already did. None when the budget is used up.
    fn shared(&self, id: u32, bytes: usize, make: impl FnOnce() -> Column) -> Option<Arc<Column>> {
        let slot = {
            let mut inner = self.lock();
            match inner.slots.get(&id) {
                Some(slot) => Arc::clone(slot),
                None if inner.bytes + bytes > self.budget_bytes => return None,
                None => {
                    inner.bytes += bytes;
                    let slot = Slot::default();
                    inner.slots.insert(id, Arc::clone(&slot));
                    slot
                }
            }
        };
        Some(Arc::clone(slot.get_or_init(|| Arc::new(make()))))
    }

    /// Keeps a column that was computed along with another, unless the store has it or has no room.
    fn keep(&self, id: u32, bytes: usize, column: &Arc<Column>) {
        let mut inner = self.lock();
        if inner.bytes + bytes <= self.budget_bytes && !inner.slots.contains_key(&id) {
            inner.bytes += bytes;
            inner.slots.insert(id, Arc::new(OnceLock::from(Arc::clone(column))));
        }
    }

    /// Whether the column is there or being computed.
    fn has(&self, id: u32) -> bool {
        self.lock().slots.contains_key(&id)
    }

    /// Lengths that runs to come will ask for, by those that were asked for until now; `length` is then one of these.
    /// None when there is no room for the columns.
    fn foresee(&self, family: Family, length: f64, most: usize, bytes: usize) -> Vec<f64> {
        let mut inner = self.lock();
        if inner.bytes + most * bytes > self.budget_bytes {
            return Vec::new();
        }
        inner.families.foresee(family, length, most)
    }
}

/// An operand of a column: the same number on every bar, or another column of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operand {
    Const(f64),
    Col(usize),
}

/// How a run's column is computed.
#[derive(Clone, Debug)]
pub(super) enum Recipe {
    Bar(BarField),
    Get(&'static str),
    Un(Un, Operand),
    Bin(Bin, Operand, Operand),
    And(Operand, Operand),
    Or(Operand, Operand),
    Select(Operand, Operand, Operand),
    Shift(usize, usize, f64),
    Pure(&'static str, Vec<Operand>),
    Ta(TaFunc, Vec<Operand>, u8, Sums),
    Given(Arc<Column>),
}

/// A run's column: borrowed from the bars, shared, or its own.
#[derive(Clone, Debug)]
pub(super) enum Data<'a> {
    Bars(&'a [f64]),
    Shared(Arc<Column>),
}

impl Data<'_> {
    pub fn values(&self) -> &[f64] {
        match self {
            Data::Bars(values) => values,
            Data::Shared(column) => &column.values,
        }
    }

    /// What comparisons of whole columns read.
    pub fn series(&self) -> Series<'_> {
        match self {
            Data::Bars(values) => Series { values, narrow: None },
            Data::Shared(column) => Series { values: &column.values, narrow: column.narrow() },
        }
    }

    /// First bar with a value and whether all later ones have one.
    pub fn extent(&self) -> (usize, bool) {
        match self {
            // Prices are never missing; a volume that is makes its columns sparse.
            Data::Bars(values) => (0, !values.iter().any(|x| x.is_nan())),
            Data::Shared(column) => (column.first, column.dense),
        }
    }
}

/// The columns of a run, in the order they are computed.
#[derive(Debug, Default)]
pub(super) struct Recipes {
    pub list: Vec<(u32, Recipe)>,
    by_id: FxHashMap<u32, usize>,
}

impl Recipes {
    /// Adds a column unless the run has it; returns its place.
    pub fn add(&mut self, id: u32, recipe: Recipe) -> usize {
        *self.by_id.entry(id).or_insert_with(|| {
            self.list.push((id, recipe));
            self.list.len() - 1
        })
    }

    pub fn id(&self, place: usize) -> u32 {
        self.list[place].0
    }
}

/// Values of `Node::Get` for one bar.
pub(super) type GetColumn<'g> = &'g mut dyn FnMut(&'static str) -> Vec<f64>;

/// Computes all columns of a run.
pub(super) fn compute<'a>(
    recipes: &Recipes,
    bars: &BarsView<'a>,
    store: &ColumnStore,
    get: GetColumn<'_>,
) -> Vec<Data<'a>> {
    let mut out: Vec<Data<'a>> = Vec::with_capacity(recipes.list.len());
    // Columns of this run that were computed along with an earlier one.
    let mut early = FxHashMap::default();
    for (at, (id, recipe)) in recipes.list.iter().enumerate() {
        let data = match recipe {
            Recipe::Bar(field) => bar_column(*field, bars),
            Recipe::Ta(func, args, k, sums) => match early.remove(id) {
                Some(column) => Data::Shared(column),
                None => {
                    let make = || match family::together(recipes, at, store, &out) {
                        Some((column, others)) => {
                            early.extend(others);
                            column
                        }
                        None => ta_column((*func, *sums), args, *k, bars, &out),
                    };
                    shared(*id, bars.len() * COLUMN_BYTES, store, make)
                }
            },
            Recipe::Given(column) => Data::Shared(Arc::clone(column)),
            Recipe::Get(name) => own(get(name)),
            other => own(elementwise(other, bars.len(), &out)),
        };
        out.push(data);
    }
    out
}

fn own<'a>(values: Vec<f64>) -> Data<'a> {
    Data::Shared(Arc::new(Column::new(values)))
}

fn bar_column<'a>(field: BarField, bars: &BarsView<'a>) -> Data<'a> {
    let map = |f: &dyn Fn(usize) -> f64| own((0..bars.len()).map(f).collect());
    match field {
        BarField::Open => Data::Bars(bars.open),
        BarField::High => Data::Bars(bars.high),
        BarField::Low => Data::Bars(bars.low),
        BarField::Close => Data::Bars(bars.close),
        BarField::Volume => Data::Bars(bars.volume),
        BarField::Hl2 => map(&|i| (bars.high[i] + bars.low[i]) / 2.0),
        BarField::Hlc3 => map(&|i| (bars.high[i] + bars.low[i] + bars.close[i]) / 3.0),
        BarField::Ohlc4 => map(&|i| (bars.open[i] + bars.high[i] + bars.low[i] + bars.close[i]) / 4.0),
        BarField::Hlcc4 => map(&|i| (bars.high[i] + bars.low[i] + 2.0 * bars.close[i]) / 4.0),
        BarField::Time => map(&|i| bars.time[i] as f64),
        // The builder asks for `time_close` by name; the bars alone do not know their length.
        BarField::TimeClose => map(&|_| f64::NAN),
        BarField::BarIndex => map(&|i| i as f64),
    }
}

fn shared<'a>(id: u32, bytes: usize, store: &ColumnStore, mut make: impl FnMut() -> Column) -> Data<'a> {
    Data::Shared(store.shared(id, bytes, &mut make).unwrap_or_else(|| Arc::new(make())))
}

fn ta_column(
    (func, sums): (TaFunc, Sums),
    args: &[Operand],
    k: u8,
    bars: &BarsView<'_>,
    done: &[Data<'_>],
) -> Column {
    let fixed: Vec<Option<f64>> = args
        .iter()
        .map(|a| match a {
            Operand::Const(x) => Some(*x),
            Operand::Col(_) => None,
        })
        .collect();
    let inputs: Vec<ColumnArg<'_>> = args
        .iter()
        .map(|a| match a {
            Operand::Const(x) => ColumnArg::Const(*x),
            Operand::Col(c) => ColumnArg::Col(done[*c].values()),
        })
        .collect();
    let mut outs = vec![Vec::new(); func.outputs()];
    run_column_with(func, sums, &fixed, bars, &inputs, &mut outs);
    Column::new(outs.swap_remove(usize::from(k)))
}

/// Reads an operand on a bar.
enum Reader<'c> {
    Const(f64),
    Col(&'c [f64]),
}

impl Reader<'_> {
    #[inline(always)]
    fn at(&self, i: usize) -> f64 {
        match self {
            Reader::Const(x) => *x,
            Reader::Col(v) => v[i],
        }
    }
}

fn elementwise(recipe: &Recipe, n: usize, done: &[Data<'_>]) -> Vec<f64> {
    let read = |o: &Operand| match o {
        Operand::Const(x) => Reader::Const(*x),
        Operand::Col(c) => Reader::Col(&done[*c].values()[..n]),
    };
    match recipe {
        Recipe::Un(op, a) => {
            let a = read(a);
            (0..n).map(|i| unary(*op, a.at(i))).collect()
        }
        Recipe::Bin(op, a, b) => bin_column(*op, n, &read(a), &read(b)),
        Recipe::And(a, b) => {
            let (a, b) = (read(a), read(b));
            (0..n).map(|i| f64::from(truthy(a.at(i)) && truthy(b.at(i)))).collect()
        }
        Recipe::Or(a, b) => {
            let (a, b) = (read(a), read(b));
            (0..n).map(|i| f64::from(truthy(a.at(i)) || truthy(b.at(i)))).collect()
        }
        Recipe::Select(c, a, b) => {
            let (c, a, b) = (read(c), read(a), read(b));
            (0..n).map(|i| if truthy(c.at(i)) { a.at(i) } else { b.at(i) }).collect()
        }
        Recipe::Shift(col, by, fill) => {
            let values = done[*col].values();
            let by = (*by).min(n);
            let mut out = vec![*fill; n];
            out[by..].copy_from_slice(&values[..n - by]);
            out
        }
        Recipe::Pure(name, args) => {
            let Some(function) = pure::find(name) else { return vec![f64::NAN; n] };
            pure_column(function, n, &args.iter().map(read).collect::<Vec<_>>())
        }
        _ => Vec::new(),
    }
}

fn pure_column(function: Pure, n: usize, args: &[Reader<'_>]) -> Vec<f64> {
    let mut values = [f64::NAN; pure::MAX_ARGS];
    let values = &mut values[..args.len()];
    (0..n)
        .map(|i| {
            for (value, arg) in values.iter_mut().zip(args) {
                *value = arg.at(i);
            }
            function(values)
        })
        .collect()
}

/// One loop per operator, so that each becomes vector code.
fn bin_column(op: Bin, n: usize, a: &Reader<'_>, b: &Reader<'_>) -> Vec<f64> {
    fn go(n: usize, a: &Reader<'_>, b: &Reader<'_>, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        match (a, b) {
            (Reader::Col(a), Reader::Col(b)) => a.iter().zip(*b).map(|(a, b)| f(*a, *b)).collect(),
            (Reader::Col(a), Reader::Const(b)) => a.iter().map(|a| f(*a, *b)).collect(),
            (Reader::Const(a), Reader::Col(b)) => b.iter().map(|b| f(*a, *b)).collect(),
            (Reader::Const(a), Reader::Const(b)) => vec![f(*a, *b); n],
        }
    }
    macro_rules! each {
        ($($op:ident),+) => { match op { $(Bin::$op => go(n, a, b, |x, y| binary(Bin::$op, x, y))),+ } };
    }
    each!(Add, Sub, Mul, Div, IntDiv, Rem, Eq, Ne, Lt, Le, Gt, Ge, StrEq, StrNe, Concat, SameEq, SameNe)
}
