//! Keeps what orders depend on and drops the rest: drawings' leftovers, unread variables.

use super::fold::{Folder, blocks};
use crate::ir::{Expr, ExprId, Stmt, Ty, VarId};
use rustc_hash::FxHashSet;

/// What must be computed.
pub(super) struct Needs<'f, 'p> {
    folder: &'f Folder<'p>,
    vars: FxHashSet<VarId>,
    seen: FxHashSet<ExprId>,
    /// Some kept expression reads a collection or an object: every change to any of them is kept.
    heap: bool,
}

impl<'f, 'p> Needs<'f, 'p> {
    /// The part of `body` that orders, errors and logs depend on, and `roots`.
    pub fn slice(folder: &'f Folder<'p>, body: &[Stmt], roots: &[VarId], orders: bool) -> Vec<Stmt> {
        let mut needs =
            Self { folder, vars: roots.iter().copied().collect(), seen: FxHashSet::default(), heap: false };
        needs.grow(body, orders);
        needs.keep(body, orders, false)
    }

    /// The part that the results of a security need, cut to the block that holds it.
    pub fn slice_for(
        folder: &'f Folder<'p>,
        body: &[Stmt],
        exprs: &[ExprId],
        inner: &[Stmt],
    ) -> (Vec<Stmt>, Vec<Stmt>) {
        let mut needs = Self { folder, vars: FxHashSet::default(), seen: FxHashSet::default(), heap: false };
        exprs.iter().for_each(|e| needs.read(*e));
        loop {
            let before = (needs.vars.len(), needs.heap);
            needs.pass(inner, false);
            needs.pass(body, false);
            if before == (needs.vars.len(), needs.heap) {
                break;
            }
        }
        (needs.keep(body, false, false), needs.keep(inner, false, false))
    }

    fn grow(&mut self, body: &[Stmt], orders: bool) {
        loop {
            let before = (self.vars.len(), self.heap);
            self.pass(body, orders);
            if before == (self.vars.len(), self.heap) {
                return;
            }
        }
    }

    fn pass(&mut self, body: &[Stmt], orders: bool) {
        for stmt in body.iter().rev() {
            if self.wanted(stmt, orders) {
                self.read_stmt(stmt, orders);
            }
        }
    }

    /// Whether the statement itself does something needed, breaks apart.
    fn wanted(&self, stmt: &Stmt, orders: bool) -> bool {
        match stmt {
            Stmt::Set(var, expr) => self.vars.contains(var) || (self.heap && self.mutates(*expr)),
            Stmt::TaMulti { outs, .. } => outs.iter().any(|v| self.vars.contains(v)),
            Stmt::Security(s) => s.outs.iter().any(|v| self.vars.contains(v)),
            Stmt::Eval(expr) => self.heap && self.mutates(*expr),
            Stmt::SetField { .. } => self.heap,
            Stmt::Order { .. } | Stmt::Error(..) | Stmt::Log(..) => orders,
            Stmt::Break | Stmt::Continue => false,
            _ => blocks(stmt).into_iter().flatten().any(|s| self.wanted(s, orders)),
        }
    }

    fn read_stmt(&mut self, stmt: &Stmt, orders: bool) {
        match stmt {
            Stmt::Set(_, e) | Stmt::Eval(e) | Stmt::Error(e, _) | Stmt::Log(_, e) => self.read(*e),
            Stmt::TaMulti { args, .. } | Stmt::Order { args, .. } => args.iter().for_each(|a| self.read(*a)),
            Stmt::SetField { object, value, .. } => {
                self.read(*object);
                self.read(*value);
            }
            Stmt::If(cond, ..) => self.read(*cond),
            Stmt::For { var, from, to, step, .. } => {
                self.vars.insert(*var);
                self.read(*from);
                self.read(to.1);
                step.iter().for_each(|s| self.read(*s));
            }
            Stmt::ForIn { over, .. } => self.read(*over),
            Stmt::While { cond, .. } => self.read(cond.1),
            // The context re-runs what it needs by itself; the chart needs only where it looks.
            Stmt::Security(s) => {
                for e in [s.symbol, s.timeframe, s.gaps, s.lookahead, s.ignore_invalid] {
                    self.read(e);
                }
            }
            Stmt::Once(..) | Stmt::Break | Stmt::Continue => {}
        }
        if matches!(stmt, Stmt::Security(_)) {
            return;
        }
        let in_loop = matches!(stmt, Stmt::For { .. } | Stmt::ForIn { .. } | Stmt::While { .. });
        for block in blocks(stmt) {
            self.pass(block, orders);
            if in_loop {
                self.read_breaks(block);
            }
        }
    }

