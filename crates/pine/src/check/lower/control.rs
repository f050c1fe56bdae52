//! `if`, `switch`, loops, as statements and as values.

use super::{Binding, Checker};
use crate::check::types::{Fx, Q, T, Val};
use crate::ir::{Expr, ExprId, Stmt, VarId};
use crate::syntax::ast::{self, BinaryOp, ExprKind, Ident};
use springtide_domain::Span;

/// One way through a conditional.
struct Arm {
    /// What the condition needs computed first.
    before: Vec<Stmt>,
    /// `None` for the last resort.
    cond: Option<ExprId>,
    q: Q,
    body: Vec<Stmt>,
    val: Option<Val>,
    span: Span,
}

impl<'a> Checker<'a> {
    pub(super) fn control(&mut self, expr: &'a ast::Expr, wanted: bool) -> Option<Val> {
        match &expr.kind {
            ExprKind::If { arms, otherwise } => self.if_chain(arms, otherwise.as_deref(), wanted, expr.span),
            ExprKind::Switch { subject, arms } => self.switch(subject.as_deref(), arms, wanted, expr.span),
            ExprKind::For { var, from, to, step, body } => {
                self.counting_loop(var, [from, to], step.as_deref(), body, wanted)
            }
            ExprKind::ForIn { index, var, over, body } => {
                self.each_loop(index.as_ref(), var, over, body, wanted)
            }
            ExprKind::While { cond, body } => self.while_loop(cond, body, wanted),
            _ => None,
        }
    }

    fn if_chain(
        &mut self,
        arms: &'a [(ast::Expr, Vec<ast::Stmt>)],
        otherwise: Option<&'a [ast::Stmt]>,
        wanted: bool,
        span: Span,
    ) -> Option<Val> {
        let mut lowered = Vec::with_capacity(arms.len() + 1);
        let mut decided = Q::Const;
        for (cond, body) in arms {
            let (before, val) = self.under(decided, |c| {
                let val = c.expression(cond);
                c.truth(val, cond.span)
            });
            decided = decided.max(val.q);
            lowered.push(self.arm(before, Some(val.e), decided, body, wanted, cond.span));
        }
        if let Some(body) = otherwise {
            lowered.push(self.arm(Vec::new(), None, decided, body, wanted, span));
        }
        self.join(lowered, wanted, span)
    }

    fn arm(
        &mut self,
        before: Vec<Stmt>,
        cond: Option<ExprId>,
        q: Q,
        stmts: &'a [ast::Stmt],
        wanted: bool,
        fallback: Span,
    ) -> Arm {
        let (body, val) = self.under(q, |c| c.body(stmts, wanted));
        let span = stmts.last().map_or(fallback, |s| s.span);
        Arm { before, cond, q, body, val, span }
    }

    fn switch(
        &mut self,
        subject: Option<&'a ast::Expr>,
        arms: &'a [(Option<ast::Expr>, Vec<ast::Stmt>)],
        wanted: bool,
        span: Span,
    ) -> Option<Val> {
        let subject = subject.map(|s| {
            let val = self.expression(s);
            let leaf = matches!(
                self.program.exprs[val.e.index()],
                Expr::Num(_) | Expr::Str(_) | Expr::Input(_) | Expr::Bar(_) | Expr::Var(_)
            );
            if leaf { val } else { self.spill(&val) }
        });
        let mut lowered = Vec::with_capacity(arms.len());
        let mut decided = subject.as_ref().map_or(Q::Const, |s| s.q);
        for (cond, body) in arms {
            let Some(cond) = cond else {
                lowered.push(self.arm(Vec::new(), None, decided, body, wanted, span));
                break;
            };
            let (before, val) = self.under(decided, |c| {
                let val = c.expression(cond);
                match &subject {
                    Some(subject) => c.binary(BinaryOp::Eq, subject.clone(), val, cond.span),
                    None => c.truth(val, cond.span),
                }
            });
            decided = decided.max(val.q);
            lowered.push(self.arm(before, Some(val.e), decided, body, wanted, cond.span));
        }
        self.join(lowered, wanted, span)
    }

    /// Nests the arms into `If`s and brings their values together.
    fn join(&mut self, mut arms: Vec<Arm>, wanted: bool, span: Span) -> Option<Val> {
        let q = arms.iter().map(|a| a.q).max().unwrap_or(Q::Const);
        let exhaustive = arms.last().is_some_and(|a| a.cond.is_none());
        if wanted && !exhaustive {
            let val = arms.first().and_then(|a| a.val.clone());
            let missing = val.map(|v| self.missing(&v.t));
            arms.push(Arm { before: Vec::new(), cond: None, q, body: Vec::new(), val: missing, span });
        }
        let val = wanted.then(|| self.join_values(&mut arms, q, span));
        let mut otherwise: Vec<Stmt> = Vec::new();
        for arm in arms.into_iter().rev() {
            match arm.cond {
                None => otherwise = arm.body,
                Some(cond) => {
                    let mut block = arm.before;
                    block.push(Stmt::If(cond, arm.body, otherwise));
                    otherwise = block;
                }
            }
        }
        self.block.extend(otherwise);
        val
    }

