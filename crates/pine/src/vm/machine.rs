//! The register machine: flat code, flat registers, nothing allocated per bar.

use super::bits::Mask;
use super::calendar::{Clock, Zone};
use super::columns::Data;
use super::fold::{binary, truthy, unary};
use super::functions::{BarGet, BrokerGet, Function, Memory};
use super::heap::{Heap, Object};
use super::orders::{self, OrderKind};
use super::pure::{MAX_ARGS, Pure};
use super::run::{LogLine, RunError};
use super::security::Lists;
use super::values::Strings;
use crate::ir::{Bin, Ty, Un};
use regex_lite::Regex;
use rustc_hash::FxHashMap;
use springtide_domain::{BarsView, Span, SymbolInfo, Timeframe};
use springtide_engine::{
    broker::Broker,
    ta::{Sums, TaFunc, TaState},
};
use std::sync::Arc;

/// A register's number.
pub(super) type Reg = u32;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Copy {
        dst: Reg,
        src: Reg,
    },
    /// The column's value on this bar.
    Col {
        dst: Reg,
        col: u32,
    },
    /// The column's value so many bars back.
    ColBack {
        dst: Reg,
        col: u32,
        back: Reg,
        fill: Reg,
        span: Span,
    },
    /// A variable's value at the end of the bar so many bars back.
    Past {
        dst: Reg,
        history: u32,
        back: Reg,
        span: Span,
    },
    Un {
        op: Un,
        dst: Reg,
        a: Reg,
    },
    Bin {
        op: Bin,
        dst: Reg,
        a: Reg,
        b: Reg,
    },
    Truth {
        dst: Reg,
        a: Reg,
    },
    Jump {
        to: u32,
    },
    JumpFalse {
        cond: Reg,
        to: u32,
    },
    JumpTrue {
        cond: Reg,
        to: u32,
    },
    JumpUnlessGate {
        gate: u32,
        to: u32,
    },
    /// Back to a loop's top; asks now and then whether to stop.
    Loop {
        to: u32,
    },
    /// Jumps when the flag is set, else sets it.
    Once {
        flag: u32,
        to: u32,
    },
    ForStep {
        delta: Reg,
        from: Reg,
        to: Reg,
        by: Reg,
    },
    ForTest {
        counter: Reg,
        limit: Reg,
        delta: Reg,
        to: u32,
    },
    ForItem {
        object: Reg,
        at: Reg,
        item: Reg,
        key: Reg,
        to: u32,
    },
    Pure {
        pure: u32,
        dst: Reg,
    },
    Ta {
        state: u32,
    },
    Call {
        call: u32,
        dst: Reg,
    },
    BarGet {
        what: BarGet,
        dst: Reg,
    },
    BrokerGet {
        what: BrokerGet,
        dst: Reg,
    },
    Order {
        order: u32,
    },
    New {
        call: u32,
        dst: Reg,
    },
    /// An array of the shorter bars' values within this bar.
    Part {
        dst: Reg,
        list: u32,
    },
    Field {
        dst: Reg,
        object: Reg,
        field: u32,
        span: Span,
    },
    SetField {
        object: Reg,
        field: u32,
        value: Reg,
    },
    Fail {
        message: Reg,
        span: Span,
    },
    Log {
        level: u8,
        message: Reg,
    },
    End,
}

impl Op {
    /// Fills in where a jump goes.
    pub fn set_target(&mut self, target: u32) {
        match self {
            Op::Jump { to }
            | Op::JumpFalse { to, .. }
            | Op::JumpTrue { to, .. }
            | Op::JumpUnlessGate { to, .. }
            | Op::Once { to, .. }
            | Op::ForTest { to, .. }
            | Op::ForItem { to, .. } => *to = target,
            _ => {}
        }
    }
}

/// A call of a function that needs more than numbers.
#[derive(Clone, Debug)]
pub(super) struct CallSite {
    pub function: Option<Function>,
    pub args: Vec<Reg>,
    pub types: Vec<Ty>,
    /// What the call gives is a collection of handles, or an object that may hold some.
    pub links: bool,
    /// What the call gives is a handle.
    pub gives_handle: bool,
    /// Its own memory, for functions with state.
    pub state: u32,
    pub span: Span,
}

