//! Statements: declarations, assignments, blocks.

use super::{Binding, Checker};
use crate::check::types::{Fx, Q, T, Val};
use crate::ir::{Expr, Stmt, VarId};
use crate::syntax::ast::{self, BinaryOp, DeclMode, ExprKind, Ident, StmtKind};
use springtide_domain::Span;

impl<'a> Checker<'a> {
    /// The global scope.
    pub(super) fn script(&mut self, body: &'a [ast::Stmt]) {
        self.survey(body);
        for stmt in body {
            let mark = self.block.len();
            self.statement(stmt, false);
            if !self.prelude.is_empty() {
                let prelude = std::mem::take(&mut self.prelude);
                self.block.splice(mark..mark, prelude);
            }
        }
    }

    /// A block in its own scope; its last value when it is wanted.
    pub(super) fn body(&mut self, stmts: &'a [ast::Stmt], wanted: bool) -> Option<Val> {
        self.scoped(|c| c.statements(stmts, wanted))
    }

    pub(super) fn statements(&mut self, stmts: &'a [ast::Stmt], wanted: bool) -> Option<Val> {
        let mut last = None;
        for (i, stmt) in stmts.iter().enumerate() {
            last = self.statement(stmt, wanted && i + 1 == stmts.len());
        }
        wanted.then(|| last.unwrap_or_else(|| self.void()))
    }

    fn statement(&mut self, stmt: &'a ast::Stmt, wanted: bool) -> Option<Val> {
        self.span = stmt.span;
        match &stmt.kind {
            StmtKind::Expr(expr) => return self.expression_statement(expr, wanted),
            StmtKind::Decl { mode, ty, name, value, .. } => {
                self.declaration(*mode, ty.as_ref(), name, value);
                return wanted.then(|| self.name_value(&name.name, name.span));
            }
            StmtKind::TupleDecl { names, value } => {
                self.tuple_declaration(names, value, stmt.span);
                return wanted.then(|| self.tuple_of_names(names));
            }
            StmtKind::Assign { target, op, value } => return self.assignment(target, *op, value, wanted),
            StmtKind::Function { name, .. } if !self.is_global() => {
                let message = format!("the function '{}' is declared inside a block", name.name);
                self.error("nested-function", name.span, message, "declare it in the global scope");
            }
            StmtKind::Break | StmtKind::Continue => {
                if self.loops == 0 {
                    self.error(
                        "outside-loop",
                        stmt.span,
                        "`break` and `continue` need a loop around them",
                        "",
                    );
                }
                let is_break = matches!(stmt.kind, StmtKind::Break);
                self.push(if is_break { Stmt::Break } else { Stmt::Continue });
            }
            StmtKind::Function { .. }
            | StmtKind::Type { .. }
            | StmtKind::Enum { .. }
            | StmtKind::Import { .. } => {}
        }
        None
    }

    fn expression_statement(&mut self, expr: &'a ast::Expr, wanted: bool) -> Option<Val> {
        let val = self.value_or_not(expr, wanted);
        if wanted {
            return val;
        }
        if let Some(val) = val {
            self.discard(&val);
        }
        None
    }

    // --- declarations ---

    fn declaration(
        &mut self,
        mode: DeclMode,
        ty: Option<&'a ast::TypeRef>,
        name: &'a Ident,
        value: &'a ast::Expr,
    ) {
        let outer = std::mem::replace(&mut self.declaring, &name.name);
        let declared = ty.map(|ty| self.written_type(ty));
        if mode == DeclMode::Plain && declared.is_none() && self.refers_to_itself(name, value) {
            self.recursive_declaration(name, value);
            self.declaring = outer;
            return;
        }
        let binding = if mode == DeclMode::Plain {
            self.plain_declaration(declared, ty, name, value)
        } else {
            self.var_declaration(mode == DeclMode::Varip, declared, name, value)
        };
        self.declaring = outer;
        self.bind(name, binding);
    }

