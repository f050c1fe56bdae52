//! The walk over the tree that types it and writes the program.

mod args;
mod call;
mod control;
mod expr;
mod fit;
mod input;
mod names;
mod order;
mod request;
mod settings;
mod special;
mod stmt;
mod user;

use super::builtins::{self, Tables};
use super::types::{Fx, K, Q, T, UserEnum, Val, to_ir};
use super::{CompileOptions, prune};
use crate::ir::{BarField, Expr, ExprId, InputId, ObjectType, Program, SiteId, Stmt, StrId, Var, VarId};
use crate::syntax::ast::{self, Script};
use rustc_hash::{FxHashMap, FxHashSet};
use springtide_domain::{Diagnostic, Severity, Span};
use springtide_engine::Account;
use std::rc::Rc;

/// Most expressions a program may have; inlining user functions can multiply a short source.
const MAX_EXPRS: usize = 1_000_000;
/// Deepest nesting of expressions, blocks and inlined calls together.
const MAX_DEPTH: u32 = 300;

/// Lowers a script. The program is only meaningful when no diagnostic is worse than a warning.
pub(crate) fn lower(script: &Script, options: &CompileOptions) -> (Program, Vec<Diagnostic>) {
    let mut checker = Checker::new(script, options);
    checker.script(&script.body);
    checker.unused_functions();
    checker.require_declaration();
    let dead_ends = std::mem::take(&mut checker.dead_ends);
    let mut program = checker.program;
    program.body = checker.block;
    let live = prune::prune(&mut program, options.keep_plots, &dead_ends);
    let mut diagnostics = checker.diagnostics;
    diagnostics.extend(live);
    diagnostics.extend(missing_in_executor(&program));
    (program, diagnostics)
}

/// What the language knows and the executor does not, once per name.
fn missing_in_executor(program: &Program) -> Vec<Diagnostic> {
    let mut seen = FxHashSet::default();
    let mut found = Vec::new();
    for (expr, span) in program.exprs.iter().zip(&program.spans) {
        let (Expr::Call { name, .. } | Expr::Get(name)) = expr else { continue };
        if !seen.insert(*name) || crate::vm::supports(name) {
            continue;
        }
        found.push(Diagnostic {
            severity: Severity::Unsupported,
            code: "unsupported-feature".into(),
            feature: (*name).into(),
            message: format!("'{name}' is not available in a backtest"),
            hint: String::new(),
            span: *span,
        });
    }
    found
}

/// What a name stands for.
#[derive(Clone, Debug)]
enum Binding {
    Var(VarId),
    /// A value that never changes: a constant, an input, a bar field, an argument.
    Value(Val),
}

/// A variable's type as far as it is known.
struct VarInfo {
    t: T,
    q: Q,
    /// A temporary that a declaration may take over instead of copying it.
    adoptable: bool,
    /// A temporary whose value may be computed ahead of the condition it stands under.
    hoistable: bool,
    /// What to read instead of the variable (an input it holds).
    read: Option<ExprId>,
    /// Known before the bar's end: made of past bars only.
    early: bool,
    /// May get another value later on the same bar.
    mutable: bool,
}

/// A user function, method included.
struct Function<'a> {
    name: &'a ast::Ident,
    params: &'a [ast::Param],
    body: &'a [ast::Stmt],
    is_method: bool,
    used: bool,
}

/// A user type.
struct UserType<'a> {
    fields: &'a [ast::Param],
    types: Vec<T>,
}

/// A function being inlined.
struct Frame {
    /// Where its locals begin.
    base: usize,
    function: usize,
}

/// An expression that has no value here, reported only if an order depends on it.
pub(crate) struct DeadEnd {
    pub expr: ExprId,
    pub diagnostic: Diagnostic,
}