/// An order call.
#[derive(Clone, Debug)]
pub(super) struct OrderSite {
    pub kind: OrderKind,
    pub args: Vec<Reg>,
}

/// A program's code.
#[derive(Clone, Debug, Default)]
pub(super) struct Code {
    pub ops: Vec<Op>,
    /// Initial values.
    pub registers: Vec<f64>,
    pub states: Vec<(TaFunc, Sums, Vec<Option<f64>>)>,
    pub ta: Vec<(Vec<Reg>, Vec<Reg>)>,
    pub pures: Vec<(Pure, Vec<Reg>)>,
    pub calls: Vec<CallSite>,
    pub orders: Vec<OrderSite>,
    pub lists: Vec<Arc<Lists>>,
    /// Registers whose past is read, and what they held before the first bar.
    pub histories: Vec<(Reg, f64)>,
    /// Registers that may hold handles of collections or objects.
    pub handles: Vec<Reg>,
    /// The same of histories.
    pub handle_histories: Vec<u32>,
    /// Registers and flags of `varip` variables: they outlive a pass that is taken back.
    pub lasting: Vec<Reg>,
    pub lasting_flags: Vec<u32>,
    pub flags: u32,
    pub memories: u32,
}

/// What the machine works on.
pub(super) struct World<'w> {
    pub bars: BarsView<'w>,
    pub timeframe: Timeframe,
    pub symbol: &'w SymbolInfo,
    /// Of the language.
    pub version: u8,
    /// Bar time of the chart's last bar, for `last_bar_time` and the like.
    pub zone: Zone,
    pub clock: Clock,
    pub strings: Strings,
    /// Regular expressions by their text's handle, or why one is none.
    pub patterns: FxHashMap<u32, Result<Regex, String>>,
    pub heap: Heap,
    /// Values of inputs' enums: member names, for `str.tostring`.
    pub enums: Vec<(String, Vec<String>)>,
    pub logs: Vec<LogLine>,
    pub logs_dropped: u64,
}

/// The machine's changing state.
pub(super) struct Machine<'m, 'w> {
    pub world: &'m mut World<'w>,
    pub broker: Option<Broker<'w>>,
    pub registers: Vec<f64>,
    pub memories: Vec<Memory>,
    pub bar: usize,
    code: &'m Code,
    columns: &'m [Data<'w>],
    gates: &'m [Mask],
    states: Vec<TaState>,
    histories: Vec<Vec<f64>>,
    flags: Vec<bool>,
    stop: &'m dyn Fn() -> bool,
    patience: u32,
    /// The body runs in the middle of a bar.
    passing: bool,
}

/// The state before a pass.
pub(super) struct Saved {
    registers: Vec<f64>,
    memories: Vec<Memory>,
    states: Vec<TaState>,
    flags: Vec<bool>,
    heap: Heap,
}

/// Loop turns between two questions whether to stop.
const PATIENCE: u32 = 4_096;
/// Most indicator arguments and outputs.
const TA_MAX: usize = 12;
/// Arguments of a call that need no list of their own.
const CALL_ARGS: usize = 24;
const LOGS_MAX: usize = 1_000;

