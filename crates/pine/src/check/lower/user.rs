//! User functions, inlined at every call; user types.

use super::args::Given;
use super::{Binding, Checker, Frame};
use crate::check::types::{Fx, Q, T, Val};
use crate::ir::{Expr, Stmt, TypeId};
use crate::syntax::ast;
use springtide_domain::suggest::nearest;
use springtide_domain::{Diagnostic, Span};

impl<'a> Checker<'a> {
    /// Whether a user method of this name takes such a receiver.
    pub(super) fn has_method(&mut self, name: &str, receiver: &T) -> bool {
        let Some(indices) = self.function_names.get(name).cloned() else { return false };
        indices.iter().any(|i| {
            let function = &self.functions[*i];
            if !function.is_method {
                return false;
            }
            match function.params.first().and_then(|p| p.ty.as_ref()) {
                Some(ty) => {
                    let t = self.written_type(ty);
                    self.distance(receiver, &t).is_some()
                }
                None => true,
            }
        })
    }

    /// A call of a user function or method by name.
    pub(super) fn call_user(&mut self, name: &str, given: &[Given<'a>], span: Span) -> Val {
        let indices = self.function_names.get(name).cloned().unwrap_or_default();
        let mut best: Option<(u32, usize)> = None;
        for index in &indices {
            if let Some(cost) = self.user_fit(*index, given)
                && best.is_none_or(|(c, _)| cost < c)
            {
                best = Some((cost, *index));
            }
        }
        match best {
            Some((_, index)) => self.inline(index, given, span),
            None => {
                self.report_user_misfit(name, indices[0], given, span);
                self.functions[indices[0]].used = true;
                self.unknown()
            }
        }
    }

    /// Which argument each parameter takes; `None` when that does not work out.
    fn user_places(&self, index: usize, given: &[Given<'a>]) -> Option<Vec<Option<usize>>> {
        let params = self.functions[index].params;
        let mut places = vec![None; params.len()];
        for (i, arg) in given.iter().enumerate() {
            let at = match arg.name {
                Some(name) => params.iter().position(|p| p.name.name == name.name)?,
                None => i,
            };
            if places.get(at)?.is_some() {
                return None;
            }
            places[at] = Some(i);
        }
        let complete = params.iter().zip(&places).all(|(p, place)| place.is_some() || p.default.is_some());
        complete.then_some(places)
    }

    fn user_fit(&mut self, index: usize, given: &[Given<'a>]) -> Option<u32> {
        let places = self.user_places(index, given)?;
        let params = self.functions[index].params;
        let mut cost = 0;
        for (param, place) in params.iter().zip(places) {
            if let (Some(ty), Some(i)) = (&param.ty, place) {
                let t = self.written_type(ty);
                cost += self.distance(&given[i].val.t, &t)?;
            } else if let Some(i) = place
                && matches!(given[i].val.t, T::Void | T::Tuple(_))
            {
                return None;
            }
        }
        Some(cost)
    }

    fn report_user_misfit(&mut self, name: &str, index: usize, given: &[Given<'a>], span: Span) {
        let params = self.functions[index].params;
        let names: Vec<_> = params
            .iter()
            .map(|p| if p.default.is_some() { format!("{}?", p.name.name) } else { p.name.name.clone() })
            .collect();
        let usage = format!("{name}({})", names.join(", "));
        let unknown = given.iter().find_map(|g| {
            let ident = g.name?;
            (!params.iter().any(|p| p.name.name == ident.name)).then_some(ident)
        });
        if let Some(ident) = unknown {
            let near = nearest(&ident.name, params.iter().map(|p| p.name.name.as_str()));
            let hint = near.map_or(usage, |n| format!("did you mean `{n}`?"));
            let message = format!("{name}() has no argument '{}'", ident.name);
            self.error("unknown-argument", ident.span, message, hint);
            return;
        }
        if self.user_places(index, given).is_none() {
            let message = format!("{name}() takes {} arguments, not {}", params.len(), given.len());
            self.error("argument-count", span, message, usage);
            return;
        }
        let has: Vec<_> = given.iter().map(|g| self.show(&g.val.t)).collect();
        let message = format!("{name}() cannot be called with ({})", has.join(", "));
        self.error("type-mismatch", span, message, usage);
    }

    /// Writes a function's body here.
    fn inline(&mut self, index: usize, given: &[Given<'a>], span: Span) -> Val {
        self.functions[index].used = true;
        let name = self.functions[index].name;
        if self.frames.iter().any(|f| f.function == index) {
            let message = format!("the function '{}' calls itself", name.name);
            self.error("recursion", span, message, "recursion is not allowed: use a loop");
            return self.unknown();
        }
        if !self.enter(span) {
            self.leave();
            return self.unknown();
        }
        let Some(places) = self.user_places(index, given) else {
            self.leave();
            return self.unknown();
        };
        let params = self.functions[index].params;
        let mut bound = Vec::with_capacity(params.len());
        for (param, place) in params.iter().zip(places) {
            let binding = match place {
                Some(i) => self.bind_parameter(index, param, given[i].val.clone(), given[i].span),
                None => self.bind_default(index, param),
            };
            bound.push((param.name.name.as_str(), binding));
        }
        let val = self.run_body(index, bound);
        self.leave();
        val
    }

    fn run_body(&mut self, index: usize, bound: Vec<(&'a str, Binding)>) -> Val {
        let base = self.locals.len();
        let outer = (self.scope, self.loops, self.span, self.declaring);
        self.scope = base;
        self.loops = 0;
        self.nesting += 1;
        self.frames.push(Frame { base, function: index });
        self.locals.extend(bound);
        let body = self.functions[index].body;
        let val = self.statements(body, true);
        self.frames.pop();
        self.nesting -= 1;
        self.locals.truncate(base);
        (self.scope, self.loops, self.span, self.declaring) = outer;
        match val {
            Some(val) => val,
            None => self.void(),
        }
    }

    fn bind_default(&mut self, index: usize, param: &'a ast::Param) -> Binding {
        let Some(default) = &param.default else { return Binding::Value(self.unknown()) };
        let val = self.expression(default);
        self.bind_parameter(index, param, val, default.span)
    }

    /// Leaves keep what they are; anything else gets a variable of its own, whose history is that of
    /// the calls.
    fn bind_parameter(&mut self, index: usize, param: &'a ast::Param, mut val: Val, span: Span) -> Binding {
        let name = &param.name.name;
        if let Some(ty) = &param.ty {
            let t = self.written_type(ty);
            let what = format!("the parameter '{name}'");
            val = self.coerce(val, &t, span, &what);
            if let Some(q) = ty.qualifier {
                if val.q > q && q != Q::Series {
                    self.too_late(&val, q, &what, span);
                }
                if q == Q::Series {
                    val.q = Q::Series;
                }
            }
        }
        if self.passes_through(&val) {
            if let Expr::Var(id) = self.program.exprs[val.e.index()] {
                self.vars[id.index()].adoptable = false;
            }
            return Binding::Value(val);
        }
        let text = format!("{}.{name}", self.functions[index].name.name);
        let id = self.new_var(text, val.t, val.q, false);
        self.push(Stmt::Set(id, val.e));
        Binding::Var(id)
    }

    fn passes_through(&self, val: &Val) -> bool {
        match &self.program.exprs[val.e.index()] {
            Expr::Num(_) | Expr::Str(_) => true,
            Expr::Input(_) => val.q <= Q::Simple,
            Expr::Bar(_) => self.conditional == 0,
            Expr::Var(id) => {
                let settled = self.conditional == 0 && !self.vars[id.index()].mutable;
                settled || val.t.is_reference() || matches!(val.t, T::Draw(_))
            }
            _ => false,
        }
    }

    // --- types ---

    pub(super) fn new_object(&mut self, id: u32, given: &[Given<'a>], span: Span) -> Val {
        let fields = self.types[id as usize].fields;
        let types = self.types[id as usize].types.clone();
        let name = self.program.types[id as usize].name.clone();
        let mut places: Vec<Option<usize>> = vec![None; fields.len()];
        for (i, arg) in given.iter().enumerate() {
            let at = match arg.name {
                Some(ident) => match fields.iter().position(|f| f.name.name == ident.name) {
                    Some(at) => at,
                    None => {
                        self.unknown_field(id, &ident.name, ident.span);
                        continue;
                    }
                },
                None => i,
            };
            match places.get_mut(at) {
                Some(place) => *place = Some(i),
                None => {
                    let message = format!("{name}.new() takes {} fields, not {}", fields.len(), given.len());
                    self.error("argument-count", span, message, "");
                    break;
                }
            }
        }
        let mut fx = Fx::STATE | Fx::HEAP;
        let mut vals = Vec::with_capacity(fields.len());
        for ((field, t), place) in fields.iter().zip(&types).zip(places) {
            let (val, at) = match (place, &field.default) {
                (Some(i), _) => (given[i].val.clone(), given[i].span),
                (None, Some(default)) => (self.expression(default), default.span),
                (None, None) => (self.absent_field(t), span),
            };
            let what = format!("the field '{}' of {name}", field.name.name);
            let val = self.coerce(val, t, at, &what);
            fx = fx | val.fx;
            vals.push(val.e);
        }
        let e = self.expr(Expr::New(TypeId(id), vals));
        Val::new(e, T::Object(id), Q::Series, fx)
    }

    fn absent_field(&mut self, t: &T) -> Val {
        if *t == T::Bool {
            return self.constant(crate::check::types::K::Bool(false));
        }
        self.na()
    }

    // --- functions that nobody calls ---

    /// Looks for mistakes in functions that are never called; nothing they write is kept.
    pub(super) fn unused_functions(&mut self) {
        for index in 0..self.functions.len() {
            if self.functions[index].used || self.over_budget {
                continue;
            }
            let sizes = (self.program.exprs.len(), self.program.vars.len(), self.program.inputs.len());
            let (found, dead_ends) = (self.diagnostics.len(), self.dead_ends.len());
            let (outer, prelude) = (std::mem::take(&mut self.block), std::mem::take(&mut self.prelude));
            self.try_body(index);
            self.block = outer;
            self.prelude = prelude;
            self.program.exprs.truncate(sizes.0);
            self.program.spans.truncate(sizes.0);
            self.program.vars.truncate(sizes.1);
            self.vars.truncate(sizes.1);
            self.program.inputs.truncate(sizes.2);
            self.dead_ends.truncate(dead_ends);
            self.histories.retain(|_, id| id.index() < sizes.1);
            let kept = |d: &Diagnostic| d.severity == springtide_domain::Severity::Error;
            let new: Vec<_> = self.diagnostics.drain(found..).filter(kept).collect();
            self.diagnostics.extend(new);
        }
    }

    fn try_body(&mut self, index: usize) {
        let params = self.functions[index].params;
        let mut bound = Vec::with_capacity(params.len());
        for param in params {
            let t = match &param.ty {
                Some(ty) => self.written_type(ty),
                None => T::Unknown,
            };
            let mut val = self.unknown();
            val.t = t;
            if let Some(q) = param.ty.as_ref().and_then(|t| t.qualifier) {
                val.q = q;
            }
            bound.push((param.name.name.as_str(), Binding::Value(val)));
        }
        self.run_body(index, bound);
    }
}
