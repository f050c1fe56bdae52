//! What the language brings along: functions with their overloads, variables and constants, and the
//! names they had in version 4. Two text tables, read once per process.

mod rename;

pub(crate) use rename::{renamed_function, renamed_variable};

use super::types::{Q, T};
use crate::ir::BarField;
use rustc_hash::FxHashMap;
use springtide_engine::ta::TaFunc;
use std::sync::LazyLock;

/// How a call of a function is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value without state.
    Pure,
    /// A value with state per call site.
    State,
    /// Changes the collection it is called on.
    Mut,
    /// An indicator.
    Ta,
    /// Drawing, plotting, alerts: checked and left out.
    Draw,
    /// An order command.
    Order,
    /// Has code of its own.
    Special,
    /// Known, never computed.
    Unsupported,
}

/// The value of an argument that is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fill {
    Num(f64),
    Bar(BarField),
    /// True on the first bar of a day.
    Day,
}

/// Whether an argument must be given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Need {
    Required,
    Optional,
    Default(Fill),
    /// Always filled in, never given.
    Hidden(Fill),
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub name: &'static str,
    /// A name it also goes by, in older versions.
    pub alias: Option<&'static str>,
    pub ty: T,
    pub q: Q,
    pub need: Need,
}

/// One overload of a function.
#[derive(Clone, Debug)]
pub(crate) struct Sig {
    pub name: &'static str,
    pub since: u8,
    pub until: u8,
    pub kind: Kind,
    pub type_params: Vec<u8>,
    pub params: Vec<Param>,
    /// The last parameter takes any number of arguments.
    pub variadic: bool,
    pub ret: T,
    /// `None`: the highest qualifier of the arguments.
    pub ret_q: Option<Q>,
    pub ta: Option<TaFunc>,
}

/// A built-in variable or constant.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub name: &'static str,
    pub ty: T,
    pub q: Q,
    pub value: Value,
}

/// Where a variable's value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Get,
    Bar(BarField),
    Ta(TaFunc),
    Num(f64),
    Str(&'static str),
    Unsupported,
}

/// Both tables.
pub(crate) struct Tables {
    pub functions: FxHashMap<&'static str, Vec<Sig>>,
    pub variables: FxHashMap<&'static str, Variable>,
    /// What may stand before a dot: `ta`, `strategy`, `strategy.risk`.
    pub namespaces: FxHashMap<&'static str, ()>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::read);

/// The built-in functions and variables.
pub(crate) fn tables() -> &'static Tables {
    &TABLES
}

impl Tables {
    fn read() -> Self {
        let mut tables = Tables {
            functions: FxHashMap::default(),
            variables: FxHashMap::default(),
            namespaces: FxHashMap::default(),
        };
        tables.read_functions(include_str!("functions.txt"));
        tables.read_variables(include_str!("variables.txt"));
        let names: Vec<_> = tables.functions.keys().chain(tables.variables.keys()).copied().collect();
        for name in names {
            for (dot, _) in name.match_indices('.') {
                tables.namespaces.insert(&name[..dot], ());
            }
        }
        tables
    }

    fn read_functions(&mut self, text: &'static str) {
        let ta: FxHashMap<&str, TaFunc> = TaFunc::ALL.iter().rev().map(|f| (f.name(), *f)).collect();
        let mut kind = Kind::Pure;
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if let Some(section) = line.strip_prefix('[') {
                kind = section_kind(section.trim_end_matches(']'));
                continue;
            }
            let mut sig = read_signature(line, kind);
            if kind == Kind::Ta {
                sig.ta = Some(indicator(&sig, &ta));
            }
            self.functions.entry(sig.name).or_default().push(sig);
        }
    }

    fn read_variables(&mut self, text: &'static str) {
        let mut section = "";
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
                continue;
            }
            let (name, rest) = line.split_once(": ").expect("table line without a type");
            let variable = read_variable(section, name, rest);
            self.variables.insert(name, variable);
        }
    }
}

