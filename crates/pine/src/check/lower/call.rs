//! Calls: what is called, and how each kind of built-in is lowered.

use super::Checker;
use super::args::{Chosen, Given};
use crate::check::builtins::{Kind, Sig};
use crate::check::types::{Fx, K, Q, T, Val};
use crate::ir::{Expr, Stmt};
use crate::syntax::ast::{self, ExprKind, Ident};
use springtide_domain::Span;
use springtide_domain::suggest::nearest;
use springtide_engine::ta::TaFunc;

impl<'a> Checker<'a> {
    pub(super) fn call(
        &mut self,
        expr: &'a ast::Expr,
        callee: &'a ast::Expr,
        types: &'a [ast::TypeRef],
        args: &'a [ast::Arg],
    ) -> Val {
        match &callee.kind {
            ExprKind::Name(name) => self.plain_call(name, callee.span, types, args, expr.span),
            ExprKind::Field(base, member) => self.dotted_call(callee, base, member, types, args, expr.span),
            ExprKind::Error => self.ignored_call(args),
            _ => {
                self.error("not-a-function", callee.span, "this is no function", "");
                self.ignored_call(args)
            }
        }
    }

    /// Looks at the arguments only for what is wrong in them.
    fn ignored_call(&mut self, args: &'a [ast::Arg]) -> Val {
        let given = self.given(None, args);
        given.iter().for_each(|g| self.discard(&g.val));
        self.unknown()
    }

    fn plain_call(
        &mut self,
        name: &'a str,
        name_span: Span,
        types: &'a [ast::TypeRef],
        args: &'a [ast::Arg],
        span: Span,
    ) -> Val {
        if self.function_names.contains_key(name) {
            let given = self.given(None, args);
            return self.call_user(name, &given, span);
        }
        if let Some(current) = self.current_name(name) {
            return self.call_builtin(name, current, types, args, span);
        }
        self.unknown_function(name, name_span);
        self.ignored_call(args)
    }

    fn unknown_function(&mut self, name: &str, span: Span) {
        if self.find(name).is_some() {
            let message = format!("'{name}' is a variable, not a function");
            self.error("not-a-function", span, message, "");
            return;
        }
        let hint = match crate::check::builtins::renamed_function(name) {
            Some(new) => format!("it is `{new}` since version 5"),
            None => match name {
                "iff" => "it is gone since version 5: `condition ? a : b`".to_owned(),
                "offset" => "it is gone since version 5: `source[n]`".to_owned(),
                _ => self.function_hint(name),
            },
        };
        self.error("unknown-function", span, format!("there is no function '{name}'"), hint);
    }

    fn function_hint(&self, name: &str) -> String {
        let own = self.function_names.keys().copied();
        let known = own.chain(self.tables.functions.keys().copied());
        nearest(name, known).map_or_else(String::new, |near| format!("did you mean `{near}`?"))
    }

    fn dotted_call(
        &mut self,
        callee: &'a ast::Expr,
        base: &'a ast::Expr,
        member: &'a Ident,
        types: &'a [ast::TypeRef],
        args: &'a [ast::Arg],
        span: Span,
    ) -> Val {
        if let Some(path) = Self::path(callee) {
            let root = path.split('.').next().unwrap_or("");
            let user_root = self.find(root).is_some();
            if let Some(name) = self.current_name(&path)
                && (!user_root || self.reads_as_function(name, root, args.len()))
            {
                return self.call_builtin(name, name, types, args, span);
            }
            if !user_root {
                if let Some(val) = self.type_call(base, member, args, span) {
                    return val;
                }
                if self.imports.contains(root) {
                    return self.ignored_call(args);
                }
                let namespace = path.rsplit_once('.').map_or("", |(n, _)| n);
                if self.tables.namespaces.contains_key(namespace)
                    && !self.tables.variables.contains_key(namespace)
                {
                    self.unknown_function(&path, callee.span);
                    return self.ignored_call(args);
                }
            }
        }
        let receiver = self.expression(base);
        self.method_call(receiver, base.span, member, types, args, span)
    }

