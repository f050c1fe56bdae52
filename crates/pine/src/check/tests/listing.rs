//! A program as text, for tests.

use crate::ir::{Bin, Expr, ExprId, Program, Stmt, Un, VarId};

/// One statement a line, blocks indented.
pub(super) fn listing(program: &Program) -> String {
    let mut out = String::new();
    block(program, &program.body, 0, &mut out);
    out
}

fn block(p: &Program, stmts: &[Stmt], depth: usize, out: &mut String) {
    for stmt in stmts {
        out.push_str(&"  ".repeat(depth));
        statement(p, stmt, depth, out);
    }
}

fn line(out: &mut String, text: String) {
    out.push_str(&text);
    out.push('\n');
}

fn nested(p: &Program, head: String, stmts: &[Stmt], depth: usize, out: &mut String) {
    line(out, head);
    block(p, stmts, depth + 1, out);
}

fn statement(p: &Program, stmt: &Stmt, depth: usize, out: &mut String) {
    let e = |id: &ExprId| expr(p, *id);
    match stmt {
        Stmt::Set(id, value) => line(out, format!("{} = {}", var(p, *id), e(value))),
        Stmt::Once(_, body) => nested(p, "once".into(), body, depth, out),
        Stmt::If(cond, yes, no) => {
            nested(p, format!("if {}", e(cond)), yes, depth, out);
            if !no.is_empty() {
                out.push_str(&"  ".repeat(depth));
                nested(p, "else".into(), no, depth, out);
            }
        }
        Stmt::For { var: id, from, to, step, retest, body } => {
            block(p, &to.0, depth, out);
            let step = step.map_or(String::new(), |s| format!(" by {}", e(&s)));
            let retest = if *retest { " retested" } else { "" };
            nested(
                p,
                format!("for {} = {} to {}{step}{retest}", var(p, *id), e(from), e(&to.1)),
                body,
                depth,
                out,
            );
        }
        Stmt::ForIn { index, var: id, over, body, .. } => {
            let index = index.map_or(String::new(), |i| format!("{}, ", var(p, i)));
            nested(p, format!("for {index}{} in {}", var(p, *id), e(over)), body, depth, out);
        }
        Stmt::While { cond, body } => {
            nested(p, format!("while {}", e(&cond.1)), body, depth, out);
            block(p, &cond.0, depth + 1, out);
        }
        Stmt::Break => line(out, "break".into()),
        Stmt::Continue => line(out, "continue".into()),
        Stmt::Eval(value) => line(out, e(value)),
        Stmt::SetField { object, field, value } => line(out, format!("{}.{field} = {}", e(object), e(value))),
        Stmt::TaMulti { func, args, outs, .. } => {
            line(out, format!("{} = {}({})", vars(p, outs), func.name(), list(p, args)));
        }
        Stmt::Order { name, args, .. } => line(out, format!("{name}({})", list(p, args))),
        Stmt::Security(s) => {
            let head = format!("{} = {}({}, {})", vars(p, &s.outs), s.name, e(&s.symbol), e(&s.timeframe));
            let flags = format!("{head} gaps {} lookahead {}", e(&s.gaps), e(&s.lookahead));
            nested(p, flags, &s.body, depth, out);
            line(out, format!("{}give {}", "  ".repeat(depth + 1), list(p, &s.results)));
        }
        Stmt::Error(message, _) => line(out, format!("error {}", e(message))),
        Stmt::Log(level, message) => line(out, format!("log {level} {}", e(message))),
    }
}

fn var(p: &Program, id: VarId) -> String {
    p.vars[id.index()].name.clone()
}

fn vars(p: &Program, ids: &[VarId]) -> String {
    ids.iter().map(|id| var(p, *id)).collect::<Vec<_>>().join(", ")
}

/// Arguments; left-out ones at the end are not shown.
fn list(p: &Program, args: &[ExprId]) -> String {
    let last = args.iter().rposition(|a| p.exprs[a.index()] != Expr::Absent).map_or(0, |i| i + 1);
    args[..last].iter().map(|a| expr(p, *a)).collect::<Vec<_>>().join(", ")
}

fn expr(p: &Program, id: ExprId) -> String {
    let e = |id: &ExprId| expr(p, *id);
    match &p.exprs[id.index()] {
        Expr::Num(x) if x.is_nan() => "na".into(),
        Expr::Num(x) => format!("{x}"),
        Expr::Str(id) => format!("{:?}", p.strings[id.index()]),
        Expr::Absent => "_".into(),
        Expr::Input(id) => format!("input {:?}", p.inputs[id.index()].key),
        Expr::Bar(field) => format!("{field:?}").to_lowercase(),
        Expr::BarHist(field, n) => format!("{}[{}]", format!("{field:?}").to_lowercase(), e(n)),
        Expr::Var(id) => var(p, *id),
        Expr::VarHist(id, n) => format!("{}[{}]", var(p, *id), e(n)),
        Expr::Un(Un::Neg, a) => format!("-{}", e(a)),
        Expr::Un(Un::Not, a) => format!("not {}", e(a)),
        Expr::Bin(op, a, b) => format!("({} {} {})", e(a), symbol(*op), e(b)),
        Expr::And(a, b) => format!("({} and {})", e(a), e(b)),
        Expr::Or(a, b) => format!("({} or {})", e(a), e(b)),
        Expr::Select(c, a, b) => format!("({} ? {} : {})", e(c), e(a), e(b)),
        Expr::Ta(_, func, args) => format!("{}({})", func.name(), list(p, args)),
        Expr::Get(name) => (*name).into(),
        Expr::Call { name, args, .. } => format!("{name}({})", list(p, args)),
        Expr::New(id, args) => format!("{}.new({})", p.types[id.index()].name, list(p, args)),
        Expr::Field(object, field) => format!("{}.{field}", e(object)),
    }
}

fn symbol(op: Bin) -> &'static str {
    match op {
        Bin::Add => "+",
        Bin::Sub => "-",
        Bin::Mul => "*",
        Bin::Div => "/",
        Bin::IntDiv => "div",
        Bin::Rem => "%",
        Bin::Eq | Bin::SameEq | Bin::StrEq => "==",
        Bin::Ne | Bin::SameNe | Bin::StrNe => "!=",
        Bin::Lt => "<",
        Bin::Le => "<=",
        Bin::Gt => ">",
        Bin::Ge => ">=",
        Bin::Concat => "..",
    }
}
