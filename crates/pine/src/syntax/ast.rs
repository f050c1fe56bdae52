//! The syntax tree: what was written, with spans, before any meaning.

use springtide_domain::Span;

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Ident {
    pub name: String,
    pub span: Span,
}

/// A whole script.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Script {
    /// From `//@version=N`; 1 when the line is missing.
    pub version: u8,
    pub body: Vec<Stmt>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

/// `x = e`, `var x = e`, `varip x = e`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DeclMode {
    Plain,
    Var,
    Varip,
}

/// A type as written: `float`, `array<float>`, `float[]`, `map<string, int>`, `series int`, `my.Type`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct TypeRef {
    /// `const`, `input`, `simple` or `series` when written.
    pub qualifier: Option<Qualifier>,
    /// Dotted name; `float[]` is `array` with one argument; empty when only the qualifier is written.
    pub name: String,
    pub args: Vec<TypeRef>,
    pub span: Span,
}

/// How early a value is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Qualifier {
    Const,
    Input,
    Simple,
    Series,
}

/// A parameter of a user function or a field of a user type.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Param {
    pub ty: Option<TypeRef>,
    pub name: Ident,
    pub default: Option<Expr>,
    /// Field declared `varip`.
    pub varip: bool,
}

/// Kinds of statement.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum StmtKind {
    Expr(Expr),
    /// The name is dotted in `strategy.initial_capital = 50000`: a variable that hides the built-in.
    Decl {
        mode: DeclMode,
        ty: Option<TypeRef>,
        name: Ident,
        value: Expr,
        export: bool,
    },
    TupleDecl {
        names: Vec<Ident>,
        value: Expr,
    },
    /// `target := value` and `target += value` ...; target is a name or a field.
    Assign {
        target: Expr,
        op: Option<BinaryOp>,
        value: Expr,
    },
    Function {
        name: Ident,
        params: Vec<Param>,
        body: Vec<Stmt>,
        is_method: bool,
        export: bool,
    },
    Type {
        name: Ident,
        fields: Vec<Param>,
        export: bool,
    },
    Enum {
        name: Ident,
        members: Vec<(Ident, Option<Expr>)>,
        export: bool,
    },
    Import {
        path: String,
        alias: Option<Ident>,
    },
    Break,
    Continue,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

/// An argument of a call, positional or named.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Arg {
    pub name: Option<Ident>,
    pub value: Expr,
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Neg,
    Plus,
    Not,
}

/// Kinds of expression. `if`, `switch`, `for` and `while` are expressions in Pine; as statements they
/// stand in [`StmtKind::Expr`].
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum ExprKind {
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(String),
    /// `0xRRGGBBAA`.
    Color(u32),
    Name(String),
    /// `base.name`.
    Field(Box<Expr>, Ident),
    /// `base[offset]`.
    Index(Box<Expr>, Box<Expr>),
    /// `callee<types>(args)`.
    Call {
        callee: Box<Expr>,
        types: Vec<TypeRef>,
        args: Vec<Arg>,
    },
    Unary(UnaryOp, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    Tuple(Vec<Expr>),
    /// Conditions with their blocks, then the `else` block.
    If {
        arms: Vec<(Expr, Vec<Stmt>)>,
        otherwise: Option<Vec<Stmt>>,
    },
    /// Arms with `None` are the default.
    Switch {
        subject: Option<Box<Expr>>,
        arms: Vec<(Option<Expr>, Vec<Stmt>)>,
    },
    For {
        var: Ident,
        from: Box<Expr>,
        to: Box<Expr>,
        step: Option<Box<Expr>>,
        body: Vec<Stmt>,
    },
    ForIn {
        index: Option<Ident>,
        var: Ident,
        over: Box<Expr>,
        body: Vec<Stmt>,
    },
    While {
        cond: Box<Expr>,
        body: Vec<Stmt>,
    },
    /// Stands where the parser could not make sense of the source; a diagnostic says why.
    Error,
}
