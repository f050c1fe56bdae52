//! Expressions: names, operators, history, and what fits where.

use super::Checker;
use crate::check::builtins::Value;
use crate::check::types::{Fx, K, Q, T, Val};
use crate::ir::{Bin, Expr, ExprId, Stmt, Un};
use crate::syntax::ast::{self, BinaryOp, ExprKind, UnaryOp};
use springtide_domain::Span;
use springtide_engine::ta::TaFunc;
use std::rc::Rc;

impl<'a> Checker<'a> {
    /// The value of an expression.
    pub(super) fn expression(&mut self, expr: &'a ast::Expr) -> Val {
        match self.value_or_not(expr, true) {
            Some(val) => val,
            None => self.void(),
        }
    }

    /// The value of an expression, or only its effect when no value is wanted.
    pub(super) fn value_or_not(&mut self, expr: &'a ast::Expr, wanted: bool) -> Option<Val> {
        if !self.enter(expr.span) {
            self.leave();
            return Some(self.unknown());
        }
        let outer = std::mem::replace(&mut self.span, expr.span);
        let val = match &expr.kind {
            ExprKind::If { .. }
            | ExprKind::Switch { .. }
            | ExprKind::For { .. }
            | ExprKind::ForIn { .. }
            | ExprKind::While { .. } => self.control(expr, wanted),
            _ => Some(self.simple_expression(expr)),
        };
        self.span = outer;
        self.leave();
        val
    }

