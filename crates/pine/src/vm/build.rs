//! From specialised statements to register code, columns and gates.

use super::columns::{Column, ColumnStore, Node, Operand, Recipe, Recipes};
use super::fold::{Folder, Known, blocks};
use super::functions::{self, Function};
use super::machine::{CallSite, Code, Op, OrderSite, Reg};
use super::orders::OrderKind;
use super::pure;
use super::run::{Mode, RunError};
use super::security::{Answer, Lists};
use super::slice::is_heap;
use super::values::Strings;
use crate::ir::{BarField, Bin, Expr, ExprId, InputKind, Program, Stmt, Ty, Un, VarId};
use rustc_hash::FxHashMap;
use springtide_domain::Span;
use springtide_engine::ta::{Sums, TaFunc, validate};
use std::sync::Arc;

/// A gate's condition, over the run's columns.
#[derive(Clone, Debug)]
pub(super) enum Gate {
    And(Box<Gate>, Box<Gate>),
    Or(Box<Gate>, Box<Gate>),
    Not(Box<Gate>),
    /// The first column comes to lie above the second.
    Crossover(usize, usize),
    Compare(Bin, Operand, Operand),
    Column(usize),
}

/// On which bars a top-level statement can matter.
#[derive(Clone, Debug)]
pub(super) enum When {
    Always,
    /// Only where a condition of the market holds.
    Gated(usize),
    /// Only while a position or an order is open.
    Engaged,
}

/// Everything a run executes.
pub(super) struct Built {
    pub code: Code,
    pub recipes: Recipes,
    pub gates: Vec<Gate>,
    pub when: Vec<When>,
}

/// How a column variable is defined.
#[derive(Clone)]
enum Def {
    Expr(ExprId),
    Multi(TaFunc, Vec<ExprId>, u8),
    Given(Arc<Column>),
}

pub(super) struct Builder<'b, 'p> {
    folder: &'b Folder<'p>,
    store: &'b ColumnStore,
    strings: &'b mut Strings,
    recipes: Recipes,
    code: Code,
    gates: Vec<Gate>,
    defs: FxHashMap<VarId, Def>,
    lists: FxHashMap<VarId, Arc<Lists>>,
    var_columns: FxHashMap<VarId, Option<Operand>>,
    columns: FxHashMap<ExprId, Option<Operand>>,
    vars: FxHashMap<VarId, Reg>,
    numbers: FxHashMap<u64, Reg>,
    histories: FxHashMap<VarId, u32>,
    /// How many conditional blocks and loops we are in.
    depth: u32,
    loops: Vec<Loop>,
    given: u64,
    hoist: bool,
    sums: Sums,
}

struct Loop {
    breaks: Vec<usize>,
    continues: Vec<usize>,
}

type Result<T> = std::result::Result<T, RunError>;

impl<'b, 'p> Builder<'b, 'p> {
    pub fn new(folder: &'b Folder<'p>, store: &'b ColumnStore, strings: &'b mut Strings, mode: Mode) -> Self {
        Self {
            folder,
            store,
            strings,
            recipes: Recipes::default(),
            code: Code::default(),
            gates: Vec::new(),
            defs: FxHashMap::default(),
            lists: FxHashMap::default(),
            var_columns: FxHashMap::default(),
            columns: FxHashMap::default(),
            vars: FxHashMap::default(),
            numbers: FxHashMap::default(),
            histories: FxHashMap::default(),
            depth: 0,
            loops: Vec::new(),
            given: 0,
            hoist: mode.hoist,
            sums: mode.sums,
        }
    }

    /// A variable whose values come from outside: a security's result.
    pub fn give(&mut self, var: VarId, answer: Answer) {
        match answer {
            Answer::Column(column) => drop(self.defs.insert(var, Def::Given(column))),
            Answer::Lists(lists) => drop(self.lists.insert(var, lists)),
        }
    }

    /// Builds the whole body; `results` are evaluated at the end of each bar into the registers returned.
    pub fn build(mut self, body: &[Stmt], results: &[ExprId]) -> Result<(Built, Vec<Reg>)> {
        self.find_defs(body);
        let mut when = Vec::new();
        self.statements(body, &mut when)?;
        let results = results.iter().map(|e| self.value(*e)).collect::<Result<Vec<_>>>()?;
        Ok((self.finish(when), results))
    }

    fn finish(mut self, when: Vec<When>) -> Built {
        self.emit(Op::End);
        self.find_handles();
        Built { code: self.code, recipes: self.recipes, gates: self.gates, when }
    }