impl<'m, 'w> Machine<'m, 'w> {
    pub fn new(
        world: &'m mut World<'w>,
        broker: Option<Broker<'w>>,
        code: &'m Code,
        columns: &'m [Data<'w>],
        gates: &'m [Mask],
        stop: &'m dyn Fn() -> bool,
    ) -> Self {
        let n = world.bars.len();
        Self {
            registers: code.registers.clone(),
            memories: (0..code.memories).map(|_| Memory::default()).collect(),
            states: code.states.iter().map(|(f, sums, fixed)| TaState::with_sums(*f, *sums, fixed)).collect(),
            histories: code.histories.iter().map(|(_, fill)| vec![*fill; n]).collect(),
            flags: vec![false; code.flags as usize],
            bar: 0,
            patience: PATIENCE,
            passing: false,
            world,
            broker,
            code,
            columns,
            gates,
            stop,
        }
    }

    /// Runs the body on bar `i` and keeps the past that somebody reads.
    pub fn run_bar(&mut self, i: usize) -> Result<(), RunError> {
        self.bar = i;
        self.tick()?;
        self.execute()?;
        for ((reg, _), history) in self.code.histories.iter().zip(&mut self.histories) {
            history[i] = self.registers[*reg as usize];
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), RunError> {
        self.patience -= 1;
        if self.patience == 0 {
            self.patience = PATIENCE;
            if (self.stop)() {
                return Err(RunError::Stopped);
            }
            if self.world.strings.full() {
                return Err(RunError::Memory { bar: self.bar });
            }
        }
        if self.world.heap.is_due() {
            self.collect()?;
        }
        Ok(())
    }

    /// Looks for collections and objects that nothing leads to any more. During a pass that will be taken
    /// back nothing is: what it does not see may be wanted afterwards.
    #[cold]
    fn collect(&mut self) -> Result<(), RunError> {
        if !self.passing {
            let (code, registers) = (self.code, &self.registers);
            let now = code.handles.iter().map(|r| registers[*r as usize]);
            let past = code.handle_histories.iter().flat_map(|h| &self.histories[*h as usize]).copied();
            self.world.heap.collect(now.chain(past));
        }
        if self.world.heap.is_full() { Err(RunError::Memory { bar: self.bar }) } else { Ok(()) }
    }

    /// What a pass in the middle of the bar must not change for good.
    pub fn save(&self) -> Saved {
        Saved {
            registers: self.registers.clone(),
            memories: self.memories.clone(),
            states: self.states.clone(),
            flags: self.flags.clone(),
            heap: self.world.heap.clone(),
        }
    }

    /// Runs the body in the middle of bar `i`, then takes back what it did to variables, except `varip` ones.
    pub fn run_pass(&mut self, i: usize, before: &Saved) -> Result<(), RunError> {
        self.bar = i;
        self.passing = true;
        self.tick()?;
        self.execute()?;
        self.passing = false;
        let lasting: Vec<f64> = self.code.lasting.iter().map(|r| self.registers[*r as usize]).collect();
        let flags: Vec<bool> = self.code.lasting_flags.iter().map(|f| self.flags[*f as usize]).collect();
        self.registers.copy_from_slice(&before.registers);
        self.memories.clone_from(&before.memories);
        self.states.clone_from(&before.states);
        self.flags.clone_from(&before.flags);
        for (reg, x) in self.code.lasting.iter().zip(&lasting) {
            self.registers[*reg as usize] = *x;
        }
        for (flag, x) in self.code.lasting_flags.iter().zip(flags) {
            self.flags[*flag as usize] = x;
        }
        self.world.heap.restore(&before.heap, lasting.into_iter());
        Ok(())
    }

    #[inline(always)]
    fn get(&self, reg: Reg) -> f64 {
        self.registers[reg as usize]
    }

    #[inline(always)]
    fn set(&mut self, reg: Reg, x: f64) {
        self.registers[reg as usize] = x;
    }

    fn execute(&mut self) -> Result<(), RunError> {
        let code = self.code;
        let i = self.bar;
        let mut at = 0usize;
        loop {
            let op = code.ops[at];
            at += 1;
            match op {
                Op::Copy { dst, src } => self.set(dst, self.get(src)),
                Op::Col { dst, col } => self.set(dst, self.columns[col as usize].values()[i]),
                Op::ColBack { dst, col, back, fill, span } => {
                    let x = match self.back(back, span)? {
                        Some(k) => self.columns[col as usize].values()[k],
                        None => self.get(fill),
                    };
                    self.set(dst, x);
                }
                Op::Past { dst, history, back, span } => {
                    let history = history as usize;
                    let x = match self.back(back, span)? {
                        Some(k) if k == i => self.get(code.histories[history].0),
                        Some(k) => self.histories[history][k],
                        None => code.histories[history].1,
                    };
                    self.set(dst, x);
                }
                Op::Un { op, dst, a } => self.set(dst, unary(op, self.get(a))),
                Op::Bin { op: Bin::Add, dst, a, b } => self.set(dst, self.get(a) + self.get(b)),
                Op::Bin { op: op @ (Bin::Concat | Bin::StrEq | Bin::StrNe), dst, a, b } => {
                    let x = self.text_op(op, self.get(a), self.get(b));
                    self.set(dst, x);
                }
                Op::Bin { op, dst, a, b } => self.set(dst, binary(op, self.get(a), self.get(b))),
                Op::Truth { dst, a } => self.set(dst, f64::from(truthy(self.get(a)))),
                Op::Jump { to } => at = to as usize,
                Op::JumpFalse { cond, to } => {
                    if !truthy(self.get(cond)) {
                        at = to as usize;
                    }
                }
                Op::JumpTrue { cond, to } => {
                    if truthy(self.get(cond)) {
                        at = to as usize;
                    }
                }
                Op::JumpUnlessGate { gate, to } => {
                    if !self.gates[gate as usize].get(i) {
                        at = to as usize;
                    }
                }
                Op::Loop { to } => {
                    self.tick()?;
                    at = to as usize;
                }
                Op::Once { flag, to } => {
                    if std::mem::replace(&mut self.flags[flag as usize], true) {
                        at = to as usize;
                    }
                }
                Op::ForStep { delta, from, to, by } => {
                    let by = self.get(by).abs();
                    self.set(delta, if self.get(from) <= self.get(to) { by } else { -by });
                }
                Op::ForTest { counter, limit, delta, to } => {
                    let (x, end, by) = (self.get(counter), self.get(limit), self.get(delta));
                    let inside = if by > 0.0 { x <= end } else { by < 0.0 && x >= end };
                    if !inside {
                        at = to as usize;
                    }
                }
                Op::ForItem { object, at: index, item, key, to } => {
                    if !self.item(object, index, item, key) {
                        at = to as usize;
                    }
                }
                Op::Pure { pure, dst } => {
                    let (function, args) = &code.pures[pure as usize];
                    let mut values = [f64::NAN; MAX_ARGS];
                    if args.len() <= MAX_ARGS {
                        for (value, arg) in values.iter_mut().zip(args) {
                            *value = self.get(*arg);
                        }
                        self.set(dst, function(&values[..args.len()]));
                    } else {
                        let values: Vec<f64> = args.iter().map(|arg| self.get(*arg)).collect();
                        self.set(dst, function(&values));
                    }
                }
                Op::Ta { state } => self.ta(state as usize),
                Op::Call { call, dst } => {
                    let site = &code.calls[call as usize];
                    let x = self.call(site)?;
                    self.set(dst, x);
                }
                Op::BarGet { what, dst } => {
                    let x = what(self.world, i);
                    self.set(dst, x);
                }
                Op::BrokerGet { what, dst } => {
                    let x = match &mut self.broker {
                        Some(broker) => what(broker, self.world),
                        None => f64::NAN,
                    };
                    self.set(dst, x);
                }
                Op::Order { order } => {
                    let site = &code.orders[order as usize];
                    if let Some(broker) = &mut self.broker {
                        orders::command(&self.world.strings, site, &self.registers).send(broker);
                    }
                }
                Op::New { call, dst } => {
                    let site = &code.calls[call as usize];
                    let fields = site.args.iter().map(|r| self.get(*r)).collect();
                    let handle = self.world.heap.add(Object::Record(fields), site.links);
                    self.set(dst, handle);
                }
                Op::Part { dst, list } => {
                    let lists = &code.lists[list as usize];
                    let values = lists.values[lists.parts[i].clone()].to_vec();
                    let handle = self.world.heap.add(Object::Array(values), false);
                    self.set(dst, handle);
                }
                Op::Field { dst, object, field, span } => {
                    let handle = self.get(object);
                    let x = match self.world.heap.get(handle) {
                        Some(Object::Record(fields)) => {
                            fields.get(field as usize).copied().unwrap_or(f64::NAN)
                        }
                        _ => return Err(self.fail("a field of an object that is na".into(), span)),
                    };
                    self.set(dst, x);
                }
                Op::SetField { object, field, value } => {
                    let (handle, x) = (self.get(object), self.get(value));
                    match self.world.heap.record_mut(handle).and_then(|f| f.get_mut(field as usize)) {
                        Some(slot) => *slot = x,
                        None => {
                            return Err(self.fail("a field of an object that is na".into(), Span::default()));
                        }
                    }
                }
                Op::Fail { message, span } => {
                    let text = self.world.strings.get(self.get(message)).unwrap_or("na").to_owned();
                    return Err(self.fail(text, span));
                }
                Op::Log { level, message } => self.log(level, message),
                Op::End => return Ok(()),
            }
        }
    }

    pub fn fail(&self, message: String, span: Span) -> RunError {
        RunError::Script { message, span, bar: self.bar }
    }

    /// The bar so many bars back; none before the first. A negative offset is the script's error.
    #[inline]
    fn back(&self, back: Reg, span: Span) -> Result<Option<usize>, RunError> {
        let back = self.get(back);
        if back < 0.0 {
            return Err(
                self.fail(format!("history offset {back} is negative: the future cannot be read"), span)
            );
        }
        if back.is_nan() || back >= 4e9 {
            return Ok(None);
        }
        Ok(self.bar.checked_sub(back as usize))
    }

    fn text_op(&mut self, op: Bin, a: f64, b: f64) -> f64 {
        let strings = &mut self.world.strings;
        match op {
            Bin::StrEq => f64::from(a == b),
            Bin::StrNe => f64::from(a != b && !a.is_nan() && !b.is_nan()),
            _ => match (strings.get(a), strings.get(b)) {
                (Some(a), Some(b)) => {
                    let text = format!("{a}{b}");
                    strings.intern(&text)
                }
                _ => f64::NAN,
            },
        }
    }

    fn ta(&mut self, state: usize) {
        let (args, outs) = &self.code.ta[state];
        let mut values = [f64::NAN; TA_MAX];
        for (value, arg) in values.iter_mut().zip(args) {
            *value = self.registers[*arg as usize];
        }
        let mut results = [f64::NAN; TA_MAX];
        self.states[state].step(&self.world.bars, self.bar, &values[..args.len()], &mut results);
        for (out, x) in outs.iter().zip(results) {
            self.registers[*out as usize] = x;
        }
    }

    fn call(&mut self, site: &CallSite) -> Result<f64, RunError> {
        let Some(function) = site.function else { return Ok(f64::NAN) };
        let mut values = [f64::NAN; CALL_ARGS];
        if site.args.len() > CALL_ARGS {
            let values: Vec<f64> = site.args.iter().map(|arg| self.registers[*arg as usize]).collect();
            return function(self, site, &values);
        }
        for (value, arg) in values.iter_mut().zip(&site.args) {
            *value = self.registers[*arg as usize];
        }
        function(self, site, &values[..site.args.len()])
    }

    /// The next element of a loop over a collection; false at its end.
    fn item(&mut self, object: Reg, index: Reg, item: Reg, key: Reg) -> bool {
        let at = self.get(index) as usize;
        let heap = &mut self.world.heap;
        let handle = self.registers[object as usize];
        let (k, value) = match heap.get(handle) {
            Some(Object::Array(_) | Object::Slice { .. }) => match heap.array(handle).map(|v| v.get(at)) {
                Ok(Some(x)) => (at as f64, *x),
                _ => return false,
            },
            Some(Object::Map(map)) => match (map.keys.get(at), map.values.get(at)) {
                (Some(k), Some(v)) => (*k, *v),
                _ => return false,
            },
            Some(Object::Matrix(m)) if at < m.rows => {
                let row = m.values[at * m.columns..(at + 1) * m.columns].to_vec();
                let links = heap.links(handle);
                (at as f64, heap.add(Object::Array(row), links))
            }
            _ => return false,
        };
        self.set(item, value);
        self.set(key, k);
        true
    }

    fn log(&mut self, level: u8, message: Reg) {
        let text = self.world.strings.get(self.get(message)).unwrap_or("na").to_owned();
        if self.world.logs.len() < LOGS_MAX {
            self.world.logs.push(LogLine { bar: self.bar, level, text });
        } else {
            self.world.logs_dropped += 1;
        }
    }
}
