//! Types, qualifiers and values while a script is being checked.

use crate::ir::{ExprId, Ty, TypeId};
pub(crate) use crate::syntax::ast::Qualifier as Q;
use std::rc::Rc;

/// A type as the checker knows it: [`Ty`] plus what only exists before run time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum T {
    /// The result of something already reported: fits everywhere, reports nothing.
    Unknown,
    /// The literal `na` before it met a type.
    Na,
    Void,
    Int,
    Float,
    Bool,
    Str,
    Color,
    /// A built-in constant of a kind of its own: `direction`, `oca`, `order`, ...
    Code(&'static str),
    /// A drawing: `line`, `label`, `plot`, ...
    Draw(&'static str),
    Array(Box<T>),
    Matrix(Box<T>),
    Map(Box<T>, Box<T>),
    Object(u32),
    Enum(u32),
    Tuple(Vec<T>),
    /// In signatures: a type variable.
    Var(u8),
    /// In signatures: whatever it is.
    Any,
}

impl T {
    pub fn is_number(&self) -> bool {
        matches!(self, T::Int | T::Float)
    }

    /// Values that refer to something that can change: collections and objects.
    pub fn is_reference(&self) -> bool {
        matches!(self, T::Array(_) | T::Matrix(_) | T::Map(..) | T::Object(_))
    }

    /// A number, or something that will become or pass for one.
    pub fn numberish(&self) -> bool {
        matches!(self, T::Int | T::Float | T::Na | T::Unknown)
    }

    /// `array`, `line`, ...: where a built-in method of this type is found.
    pub fn namespace(&self) -> Option<&'static str> {
        Some(match self {
            T::Array(_) => "array",
            T::Matrix(_) => "matrix",
            T::Map(..) => "map",
            T::Draw(kind) => kind,
            _ => return None,
        })
    }
}

/// How early a value is known, as a word.
pub(crate) fn qualifier_name(q: Q) -> &'static str {
    match q {
        Q::Const => "const",
        Q::Input => "input",
        Q::Simple => "simple",
        Q::Series => "series",
    }
}

/// A value that is known now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum K {
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(Rc<str>),
}

impl K {
    pub fn number(&self) -> Option<f64> {
        match self {
            K::Int(i) => Some(*i as f64),
            K::Float(x) => Some(*x),
            K::Bool(b) => Some(f64::from(*b)),
            K::Str(_) => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            K::Str(s) => Some(s),
            _ => None,
        }
    }
}

/// What evaluating an expression does besides giving a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fx(u8);

impl Fx {
    /// Nothing: may be evaluated anywhere, any number of times.
    pub const NONE: Fx = Fx(0);
    /// Advances the state of a call site.
    pub const STATE: Fx = Fx(1);
    /// Reads a collection or an object.
    pub const HEAP: Fx = Fx(2);
    /// Changes a collection or an object.
    pub const MUT: Fx = Fx(4);

    pub fn has(self, other: Fx) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for Fx {
    type Output = Fx;
    fn bitor(self, other: Fx) -> Fx {
        Fx(self.0 | other.0)
    }
}

/// A lowered expression with everything known about it.
#[derive(Clone, Debug)]
pub(crate) struct Val {
    pub e: ExprId,
    pub t: T,
    pub q: Q,
    pub fx: Fx,
    pub k: Option<K>,
    /// The elements when `t` is a tuple.
    pub parts: Vec<Val>,
}

impl Val {
    pub fn new(e: ExprId, t: T, q: Q, fx: Fx) -> Self {
        Self { e, t, q, fx, k: None, parts: Vec::new() }
    }

    /// The same value under another type; a constant int that becomes a float divides like one.
    pub fn retyped(mut self, t: T) -> Self {
        if t == T::Float
            && let Some(K::Int(i)) = self.k
        {
            self.k = Some(K::Float(i as f64));
        }
        self.t = t;
        self
    }
}

/// A user type that is being checked.
#[derive(Clone, Debug)]
pub(crate) struct UserEnum {
    pub name: String,
    /// Member name and title.
    pub members: Vec<(String, String)>,
}

/// The run-time type.
pub(crate) fn to_ir(t: &T, enums: &[UserEnum]) -> Ty {
    match t {
        T::Int => Ty::Int,
        T::Bool => Ty::Bool,
        T::Str => Ty::Str,
        T::Color => Ty::Color,
        T::Array(e) => Ty::Array(Box::new(to_ir(e, enums))),
        T::Matrix(e) => Ty::Matrix(Box::new(to_ir(e, enums))),
        T::Map(k, v) => Ty::Map(Box::new(to_ir(k, enums)), Box::new(to_ir(v, enums))),
        T::Object(i) => Ty::Object(TypeId(*i)),
        T::Enum(i) => Ty::Enum(enums[*i as usize].name.clone()),
        T::Draw(_) => Ty::Drawing,
        T::Code(_) => Ty::Int,
        T::Void | T::Tuple(_) => Ty::Void,
        T::Float | T::Na | T::Unknown | T::Var(_) | T::Any => Ty::Float,
    }
}