    /// Notes which registers and histories may hold handles, and what outlives a pass.
    fn find_handles(&mut self) {
        let vars = &self.folder.program.vars;
        let mut holds = vec![false; self.code.registers.len()];
        for (var, reg) in &self.vars {
            holds[*reg as usize] = is_heap(&vars[var.index()].ty);
            if vars[var.index()].lasting {
                self.code.lasting.push(*reg);
            }
        }
        self.code.lasting.sort_unstable();
        // A register that is never written holds a constant, no handle; copies pass on what they copy.
        let mut before = usize::MAX;
        while before != holds.iter().filter(|h| **h).count() {
            before = holds.iter().filter(|h| **h).count();
            for op in &self.code.ops {
                match *op {
                    Op::New { dst, .. } | Op::Field { dst, .. } | Op::Part { dst, .. } => {
                        holds[dst as usize] = true;
                    }
                    Op::Call { call, dst } => {
                        holds[dst as usize] |= self.code.calls[call as usize].gives_handle;
                    }
                    Op::Past { dst, history, .. } => {
                        let (reg, _) = self.code.histories[history as usize];
                        holds[dst as usize] |= holds[reg as usize];
                    }
                    Op::ForItem { item, .. } => holds[item as usize] = true,
                    Op::Copy { dst, src } => holds[dst as usize] |= holds[src as usize],
                    _ => {}
                }
            }
        }
        let held = |reg: &Reg| holds[*reg as usize];
        self.code.handles = (0..self.code.registers.len() as Reg).filter(held).collect();
        let histories = self.code.histories.iter().enumerate();
        self.code.handle_histories =
            histories.filter(|(_, (reg, _))| held(reg)).map(|(k, _)| k as u32).collect();
    }

    fn statements(&mut self, body: &[Stmt], when: &mut Vec<When>) -> Result<()> {
        for stmt in body {
            if self.is_column_stmt(stmt) {
                continue;
            }
            let kind = if self.hoist { self.classify(stmt) } else { When::Always };
            when.push(kind.clone());
            match (stmt, kind) {
                (Stmt::If(_, then, _), When::Gated(gate)) if self.whole_gate(stmt) => {
                    let skip = self.emit(Op::JumpUnlessGate { gate: gate as u32, to: 0 });
                    self.block(then)?;
                    self.land(skip);
                }
                _ => self.stmt(stmt)?,
            }
        }
        Ok(())
    }

    /// The same with variables instead of expressions: what plots show.
    pub fn build_with_vars(mut self, body: &[Stmt], vars: &[VarId]) -> Result<(Built, Vec<Reg>)> {
        self.find_defs(body);
        let mut when = Vec::new();
        self.statements(body, &mut when)?;
        let registers = vars
            .iter()
            .map(|var| match self.var_column(*var) {
                Some(Operand::Col(col)) => {
                    let dst = self.temp();
                    self.emit(Op::Col { dst, col: col as u32 });
                    dst
                }
                Some(Operand::Const(x)) => self.number(x),
                None => self.var(*var),
            })
            .collect();
        Ok((self.finish(when), registers))
    }

    // ---- columns ------------------------------------------------------------------------------

    /// Variables that are set once, at the top: candidates for columns.
    fn find_defs(&mut self, body: &[Stmt]) {
        let mut sets: FxHashMap<VarId, u32> = FxHashMap::default();
        count(body, &mut sets);
        for stmt in body {
            match stmt {
                Stmt::Set(var, expr) if sets[var] == 1 && !self.persistent(*var) => {
                    self.defs.insert(*var, Def::Expr(*expr));
                }
                Stmt::TaMulti { func, args, outs, .. }
                    if outs.iter().all(|v| sets[v] == 1 && !self.persistent(*v)) =>
                {
                    for (k, var) in outs.iter().enumerate() {
                        self.defs.insert(*var, Def::Multi(*func, args.clone(), k as u8));
                    }
                }
                _ => {}
            }
        }
        if !self.hoist {
            self.defs.retain(|_, def| matches!(def, Def::Given(_)));
        }
    }

    fn persistent(&self, var: VarId) -> bool {
        self.folder.program.vars[var.index()].persistent
    }

    /// The statement only defines columns; nothing of it runs per bar.
    fn is_column_stmt(&mut self, stmt: &Stmt) -> bool {
        match stmt {
            Stmt::Set(var, _) => self.var_column(*var).is_some(),
            Stmt::TaMulti { outs, .. } => outs.iter().all(|v| self.var_column(*v).is_some()),
            Stmt::Security(s) => s.outs.iter().all(|v| !self.lists.contains_key(v)),
            _ => false,
        }
    }

    fn var_column(&mut self, var: VarId) -> Option<Operand> {
        if let Some(known) = self.var_columns.get(&var) {
            return *known;
        }
        let def = self.defs.get(&var)?.clone();
        // While it is being looked at it is none: a variable that reads its own past is no column.
        self.var_columns.insert(var, None);
        let column = match def {
            Def::Expr(expr) => self.column(expr, false),
            Def::Multi(func, args, k) => self.ta_column(func, &args, k),
            Def::Given(column) => {
                self.given += 1;
                let id = self.store.id(Node::Given((Arc::as_ptr(&column) as usize as u64) << 8 | self.given));
                Some(Operand::Col(self.recipes.add(id, Recipe::Given(column))))
            }
        };
        self.var_columns.insert(var, column);
        column
    }