    /// `x = nz(x[1]) + 1`: scripts of version 4 still use this form of older versions.
    fn refers_to_itself(&self, name: &Ident, value: &ast::Expr) -> bool {
        let new =
            || self.find(&name.name).is_none() && !self.tables.variables.contains_key(name.name.as_str());
        self.version == 4 && mentions(value, &name.name) && new()
    }

    fn recursive_declaration(&mut self, name: &'a Ident, value: &'a ast::Expr) {
        let message = format!("'{}' is used in its own declaration", name.name);
        let hint = format!("declare it first: `{0} = 0.0`, then `{0} := ...`", name.name);
        self.warn("self-reference", name.span, message, hint);
        let id = self.new_var(self.local_name(&name.name), T::Float, Q::Series, false);
        self.vars[id.index()].mutable = true;
        self.bind(name, Binding::Var(id));
        let val = self.expression(value);
        self.check_storable(&val, name, value.span);
        self.settle(id, val.t.clone());
        self.push(Stmt::Set(id, val.e));
    }

    fn plain_declaration(
        &mut self,
        declared: Option<T>,
        ty: Option<&ast::TypeRef>,
        name: &'a Ident,
        value: &'a ast::Expr,
    ) -> Binding {
        let mut val = self.expression(value);
        if let Some(t) = declared {
            val = self.coerce(val, &t, value.span, "the variable");
        }
        if let Some(q) = ty.and_then(|t| t.qualifier) {
            if val.q > q && q != Q::Series {
                self.too_late(&val, q, &format!("the variable '{}'", name.name), value.span);
            }
            val.q = val.q.max(q);
        }
        self.check_storable(&val, name, value.span);
        let mutable = self.assigned.contains(name.name.as_str());
        if !mutable && self.can_alias(&val) {
            return Binding::Value(val);
        }
        let q = if mutable { Q::Series } else { val.q };
        self.store(name, val, q)
    }

    /// Values that need no variable: known before the first bar, or a bar field read on every bar.
    fn can_alias(&self, val: &Val) -> bool {
        let alone = match &self.program.exprs[val.e.index()] {
            Expr::Num(_) | Expr::Str(_) => true,
            Expr::Input(_) => val.q <= Q::Input,
            Expr::Bar(_) => self.conditional == 0,
            _ => false,
        };
        alone && val.t != T::Na && val.parts.is_empty()
    }

    /// A variable that takes `val` here, every time this place is reached.
    fn store(&mut self, name: &'a Ident, val: Val, q: Q) -> Binding {
        if let Expr::Var(id) = self.program.exprs[val.e.index()]
            && self.vars[id.index()].adoptable
        {
            self.adopt(id, name, q, val.t);
            return Binding::Var(id);
        }
        let text = self.local_name(&name.name);
        let is_input = matches!(self.program.exprs[val.e.index()], Expr::Input(_));
        let id = self.new_var(text, val.t, q, false);
        let mutable = self.assigned.contains(name.name.as_str());
        self.vars[id.index()].mutable = mutable;
        self.vars[id.index()].early = !mutable && !self.leaks(val.e);
        self.push(Stmt::Set(id, val.e));
        if is_input && !self.assigned.contains(name.name.as_str()) {
            self.vars[id.index()].read = Some(val.e);
        }
        Binding::Var(id)
    }

    /// Makes a temporary the declared variable.
    fn adopt(&mut self, id: VarId, name: &Ident, q: Q, t: T) {
        self.program.vars[id.index()].name = self.local_name(&name.name);
        let mutable = self.assigned.contains(name.name.as_str());
        let info = &mut self.vars[id.index()];
        info.mutable = mutable;
        info.adoptable = false;
        info.hoistable = false;
        info.q = q;
        self.settle(id, t);
    }