fn section_kind(name: &str) -> Kind {
    match name {
        "pure" => Kind::Pure,
        "state" => Kind::State,
        "mut" => Kind::Mut,
        "ta" => Kind::Ta,
        "draw" => Kind::Draw,
        "order" => Kind::Order,
        "special" => Kind::Special,
        _ => Kind::Unsupported,
    }
}

/// Two names stand for two functions each, told apart by their signature.
fn indicator(sig: &Sig, by_name: &FxHashMap<&str, TaFunc>) -> TaFunc {
    match sig.name {
        "ta.change" if sig.ret == T::Bool => TaFunc::ChangeBool,
        "ta.change" => TaFunc::Change,
        "ta.vwap" if sig.params.len() == 3 => TaFunc::VwapBands,
        "ta.vwap" => TaFunc::Vwap,
        name => *by_name.get(name).expect("indicator without a function"),
    }
}

fn read_signature(line: &'static str, kind: Kind) -> Sig {
    let (since, until, line) = match line.strip_prefix('@') {
        Some(rest) => {
            let (range, line) = rest.split_once(' ').expect("version range");
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            (from.parse().expect("version"), to.parse().expect("version"), line)
        }
        None => (1, u8::MAX, line),
    };
    let (head, ret) = line.split_once(") -> ").expect("function without a result");
    let (name, params) = head.split_once('(').expect("function without parameters");
    let (name, type_params) = match name.split_once('<') {
        Some((name, vars)) => (name, vars.trim_end_matches('>').bytes().filter(|b| *b != b',').collect()),
        None => (name, Vec::new()),
    };
    let variadic = params.ends_with(", ...");
    let params = split_top(params.trim_end_matches(", ..."))
        .into_iter()
        .filter(|p| !p.is_empty())
        .map(read_param)
        .collect();
    let (ret_q, ret) = read_type(ret);
    let ret_q = ret_q.or((kind != Kind::Pure && kind != Kind::Special).then_some(Q::Series));
    Sig { name, since, until, kind, type_params, params, variadic, ret, ret_q, ta: None }
}

/// Splits at commas that stand in no bracket.
fn split_top(text: &'static str) -> Vec<&'static str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'<' | b'[' => depth += 1,
            b'>' | b']' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn read_param(text: &'static str) -> Param {
    let (head, ty) = text.split_once(": ").expect("parameter without a type");
    let (hidden, head) = match head.strip_prefix('!') {
        Some(head) => (true, head),
        None => (false, head),
    };
    let (head, fill) = match head.split_once('=') {
        Some((head, fill)) => (head, Some(read_fill(fill))),
        None => (head, None),
    };
    let (head, optional) = match head.strip_suffix('?') {
        Some(head) => (head, true),
        None => (head, false),
    };
    let (name, alias) = match head.split_once('|') {
        Some((name, alias)) => (name, Some(alias)),
        None => (head, None),
    };
    let need = match fill {
        Some(fill) if hidden => Need::Hidden(fill),
        Some(fill) => Need::Default(fill),
        None if optional => Need::Optional,
        None => Need::Required,
    };
    let (q, ty) = read_type(ty);
    Param { name, alias, ty, q: q.unwrap_or(Q::Series), need }
}

fn read_fill(text: &str) -> Fill {
    match text {
        "day" => Fill::Day,
        text => bar_field(text).map_or_else(|| Fill::Num(text.parse().expect("default")), Fill::Bar),
    }
}

fn read_type(text: &'static str) -> (Option<Q>, T) {
    for (word, q) in
        [("const ", Q::Const), ("input ", Q::Input), ("simple ", Q::Simple), ("series ", Q::Series)]
    {
        if let Some(rest) = text.strip_prefix(word) {
            return (Some(q), read_base(rest));
        }
    }
    (None, read_base(text))
}

fn read_base(text: &'static str) -> T {
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return T::Tuple(inner.split(", ").map(read_base).collect());
    }
    if let Some((outer, inner)) = text.strip_suffix('>').and_then(|t| t.split_once('<')) {
        return match outer {
            "array" => T::Array(Box::new(read_base(inner))),
            "matrix" => T::Matrix(Box::new(read_base(inner))),
            _ => {
                let (key, value) = inner.split_once(',').expect("map with two types");
                T::Map(Box::new(read_base(key)), Box::new(read_base(value)))
            }
        };
    }
    match text {
        "int" => T::Int,
        "float" => T::Float,
        "bool" => T::Bool,
        "string" => T::Str,
        "color" => T::Color,
        "void" => T::Void,
        "any" => T::Any,
        "T" | "K" | "V" | "N" => T::Var(text.as_bytes()[0]),
        "direction" | "oca" | "gaps" | "lookahead" | "order" | "code" => T::Code(text),
        _ => T::Draw(text),
    }
}

