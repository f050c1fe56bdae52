//! Specialisation: what the inputs decide is decided before the first bar.
//!
//! Conditions that depend on constants and inputs alone choose their branch here, so the usual
//! `maType == "EMA" ? ... : ...` costs nothing per bar and its other branches compute nothing.

use super::pure;
use crate::ir::{BarField, Bin, Expr, ExprId, InputId, Program, Stmt, Un, VarId};
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// A value known before the first bar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Known {
    Num(f64),
    Str(Rc<str>),
}

impl Known {
    pub fn num(&self) -> Option<f64> {
        match self {
            Self::Num(x) => Some(*x),
            Self::Str(_) => None,
        }
    }
}

/// Values of `Expr::Get` that are known before the first bar: `syminfo.*`, `timeframe.*`.
pub(super) type Facts = FxHashMap<&'static str, Known>;

/// A program with its inputs' values.
pub(super) struct Folder<'p> {
    pub program: &'p Program,
    inputs: Vec<Known>,
    sources: Vec<Option<BarField>>,
    facts: &'p Facts,
    /// Values of variables that are set once, to something known.
    vars: FxHashMap<VarId, Known>,
}

impl<'p> Folder<'p> {
    /// Prunes the body until nothing more is decided; returns it with the folder that knows why.
    pub fn specialise(
        program: &'p Program,
        inputs: Vec<Known>,
        sources: Vec<Option<BarField>>,
        facts: &'p Facts,
    ) -> (Self, Vec<Stmt>) {
        let mut folder = Self { program, inputs, sources, facts, vars: FxHashMap::default() };
        let mut body = folder.prune(&program.body);
        // Each round can make variables known that decide further branches.
        for _ in 0..4 {
            let before = folder.vars.len();
            folder.find_known(&body);
            if folder.vars.len() == before {
                break;
            }
            body = folder.prune(&body);
        }
        (folder, body)
    }

    fn prune(&self, stmts: &[Stmt]) -> Vec<Stmt> {
        let mut out = Vec::with_capacity(stmts.len());
        for stmt in stmts {
            match stmt {
                Stmt::If(cond, then, other) => match self.truth(*cond) {
                    Some(true) => out.extend(self.prune(then)),
                    Some(false) => out.extend(self.prune(other)),
                    None => out.push(Stmt::If(*cond, self.prune(then), self.prune(other))),
                },
                Stmt::Once(site, body) => out.push(Stmt::Once(*site, self.prune(body))),
                Stmt::For { var, from, to, step, retest, body } => out.push(Stmt::For {
                    var: *var,
                    from: *from,
                    to: (self.prune(&to.0), to.1),
                    step: *step,
                    retest: *retest,
                    body: self.prune(body),
                }),
                Stmt::ForIn { index, var, over, over_ty, body } => out.push(Stmt::ForIn {
                    index: *index,
                    var: *var,
                    over: *over,
                    over_ty: over_ty.clone(),
                    body: self.prune(body),
                }),
                Stmt::While { cond, body } => {
                    out.push(Stmt::While { cond: (self.prune(&cond.0), cond.1), body: self.prune(body) });
                }
                other => out.push(other.clone()),
            }
        }
        out
    }

    /// Variables with a single assignment, to something known.
    fn find_known(&mut self, body: &[Stmt]) {
        let mut sets: FxHashMap<VarId, (u32, Option<ExprId>)> = FxHashMap::default();
        count_sets(body, &mut sets);
        let mut single: Vec<(VarId, ExprId)> = sets
            .into_iter()
            .filter_map(|(var, (n, e))| (n == 1).then_some(()).and(e).map(|e| (var, e)))
            .collect();
        single.sort_unstable();
        for (var, expr) in single {
            if let Some(known) = self.known(expr) {
                self.vars.insert(var, known);
            }
        }
    }

    /// The price series that a source input stands for.
    pub fn source(&self, input: InputId) -> Option<BarField> {
        self.sources[input.index()]
    }

    /// True, false, or not decided; `na` is false.
    pub fn truth(&self, id: ExprId) -> Option<bool> {
        self.known(id).and_then(|k| k.num()).map(truthy)
    }

    /// The expression's value, when constants and inputs decide it.
    pub fn known(&self, id: ExprId) -> Option<Known> {
        match &self.program.exprs[id.index()] {
            Expr::Num(x) => Some(Known::Num(*x)),
            Expr::Str(s) => Some(Known::Str(self.program.strings[s.index()].as_str().into())),
            Expr::Input(input) => {
                Some(self.inputs[input.index()].clone()).filter(|_| !self.is_source(*input))
            }
            Expr::Var(var) => self.vars.get(var).cloned(),
            Expr::Get(name) => self.facts.get(name).cloned(),
            Expr::Un(op, a) => Some(Known::Num(unary(*op, self.known(*a)?.num()?))),
            Expr::Bin(op, a, b) => self.binary(*op, *a, *b),
            Expr::And(a, b) => match self.truth(*a)? {
                false => Some(Known::Num(0.0)),
                true => self.known(*b),
            },
            Expr::Or(a, b) => match self.truth(*a)? {
                true => Some(Known::Num(1.0)),
                false => self.known(*b),
            },
            Expr::Select(c, a, b) => self.known(if self.truth(*c)? { *a } else { *b }),
            Expr::Call { name, args, .. } => self.call(name, args),
            _ => None,
        }
    }