    /// Conditions under which a kept loop ends early.
    fn read_breaks(&mut self, body: &[Stmt]) {
        for stmt in body {
            if let Stmt::If(cond, a, b) = stmt
                && (has_break(a) || has_break(b))
            {
                self.read(*cond);
                self.read_breaks(a);
                self.read_breaks(b);
            }
        }
    }

    fn read(&mut self, id: ExprId) {
        if !self.seen.insert(id) || self.folder.known(id).is_some() {
            return;
        }
        match &self.folder.program.exprs[id.index()] {
            Expr::Var(var) => drop(self.vars.insert(*var)),
            Expr::VarHist(var, offset) => {
                self.vars.insert(*var);
                self.read(*offset);
            }
            Expr::BarHist(_, a) | Expr::Un(_, a) => self.read(*a),
            Expr::Bin(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => {
                self.read(*a);
                self.read(*b);
            }
            Expr::Select(c, a, b) => match self.folder.truth(*c) {
                Some(true) => self.read(*a),
                Some(false) => self.read(*b),
                None => [c, a, b].into_iter().for_each(|e| self.read(*e)),
            },
            Expr::Ta(_, _, args) => args.iter().for_each(|a| self.read(*a)),
            Expr::Call { args, arg_types, ty, .. } => {
                self.heap |= arg_types.iter().chain([ty]).any(is_heap);
                args.iter().for_each(|a| self.read(*a));
            }
            Expr::New(_, args) => {
                self.heap = true;
                args.iter().for_each(|a| self.read(*a));
            }
            Expr::Field(a, _) => {
                self.heap = true;
                self.read(*a);
            }
            Expr::Num(_) | Expr::Str(_) | Expr::Absent | Expr::Input(_) | Expr::Bar(_) | Expr::Get(_) => {}
        }
    }

    /// Whether evaluating the expression changes a collection.
    fn mutates(&self, id: ExprId) -> bool {
        match &self.folder.program.exprs[id.index()] {
            Expr::Call { name, args, .. } => {
                let (kind, method) = name.split_once('.').unwrap_or(("", name));
                (matches!(kind, "array" | "matrix" | "map") && MUTATING.contains(&method))
                    || args.iter().any(|a| self.mutates(*a))
            }
            Expr::Un(_, a) | Expr::Field(a, _) => self.mutates(*a),
            Expr::Bin(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => self.mutates(*a) || self.mutates(*b),
            Expr::Select(c, a, b) => [c, a, b].into_iter().any(|e| self.mutates(*e)),
            Expr::Ta(_, _, args) | Expr::New(_, args) => args.iter().any(|a| self.mutates(*a)),
            _ => false,
        }
    }

    fn keep(&self, body: &[Stmt], orders: bool, in_loop: bool) -> Vec<Stmt> {
        let mut out = Vec::new();
        for stmt in body {
            let breaks = in_loop && has_break(std::slice::from_ref(stmt));
            if !breaks && !self.wanted(stmt, orders) {
                continue;
            }
            let inner = |b: &[Stmt], in_loop: bool| self.keep(b, orders, in_loop);
            out.push(match stmt {
                Stmt::If(c, a, b) => Stmt::If(*c, inner(a, in_loop), inner(b, in_loop)),
                Stmt::Once(site, a) => Stmt::Once(*site, inner(a, in_loop)),
                Stmt::For { var, from, to, step, retest, body } => Stmt::For {
                    var: *var,
                    from: *from,
                    to: (inner(&to.0, false), to.1),
                    step: *step,
                    retest: *retest,
                    body: inner(body, true),
                },
                Stmt::ForIn { index, var, over, over_ty, body } => Stmt::ForIn {
                    index: *index,
                    var: *var,
                    over: *over,
                    over_ty: over_ty.clone(),
                    body: inner(body, true),
                },
                Stmt::While { cond, body } => {
                    Stmt::While { cond: (inner(&cond.0, false), cond.1), body: inner(body, true) }
                }
                other => other.clone(),
            });
        }
        out
    }
}

/// A `break` or `continue` of the loop around, not of one inside.
fn has_break(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Break | Stmt::Continue => true,
        Stmt::If(_, a, b) => has_break(a) || has_break(b),
        Stmt::Once(_, a) => has_break(a),
        _ => false,
    })
}

const MUTATING: &[&str] = &[
    "clear",
    "concat",
    "fill",
    "insert",
    "pop",
    "push",
    "remove",
    "reverse",
    "set",
    "shift",
    "sort",
    "unshift",
    "add_col",
    "add_row",
    "remove_col",
    "remove_row",
    "reshape",
    "swap_columns",
    "swap_rows",
    "put",
    "put_all",
];

/// Values of this type are handles.
pub(super) fn is_heap(ty: &Ty) -> bool {
    matches!(ty, Ty::Array(_) | Ty::Matrix(_) | Ty::Map(..) | Ty::Object(_))
}
