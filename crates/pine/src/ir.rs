//! The checked program: what a script means, flat and typed, independent of data and of input values.
//!
//! The checker produces it, the executor runs it; neither knows the other. Properties:
//!
//! * User functions are inlined per call path, so every stateful call site and every local has one
//!   identity ([`SiteId`], [`VarId`]) and there is one flat body.
//! * Every value is an `f64` at run time: numbers as they are, `na` as NaN, bools 0 and 1, strings,
//!   collections and objects as handles, colours and drawings as 0. [`Ty`] says which.
//! * Expressions are trees in one arena; what has an order or an effect is a statement. A call
//!   whose inlined body needs statements is lowered to a temporary variable before its use, and a
//!   lazily evaluated operand that needs statements becomes an `If`.

use springtide_domain::Span;
use springtide_engine::{Account, ta::TaFunc};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            /// The position in its table.
            pub fn index(self) -> usize { self.0 as usize }
        }
    )+};
}

ids! {
    /// An expression in [`Program::exprs`].
    ExprId,
    /// A variable in [`Program::vars`].
    VarId,
    /// A string in [`Program::strings`]; 0 is the empty string.
    StrId,
    /// An input in [`Program::inputs`].
    InputId,
    /// A stateful call site; each owns its state.
    SiteId,
    /// A user type in [`Program::types`].
    TypeId,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Ty {
    Int,
    Float,
    Bool,
    Str,
    Color,
    Array(Box<Ty>),
    Matrix(Box<Ty>),
    Map(Box<Ty>, Box<Ty>),
    Object(TypeId),
    /// An enum member: its ordinal. The name is kept for messages.
    Enum(String),
    /// A drawing handle (line, label, box, table, ...): never read, always 0.
    Drawing,
    Void,
}

/// A column of the bars, or something derived from one bar alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BarField {
    Open,
    High,
    Low,
    Close,
    Volume,
    Hl2,
    Hlc3,
    Ohlc4,
    Hlcc4,
    /// Bar open time, epoch ms.
    Time,
    /// Bar close time, epoch ms.
    TimeClose,
    BarIndex,
}

/// Arithmetic and comparison. Ordering and equality of numbers are tolerant (1e-10 absolute) as the
/// language defines; any comparison with `na` is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Bin {
    Add,
    Sub,
    Mul,
    Div,
    /// Two const ints in v5: truncated.
    IntDiv,
    Rem,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Handles compared by content (strings).
    StrEq,
    StrNe,
    Concat,
    /// Bools, enums, objects: exact.
    SameEq,
    SameNe,
}

/// One operand operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Un {
    Neg,
    /// Logical; `not na` is true in v4 and v5.
    Not,
}

/// An expression. Evaluated for its value; only `Ta`, `Call` of collection functions and `New` touch state.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Expr {
    Num(f64),
    Str(StrId),
    /// An optional argument that was not given.
    Absent,
    Input(InputId),
    Bar(BarField),
    /// A bar field `offset` bars ago.
    BarHist(BarField, ExprId),
    Var(VarId),
    /// The value `var` had at the end of the bar `offset` bars ago (offset 0: now).
    VarHist(VarId, ExprId),
    Un(Un, ExprId),
    Bin(Bin, ExprId, ExprId),
    /// Short-circuit. (Where v4/v5 evaluate both sides, the checker puts stateful right sides in a
    /// variable first.)
    And(ExprId, ExprId),
    Or(ExprId, ExprId),
    /// Only the chosen branch is evaluated.
    Select(ExprId, ExprId, ExprId),
    /// A built-in indicator with one output, arguments in [`TaFunc`]'s order; `Absent` never occurs
    /// (defaults are filled in).
    Ta(SiteId, TaFunc, Vec<ExprId>),
    /// A built-in variable that is no bar field: `syminfo.mintick`, `barstate.islast`,
    /// `strategy.position_size`, `hour`, `last_bar_index`, `timeframe.period`, ...
    Get(&'static str),
    /// A built-in function by canonical name, arguments in the signature table's order, left-out ones
    /// `Absent`: `math.max` (any number), `str.tostring`, `array.push`, `strategy.closedtrades.profit`,
    /// `time`, `timestamp`, `nz`, `fixnan`, `na`, ... `site` is there for functions with state
    /// (`fixnan`, `math.random`, `timeframe.change`).
    Call {
        name: &'static str,
        args: Vec<ExprId>,
        arg_types: Vec<Ty>,
        ty: Ty,
        site: SiteId,
    },
    /// A new object of a user type.
    New(TypeId, Vec<ExprId>),
    Field(ExprId, u32),
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Stmt {
    Set(VarId, ExprId),
    /// `var`/`varip`: runs once, the first time it is reached.
    Once(SiteId, Vec<Stmt>),
    If(ExprId, Vec<Stmt>, Vec<Stmt>),
    /// `to` is evaluated once in v4/v5 and before every iteration in v6 (`retest`). Counts down when
    /// from > to and no step is given; the step's sign is ignored.
    For {
        var: VarId,
        from: ExprId,
        to: (Vec<Stmt>, ExprId),
        step: Option<ExprId>,
        retest: bool,
        body: Vec<Stmt>,
    },
    /// Over an array's elements (by index, live), a map's pairs (`index` is the key) or a matrix's rows.
    ForIn {
        index: Option<VarId>,
        var: VarId,
        over: ExprId,
        over_ty: Ty,
        body: Vec<Stmt>,
    },
    While {
        cond: (Vec<Stmt>, ExprId),
        body: Vec<Stmt>,
    },
    Break,
    Continue,
    /// Evaluated for its effect on collections.
    Eval(ExprId),
    SetField {
        object: ExprId,
        field: u32,
        value: ExprId,
    },
    /// An indicator with several outputs.
    TaMulti {
        site: SiteId,
        func: TaFunc,
        args: Vec<ExprId>,
        outs: Vec<VarId>,
    },
    /// A built-in with several outputs that is no indicator (none today but kept for tuples of `request.*`).
    /// `strategy.entry`, `.order`, `.exit`, `.close`, `.close_all`, `.cancel`, `.cancel_all`, `.risk.*`:
    /// arguments in the signature table's order, left-out ones `Absent`.
    Order {
        name: &'static str,
        args: Vec<ExprId>,
        span: Span,
    },
    Security(Box<Security>),
    /// `runtime.error(message)`.
    Error(ExprId, Span),
    /// `log.info/warning/error`: level 0..2 and message.
    Log(u8, ExprId),
}

/// `request.security` and relatives: `body` then `results` run on the bars of another timeframe or
/// symbol, with the definitions they depend on re-run there; `outs` receive the merged values.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Security {
    pub site: SiteId,
    /// `request.security`, `request.security_lower_tf`.
    pub name: &'static str,
    pub symbol: ExprId,
    pub timeframe: ExprId,
    /// Bool: fill with na between new values.
    pub gaps: ExprId,
    /// Bool: value of the containing bar from its first chart bar.
    pub lookahead: ExprId,
    pub ignore_invalid: ExprId,
    pub body: Vec<Stmt>,
    pub results: Vec<ExprId>,
    pub outs: Vec<VarId>,
    pub span: Span,
}