    /// What a conditional gives when no branch runs.
    fn missing(&mut self, t: &T) -> Val {
        match t {
            T::Bool if self.version >= 6 => self.constant(crate::check::types::K::Bool(false)),
            T::Tuple(parts) => {
                let vals: Vec<_> = parts.clone().iter().map(|t| self.missing(t)).collect();
                let mut val = self.void();
                val.t = T::Tuple(vals.iter().map(|v| v.t.clone()).collect());
                val.parts = vals;
                val
            }
            T::Void => self.void(),
            _ => self.na(),
        }
    }

    fn join_values(&mut self, arms: &mut [Arm], q: Q, span: Span) -> Val {
        let branches = arms
            .iter_mut()
            .map(|a| {
                let val = a.val.take();
                (std::mem::take(&mut a.body), val, a.span)
            })
            .collect::<Vec<_>>();
        let mut filled = Vec::with_capacity(branches.len());
        for (body, val, span) in branches {
            let val = match val {
                Some(val) => val,
                None => self.void(),
            };
            filled.push((body, val, span));
        }
        let (bodies, val) = self.merge(filled, q, span);
        for (arm, body) in arms.iter_mut().zip(bodies) {
            arm.body = body;
        }
        val
    }

    /// Ends every branch with the assignment of its value to one temporary (one per tuple element).
    pub(super) fn merge(
        &mut self,
        branches: Vec<(Vec<Stmt>, Val, Span)>,
        q: Q,
        _span: Span,
    ) -> (Vec<Vec<Stmt>>, Val) {
        let void = branches.iter().any(|(_, v, _)| v.t == T::Void);
        let width = branches.iter().map(|(_, v, _)| v.parts.len()).max().unwrap_or(0);
        if void {
            let bodies = branches.into_iter().map(|(body, val, _)| self.ended(body, &val)).collect();
            return (bodies, self.void());
        }
        if width == 0 {
            return self.merge_single(branches, q);
        }
        self.merge_tuples(branches, width, q)
    }

    fn ended(&mut self, body: Vec<Stmt>, val: &Val) -> Vec<Stmt> {
        let (more, ()) = self.in_block(|c| c.discard(val));
        let mut body = body;
        body.extend(more);
        body
    }

    fn merge_single(&mut self, branches: Vec<(Vec<Stmt>, Val, Span)>, q: Q) -> (Vec<Vec<Stmt>>, Val) {
        let mut t = T::Na;
        let mut mixed = false;
        for (_, val, _) in &branches {
            match self.common(&t, &val.t) {
                Some(common) => t = common,
                None => mixed = true,
            }
        }
        if mixed {
            // Branches of different types are fine as long as nobody wants their value.
            let bodies = branches.into_iter().map(|(body, val, _)| self.ended(body, &val)).collect();
            return (bodies, self.void());
        }
        let q = branches.iter().fold(q, |q, (_, v, _)| q.max(v.q));
        let id = self.temp(t.clone(), q);
        let mut bodies = Vec::with_capacity(branches.len());
        for (body, val, _) in branches {
            bodies.push(self.with_result(body, id, val, &t));
        }
        (bodies, self.read(id))
    }

    fn with_result(&mut self, mut body: Vec<Stmt>, id: VarId, val: Val, t: &T) -> Vec<Stmt> {
        let (more, val) = self.in_block(|c| c.toward(val, t));
        body.extend(more);
        body.push(Stmt::Set(id, val.e));
        body
    }

    fn merge_tuples(
        &mut self,
        branches: Vec<(Vec<Stmt>, Val, Span)>,
        width: usize,
        q: Q,
    ) -> (Vec<Vec<Stmt>>, Val) {
        let mut types = vec![T::Na; width];
        for (_, val, span) in &branches {
            if val.parts.len() != width && !matches!(val.t, T::Na | T::Unknown) {
                let message = format!("one branch gives {} elements, another {width}", val.parts.len());
                self.error("tuple-length", *span, message, "give every branch a tuple of the same length");
            }
            for (t, part) in types.iter_mut().zip(&val.parts) {
                match self.common(t, &part.t) {
                    Some(common) => *t = common,
                    None => {
                        self.no_common_type(t, &part.t, *span);
                    }
                }
            }
        }
        let ids: Vec<_> = types.iter().map(|t| self.temp(t.clone(), q)).collect();
        let mut bodies = Vec::with_capacity(branches.len());
        for (mut body, val, _) in branches {
            let mut parts = val.parts.into_iter();
            for (id, t) in ids.iter().zip(&types) {
                let part = match parts.next() {
                    Some(part) => part,
                    None => self.na(),
                };
                body = self.with_result(body, *id, part, t);
            }
            bodies.push(body);
        }
        let parts: Vec<_> = ids.iter().map(|id| self.read(*id)).collect();
        let mut val = self.void();
        val.q = q;
        val.t = T::Tuple(types);
        val.parts = parts;
        (bodies, val)
    }