    fn simple_expression(&mut self, expr: &'a ast::Expr) -> Val {
        match &expr.kind {
            ExprKind::Int(i) => self.constant(K::Int(*i)),
            ExprKind::Float(x) => self.constant(K::Float(*x)),
            ExprKind::Bool(b) => self.constant(K::Bool(*b)),
            ExprKind::Str(s) => self.constant(K::Str(s.as_str().into())),
            ExprKind::Color(c) => {
                let e = self.num(f64::from(*c));
                Val::new(e, T::Color, Q::Const, Fx::NONE)
            }
            ExprKind::Name(name) => self.name_value(name, expr.span),
            ExprKind::Field(base, field) => self.field_value(expr, base, field),
            ExprKind::Index(base, offset) => self.index(base, offset),
            ExprKind::Call { callee, types, args } => self.call(expr, callee, types, args),
            ExprKind::Unary(op, operand) => self.unary(*op, operand),
            ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), a, b) => self.logic(*op, a, b),
            ExprKind::Binary(op, a, b) => {
                let [a, b] = self.pair(a, b);
                self.binary(*op, a, b, expr.span)
            }
            ExprKind::Ternary(cond, a, b) => self.ternary(cond, a, b, expr.span),
            ExprKind::Tuple(items) => self.tuple(items),
            ExprKind::Error => self.unknown(),
            _ => self.void(),
        }
    }

    fn tuple(&mut self, items: &'a [ast::Expr]) -> Val {
        let parts = self.all(items.iter());
        self.tuple_value(parts)
    }

    pub(super) fn tuple_value(&mut self, parts: Vec<Val>) -> Val {
        let q = parts.iter().map(|p| p.q).max().unwrap_or(Q::Const);
        let mut val = self.void();
        val.t = T::Tuple(parts.iter().map(|p| p.t.clone()).collect());
        val.q = q;
        val.parts = parts;
        val
    }

    /// Lowers expressions in order; when a later one writes statements, an earlier one that reads or
    /// changes a collection is evaluated before them.
    pub(super) fn all(&mut self, exprs: impl Iterator<Item = &'a ast::Expr>) -> Vec<Val> {
        let mut vals: Vec<Val> = Vec::new();
        for expr in exprs {
            let mark = self.block.len();
            let val = self.expression(expr);
            self.order_before(mark, &mut vals);
            vals.push(val);
        }
        vals
    }

    /// Evaluates what touches a collection in `vals` ahead of the statements written since `mark`.
    pub(super) fn order_before(&mut self, mark: usize, vals: &mut [Val]) {
        if self.block.len() == mark || !vals.iter().any(|v| v.fx.has(Fx::HEAP | Fx::MUT)) {
            return;
        }
        let later = self.block.split_off(mark);
        for val in vals.iter_mut().filter(|v| v.fx.has(Fx::HEAP | Fx::MUT) && v.parts.is_empty()) {
            *val = self.spill(val);
        }
        self.block.extend(later);
    }

    fn pair(&mut self, a: &'a ast::Expr, b: &'a ast::Expr) -> [Val; 2] {
        let mut a = [self.expression(a)];
        let mark = self.block.len();
        let b = self.expression(b);
        self.order_before(mark, &mut a);
        let [a] = a;
        [a, b]
    }

    // --- names ---

    /// A built-in variable or constant.
    pub(super) fn builtin_value(&mut self, name: &str, span: Span) -> Option<Val> {
        if name == "na" {
            return Some(self.na());
        }
        if self.version == 4
            && let "strategy.long" | "strategy.short" = name
        {
            return Some(self.constant(K::Bool(name == "strategy.long")));
        }
        let variable = self.tables.variables.get(name)?;
        let (t, q, name) = (variable.ty.clone(), variable.q, variable.name);
        Some(match variable.value {
            Value::Bar(field) => self.bar(field),
            Value::Get => {
                let e = self.expr(Expr::Get(name));
                Val::new(e, t, q, Fx::NONE)
            }
            Value::Num(x) => {
                let k = match t {
                    T::Int => Some(K::Int(x as i64)),
                    T::Float => Some(K::Float(x)),
                    T::Bool => Some(K::Bool(x != 0.0)),
                    _ => None,
                };
                let e = self.num(x);
                Val { k, ..Val::new(e, t, q, Fx::NONE) }
            }
            Value::Str(text) => self.constant(K::Str(Rc::from(text))),
            Value::Ta(func) => self.indicator_variable(func),
            Value::Unsupported => {
                let message = format!("'{name}' needs data that a backtest does not have");
                self.dead_end(name, span, message, String::new(), t, q)
            }
        })
    }

    fn indicator_variable(&mut self, func: TaFunc) -> Val {
        let args = match func {
            TaFunc::Tr => vec![self.num(0.0)],
            TaFunc::Vwap => {
                let source = self.bar(crate::ir::BarField::Hlc3).e;
                vec![source, self.new_day().e]
            }
            _ => Vec::new(),
        };
        let site = self.site();
        let e = self.expr(Expr::Ta(site, func, args));
        Val::new(e, T::Float, Q::Series, Fx::STATE)
    }

    /// True on the first bar of a day; on the chart's first bar only when the day begins with it.
    pub(super) fn new_day(&mut self) -> Val {
        let day = self.constant(K::Str("1D".into()));
        let turned = self.builtin("timeframe.change", vec![day.clone()], T::Bool, Q::Series, Fx::STATE);
        let absent = |c: &mut Self| Val::new(c.absent(), T::Na, Q::Const, Fx::NONE);
        let args = vec![day, absent(self), absent(self), absent(self)];
        let start = self.builtin("time", args, T::Int, Q::Series, Fx::NONE);
        let now = self.bar(crate::ir::BarField::Time);
        let on_time = self.expr(Expr::Bin(Bin::Eq, now.e, start.e));
        let first = self.expr(Expr::Get("barstate.isfirst"));
        let first = self.expr(Expr::And(first, on_time));
        let e = self.expr(Expr::Or(turned.e, first));
        Val::new(e, T::Bool, Q::Series, Fx::STATE)
    }

    fn field_value(&mut self, expr: &'a ast::Expr, base: &'a ast::Expr, field: &'a ast::Ident) -> Val {
        if let Some(path) = Self::path(expr) {
            let root = path.split('.').next().unwrap_or("");
            let is_user = self.find(root).is_some();
            let object_root = is_user
                && matches!(self.user_value(root), Some(v) if matches!(v.t, T::Object(_) | T::Unknown));
            if !object_root {
                if let Some(val) = self.builtin_value(&path, expr.span) {
                    return val;
                }
                if let Some(val) = self.enum_member(&path, expr.span) {
                    return val;
                }
                if !is_user {
                    return self.unknown_path(&path, expr.span);
                }
            }
        }
        let object = self.expression(base);
        self.field_of(object, field, base.span)
    }

    fn field_of(&mut self, object: Val, field: &ast::Ident, span: Span) -> Val {
        match object.t {
            T::Object(id) => match self.field(id, &field.name) {
                Some((index, t)) => {
                    let e = self.expr(Expr::Field(object.e, index));
                    Val::new(e, t, Q::Series, object.fx | Fx::HEAP)
                }
                None => self.unknown_field(id, &field.name, field.span),
            },
            T::Unknown => self.unknown(),
            _ => {
                let message = format!("a {} has no fields", self.show(&object.t));
                self.error("no-fields", span, message, "only objects of a user type do");
                self.unknown()
            }
        }
    }

    // --- history ---

    fn index(&mut self, base: &'a ast::Expr, offset: &'a ast::Expr) -> Val {
        let literal = matches!(
            base.kind,
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Str(_) | ExprKind::Bool(_) | ExprKind::Color(_)
        );
        if literal && self.version >= 6 {
            self.error(
                "history-of-literal",
                base.span,
                "`[]` cannot follow a literal",
                "a constant has no history",
            );
        }
        let [base_val, offset_val] = self.pair(base, offset);
        let offset_val = self.integer(offset_val, offset.span, "the offset of `[]`");
        if let Some(n) = offset_val.k.as_ref().and_then(K::number)
            && n < 0.0
        {
            self.error(
                "negative-offset",
                offset.span,
                "`[]` cannot look into the future",
                "use an offset of 0 or more",
            );
        }
        self.history(base_val, offset_val, base.span)
    }

    /// What a value was `offset` bars ago.
    pub(super) fn history(&mut self, base: Val, offset: Val, span: Span) -> Val {
        match base.t {
            T::Unknown | T::Na => return base,
            T::Void | T::Tuple(_) => {
                self.error("no-value", span, "`[]` needs a value with a history", "");
                return self.unknown();
            }
            _ => {}
        }
        let fx = offset.fx | if base.t.is_reference() { Fx::HEAP } else { Fx::NONE };
        if offset.k == Some(K::Int(0)) {
            return Val { k: None, q: Q::Series, ..base };
        }
        if let Some(e) = self.shifted(base.e, &offset) {
            return Val::new(e, base.t, Q::Series, fx);
        }
        let id = self.remember(&base);
        let e = self.expr(Expr::VarHist(id, offset.e));
        Val::new(e, base.t, Q::Series, fx)
    }

    /// The history of an expression as an expression over the histories of its parts, where that is
    /// the same: arithmetic passes `na` on, so it may be done before or after.
    fn shifted(&mut self, e: ExprId, offset: &Val) -> Option<ExprId> {
        if offset.fx != Fx::NONE {
            return None;
        }
        let shifted = match self.program.exprs[e.index()].clone() {
            Expr::Bar(field) => Expr::BarHist(field, offset.e),
            Expr::Var(id) => Expr::VarHist(id, offset.e),
            Expr::BarHist(field, first) => Expr::BarHist(field, self.total(first, offset)?),
            Expr::VarHist(id, first) => Expr::VarHist(id, self.total(first, offset)?),
            Expr::Bin(op @ (Bin::Add | Bin::Sub | Bin::Mul | Bin::Div), a, b) => {
                let (a, b) = (self.shifted_part(a, offset)?, self.shifted_part(b, offset)?);
                Expr::Bin(op, a, b)
            }
            Expr::Un(Un::Neg, a) => Expr::Un(Un::Neg, self.shifted_part(a, offset)?),
            _ => return None,
        };
        Some(self.expr(shifted))
    }

    fn shifted_part(&mut self, e: ExprId, offset: &Val) -> Option<ExprId> {
        match self.program.exprs[e.index()] {
            Expr::Num(_) => Some(e),
            _ => self.shifted(e, offset),
        }
    }

    fn total(&mut self, first: ExprId, offset: &Val) -> Option<ExprId> {
        let Expr::Num(a) = self.program.exprs[first.index()] else { return None };
        let b = offset.k.as_ref()?.number()?;
        Some(self.num(a + b))
    }

    /// A variable that holds the expression's value on every bar on which this place is reached; on
    /// every bar when the value does not depend on this place.
    fn remember(&mut self, base: &Val) -> crate::ir::VarId {
        let market = self.in_request == 0 && base.fx == Fx::NONE && self.is_market(base.e);
        if let Expr::Get(name) = self.program.exprs[base.e.index()]
            && market
        {
            if let Some(id) = self.histories.get(name) {
                return *id;
            }
            let id = self.new_var(format!("${name}"), base.t.clone(), Q::Series, false);
            self.prelude.push(Stmt::Set(id, base.e));
            self.histories.insert(name, id);
            return id;
        }
        let id = self.temp(base.t.clone(), Q::Series);
        self.vars[id.index()].adoptable = false;
        if market {
            self.prelude.push(Stmt::Set(id, base.e));
        } else {
            self.vars[id.index()].hoistable = base.fx == Fx::NONE;
            self.push(Stmt::Set(id, base.e));
        }
        id
    }

    // --- operators ---

    fn unary(&mut self, op: UnaryOp, operand: &'a ast::Expr) -> Val {
        let val = self.expression(operand);
        match op {
            UnaryOp::Not => {
                let val = self.truth(val, operand.span);
                if let Some(K::Bool(b)) = val.k {
                    return self.constant(K::Bool(!b));
                }
                let e = self.expr(Expr::Un(Un::Not, val.e));
                Val::new(e, T::Bool, val.q, val.fx)
            }
            UnaryOp::Plus | UnaryOp::Neg if !val.t.numberish() => {
                let message = format!("a sign needs a number, not a {}", self.show(&val.t));
                self.error("type-mismatch", operand.span, message, "");
                self.unknown()
            }
            UnaryOp::Plus => val,
            UnaryOp::Neg => match &val.k {
                Some(K::Int(i)) => self.constant(K::Int(-*i)),
                Some(K::Float(x)) => self.constant(K::Float(-*x)),
                _ => {
                    let e = self.expr(Expr::Un(Un::Neg, val.e));
                    Val { e, k: None, ..val }
                }
            },
        }
    }

    /// `and`, `or`. Up to version 5 both sides always run; since 6 the right one only when it decides.
    fn logic(&mut self, op: BinaryOp, a: &'a ast::Expr, b: &'a ast::Expr) -> Val {
        let left = self.expression(a);
        let left = self.truth(left, a.span);
        if self.version >= 6 {
            return self.lazy_logic(op, left, b);
        }
        let mut left = [left];
        let mark = self.block.len();
        let right = self.expression(b);
        let mut right = self.truth(right, b.span);
        if right.fx.has(Fx::STATE | Fx::MUT) {
            right = self.spill(&right);
        }
        self.order_before(mark, &mut left);
        let [left] = left;
        self.joined(op, &left, &right)
    }

    fn lazy_logic(&mut self, op: BinaryOp, left: Val, b: &'a ast::Expr) -> Val {
        let (stmts, right) = self.under(left.q, |c| {
            let right = c.expression(b);
            c.truth(right, b.span)
        });
        if self.may_hoist(&stmts) {
            self.block.extend(stmts);
            return self.joined(op, &left, &right);
        }
        let id = self.temp(T::Bool, left.q.max(right.q));
        self.push(Stmt::Set(id, left.e));
        let cond = self.expr(Expr::Var(id));
        let mut decide = stmts;
        decide.push(Stmt::Set(id, right.e));
        self.push(match op {
            BinaryOp::And => Stmt::If(cond, decide, Vec::new()),
            _ => Stmt::If(cond, Vec::new(), decide),
        });
        self.read(id)
    }

    fn joined(&mut self, op: BinaryOp, left: &Val, right: &Val) -> Val {
        if let (Some(K::Bool(a)), Some(K::Bool(b))) = (&left.k, &right.k) {
            return self.constant(K::Bool(if op == BinaryOp::And { *a && *b } else { *a || *b }));
        }
        let e = self.expr(match op {
            BinaryOp::And => Expr::And(left.e, right.e),
            _ => Expr::Or(left.e, right.e),
        });
        Val::new(e, T::Bool, left.q.max(right.q), left.fx | right.fx)
    }

    /// Only temporaries whose value does not depend on being under a condition.
    fn may_hoist(&self, stmts: &[Stmt]) -> bool {
        stmts.iter().all(|s| matches!(s, Stmt::Set(id, _) if self.vars[id.index()].hoistable))
    }

    fn ternary(&mut self, cond: &'a ast::Expr, a: &'a ast::Expr, b: &'a ast::Expr, span: Span) -> Val {
        let chosen = self.expression(cond);
        let chosen = self.truth(chosen, cond.span);
        let (a_stmts, a_val) = self.under(chosen.q, |c| c.expression(a));
        let (b_stmts, b_val) = self.under(chosen.q, |c| c.expression(b));
        let plain = a_val.parts.is_empty() && b_val.parts.is_empty();
        if plain && self.may_hoist(&a_stmts) && self.may_hoist(&b_stmts) {
            self.block.extend(a_stmts);
            self.block.extend(b_stmts);
            return self.select(chosen, a_val, b_val, span);
        }
        let branches = vec![(a_stmts, a_val, a.span), (b_stmts, b_val, b.span)];
        let (mut blocks, val) = self.merge(branches, chosen.q, span);
        let otherwise = blocks.pop().unwrap_or_default();
        let then = blocks.pop().unwrap_or_default();
        self.push(Stmt::If(chosen.e, then, otherwise));
        val
    }

    pub(super) fn select(&mut self, cond: Val, a: Val, b: Val, span: Span) -> Val {
        let Some(t) = self.common(&a.t, &b.t) else {
            return self.no_common_type(&a.t, &b.t, span);
        };
        let (a, b) = (self.toward(a, &t), self.toward(b, &t));
        let k = match (&cond.k, &a.k, &b.k) {
            (Some(K::Bool(true)), Some(k), _) | (Some(K::Bool(false)), _, Some(k)) => Some(k.clone()),
            _ => None,
        };
        let q = cond.q.max(a.q).max(b.q);
        let e = self.expr(Expr::Select(cond.e, a.e, b.e));
        Val { k, ..Val::new(e, t, q, cond.fx | a.fx | b.fx) }
    }

    /// Arithmetic and comparison.
    pub(super) fn binary(&mut self, op: BinaryOp, a: Val, b: Val, span: Span) -> Val {
        match op {
            BinaryOp::And | BinaryOp::Or => {
                let (a, b) = (self.truth(a, span), self.truth(b, span));
                self.joined(op, &a, &b)
            }
            BinaryOp::Eq | BinaryOp::Ne => self.equality(op, a, b, span),
            BinaryOp::Add
                if matches!(
                    (&a.t, &b.t),
                    (T::Str, T::Str | T::Na | T::Unknown) | (T::Na | T::Unknown, T::Str)
                ) =>
            {
                self.concatenation(a, b)
            }
            _ if !a.t.numberish() || !b.t.numberish() => self.bad_operands(op, &a, &b, span),
            BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => self.comparison(op, &a, &b),
            _ => self.arithmetic(op, &a, &b),
        }
    }

    fn bad_operands(&mut self, op: BinaryOp, a: &Val, b: &Val, span: Span) -> Val {
        let (left, right) = (self.show(&a.t), self.show(&b.t));
        let message = format!("`{}` cannot be applied to {left} and {right}", symbol(op));
        let hint = match (op, &a.t, &b.t) {
            (BinaryOp::Add, T::Str, _) | (BinaryOp::Add, _, T::Str) => {
                "convert the number: `str.tostring(x)`"
            }
            (_, T::Bool, _) | (_, _, T::Bool) => "a bool is no number: `x ? 1 : 0`",
            _ => "",
        };
        self.error("type-mismatch", span, message, hint);
        self.unknown()
    }

    fn concatenation(&mut self, a: Val, b: Val) -> Val {
        if let (Some(K::Str(x)), Some(K::Str(y))) = (&a.k, &b.k) {
            let text = format!("{x}{y}");
            return self.constant(K::Str(text.into()));
        }
        let e = self.expr(Expr::Bin(Bin::Concat, a.e, b.e));
        Val::new(e, T::Str, a.q.max(b.q), a.fx | b.fx)
    }

    fn comparison(&mut self, op: BinaryOp, a: &Val, b: &Val) -> Val {
        let bin = match op {
            BinaryOp::Lt => Bin::Lt,
            BinaryOp::Le => Bin::Le,
            BinaryOp::Gt => Bin::Gt,
            _ => Bin::Ge,
        };
        let e = self.expr(Expr::Bin(bin, a.e, b.e));
        Val::new(e, T::Bool, a.q.max(b.q), a.fx | b.fx)
    }

    fn equality(&mut self, op: BinaryOp, a: Val, b: Val, span: Span) -> Val {
        let (eq, q, fx) = (op == BinaryOp::Eq, a.q.max(b.q), a.fx | b.fx);
        if let (Some(x), Some(y)) = (&a.k, &b.k)
            && std::mem::discriminant(x) == std::mem::discriminant(y)
        {
            return self.constant(K::Bool(equal(x, y) == eq));
        }
        if a.t == T::Na || b.t == T::Na {
            let hint = "nothing equals na: use `na(x)`";
            self.warn("comparison-with-na", span, "a comparison with na is never true", hint);
        }
        let pick = |same, other| if eq { same } else { other };
        let bin = match (&a.t, &b.t) {
            (T::Unknown, _) | (_, T::Unknown) => pick(Bin::Eq, Bin::Ne),
            (T::Str, T::Str | T::Na) | (T::Na, T::Str) => pick(Bin::StrEq, Bin::StrNe),
            (x, y) if x.numberish() && y.numberish() => pick(Bin::Eq, Bin::Ne),
            (T::Color, T::Color | T::Na) | (T::Na, T::Color) => pick(Bin::Eq, Bin::Ne),
            (T::Bool, y) | (y, T::Bool) if y.is_number() && self.version <= 5 => pick(Bin::Eq, Bin::Ne),
            (x, y) if x == y || *x == T::Na || *y == T::Na => pick(Bin::SameEq, Bin::SameNe),
            _ => return self.bad_operands(op, &a, &b, span),
        };
        let e = self.expr(Expr::Bin(bin, a.e, b.e));
        Val::new(e, T::Bool, q, fx)
    }

    fn arithmetic(&mut self, op: BinaryOp, a: &Val, b: &Val) -> Val {
        if let (Some(x), Some(y)) = (&a.k, &b.k)
            && let Some(k) = fold(op, x, y, self.version)
        {
            return self.constant(k);
        }
        let q = a.q.max(b.q);
        let ints = a.t == T::Int && b.t == T::Int;
        let bin = match op {
            BinaryOp::Add => Bin::Add,
            BinaryOp::Sub => Bin::Sub,
            BinaryOp::Mul => Bin::Mul,
            BinaryOp::Div if ints && q == Q::Const && self.version <= 5 => Bin::IntDiv,
            BinaryOp::Div => Bin::Div,
            _ => Bin::Rem,
        };
        let t = match (&a.t, &b.t) {
            (T::Int, T::Int) => T::Int,
            (T::Na, T::Int) | (T::Int, T::Na) => T::Int,
            (T::Unknown, _) | (_, T::Unknown) => T::Unknown,
            _ => T::Float,
        };
        let e = self.expr(Expr::Bin(bin, a.e, b.e));
        Val::new(e, t, q, a.fx | b.fx)
    }
}

fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Rem => "%",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
    }
}

/// As tolerant as the comparison that runs on bars.
fn equal(a: &K, b: &K) -> bool {
    match (a, b) {
        (K::Float(x), K::Float(y)) => x == y || (x - y).abs() <= 1e-10,
        _ => a == b,
    }
}

/// Arithmetic on constants. Two ints divide to an int before version 6.
fn fold(op: BinaryOp, a: &K, b: &K, version: u8) -> Option<K> {
    if let (K::Int(x), K::Int(y)) = (a, b) {
        let whole = match op {
            BinaryOp::Add => x.checked_add(*y),
            BinaryOp::Sub => x.checked_sub(*y),
            BinaryOp::Mul => x.checked_mul(*y),
            BinaryOp::Div if version <= 5 => x.checked_div(*y),
            BinaryOp::Rem => x.checked_rem(*y),
            _ => None,
        };
        if whole.is_some() {
            return whole.map(K::Int);
        }
    }
    let (x, y) = (a.number()?, b.number()?);
    Some(K::Float(match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x * y,
        BinaryOp::Div if y != 0.0 => x / y,
        BinaryOp::Rem if y != 0.0 => x % y,
        _ => return None,
    }))
}