    /// A variable that is called like a namespace: `label.delete(label)` against `label.delete()`.
    fn reads_as_function(&mut self, name: &str, root: &str, count: usize) -> bool {
        let Some(val) = self.user_value(root) else { return true };
        let namespace = val.t.namespace();
        if namespace.is_none_or(|n| n != root) {
            return !matches!(val.t, T::Object(_) | T::Unknown)
                && namespace.is_none_or(|n| !name.starts_with(n));
        }
        let Some(overloads) = self.overloads(name) else { return false };
        overloads.iter().any(|s| {
            let required =
                s.params.iter().filter(|p| p.need == crate::check::builtins::Need::Required).count();
            (required..=s.params.len()).contains(&count)
        })
    }

    /// `Type.new(...)`, `Type.copy(object)`.
    fn type_call(
        &mut self,
        base: &'a ast::Expr,
        member: &'a Ident,
        args: &'a [ast::Arg],
        span: Span,
    ) -> Option<Val> {
        let ExprKind::Name(name) = &base.kind else { return None };
        let id = *self.type_names.get(name.as_str())?;
        let given = self.given(None, args);
        Some(match member.name.as_str() {
            "new" => self.new_object(id, &given, span),
            "copy" => match given.into_iter().next() {
                Some(object) => self.copy_object(object.val),
                None => self.unknown(),
            },
            other => {
                let message = format!("the type {name} has no function '{other}'");
                self.error("unknown-function", member.span, message, "a type has `new` and `copy`");
                self.unknown()
            }
        })
    }

    /// A new object with the fields of another.
    pub(super) fn copy_object(&mut self, object: Val) -> Val {
        let T::Object(id) = object.t else { return object };
        let leaf = matches!(self.program.exprs[object.e.index()], Expr::Var(_));
        let object = if leaf { object } else { self.spill(&object) };
        let count = self.program.types[id as usize].fields.len() as u32;
        let fields = (0..count).map(|field| self.expr(Expr::Field(object.e, field))).collect();
        let e = self.expr(Expr::New(crate::ir::TypeId(id), fields));
        Val::new(e, T::Object(id), Q::Series, Fx::STATE | Fx::HEAP)
    }

    fn method_call(
        &mut self,
        receiver: Val,
        receiver_span: Span,
        member: &'a Ident,
        types: &'a [ast::TypeRef],
        args: &'a [ast::Arg],
        span: Span,
    ) -> Val {
        let t = receiver.t.clone();
        let given = self.given(Some((receiver, receiver_span)), args);
        if t == T::Unknown {
            given.iter().for_each(|g| self.discard(&g.val));
            return self.unknown();
        }
        if self.has_method(&member.name, &t) {
            return self.call_user(&member.name, &given, span);
        }
        if matches!(t, T::Object(_)) && member.name == "copy" {
            return self.copy_object(given[0].val.clone());
        }
        if let Some(namespace) = t.namespace() {
            let path = format!("{namespace}.{}", member.name);
            if let Some(name) = self.current_name(&path) {
                return self.call_given(name, name, types, &given, span);
            }
        }
        let message = format!("a {} has no method '{}'", self.show(&t), member.name);
        let hint = match t.namespace() {
            Some(namespace) => self.function_hint(&format!("{namespace}.{}", member.name)),
            None => self.function_hint(&member.name),
        };
        self.error("unknown-method", member.span, message, hint);
        self.unknown()
    }

    // --- built-ins ---

    /// A call of a built-in by its present name; `written` is for messages.
    fn call_builtin(
        &mut self,
        written: &'a str,
        name: &'static str,
        types: &'a [ast::TypeRef],
        args: &'a [ast::Arg],
        span: Span,
    ) -> Val
    where
        'a: 'a,
    {
        match name {
            "request.security" | "request.security_lower_tf" => return self.security(name, args, span),
            "strategy" | "indicator" | "library" => return self.declaration_call(name, args, span),
            "input" => return self.input(name, args, span),
            _ if name.starts_with("input.") => return self.input(name, args, span),
            _ => {}
        }
        let given = self.given(None, args);
        self.call_given(written, name, types, &given, span)
    }