    fn is_source(&self, input: crate::ir::InputId) -> bool {
        matches!(self.program.inputs[input.index()].kind, crate::ir::InputKind::Source(_))
    }

    fn binary(&self, op: Bin, a: ExprId, b: ExprId) -> Option<Known> {
        let (a, b) = (self.known(a)?, self.known(b)?);
        Some(match (op, a, b) {
            (Bin::StrEq | Bin::SameEq, Known::Str(a), Known::Str(b)) => Known::Num(f64::from(a == b)),
            (Bin::StrNe | Bin::SameNe, Known::Str(a), Known::Str(b)) => Known::Num(f64::from(a != b)),
            (Bin::Concat, Known::Str(a), Known::Str(b)) => Known::Str(format!("{a}{b}").into()),
            (Bin::StrEq | Bin::StrNe | Bin::Concat, ..) => return None,
            (op, a, b) => Known::Num(binary(op, a.num()?, b.num()?)),
        })
    }

    fn call(&self, name: &str, args: &[ExprId]) -> Option<Known> {
        let function = pure::find(name)?;
        let mut values = [f64::NAN; pure::MAX_ARGS];
        let values = values.get_mut(..args.len())?;
        for (value, arg) in values.iter_mut().zip(args) {
            *value = match &self.program.exprs[arg.index()] {
                Expr::Absent => super::absent(),
                _ => self.known(*arg)?.num()?,
            };
        }
        Some(Known::Num(function(values)))
    }
}

fn count_sets(stmts: &[Stmt], sets: &mut FxHashMap<VarId, (u32, Option<ExprId>)>) {
    for stmt in stmts {
        match stmt {
            Stmt::Set(var, expr) => note(sets, *var, Some(*expr)),
            Stmt::TaMulti { outs, .. } => outs.iter().for_each(|v| note(sets, *v, None)),
            Stmt::Security(s) => s.outs.iter().for_each(|v| note(sets, *v, None)),
            Stmt::For { var, .. } => note(sets, *var, None),
            Stmt::ForIn { index, var, .. } => {
                note(sets, *var, None);
                if let Some(index) = index {
                    note(sets, *index, None);
                }
            }
            _ => {}
        }
        for block in blocks(stmt) {
            count_sets(block, sets);
        }
    }
}

fn note(sets: &mut FxHashMap<VarId, (u32, Option<ExprId>)>, var: VarId, expr: Option<ExprId>) {
    let entry = sets.entry(var).or_insert((0, None));
    *entry = (entry.0 + 1, expr);
}

/// The statement lists inside a statement. A security's body is among them: it assigns variables too.
pub(super) fn blocks(stmt: &Stmt) -> Vec<&[Stmt]> {
    match stmt {
        Stmt::If(_, a, b) => vec![a, b],
        Stmt::Once(_, a) => vec![a],
        Stmt::For { to, body, .. } => vec![&to.0, body],
        Stmt::ForIn { body, .. } => vec![body],
        Stmt::While { cond, body } => vec![&cond.0, body],
        Stmt::Security(s) => vec![&s.body],
        _ => vec![],
    }
}

/// The language's truth: 0 and na are false.
#[inline]
pub(super) fn truthy(x: f64) -> bool {
    x != 0.0 && !x.is_nan()
}

/// Absolute tolerance of the language's comparisons.
const TOLERANCE: f64 = 1e-10;

/// One operator on numbers; the only place that says what it does.
#[inline]
pub(super) fn binary(op: Bin, a: f64, b: f64) -> f64 {
    let truth = |x: bool| if x { 1.0 } else { 0.0 };
    match op {
        Bin::Add => a + b,
        Bin::Sub => a - b,
        Bin::Mul => a * b,
        Bin::Div => div(a, b),
        Bin::IntDiv => div(a, b).trunc(),
        Bin::Rem => finite(a % b),
        Bin::Eq => truth(a == b || (a - b).abs() <= TOLERANCE),
        Bin::Ne => truth(!a.is_nan() && !b.is_nan() && a != b && (a - b).abs() > TOLERANCE),
        Bin::Lt => truth(a - b < -TOLERANCE),
        Bin::Le => truth(a - b <= TOLERANCE),
        Bin::Gt => truth(a - b > TOLERANCE),
        Bin::Ge => truth(a - b >= -TOLERANCE),
        Bin::SameEq => truth(a == b),
        Bin::SameNe => truth(a != b && !a.is_nan() && !b.is_nan()),
        Bin::StrEq | Bin::StrNe | Bin::Concat => f64::NAN,
    }
}

/// Division by zero is na.
#[inline]
fn div(a: f64, b: f64) -> f64 {
    if b == 0.0 { f64::NAN } else { a / b }
}

fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { f64::NAN }
}

#[inline]
pub(super) fn unary(op: Un, a: f64) -> f64 {
    match op {
        Un::Neg => -a,
        Un::Not => f64::from(!truthy(a)),
    }
}