    // --- loops ---

    /// The body of a loop; `result` takes its last value each time.
    fn loop_body(
        &mut self,
        stmts: &'a [ast::Stmt],
        wanted: bool,
        bind: impl FnOnce(&mut Self),
    ) -> (Vec<Stmt>, Option<Val>) {
        self.conditional += 1;
        self.loops += 1;
        let (mut body, val) = self.in_block(|c| {
            c.scoped(|c| {
                bind(c);
                c.body(stmts, wanted)
            })
        });
        self.loops -= 1;
        self.conditional -= 1;
        let Some(val) = val else { return (body, None) };
        if matches!(val.t, T::Void | T::Tuple(_)) {
            return (self.ended(body, &val), Some(self.void()));
        }
        let t = val.t.clone();
        let id = self.temp(t.clone(), Q::Series);
        self.vars[id.index()].adoptable = false;
        let nothing = self.num(f64::NAN);
        self.push(Stmt::Set(id, nothing));
        body = self.with_result(body, id, val, &t);
        (body, Some(self.read(id)))
    }

    fn counting_loop(
        &mut self,
        var: &'a Ident,
        [from, to]: [&'a ast::Expr; 2],
        step: Option<&'a ast::Expr>,
        stmts: &'a [ast::Stmt],
        wanted: bool,
    ) -> Option<Val> {
        let from_val = self.number(from);
        let step_val = step.map(|s| self.number(s));
        let retest = self.version >= 6;
        let (to_stmts, to_val) =
            if retest { self.under(Q::Series, |c| c.number(to)) } else { (Vec::new(), self.number(to)) };
        let whole = from_val.t == T::Int && step_val.as_ref().is_none_or(|s| s.t == T::Int);
        let t = if whole { T::Int } else { T::Float };
        let id = self.new_var(self.local_name(&var.name), t, Q::Series, false);
        let mutable = self.assigned.contains(var.name.as_str());
        let (body, val) = self.loop_body(stmts, wanted, |c| {
            let binding = if mutable { Binding::Var(id) } else { Binding::Value(c.read(id)) };
            c.bind(var, binding);
        });
        let step = step_val.map(|s| s.e);
        self.push(Stmt::For { var: id, from: from_val.e, to: (to_stmts, to_val.e), step, retest, body });
        val
    }

    fn number(&mut self, expr: &'a ast::Expr) -> Val {
        let val = self.expression(expr);
        if val.t == T::Int {
            return val;
        }
        self.coerce(val, &T::Float, expr.span, "a loop's bound")
    }

    fn each_loop(
        &mut self,
        index: Option<&'a Ident>,
        var: &'a Ident,
        over: &'a ast::Expr,
        stmts: &'a [ast::Stmt],
        wanted: bool,
    ) -> Option<Val> {
        let collection = self.expression(over);
        let collection = if collection.fx == Fx::NONE { collection } else { self.spill(&collection) };
        let (key, element) = match &collection.t {
            T::Array(e) => (T::Int, (**e).clone()),
            T::Matrix(e) => (T::Int, T::Array(e.clone())),
            T::Map(k, v) => ((**k).clone(), (**v).clone()),
            T::Unknown => (T::Unknown, T::Unknown),
            t => {
                let message =
                    format!("`for ... in` runs over an array, a matrix or a map, not a {}", self.show(t));
                self.error("type-mismatch", over.span, message, "use `for i = a to b` to count");
                (T::Unknown, T::Unknown)
            }
        };
        let index_id = index.map(|i| self.new_var(self.local_name(&i.name), key, Q::Series, false));
        let id = self.new_var(self.local_name(&var.name), element, Q::Series, false);
        let (body, val) = self.loop_body(stmts, wanted, |c| {
            if let (Some(name), Some(id)) = (index, index_id) {
                c.bind(name, Binding::Var(id));
            }
            c.bind(var, Binding::Var(id));
        });
        let over_ty = crate::check::types::to_ir(&collection.t, &self.enums);
        self.push(Stmt::ForIn { index: index_id, var: id, over: collection.e, over_ty, body });
        val
    }

    fn while_loop(&mut self, cond: &'a ast::Expr, stmts: &'a [ast::Stmt], wanted: bool) -> Option<Val> {
        let (before, test) = self.under(Q::Series, |c| {
            let val = c.expression(cond);
            c.truth(val, cond.span)
        });
        let (body, val) = self.loop_body(stmts, wanted, |_| {});
        self.push(Stmt::While { cond: (before, test.e), body });
        val
    }
}