    fn var_declaration(
        &mut self,
        lasting: bool,
        declared: Option<T>,
        name: &'a Ident,
        value: &'a ast::Expr,
    ) -> Binding {
        let (mut block, mut val) = self.under(Q::Series, |c| c.expression(value));
        if let Some(t) = declared {
            let (more, coerced) = self.in_block(|c| c.coerce(val, &t, value.span, "the variable"));
            block.extend(more);
            val = coerced;
        }
        let never_changes = val.q <= Q::Input && !self.assigned.contains(name.name.as_str());
        if never_changes && block.is_empty() && self.can_alias(&val) {
            return Binding::Value(val);
        }
        self.check_storable(&val, name, value.span);
        let text = self.local_name(&name.name);
        let id = self.new_var(text, val.t, Q::Series, true);
        self.vars[id.index()].mutable = true;
        self.program.vars[id.index()].lasting = lasting;
        block.push(Stmt::Set(id, val.e));
        let site = self.site();
        self.push(Stmt::Once(site, block));
        Binding::Var(id)
    }

    fn check_storable(&mut self, val: &Val, name: &Ident, span: Span) {
        match val.t {
            T::Void => {
                let message = format!("'{}' cannot take this: it has no value", name.name);
                self.error("no-value", span, message, "");
            }
            T::Tuple(_) => {
                let message = format!("'{}' cannot hold a tuple", name.name);
                let hint = format!("take it apart: `[{}, ...] = ...`", name.name);
                self.error("tuple-value", span, message, hint);
            }
            _ => {}
        }
    }

    fn tuple_declaration(&mut self, names: &'a [Ident], value: &'a ast::Expr, span: Span) {
        let val = self.expression(value);
        if val.t != T::Unknown && val.parts.len() != names.len() {
            let message = match val.parts.len() {
                0 => "the right side is no tuple".to_owned(),
                n => format!("the right side has {n} elements, the left {}", names.len()),
            };
            self.error("tuple-length", span, message, "give one name per element; `_` skips one");
        }
        for (i, name) in names.iter().enumerate() {
            let part = match val.parts.get(i) {
                Some(part) => part.clone(),
                None => self.unknown(),
            };
            let mutable = self.assigned.contains(name.name.as_str());
            let q = if mutable { Q::Series } else { part.q };
            let binding = if !mutable && self.can_alias(&part) {
                Binding::Value(part)
            } else {
                self.store(name, part, q)
            };
            self.bind(name, binding);
        }
    }

    /// A tuple declaration at the end of a function gives its tuple.
    fn tuple_of_names(&mut self, names: &'a [Ident]) -> Val {
        let parts: Vec<_> = names.iter().map(|n| self.name_value(&n.name, n.span)).collect();
        self.tuple_value(parts)
    }

    // --- assignments ---

    fn assignment(
        &mut self,
        target: &'a ast::Expr,
        op: Option<BinaryOp>,
        value: &'a ast::Expr,
        wanted: bool,
    ) -> Option<Val> {
        match &target.kind {
            ExprKind::Name(name) => self.assign_name(name, target, op, value, wanted),
            ExprKind::Field(base, field) => {
                self.assign_field(base, field, target, op, value);
                wanted.then(|| self.expression(target))
            }
            ExprKind::Error => {
                self.expression(value);
                None
            }
            _ => {
                let hint = "the left side of `:=` is a variable or a field";
                self.error("assign-target", target.span, "this cannot be given a value", hint);
                self.expression(value);
                None
            }
        }
    }

    fn assign_name(
        &mut self,
        name: &'a str,
        target: &'a ast::Expr,
        op: Option<BinaryOp>,
        value: &'a ast::Expr,
        wanted: bool,
    ) -> Option<Val> {
        let Some(id) = self.assignable(name, target.span) else {
            self.expression(value);
            return wanted.then(|| self.unknown());
        };
        let mut val = match op {
            None => self.expression(value),
            Some(op) => {
                let left = self.read(id);
                let right = self.expression(value);
                self.binary(op, left, right, target.span.to(value.span))
            }
        };
        let t = self.vars[id.index()].t.clone();
        if t == T::Na {
            self.settle(id, val.t.clone());
        } else {
            val = self.coerce_to_var(val, &t, id, value.span);
        }
        self.push(Stmt::Set(id, val.e));
        wanted.then(|| self.read(id))
    }