    /// The expression as a column; `lazy` where it is evaluated on some bars only, so that indicators
    /// in it must keep their own count of calls.
    fn column(&mut self, id: ExprId, lazy: bool) -> Option<Operand> {
        if let Some(known) = self.folder.known(id) {
            return known.num().map(Operand::Const);
        }
        if let Some(known) = self.columns.get(&id).filter(|_| !lazy) {
            return *known;
        }
        let column = self.new_column(id, lazy);
        if !lazy {
            self.columns.insert(id, column);
        }
        column
    }

    fn new_column(&mut self, id: ExprId, lazy: bool) -> Option<Operand> {
        let program = self.folder.program;
        match &program.exprs[id.index()] {
            Expr::Bar(field) => Some(self.bar(*field)),
            Expr::Input(input) => match program.inputs[input.index()].kind {
                InputKind::Source(_) => self.folder.source(*input).map(|f| self.bar(f)),
                _ => None,
            },
            Expr::BarHist(field, offset) => {
                let base = self.bar(*field);
                self.shift(base, *offset, f64::NAN)
            }
            Expr::Var(var) => self.var_column(*var),
            Expr::VarHist(var, offset) => {
                let base = self.var_column(*var)?;
                self.shift(base, *offset, program.vars[var.index()].initial)
            }
            _ if !self.hoist => None,
            Expr::Un(op, a) => {
                let a = self.column(*a, lazy)?;
                let node = Node::Un(*op, self.node(a));
                Some(self.add(node, Recipe::Un(*op, a)))
            }
            Expr::Bin(Bin::StrEq | Bin::StrNe | Bin::Concat, ..) => None,
            Expr::Bin(op, a, b) => {
                let (a, b) = (self.column(*a, lazy)?, self.column(*b, lazy)?);
                let node = Node::Bin(*op, self.node(a), self.node(b));
                Some(self.add(node, Recipe::Bin(*op, a, b)))
            }
            Expr::And(a, b) => {
                let (a, b) = (self.column(*a, lazy)?, self.column(*b, true)?);
                let node = Node::And(self.node(a), self.node(b));
                Some(self.add(node, Recipe::And(a, b)))
            }
            Expr::Or(a, b) => {
                let (a, b) = (self.column(*a, lazy)?, self.column(*b, true)?);
                let node = Node::Or(self.node(a), self.node(b));
                Some(self.add(node, Recipe::Or(a, b)))
            }
            Expr::Select(c, a, b) => match self.folder.truth(*c) {
                Some(chosen) => self.column(if chosen { *a } else { *b }, lazy),
                None => {
                    let (c, a, b) = (self.column(*c, lazy)?, self.column(*a, true)?, self.column(*b, true)?);
                    let node = Node::Select(self.node(c), self.node(a), self.node(b));
                    Some(self.add(node, Recipe::Select(c, a, b)))
                }
            },
            Expr::Ta(_, func, args) if !lazy => self.ta_column(*func, args, 0),
            Expr::Call { name, args, .. } if pure::find(name).is_some() && args.len() <= pure::MAX_ARGS => {
                let operands = self.operands(args, lazy)?;
                let node = Node::Pure(name, operands.iter().map(|o| self.node(*o)).collect());
                Some(self.add(node, Recipe::Pure(name, operands)))
            }
            Expr::Get(name) => {
                functions::bar_get(name)?;
                Some(self.add(Node::Get(name), Recipe::Get(name)))
            }
            _ => None,
        }
    }

    fn operands(&mut self, args: &[ExprId], lazy: bool) -> Option<Vec<Operand>> {
        args.iter()
            .map(|a| match self.folder.program.exprs[a.index()] {
                Expr::Absent => Some(Operand::Const(super::absent())),
                _ => self.column(*a, lazy),
            })
            .collect()
    }

    fn ta_column(&mut self, func: TaFunc, args: &[ExprId], k: u8) -> Option<Operand> {
        if !self.hoist {
            return None;
        }
        let operands = self.operands(args, false)?;
        let order = (k, self.sums);
        let node = Node::Ta(func, operands.iter().map(|o| self.node(*o)).collect(), order);
        Some(self.add(node, Recipe::Ta(func, operands, k, self.sums)))
    }

    fn bar(&mut self, field: BarField) -> Operand {
        if field == BarField::TimeClose {
            // Needs the timeframe: before a gap the next bar's open is not this bar's close.
            return self.add(Node::Get("time_close"), Recipe::Get("time_close"));
        }
        self.add(Node::Bar(field), Recipe::Bar(field))
    }

    fn shift(&mut self, base: Operand, offset: ExprId, fill: f64) -> Option<Operand> {
        let by = self.folder.known(offset)?.num()?;
        match base {
            _ if !(0.0..1e7).contains(&by) => None,
            base if by < 1.0 => Some(base),
            // A constant's past is na before the first bar all the same.
            Operand::Const(_) => None,
            Operand::Col(col) => {
                let by = by as usize;
                let node = Node::Shift(self.recipes.id(col), by as u32, fill.to_bits());
                Some(self.add(node, Recipe::Shift(col, by, fill)))
            }
        }
    }