/// The column a name stands for.
pub(crate) fn bar_field(name: &str) -> Option<BarField> {
    Some(match name {
        "open" => BarField::Open,
        "high" => BarField::High,
        "low" => BarField::Low,
        "close" => BarField::Close,
        "volume" => BarField::Volume,
        "hl2" => BarField::Hl2,
        "hlc3" => BarField::Hlc3,
        "ohlc4" => BarField::Ohlc4,
        "hlcc4" => BarField::Hlcc4,
        "time" => BarField::Time,
        "time_close" => BarField::TimeClose,
        "bar_index" => BarField::BarIndex,
        _ => return None,
    })
}

fn variable_indicator(name: &str) -> Option<TaFunc> {
    Some(match name {
        "ta.tr" => TaFunc::Tr,
        "ta.vwap" => TaFunc::Vwap,
        "ta.obv" => TaFunc::Obv,
        "ta.pvt" => TaFunc::Pvt,
        "ta.pvi" => TaFunc::Pvi,
        "ta.nvi" => TaFunc::Nvi,
        "ta.accdist" => TaFunc::AccDist,
        "ta.iii" => TaFunc::Iii,
        "ta.wad" => TaFunc::Wad,
        "ta.wvad" => TaFunc::Wvad,
        _ => return None,
    })
}

fn read_variable(section: &str, name: &'static str, rest: &'static str) -> Variable {
    if section == "const" {
        let (ty, value) = rest.split_once(" = ").unwrap_or((rest, "0"));
        return Variable { name, ty: read_base(ty), q: Q::Const, value: read_constant(value) };
    }
    let (q, ty) = read_type(rest);
    let value = match (section, bar_field(name), variable_indicator(name)) {
        ("unsupported", ..) => Value::Unsupported,
        (_, Some(field), _) => Value::Bar(field),
        (_, _, Some(func)) => Value::Ta(func),
        _ => Value::Get,
    };
    Variable { name, ty, q: q.unwrap_or(Q::Series), value }
}

fn read_constant(text: &'static str) -> Value {
    if let Some(text) = text.strip_prefix('"') {
        return Value::Str(text.trim_end_matches('"'));
    }
    match text.strip_prefix("0x") {
        Some(hex) => Value::Num(f64::from(u32::from_str_radix(hex, 16).expect("colour"))),
        None => Value::Num(text.parse().expect("constant")),
    }
}

/// Names of every built-in function that reaches the executor as [`Expr::Call`](crate::ir::Expr::Call).
pub fn call_names() -> impl Iterator<Item = &'static str> {
    let kinds = [Kind::Pure, Kind::State, Kind::Mut];
    let table = tables().functions.values().flatten();
    table.filter(move |s| kinds.contains(&s.kind)).map(|s| s.name)
}

/// Names of every built-in variable that reaches the executor as [`Expr::Get`](crate::ir::Expr::Get).
pub fn get_names() -> impl Iterator<Item = &'static str> {
    tables().variables.values().filter(|v| v.value == Value::Get).map(|v| v.name)
}