struct Checker<'a> {
    version: u8,
    options: &'a CompileOptions,
    tables: &'static Tables,
    diagnostics: Vec<Diagnostic>,
    reported: FxHashSet<(u32, u32, &'static str)>,
    dead_ends: Vec<DeadEnd>,
    /// Above zero: nothing is reported.
    muted: u32,
    program: Program,
    vars: Vec<VarInfo>,
    strings: FxHashMap<Rc<str>, StrId>,
    functions: Vec<Function<'a>>,
    function_names: FxHashMap<&'a str, Vec<usize>>,
    type_names: FxHashMap<&'a str, u32>,
    types: Vec<UserType<'a>>,
    enum_names: FxHashMap<&'a str, u32>,
    enums: Vec<UserEnum>,
    imports: FxHashSet<&'a str>,
    /// Names that some `:=` gives a new value.
    assigned: FxHashSet<&'a str>,
    globals: FxHashMap<&'a str, Binding>,
    locals: Vec<(&'a str, Binding)>,
    /// Where the innermost block's locals begin.
    scope: usize,
    /// Block nesting; 0 is the global scope.
    nesting: u32,
    frames: Vec<Frame>,
    /// Statements of the block being written.
    block: Vec<Stmt>,
    /// Statements that belong before the present statement of the global scope.
    prelude: Vec<Stmt>,
    /// History of built-in variables, one variable each.
    histories: FxHashMap<&'static str, VarId>,
    /// Inputs by the place of their call, so that an inlined one exists once.
    inputs: FxHashMap<u32, (InputId, Val)>,
    input_keys: FxHashSet<String>,
    /// Name of the declaration whose value is being lowered, for inputs without a title.
    declaring: &'a str,
    /// Above zero: this code may be skipped on some bars, or run more than once.
    conditional: u32,
    /// Above zero: this code may never be reached.
    branches: u32,
    /// Above zero: this code runs on other bars, for `request.*`.
    in_request: u32,
    /// Loops around this code, in this function.
    loops: u32,
    depth: u32,
    span: Span,
    declared_kind: Option<&'static str>,
    point_type: Option<u32>,
    over_budget: bool,
}

impl<'a> Checker<'a> {
    fn new(script: &'a Script, options: &'a CompileOptions) -> Self {
        Self {
            version: script.version,
            options,
            tables: builtins::tables(),
            diagnostics: Vec::new(),
            reported: FxHashSet::default(),
            dead_ends: Vec::new(),
            muted: 0,
            program: empty_program(script.version),
            vars: Vec::new(),
            strings: FxHashMap::default(),
            functions: Vec::new(),
            function_names: FxHashMap::default(),
            type_names: FxHashMap::default(),
            types: Vec::new(),
            enum_names: FxHashMap::default(),
            enums: Vec::new(),
            imports: FxHashSet::default(),
            assigned: FxHashSet::default(),
            globals: FxHashMap::default(),
            locals: Vec::new(),
            scope: 0,
            nesting: 0,
            frames: Vec::new(),
            block: Vec::new(),
            prelude: Vec::new(),
            histories: FxHashMap::default(),
            inputs: FxHashMap::default(),
            input_keys: FxHashSet::default(),
            declaring: "",
            conditional: 0,
            branches: 0,
            in_request: 0,
            loops: 0,
            depth: 0,
            span: Span::default(),
            declared_kind: None,
            point_type: None,
            over_budget: false,
        }
    }

    // --- messages ---

    fn report(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: String,
        hint: String,
        feature: &str,
    ) {
        if self.muted > 0 || !self.reported.insert((span.start, span.end, code)) {
            return;
        }
        self.diagnostics.push(Diagnostic {
            severity,
            code: code.into(),
            feature: feature.into(),
            message,
            hint,
            span,
        });
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Error, code, span, message.into(), hint.into(), "");
    }

    fn warn(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Warning, code, span, message.into(), hint.into(), "");
    }

    fn unsupported(
        &mut self,
        feature: &str,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let (message, hint) = (message.into(), hint.into());
        self.report(Severity::Unsupported, "unsupported-feature", span, message, hint, feature);
    }

    // --- writing ---

    fn expr(&mut self, expr: Expr) -> ExprId {
        let id = ExprId(self.program.exprs.len() as u32);
        if id.index() >= MAX_EXPRS && !self.over_budget {
            self.over_budget = true;
            let hint = "call fewer functions from each other, or move repeated work into variables";
            let message =
                format!("the script grows beyond {MAX_EXPRS} operations when its functions are expanded");
            self.error("program-too-large", self.span, message, hint);
        }
        self.program.exprs.push(expr);
        self.program.spans.push(self.span);
        id
    }

    fn num(&mut self, x: f64) -> ExprId {
        self.expr(Expr::Num(x))
    }

    fn absent(&mut self) -> ExprId {
        self.expr(Expr::Absent)
    }

    fn push(&mut self, stmt: Stmt) {
        self.block.push(stmt);
    }

    fn site(&mut self) -> SiteId {
        self.program.sites += 1;
        SiteId(self.program.sites - 1)
    }

    fn string(&mut self, text: &str) -> StrId {
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        let id = StrId(self.program.strings.len() as u32);
        self.program.strings.push(text.to_owned());
        self.strings.insert(text.into(), id);
        id
    }

    /// Runs `f` with an empty block and gives what it wrote.
    fn in_block<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> (Vec<Stmt>, R) {
        let outer = std::mem::take(&mut self.block);
        let result = f(self);
        (std::mem::replace(&mut self.block, outer), result)
    }

    /// Runs `f` in a block that is skipped on some bars (unless what decides is known before the first).
    fn under<R>(&mut self, decided_by: Q, f: impl FnOnce(&mut Self) -> R) -> (Vec<Stmt>, R) {
        let step = u32::from(decided_by > Q::Input);
        self.conditional += step;
        self.branches += 1;
        let result = self.in_block(f);
        self.branches -= 1;
        self.conditional -= step;
        result
    }

    fn new_var(&mut self, name: String, t: T, q: Q, persistent: bool) -> VarId {
        let id = VarId(self.program.vars.len() as u32);
        let initial = if self.version >= 6 && t == T::Bool { 0.0 } else { f64::NAN };
        let ty = to_ir(&t, &self.enums);
        self.program.vars.push(Var { name, ty, persistent, lasting: false, initial });
        self.vars.push(VarInfo {
            t,
            q,
            adoptable: false,
            hoistable: false,
            read: None,
            early: false,
            mutable: false,
        });
        id
    }

    fn temp(&mut self, t: T, q: Q) -> VarId {
        let id = self.new_var(format!("${}", self.program.vars.len()), t, q, false);
        self.vars[id.index()].adoptable = true;
        id
    }

    /// Gives a variable its type once it is known.
    fn settle(&mut self, id: VarId, t: T) {
        let var = &mut self.program.vars[id.index()];
        var.ty = to_ir(&t, &self.enums);
        if self.version >= 6 && t == T::Bool {
            var.initial = 0.0;
        }
        self.vars[id.index()].t = t;
    }

    /// The value of a variable now.
    fn read(&mut self, id: VarId) -> Val {
        let info = &self.vars[id.index()];
        let (t, q, read) = (info.t.clone(), info.q, info.read);
        let e = match read {
            Some(e) => e,
            None => self.expr(Expr::Var(id)),
        };
        Val::new(e, t, q, Fx::NONE)
    }

    /// Puts a value into a temporary now, so that what follows cannot change it.
    fn spill(&mut self, val: &Val) -> Val {
        let id = self.temp(val.t.clone(), val.q);
        self.push(Stmt::Set(id, val.e));
        let mut spilled = self.read(id);
        spilled.k.clone_from(&val.k);
        spilled
    }

    /// Evaluates for the effect only.
    fn discard(&mut self, val: &Val) {
        if val.fx.has(Fx::MUT) && val.parts.is_empty() {
            self.push(Stmt::Eval(val.e));
        }
        for part in &val.parts {
            self.discard(part);
        }
    }

    // --- values ---

    fn unknown(&mut self) -> Val {
        let e = self.num(f64::NAN);
        Val::new(e, T::Unknown, Q::Const, Fx::NONE)
    }

    fn void(&mut self) -> Val {
        let e = self.num(f64::NAN);
        Val::new(e, T::Void, Q::Const, Fx::NONE)
    }

    fn na(&mut self) -> Val {
        let e = self.num(f64::NAN);
        Val::new(e, T::Na, Q::Const, Fx::NONE)
    }

    fn constant(&mut self, k: K) -> Val {
        let (e, t) = match &k {
            K::Int(i) => (self.num(*i as f64), T::Int),
            K::Float(x) => (self.num(*x), T::Float),
            K::Bool(b) => (self.num(f64::from(*b)), T::Bool),
            K::Str(s) => {
                let id = self.string(s);
                (self.expr(Expr::Str(id)), T::Str)
            }
        };
        Val { k: Some(k), ..Val::new(e, t, Q::Const, Fx::NONE) }
    }

    fn bar(&mut self, field: BarField) -> Val {
        let e = self.expr(Expr::Bar(field));
        let t = match field {
            BarField::Time | BarField::TimeClose | BarField::BarIndex => T::Int,
            _ => T::Float,
        };
        Val::new(e, t, Q::Series, Fx::NONE)
    }

    /// A call of a built-in.
    fn builtin(&mut self, name: &'static str, args: Vec<Val>, t: T, q: Q, own: Fx) -> Val {
        let fx = args.iter().fold(own, |fx, a| fx | a.fx);
        let site = self.site();
        let arg_types = args.iter().map(|a| to_ir(&a.t, &self.enums)).collect();
        let ty = to_ir(&t, &self.enums);
        let args = args.iter().map(|a| a.e).collect();
        let e = self.expr(Expr::Call { name, args, arg_types, ty, site });
        Val::new(e, t, q, fx)
    }

    /// A value that does not exist here; reported if an order depends on it.
    fn dead_end(&mut self, feature: &str, span: Span, message: String, hint: String, t: T, q: Q) -> Val {
        let e = self.num(f64::NAN);
        if self.muted == 0 {
            self.dead_ends.push(DeadEnd {
                expr: e,
                diagnostic: Diagnostic {
                    severity: Severity::Unsupported,
                    code: "unsupported-feature".into(),
                    feature: feature.into(),
                    message,
                    hint,
                    span,
                },
            });
        }
        Val::new(e, t, q, Fx::NONE)
    }

    /// A type as a person reads it.
    fn show(&self, t: &T) -> String {
        match t {
            T::Unknown | T::Any | T::Var(_) => "any".into(),
            T::Na => "na".into(),
            T::Void => "void".into(),
            T::Int => "int".into(),
            T::Float => "float".into(),
            T::Bool => "bool".into(),
            T::Str => "string".into(),
            T::Color => "color".into(),
            T::Code(name) | T::Draw(name) => (*name).into(),
            T::Array(e) => format!("array<{}>", self.show(e)),
            T::Matrix(e) => format!("matrix<{}>", self.show(e)),
            T::Map(k, v) => format!("map<{}, {}>", self.show(k), self.show(v)),
            T::Object(i) => self.program.types[*i as usize].name.clone(),
            T::Enum(i) => self.enums[*i as usize].name.clone(),
            T::Tuple(parts) => {
                let parts: Vec<_> = parts.iter().map(|p| self.show(p)).collect();
                format!("[{}]", parts.join(", "))
            }
        }
    }

    /// Enters one level of nesting; false when that is one too many.
    fn enter(&mut self, span: Span) -> bool {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let hint = "split it with variables, or call functions less deeply";
            self.error(
                "too-deep",
                span,
                format!("expressions and calls are nested deeper than {MAX_DEPTH}"),
                hint,
            );
            return false;
        }
        !self.over_budget
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }
}

fn empty_program(version: u8) -> Program {
    Program {
        version,
        title: String::new(),
        is_strategy: false,
        account: Account::default(),
        declared: Vec::new(),
        bar_magnifier: false,
        inputs: Vec::new(),
        vars: Vec::new(),
        exprs: Vec::new(),
        spans: Vec::new(),
        body: Vec::new(),
        strings: vec![String::new()],
        types: Vec::<ObjectType>::new(),
        enums: Vec::new(),
        plots: Vec::new(),
        sites: 0,
    }
}