    fn node(&self, operand: Operand) -> u32 {
        match operand {
            Operand::Const(x) => self.store.id(Node::Const(x.to_bits())),
            Operand::Col(c) => self.recipes.id(c),
        }
    }

    fn add(&mut self, node: Node, recipe: Recipe) -> Operand {
        let id = self.store.id(node);
        Operand::Col(self.recipes.add(id, recipe))
    }

    // ---- gates --------------------------------------------------------------------------------

    fn classify(&mut self, stmt: &Stmt) -> When {
        match stmt {
            Stmt::If(cond, then, other) if other.is_empty() => {
                if let Some(gate) = self.gate_of(*cond) {
                    self.gates.push(gate);
                    return When::Gated(self.gates.len() - 1);
                }
                if self.needs_position(*cond) && then.iter().all(only_orders) {
                    When::Engaged
                } else {
                    When::Always
                }
            }
            Stmt::Order { name, args, .. }
                if matches!(
                    *name,
                    "strategy.exit"
                        | "strategy.close"
                        | "strategy.close_all"
                        | "strategy.cancel"
                        | "strategy.cancel_all"
                ) && !args.iter().any(|a| self.remembers(*a)) =>
            {
                When::Engaged
            }
            _ => When::Always,
        }
    }

    /// The gate of a condition: the part of it that the market decides, when there is one.
    fn gate_of(&mut self, cond: ExprId) -> Option<Gate> {
        if let Some(gate) = self.gate(cond) {
            return Some(gate);
        }
        match &self.folder.program.exprs[cond.index()] {
            // The right side is asked only where the left one holds, so that an indicator in it is no gate; the
            // left side is asked on every bar, and must have nothing to remember where the right one decides.
            Expr::And(a, b) => match (self.gate_of(*a), self.lazy_gate(*b)) {
                (Some(a), Some(b)) => Some(Gate::And(Box::new(a), Box::new(b))),
                (None, Some(_)) if self.remembers(*a) => None,
                (a, b) => a.or(b),
            },
            _ => None,
        }
    }

    fn whole_gate(&mut self, stmt: &Stmt) -> bool {
        let Stmt::If(cond, ..) = stmt else { return false };
        self.gate(*cond).is_some()
    }

    fn gate(&mut self, id: ExprId) -> Option<Gate> {
        if self.folder.known(id).is_some() {
            return None;
        }
        match &self.folder.program.exprs[id.index()] {
            Expr::And(a, b) => Some(Gate::And(Box::new(self.gate(*a)?), Box::new(self.lazy_gate(*b)?))),
            Expr::Or(a, b) => Some(Gate::Or(Box::new(self.gate(*a)?), Box::new(self.lazy_gate(*b)?))),
            Expr::Un(Un::Not, a) => Some(Gate::Not(Box::new(self.gate(*a)?))),
            Expr::Ta(_, func @ (TaFunc::Crossover | TaFunc::Crossunder), args) => {
                let operands = self.operands(args, false)?;
                match (func, operands.as_slice()) {
                    (TaFunc::Crossover, [Operand::Col(a), Operand::Col(b)]) => Some(Gate::Crossover(*a, *b)),
                    (TaFunc::Crossunder, [Operand::Col(a), Operand::Col(b)]) => Some(Gate::Crossover(*b, *a)),
                    _ => self.column_gate(id),
                }
            }
            Expr::Bin(op @ (Bin::Lt | Bin::Le | Bin::Gt | Bin::Ge), a, b) => {
                Some(Gate::Compare(*op, self.column(*a, false)?, self.column(*b, false)?))
            }
            // A condition kept in a variable: look through it, so that a crossing is found there too.
            Expr::Var(var) => match self.defs.get(var).cloned() {
                Some(Def::Expr(expr)) if self.var_column(*var).is_some() => self.gate(expr),
                _ => self.column_gate(id),
            },
            _ => self.column_gate(id),
        }
    }

    fn lazy_gate(&mut self, id: ExprId) -> Option<Gate> {
        match self.column(id, true)? {
            Operand::Col(c) => Some(Gate::Column(c)),
            Operand::Const(_) => None,
        }
    }

    fn column_gate(&mut self, id: ExprId) -> Option<Gate> {
        match self.column(id, false)? {
            Operand::Col(c) => Some(Gate::Column(c)),
            Operand::Const(_) => None,
        }
    }

    /// The condition cannot hold while flat with nothing pending.
    fn needs_position(&mut self, cond: ExprId) -> bool {
        let exprs = &self.folder.program.exprs;
        match &exprs[cond.index()] {
            Expr::And(a, b) => self.needs_position(*a) || (self.needs_position(*b) && !self.remembers(*a)),
            Expr::Bin(op, a, b) => {
                let zero = |e: &ExprId| self.folder.known(*e).and_then(|k| k.num()) == Some(0.0);
                let size = |e: &ExprId| {
                    matches!(exprs[e.index()], Expr::Get("strategy.position_size" | "strategy.opentrades"))
                };
                matches!(op, Bin::Gt | Bin::Lt | Bin::Ne | Bin::SameNe)
                    && ((size(a) && zero(b)) || (zero(a) && size(b)))
            }
            _ => false,
        }
    }