    /// An assigned float makes an untyped int variable of version 4 a float.
    fn coerce_to_var(&mut self, val: Val, t: &T, id: VarId, span: Span) -> Val {
        if *t == T::Int && val.t == T::Float {
            self.settle(id, T::Float);
            return val;
        }
        let name = format!("the variable '{}'", self.program.vars[id.index()].name);
        self.coerce(val, t, span, &name)
    }

    /// The variable that `name :=` may change.
    fn assignable(&mut self, name: &str, span: Span) -> Option<VarId> {
        let in_function = !self.frames.is_empty();
        match self.local(name) {
            Some(Binding::Var(id)) => return Some(*id),
            Some(Binding::Value(_)) => {
                let message = format!("'{name}' cannot be changed: it is a parameter or a loop's counter");
                self.error("assign-parameter", span, message, "copy it into a variable of its own first");
                return None;
            }
            None => {}
        }
        match self.globals.get(name) {
            Some(_) if in_function => {
                let message = format!("the global variable '{name}' cannot be changed inside a function");
                let hint = "return the new value and assign it outside, or keep it in an array or an object";
                self.error("global-assignment", span, message, hint);
                None
            }
            Some(Binding::Var(id)) => Some(*id),
            Some(Binding::Value(_)) => None,
            None if self.tables.variables.contains_key(name) => {
                let message = format!("the built-in variable '{name}' cannot be changed");
                self.error(
                    "assign-builtin",
                    span,
                    message,
                    format!("declare one with another name: `my_{name} = ...`"),
                );
                None
            }
            None => {
                let message = format!("'{name}' is not defined");
                self.error(
                    "unknown-name",
                    span,
                    message,
                    format!("declare it first: `{name} = ...` or `var {name} = ...`"),
                );
                None
            }
        }
    }

    fn assign_field(
        &mut self,
        base: &'a ast::Expr,
        field: &'a Ident,
        target: &'a ast::Expr,
        op: Option<BinaryOp>,
        value: &'a ast::Expr,
    ) {
        let object = self.expression(base);
        let T::Object(id) = object.t else {
            if object.t != T::Unknown {
                let message = format!("a {} has no fields", self.show(&object.t));
                self.error("no-fields", base.span, message, "only objects of a user type do");
            }
            self.expression(value);
            return;
        };
        let Some((index, t)) = self.field(id, &field.name) else {
            self.unknown_field(id, &field.name, field.span);
            self.expression(value);
            return;
        };
        let object = if object.fx.has(Fx::MUT) { self.spill(&object) } else { object };
        let mut val = self.expression(value);
        if let Some(op) = op {
            let e = self.expr(Expr::Field(object.e, index));
            let left = Val::new(e, t.clone(), Q::Series, object.fx | Fx::HEAP);
            val = self.binary(op, left, val, target.span.to(value.span));
        }
        let what = format!("the field '{}'", field.name);
        let val = self.coerce(val, &t, value.span, &what);
        self.push(Stmt::SetField { object: object.e, field: index, value: val.e });
    }
}

/// Whether a name stands somewhere in an expression (blocks left out).
fn mentions(expr: &ast::Expr, name: &str) -> bool {
    let any = |exprs: &[&ast::Expr]| exprs.iter().any(|e| mentions(e, name));
    match &expr.kind {
        ExprKind::Name(n) => n == name,
        ExprKind::Field(base, _) | ExprKind::Unary(_, base) => any(&[base]),
        ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) => any(&[a, b]),
        ExprKind::Ternary(a, b, c) => any(&[a, b, c]),
        ExprKind::Call { args, .. } => args.iter().any(|a| mentions(&a.value, name)),
        ExprKind::Tuple(items) => items.iter().any(|i| mentions(i, name)),
        _ => false,
    }
}