/// A variable: one per inlined instance.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Var {
    /// As written, `f.x` for a local of an inlined function, `$n` for a temporary.
    pub name: String,
    pub ty: Ty,
    /// `var` or `varip`: keeps its value from bar to bar. Others are `na` (v6 bool: false) at the start
    /// of each bar... unless they stand in a block that did not run, where they keep their slot.
    pub persistent: bool,
    /// `varip`: keeps its value also when a calculation in the middle of a bar is taken back.
    pub lasting: bool,
    /// Value before anything was assigned: NaN, 0 for v6 bools.
    pub initial: f64,
}

/// What kind of input.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum InputKind {
    Int,
    Float,
    Bool,
    Str,
    /// A price series chosen by name; default a bar field.
    Source(BarField),
    Timeframe,
    Symbol,
    Session,
    /// Epoch ms.
    Time,
    Color,
    Price,
    /// Member names in order; the value is the ordinal.
    Enum(Vec<String>),
}

/// One `input.*` call.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Input {
    /// Key for `--set` and `--sweep`: the title, else the variable's name; made unique by a suffix ` #2`.
    pub key: String,
    /// The variable it is assigned to, also accepted as a key; may be empty.
    pub variable: String,
    pub kind: InputKind,
    /// Default as a number (bool 0/1), or `default_str` for the textual kinds.
    pub default: f64,
    pub default_str: String,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub step: Option<f64>,
    /// Allowed values, as numbers or texts.
    pub options: Vec<springtide_domain::ParamValue>,
    pub span: Span,
}

/// A user type: field names, types.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ObjectType {
    pub name: String,
    pub fields: Vec<(String, Ty)>,
}

/// A user enum: member names and titles (`str.tostring` gives the title), in order.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct EnumType {
    pub name: String,
    pub members: Vec<(String, String)>,
}

/// A checked script.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Program {
    pub version: u8,
    pub title: String,
    /// False for `indicator`/`study`: valid, but nothing to backtest.
    pub is_strategy: bool,
    /// From `strategy(...)`, with the version's defaults.
    pub account: Account,
    /// Names of `strategy()` arguments that the script gives.
    pub declared: Vec<String>,
    /// `use_bar_magnifier`: fills follow finer bars where there are some.
    pub bar_magnifier: bool,
    pub inputs: Vec<Input>,
    pub vars: Vec<Var>,
    pub exprs: Vec<Expr>,
    /// Where each expression stands in the source, parallel to `exprs`.
    pub spans: Vec<Span>,
    pub body: Vec<Stmt>,
    pub strings: Vec<String>,
    pub types: Vec<ObjectType>,
    /// User enums; [`Ty::Enum`] names one, a value is a member's position.
    pub enums: Vec<EnumType>,
    /// Title and variable of each `plot` of the global scope, only with `CompileOptions::keep_plots`:
    /// the variable's value at the end of a bar is what is plotted.
    pub plots: Vec<(String, VarId)>,
    /// Number of [`SiteId`]s.
    pub sites: u32,
}

impl Program {
    /// Whether the script asks for other bars than the chart's.
    pub fn has_requests(&self) -> bool {
        fn any(stmts: &[Stmt]) -> bool {
            stmts.iter().any(|s| match s {
                Stmt::Security(_) => true,
                Stmt::If(_, a, b) => any(a) || any(b),
                Stmt::Once(_, a) => any(a),
                Stmt::For { to, body, .. } => any(&to.0) || any(body),
                Stmt::ForIn { body, .. } => any(body),
                Stmt::While { cond, body } => any(&cond.0) || any(body),
                _ => false,
            })
        }
        any(&self.body)
    }
}