    /// Evaluating the expression on a bar leaves something behind for later bars: the state of an indicator that
    /// is no column, a collection. Bars on which it stands must not be skipped.
    fn remembers(&mut self, id: ExprId) -> bool {
        if self.column(id, false).is_some() || self.folder.known(id).is_some() {
            return false;
        }
        match &self.folder.program.exprs[id.index()] {
            Expr::Ta(..) | Expr::New(..) => true,
            Expr::Call { name, args, .. } => {
                matches!(*name, "fixnan" | "math.random" | "timeframe.change")
                    || ["array.", "matrix.", "map."].iter().any(|kind| name.starts_with(kind))
                    || args.iter().any(|a| self.remembers(*a))
            }
            Expr::Un(_, a) | Expr::Field(a, _) | Expr::VarHist(_, a) | Expr::BarHist(_, a) => {
                self.remembers(*a)
            }
            Expr::Bin(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => self.remembers(*a) || self.remembers(*b),
            Expr::Select(c, a, b) => [c, a, b].into_iter().any(|e| self.remembers(*e)),
            _ => false,
        }
    }

    // ---- statements ---------------------------------------------------------------------------

    fn block(&mut self, stmts: &[Stmt]) -> Result<()> {
        self.depth += 1;
        let result = stmts.iter().try_for_each(|s| self.stmt(s));
        self.depth -= 1;
        result
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<()> {
        match stmt {
            Stmt::Set(var, expr) => {
                let dst = self.var(*var);
                self.value_into(*expr, dst)
            }
            Stmt::Once(_, body) => {
                let flag = self.code.flags;
                self.code.flags += 1;
                let vars = &self.folder.program.vars;
                if body.iter().any(|s| matches!(s, Stmt::Set(var, _) if vars[var.index()].lasting)) {
                    self.code.lasting_flags.push(flag);
                }
                let skip = self.emit(Op::Once { flag, to: 0 });
                self.block(body)?;
                self.land(skip);
                Ok(())
            }
            Stmt::If(cond, then, other) => self.branch(*cond, then, other),
            Stmt::For { var, from, to, step, retest, body } => {
                self.for_loop(*var, *from, to, *step, *retest, body)
            }
            Stmt::ForIn { index, var, over, body, .. } => self.for_in(*index, *var, *over, body),
            Stmt::While { cond, body } => self.while_loop(cond, body),
            Stmt::Break | Stmt::Continue => {
                let jump = self.emit(Op::Jump { to: 0 });
                if let Some(inner) = self.loops.last_mut() {
                    if *stmt == Stmt::Break { inner.breaks.push(jump) } else { inner.continues.push(jump) }
                }
                Ok(())
            }
            Stmt::Eval(expr) => self.value(*expr).map(drop),
            Stmt::SetField { object, field, value } => {
                let (object, value) = (self.value(*object)?, self.value(*value)?);
                self.emit(Op::SetField { object, field: *field, value });
                Ok(())
            }
            Stmt::TaMulti { func, args, outs, .. } => {
                if outs.iter().all(|v| self.var_column(*v).is_some()) {
                    return Ok(());
                }
                let outs: Vec<Reg> = outs.iter().map(|v| self.var(*v)).collect();
                self.ta(*func, args, &outs, Span::default())
            }
            Stmt::Order { name, args, span } => self.order(name, args, *span),
            Stmt::Security(s) => {
                for var in &s.outs {
                    if let Some(lists) = self.lists.get(var).cloned() {
                        let dst = self.var(*var);
                        self.code.lists.push(lists);
                        let list = (self.code.lists.len() - 1) as u32;
                        self.emit(Op::Part { dst, list });
                    }
                }
                Ok(())
            }
            Stmt::Error(message, span) => {
                let message = self.value(*message)?;
                self.emit(Op::Fail { message, span: *span });
                Ok(())
            }
            Stmt::Log(level, message) => {
                let message = self.value(*message)?;
                self.emit(Op::Log { level: *level, message });
                Ok(())
            }
        }
    }

    fn branch(&mut self, cond: ExprId, then: &[Stmt], other: &[Stmt]) -> Result<()> {
        let cond = self.value(cond)?;
        let skip = self.emit(Op::JumpFalse { cond, to: 0 });
        self.block(then)?;
        if other.is_empty() {
            self.land(skip);
            return Ok(());
        }
        let end = self.emit(Op::Jump { to: 0 });
        self.land(skip);
        self.block(other)?;
        self.land(end);
        Ok(())
    }

    fn for_loop(
        &mut self,
        var: VarId,
        from: ExprId,
        to: &(Vec<Stmt>, ExprId),
        step: Option<ExprId>,
        retest: bool,
        body: &[Stmt],
    ) -> Result<()> {
        let counter = self.var(var);
        self.value_into(from, counter)?;
        let limit = self.temp();
        self.depth += 1;
        to.0.iter().try_for_each(|s| self.stmt(s))?;
        self.value_into(to.1, limit)?;
        let by = match step {
            Some(step) => self.value(step)?,
            None => self.number(1.0),
        };
        let delta = self.temp();
        self.emit(Op::ForStep { delta, from: counter, to: limit, by });
        let top = self.code.ops.len();
        if retest {
            to.0.iter().try_for_each(|s| self.stmt(s))?;
            self.value_into(to.1, limit)?;
        }
        let exit = self.emit(Op::ForTest { counter, limit, delta, to: 0 });
        self.loop_body(body, |b| {
            b.emit(Op::Bin { op: Bin::Add, dst: counter, a: counter, b: delta });
            b.emit(Op::Loop { to: top as u32 });
        })?;
        self.depth -= 1;
        self.land(exit);
        Ok(())
    }

    /// The body, then `next`; `continue` lands before it and `break` behind it.
    fn loop_body(&mut self, body: &[Stmt], next: impl FnOnce(&mut Self)) -> Result<()> {
        self.loops.push(Loop { breaks: Vec::new(), continues: Vec::new() });
        self.block(body)?;
        let Some(inner) = self.loops.pop() else { return Ok(()) };
        inner.continues.iter().for_each(|j| self.land(*j));
        next(self);
        inner.breaks.iter().for_each(|j| self.land(*j));
        Ok(())
    }

    fn for_in(&mut self, index: Option<VarId>, var: VarId, over: ExprId, body: &[Stmt]) -> Result<()> {
        let object = self.value(over)?;
        let at = self.temp();
        let start = self.number(-1.0);
        self.emit(Op::Copy { dst: at, src: start });
        let one = self.number(1.0);
        let top = self.code.ops.len();
        self.emit(Op::Bin { op: Bin::Add, dst: at, a: at, b: one });
        let item = self.var(var);
        let key = match index {
            Some(index) => self.var(index),
            None => self.temp(),
        };
        let exit = self.emit(Op::ForItem { object, at, item, key, to: 0 });
        self.loop_body(body, |b| {
            b.emit(Op::Loop { to: top as u32 });
        })?;
        self.land(exit);
        Ok(())
    }

    fn while_loop(&mut self, cond: &(Vec<Stmt>, ExprId), body: &[Stmt]) -> Result<()> {
        let top = self.code.ops.len();
        self.depth += 1;
        cond.0.iter().try_for_each(|s| self.stmt(s))?;
        let test = self.value(cond.1)?;
        let exit = self.emit(Op::JumpFalse { cond: test, to: 0 });
        self.loop_body(body, |b| {
            b.emit(Op::Loop { to: top as u32 });
        })?;
        self.depth -= 1;
        self.land(exit);
        Ok(())
    }

    fn order(&mut self, name: &'static str, args: &[ExprId], span: Span) -> Result<()> {
        let kind =
            OrderKind::find(name).ok_or_else(|| RunError::Unsupported { feature: name.into(), span })?;
        let args = self.args(args)?;
        self.code.orders.push(OrderSite { kind, args });
        let order = (self.code.orders.len() - 1) as u32;
        self.emit(Op::Order { order });
        Ok(())
    }

    // ---- expressions --------------------------------------------------------------------------

    fn args(&mut self, args: &[ExprId]) -> Result<Vec<Reg>> {
        args.iter()
            .map(|a| match self.folder.program.exprs[a.index()] {
                Expr::Absent => Ok(self.number(super::absent())),
                _ => self.value(*a),
            })
            .collect()
    }

    fn value_into(&mut self, id: ExprId, dst: Reg) -> Result<()> {
        let src = self.value_at(id, Some(dst))?;
        if src != dst {
            self.emit(Op::Copy { dst, src });
        }
        Ok(())
    }

    fn value(&mut self, id: ExprId) -> Result<Reg> {
        self.value_at(id, None)
    }

    /// The register that holds the expression's value; `want` is used where a register is needed anyway.
    fn value_at(&mut self, id: ExprId, want: Option<Reg>) -> Result<Reg> {
        match self.folder.known(id) {
            Some(Known::Num(x)) => return Ok(self.number(x)),
            Some(Known::Str(text)) => {
                let handle = self.strings.intern(&text);
                return Ok(self.number(handle));
            }
            None => {}
        }
        let program = self.folder.program;
        let expr = &program.exprs[id.index()];
        // Inside a block only what exists as a column anyway is read from one: computing 30,000 values
        // for a block that runs on 700 bars would not pay.
        let leaf = matches!(
            expr,
            Expr::Bar(_)
                | Expr::BarHist(..)
                | Expr::Var(_)
                | Expr::VarHist(..)
                | Expr::Get(_)
                | Expr::Input(_)
        );
        if (self.depth == 0 || leaf)
            && let Some(Operand::Col(col)) = self.column(id, self.depth > 0)
        {
            let dst = want.unwrap_or_else(|| self.temp());
            self.emit(Op::Col { dst, col: col as u32 });
            return Ok(dst);
        }
        match expr {
            Expr::Var(var) => Ok(self.var(*var)),
            Expr::Num(x) => Ok(self.number(*x)),
            Expr::Absent => Ok(self.number(super::absent())),
            _ => {
                let dst = want.unwrap_or_else(|| self.temp());
                self.compound(id, expr, dst)?;
                Ok(dst)
            }
        }
    }

    fn compound(&mut self, id: ExprId, expr: &Expr, dst: Reg) -> Result<()> {
        let span = self.folder.program.spans.get(id.index()).copied().unwrap_or_default();
        match expr {
            Expr::Un(op, a) => {
                let a = self.value(*a)?;
                self.emit(Op::Un { op: *op, dst, a });
            }
            Expr::Bin(op, a, b) => {
                let (a, b) = (self.value(*a)?, self.value(*b)?);
                self.emit(Op::Bin { op: *op, dst, a, b });
            }
            Expr::And(a, b) => self.short_circuit(*a, *b, dst, false)?,
            Expr::Or(a, b) => self.short_circuit(*a, *b, dst, true)?,
            Expr::Select(c, a, b) => self.select(*c, *a, *b, dst)?,
            Expr::BarHist(field, offset) => {
                let Operand::Col(col) = self.bar(*field) else { return Ok(()) };
                let back = self.value(*offset)?;
                let fill = self.number(f64::NAN);
                self.emit(Op::ColBack { dst, col: col as u32, back, fill, span });
            }
            Expr::VarHist(var, offset) => self.past(*var, *offset, dst, span)?,
            Expr::Ta(_, func, args) => self.ta(*func, args, &[dst], span)?,
            Expr::Get(name) => {
                let op = match functions::get(name) {
                    Some(functions::Getter::Bar(what)) => Op::BarGet { what, dst },
                    Some(functions::Getter::Broker(what)) => Op::BrokerGet { what, dst },
                    None => return Err(RunError::Unsupported { feature: (*name).into(), span }),
                };
                self.emit(op);
            }
            Expr::Call { name, args, arg_types, ty, .. } => {
                self.call((name, ty), args, arg_types, dst, span)?
            }
            Expr::New(ty, args) => {
                let links = program_links(&Ty::Object(*ty), self.folder.program);
                let args = self.args(args)?;
                self.code.calls.push(CallSite {
                    function: None,
                    args,
                    types: Vec::new(),
                    links,
                    gives_handle: true,
                    state: 0,
                    span,
                });
                let call = (self.code.calls.len() - 1) as u32;
                self.emit(Op::New { call, dst });
            }
            Expr::Field(object, field) => {
                let object = self.value(*object)?;
                self.emit(Op::Field { dst, object, field: *field, span });
            }
            Expr::Input(_) | Expr::Bar(_) | Expr::Var(_) | Expr::Num(_) | Expr::Str(_) | Expr::Absent => {
                return Err(RunError::Unsupported { feature: format!("{expr:?}"), span });
            }
        }
        Ok(())
    }

    /// Whatever is evaluated only sometimes counts as inside a block.
    fn lazily(&mut self, id: ExprId, dst: Reg) -> Result<()> {
        self.depth += 1;
        let result = self.value_into(id, dst);
        self.depth -= 1;
        result
    }

    fn short_circuit(&mut self, a: ExprId, b: ExprId, dst: Reg, or: bool) -> Result<()> {
        // The left side may need `dst` itself for its own parts: a register of its own keeps them apart.
        let left = self.value(a)?;
        self.emit(Op::Truth { dst, a: left });
        let skip = self.emit(if or {
            Op::JumpTrue { cond: dst, to: 0 }
        } else {
            Op::JumpFalse { cond: dst, to: 0 }
        });
        let right = self.temp();
        self.lazily(b, right)?;
        self.emit(Op::Truth { dst, a: right });
        self.land(skip);
        Ok(())
    }

    fn select(&mut self, c: ExprId, a: ExprId, b: ExprId, dst: Reg) -> Result<()> {
        if let Some(chosen) = self.folder.truth(c) {
            return self.value_into(if chosen { a } else { b }, dst);
        }
        let out = self.temp();
        let cond = self.value(c)?;
        let other = self.emit(Op::JumpFalse { cond, to: 0 });
        self.lazily(a, out)?;
        let end = self.emit(Op::Jump { to: 0 });
        self.land(other);
        self.lazily(b, out)?;
        self.land(end);
        self.emit(Op::Copy { dst, src: out });
        Ok(())
    }

    fn past(&mut self, var: VarId, offset: ExprId, dst: Reg, span: Span) -> Result<()> {
        let initial = self.folder.program.vars[var.index()].initial;
        let fill = self.number(initial);
        let back = self.value(offset)?;
        if let Some(operand) = self.var_column(var) {
            let col = match operand {
                Operand::Col(col) => col,
                // A constant has a past only as far as there are bars.
                Operand::Const(_) => {
                    let node = Node::Pure("float", vec![self.node(operand)]);
                    let id = self.store.id(node);
                    self.recipes.add(id, Recipe::Pure("float", vec![operand]))
                }
            };
            self.emit(Op::ColBack { dst, col: col as u32, back, fill, span });
            return Ok(());
        }
        let reg = self.var(var);
        let next = self.histories.len() as u32;
        let history = *self.histories.entry(var).or_insert(next);
        if history == next {
            self.code.histories.push((reg, initial));
        }
        self.emit(Op::Past { dst, history, back, span });
        Ok(())
    }

    fn ta(&mut self, func: TaFunc, args: &[ExprId], outs: &[Reg], span: Span) -> Result<()> {
        let fixed: Vec<Option<f64>> =
            args.iter().map(|a| self.folder.known(*a).and_then(|k| k.num())).collect();
        validate(func, &fixed).map_err(|message| RunError::Script { message, span, bar: 0 })?;
        let args = self.args(args)?;
        self.code.states.push((func, self.sums, fixed));
        let state = (self.code.states.len() - 1) as u32;
        self.code.ta.push((args, outs.to_vec()));
        self.emit(Op::Ta { state });
        Ok(())
    }

    fn call(
        &mut self,
        (name, ty): (&'static str, &Ty),
        args: &[ExprId],
        types: &[Ty],
        dst: Reg,
        span: Span,
    ) -> Result<()> {
        let registers = self.args(args)?;
        if let Some(function) = pure::find(name) {
            self.code.pures.push((function, registers));
            let pure = (self.code.pures.len() - 1) as u32;
            self.emit(Op::Pure { pure, dst });
            return Ok(());
        }
        let function: Function =
            functions::find(name).ok_or_else(|| RunError::Unsupported { feature: name.into(), span })?;
        let state = self.code.memories;
        self.code.memories += 1;
        self.code.calls.push(CallSite {
            function: Some(function),
            args: registers,
            types: types.to_vec(),
            links: program_links(ty, self.folder.program),
            gives_handle: is_heap(ty),
            state,
            span,
        });
        let call = (self.code.calls.len() - 1) as u32;
        self.emit(Op::Call { call, dst });
        Ok(())
    }

    // ---- registers and jumps ------------------------------------------------------------------

    fn emit(&mut self, op: Op) -> usize {
        self.code.ops.push(op);
        self.code.ops.len() - 1
    }

    /// The jump at `at` goes to the next operation.
    fn land(&mut self, at: usize) {
        let here = self.code.ops.len() as u32;
        self.code.ops[at].set_target(here);
    }

    fn temp(&mut self) -> Reg {
        self.code.registers.push(f64::NAN);
        (self.code.registers.len() - 1) as Reg
    }

    fn number(&mut self, x: f64) -> Reg {
        if let Some(reg) = self.numbers.get(&x.to_bits()) {
            return *reg;
        }
        self.code.registers.push(x);
        let reg = (self.code.registers.len() - 1) as Reg;
        self.numbers.insert(x.to_bits(), reg);
        reg
    }

    fn var(&mut self, var: VarId) -> Reg {
        if let Some(reg) = self.vars.get(&var) {
            return *reg;
        }
        self.code.registers.push(self.folder.program.vars[var.index()].initial);
        let reg = (self.code.registers.len() - 1) as Reg;
        self.vars.insert(var, reg);
        reg
    }
}

/// Whether what is made as this type holds handles.
fn program_links(ty: &Ty, program: &Program) -> bool {
    match ty {
        Ty::Array(inner) | Ty::Matrix(inner) | Ty::Map(_, inner) => is_heap(inner),
        Ty::Object(id) => program.types[id.index()].fields.iter().any(|(_, ty)| is_heap(ty)),
        _ => false,
    }
}

fn only_orders(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Order { .. } | Stmt::Set(..) => true,
        Stmt::If(_, a, b) => a.iter().chain(b).all(only_orders),
        _ => false,
    }
}

fn count(stmts: &[Stmt], sets: &mut FxHashMap<VarId, u32>) {
    for stmt in stmts {
        match stmt {
            Stmt::Set(var, _) => *sets.entry(*var).or_default() += 1,
            Stmt::TaMulti { outs, .. } => outs.iter().for_each(|v| *sets.entry(*v).or_default() += 1),
            Stmt::Security(s) => s.outs.iter().for_each(|v| *sets.entry(*v).or_default() += 1),
            Stmt::For { var, .. } => *sets.entry(*var).or_default() += 1,
            Stmt::ForIn { index, var, .. } => {
                *sets.entry(*var).or_default() += 1;
                index.iter().for_each(|v| *sets.entry(*v).or_default() += 1);
            }
            _ => {}
        }
        if !matches!(stmt, Stmt::Security(_)) {
            blocks(stmt).into_iter().for_each(|b| count(b, sets));
        }
    }
}
