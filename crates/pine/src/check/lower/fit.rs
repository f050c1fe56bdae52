//! Which value fits in which place, and how it is converted.

use super::Checker;
use crate::check::types::{Fx, K, Q, T, Val, qualifier_name};
use crate::ir::Expr;
use springtide_domain::Span;

impl Checker<'_> {
    pub(super) fn no_common_type(&mut self, a: &T, b: &T, span: Span) -> Val {
        let message = format!("the results have different types: {} and {}", self.show(a), self.show(b));
        self.error("type-mismatch", span, message, "give both branches the same type");
        self.unknown()
    }

    /// The type that holds both.
    pub(super) fn common(&self, a: &T, b: &T) -> Option<T> {
        Some(match (a, b) {
            (a, b) if a == b => a.clone(),
            (T::Unknown, _) | (_, T::Unknown) => T::Unknown,
            (T::Na, t) | (t, T::Na) => t.clone(),
            (T::Int, T::Float) | (T::Float, T::Int) => T::Float,
            (T::Bool, n) | (n, T::Bool) if n.is_number() && self.version <= 5 => T::Bool,
            (T::Array(a), T::Array(b)) if self.same_element(a, b) => T::Array(Box::new(self.known(a, b))),
            (T::Matrix(a), T::Matrix(b)) if self.same_element(a, b) => T::Matrix(Box::new(self.known(a, b))),
            (T::Map(k, v), T::Map(l, w)) if self.same_element(k, l) && self.same_element(v, w) => {
                T::Map(Box::new(self.known(k, l)), Box::new(self.known(v, w)))
            }
            _ => return None,
        })
    }

    fn same_element(&self, a: &T, b: &T) -> bool {
        a == b || matches!(a, T::Na | T::Unknown) || matches!(b, T::Na | T::Unknown)
    }

    fn known(&self, a: &T, b: &T) -> T {
        if matches!(a, T::Na | T::Unknown) { b.clone() } else { a.clone() }
    }

    /// Converts to a type that [`Self::common`] gave.
    pub(super) fn toward(&mut self, val: Val, t: &T) -> Val {
        match (t, &val.t) {
            (T::Bool, T::Int | T::Float) => {
                let span = self.span;
                self.truth(val, span)
            }
            _ => val.retyped(t.clone()),
        }
    }

    /// Version 4 says `long = true`, and `strategy.long` is a bool there.
    fn direction(&mut self, val: Val, span: Span) -> Val {
        let val = self.truth(val, span);
        if let Some(K::Bool(long)) = val.k {
            let e = self.num(if long { 1.0 } else { -1.0 });
            return Val { e, k: None, t: T::Code("direction"), ..val };
        }
        let (long, short) = (self.num(1.0), self.num(-1.0));
        let e = self.expr(Expr::Select(val.e, long, short));
        Val { e, k: None, t: T::Code("direction"), ..val }
    }

    /// The value as a condition.
    pub(super) fn truth(&mut self, val: Val, span: Span) -> Val {
        match &val.t {
            T::Bool | T::Unknown => val,
            T::Na if self.version >= 6 => {
                self.error("na-bool", span, "a bool cannot be na since version 6", "write `false`");
                Val { t: T::Bool, ..val }
            }
            T::Na => Val { t: T::Bool, ..val },
            t if t.is_number() && self.version <= 5 => {
                if let Some(x) = val.k.as_ref().and_then(K::number) {
                    return self.constant(K::Bool(x != 0.0));
                }
                let q = val.q;
                self.builtin("bool", vec![val], T::Bool, q, Fx::NONE)
            }
            t => {
                let message = format!("a condition must be a bool, not a {}", self.show(t));
                let hint = if t.is_number() { "compare it: `x != 0`" } else { "" };
                self.error("type-mismatch", span, message, hint);
                self.unknown()
            }
        }
    }

    /// The value as a whole number.
    pub(super) fn integer(&mut self, val: Val, span: Span, what: &str) -> Val {
        self.coerce(val, &T::Int, span, what)
    }

    /// How far a value's type is from a wanted one; `None` when it does not fit.
    pub(super) fn distance(&self, from: &T, to: &T) -> Option<u32> {
        Some(match (from, to) {
            (_, T::Any) => 0,
            (f, t) if f == t => 0,
            (T::Unknown, _) | (_, T::Unknown) => 1,
            (T::Void | T::Tuple(_), _) => return None,
            (T::Na, T::Bool) if self.version >= 6 => return None,
            (T::Na, _) => 1,
            (T::Int, T::Float) => 1,
            (T::Float, T::Int) => 8,
            (f, T::Bool) if f.is_number() && self.version <= 5 => 4,
            (T::Bool, T::Code("direction" | "gaps" | "lookahead")) => 2,
            (f, T::Code("direction")) if f.is_number() && self.version == 4 => 4,
            (T::Code("direction"), T::Str) => 4,
            (T::Code("lookahead"), T::Code("gaps")) if self.version == 4 => 2,
            (T::Array(a), T::Array(b)) | (T::Matrix(a), T::Matrix(b)) if self.same_element(a, b) => 1,
            (T::Map(k, v), T::Map(l, w)) if self.same_element(k, l) && self.same_element(v, w) => 1,
            _ => return None,
        })
    }

    /// Converts a value to the type that its place wants.
    pub(super) fn coerce(&mut self, val: Val, to: &T, span: Span, what: &str) -> Val {
        if self.distance(&val.t, to).is_none() {
            let code = if val.t == T::Na { "na-bool" } else { "type-mismatch" };
            let message = format!("{what} takes a {}, not a {}", self.show(to), self.show(&val.t));
            self.error(code, span, message, conversion_hint(&val.t, to));
            return Val { t: to.clone(), k: None, ..val };
        }
        match (&val.t, to) {
            (_, T::Any) => val,
            (T::Float, T::Int) => self.narrowed(val, span, what),
            (T::Int | T::Float, T::Bool) => self.truth(val, span),
            (T::Bool | T::Int | T::Float, T::Code("direction")) => self.direction(val, span),
            (T::Code("direction"), T::Str) => self.direction_name(val, span),
            _ => val.retyped(to.clone()),
        }
    }

    /// Constant directions are texts in places that want one.
    fn direction_name(&mut self, val: Val, span: Span) -> Val {
        let name = match self.program.exprs[val.e.index()] {
            Expr::Num(x) if x > 0.0 => "long",
            Expr::Num(_) => "short",
            _ => {
                self.error("type-mismatch", span, "a text is wanted, not a direction", "");
                return self.unknown();
            }
        };
        self.constant(K::Str(name.into()))
    }

    /// A float where an int is wanted: whole constants pass, others are an error.
    fn narrowed(&mut self, val: Val, span: Span, what: &str) -> Val {
        match val.k {
            Some(K::Float(x)) if x.fract() == 0.0 => self.constant(K::Int(x as i64)),
            _ => {
                let message = format!("{what} takes an int, not a float");
                self.error("type-mismatch", span, message, "convert it: `int(x)` or `math.round(x)`");
                Val { t: T::Int, k: None, ..val }
            }
        }
    }

    /// A value that is known too late for its place.
    pub(super) fn too_late(&mut self, val: &Val, wanted: Q, what: &str, span: Span) {
        let (has, wants) = (qualifier_name(val.q), qualifier_name(wanted));
        let message = format!("{what} must be known earlier: it takes a {wants} value, not a {has} one");
        let hint = match wanted {
            Q::Const => "write a literal or a variable that never changes",
            Q::Input => "use a literal or an input",
            _ => "it must not change from bar to bar",
        };
        self.error("qualifier-mismatch", span, message, hint);
    }
}

fn conversion_hint(from: &T, to: &T) -> &'static str {
    match (from, to) {
        (T::Int | T::Float, T::Bool) => "compare it: `x != 0`",
        (T::Int | T::Float, T::Str) => "convert it: `str.tostring(x)`",
        (T::Bool, T::Int | T::Float) => "convert it: `x ? 1 : 0`",
        (T::Str, T::Int | T::Float) => "convert it: `str.tonumber(x)`",
        (T::Tuple(_), _) => "take the tuple apart first: `[a, b] = ...`",
        _ => "",
    }
}