    fn call_given(
        &mut self,
        written: &str,
        name: &'static str,
        types: &'a [ast::TypeRef],
        given: &[Given<'a>],
        span: Span,
    ) -> Val {
        let ratio = name == "ta.rsi" && self.version == 4 && is_ratio(given);
        let name = if ratio { "rsi" } else { name };
        let Some(overloads) = self.overloads(name) else {
            self.unknown_function(written, span);
            return self.unknown();
        };
        let written_types: Vec<_> = types.iter().map(|t| self.written_type(t)).collect();
        let Some(chosen) = self.resolve(written, &overloads, given, &written_types, span) else {
            return self.failed_call(&overloads);
        };
        self.lower_builtin(written, &chosen, given, span)
    }

    /// What a call that does not fit would have given.
    fn failed_call(&mut self, overloads: &[&'static Sig]) -> Val {
        let ret = &overloads[0].ret;
        match ret {
            T::Void => self.void(),
            _ => self.unknown(),
        }
    }

    fn lower_builtin(&mut self, written: &str, chosen: &Chosen, given: &[Given<'a>], span: Span) -> Val {
        let sig = chosen.sig;
        let args = self.arguments(written, chosen, given);
        let q = sig.ret_q.unwrap_or(args.q);
        let t = match &sig.ret {
            T::Any => T::Unknown,
            t => self.substitute(t, &chosen.types),
        };
        match sig.kind {
            Kind::Ta => self.indicator(sig, args, t, span),
            Kind::Order => {
                self.order(sig, args, span);
                self.void()
            }
            Kind::Special => self.special(sig, args, t, span),
            Kind::Draw => self.drawing(sig, args, t),
            Kind::Unsupported => {
                given.iter().for_each(|g| self.discard(&g.val));
                self.unavailable(sig.name, t, span)
            }
            Kind::Pure => self.pure_call(sig, args, t, q),
            Kind::State => {
                let vals = self.placed(args);
                self.builtin(sig.name, vals, t, q, Fx::STATE)
            }
            Kind::Mut => {
                let vals = self.placed(args);
                self.builtin(sig.name, vals, t, q, Fx::MUT | Fx::HEAP)
            }
        }
    }

    fn pure_call(&mut self, sig: &'static Sig, mut args: super::args::Arguments, t: T, q: Q) -> Val {
        if matches!(sig.name, "time" | "time_close") && sig.params.len() == 2 {
            args.vals.splice(1..1, [None, None]);
        }
        let vals = self.placed(args);
        if let Some(k) = fold(sig.name, &vals) {
            return self.constant(k);
        }
        if t == T::Color || sig.name.starts_with("color.") {
            return self.color(sig.name, vals, q);
        }
        if self.version >= 6 && matches!(sig.name, "na" | "nz") && vals[0].t == T::Bool {
            let message = format!("{}() cannot take a bool since version 6", sig.name);
            self.error("na-bool", self.span, message, "a bool is never na: use it as it is");
        }
        let own = if sig.name.starts_with("array.")
            || sig.name.starts_with("matrix.")
            || sig.name.starts_with("map.")
        {
            if is_fresh(sig.name) { Fx::STATE | Fx::HEAP } else { Fx::HEAP }
        } else {
            Fx::NONE
        };
        let t = if t == T::Na { T::Float } else { t };
        self.builtin(sig.name, vals, t, q, own)
    }

    fn indicator(&mut self, sig: &'static Sig, args: super::args::Arguments, t: T, span: Span) -> Val {
        let Some(func) = sig.ta else { return self.unknown() };
        let vals = self.placed(args);
        self.check_length(func, &vals, span);
        let fx = vals.iter().fold(Fx::STATE, |fx, v| fx | v.fx);
        let site = self.site();
        let args: Vec<_> = vals.iter().map(|v| v.e).collect();
        if let T::Tuple(parts) = t {
            return self.indicator_tuple(site, func, args, parts);
        }
        let e = self.expr(Expr::Ta(site, func, args));
        let t = if t == T::Na { T::Float } else { t };
        Val::new(e, t, Q::Series, fx)
    }

    fn indicator_tuple(
        &mut self,
        site: crate::ir::SiteId,
        func: TaFunc,
        args: Vec<crate::ir::ExprId>,
        parts: Vec<T>,
    ) -> Val {
        let outs: Vec<_> = parts.iter().map(|t| self.temp(t.clone(), Q::Series)).collect();
        self.push(Stmt::TaMulti { site, func, args, outs: outs.clone() });
        self.tuple_of(&outs, parts)
    }

    /// A tuple of variables.
    pub(super) fn tuple_of(&mut self, outs: &[crate::ir::VarId], parts: Vec<T>) -> Val {
        let vals: Vec<_> = outs.iter().map(|id| self.read(*id)).collect();
        let mut val = self.void();
        val.t = T::Tuple(parts);
        val.q = Q::Series;
        val.parts = vals;
        val
    }

    /// Lengths that are known now are checked now.
    fn check_length(&mut self, func: TaFunc, vals: &[Val], span: Span) {
        // A pivot may be confirmed by the bar itself, and a call that is never reached does no harm.
        if self.branches > 0 || matches!(func, TaFunc::PivotHigh | TaFunc::PivotLow) {
            return;
        }
        let fixed: Vec<_> = vals.iter().map(|v| v.k.as_ref().and_then(K::number)).collect();
        if let Err(message) = springtide_engine::ta::validate(func, &fixed) {
            self.error("argument-value", span, message, "");
        }
    }

    /// Drawings leave nothing but the effects of their arguments; a kept plot leaves its series.
    fn drawing(&mut self, sig: &'static Sig, args: super::args::Arguments, t: T) -> Val {
        let kept =
            sig.name == "plot" && self.options.keep_plots && self.is_global() && self.frames.is_empty();
        if kept {
            self.keep_plot(&args);
        }
        // A kept series has been evaluated with its effects.
        for val in args.vals.iter().skip(usize::from(kept)).flatten().chain(&args.rest) {
            self.discard(val);
        }
        if t == T::Void {
            return self.void();
        }
        let e = self.num(0.0);
        Val::new(e, t, Q::Series, Fx::NONE)
    }

    fn keep_plot(&mut self, args: &super::args::Arguments) {
        let Some(Some(series)) = args.vals.first() else { return };
        let title = args.vals.get(1).and_then(Option::as_ref).and_then(|v| v.k.as_ref());
        let title = match title.and_then(K::text) {
            Some(title) => title.to_owned(),
            None => format!("plot {}", self.program.plots.len() + 1),
        };
        let id = self.new_var(format!("plot {title}"), series.t.clone(), Q::Series, false);
        let e = series.e;
        self.push(Stmt::Set(id, e));
        self.program.plots.push((title, id));
    }

    /// A function that is known and has no answer here.
    fn unavailable(&mut self, name: &'static str, t: T, span: Span) -> Val {
        let (message, hint) = if name.starts_with("request.") {
            (format!("{name}() needs data that is not part of a backtest"), "")
        } else {
            let message = format!("{name}() reads a drawing, and drawings are left out of a backtest");
            (message, "keep the value in a variable of its own")
        };
        self.dead_end(name, span, message, hint.to_owned(), t, Q::Series)
    }
}

/// Version 4's `rsi(x, y)` with a series second argument is another function.
fn is_ratio(given: &[Given<'_>]) -> bool {
    let second = given.iter().enumerate().find(|(i, g)| match g.name {
        Some(name) => matches!(name.name.as_str(), "y" | "length"),
        None => *i == 1,
    });
    second.is_some_and(|(_, g)| g.val.t == T::Float && g.val.q == Q::Series)
}

/// Functions that make a new collection on every call.
fn is_fresh(name: &str) -> bool {
    let (_, function) = name.split_once('.').unwrap_or(("", name));
    function.starts_with("new") || matches!(function, "from" | "copy")
}

/// Scalar functions of constants.
fn fold(name: &str, vals: &[Val]) -> Option<K> {
    let k = |i: usize| vals.get(i)?.k.as_ref();
    let x = |i: usize| k(i)?.number();
    let float = |x: f64| x.is_finite().then_some(K::Float(x));
    let whole = |x: f64| (x.abs() < 9e15).then_some(K::Int(x as i64));
    match (name, vals.len()) {
        ("int", 1) => whole(x(0)?.trunc()),
        ("float", 1) => float(x(0)?),
        ("math.abs", 1) => match k(0)? {
            K::Int(i) => i.checked_abs().map(K::Int),
            _ => float(x(0)?.abs()),
        },
        ("math.floor", 1) => whole(x(0)?.floor()),
        ("math.ceil", 1) => whole(x(0)?.ceil()),
        ("math.round", 1) => whole(x(0)?.round()),
        ("math.sqrt", 1) => float(x(0)?.sqrt()),
        ("math.max", 2) => larger(k(0)?, k(1)?, true),
        ("math.min", 2) => larger(k(0)?, k(1)?, false),
        _ => None,
    }
}

fn larger(a: &K, b: &K, max: bool) -> Option<K> {
    let pick = if (a.number()? >= b.number()?) == max { a } else { b };
    let both_int = matches!((a, b), (K::Int(_), K::Int(_)));
    Some(if both_int { pick.clone() } else { K::Float(pick.number()?) })
}
