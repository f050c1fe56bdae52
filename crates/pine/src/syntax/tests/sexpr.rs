//! Trees as text, for tests: `(+ a (* b c))`, one statement per line, blocks in braces.

use crate::syntax::ast::*;

pub fn script(body: &[Stmt]) -> String {
    body.iter().map(stmt).collect::<Vec<_>>().join("\n")
}

fn block(body: &[Stmt]) -> String {
    format!("{{{}}}", body.iter().map(stmt).collect::<Vec<_>>().join("; "))
}

fn stmt(s: &Stmt) -> String {
    match &s.kind {
        StmtKind::Expr(e) => expr(e),
        StmtKind::Decl { mode, ty, name, value, export } => {
            let word = match mode {
                DeclMode::Plain => "=",
                DeclMode::Var => "var",
                DeclMode::Varip => "varip",
            };
            format!("{}({word} {}{} {})", exported(*export), typed(ty), name.name, expr(value))
        }
        StmtKind::TupleDecl { names, value } => {
            let names: Vec<_> = names.iter().map(|n| n.name.as_str()).collect();
            format!("(= [{}] {})", names.join(" "), expr(value))
        }
        StmtKind::Assign { target, op, value } => {
            format!("({}= {} {})", op.map_or(":", binary), expr(target), expr(value))
        }
        StmtKind::Function { name, params, body, is_method, export } => {
            let word = if *is_method { "method" } else { "fn" };
            format!("{}({word} {} ({}) {})", exported(*export), name.name, params_of(params), block(body))
        }
        StmtKind::Type { name, fields, export } => {
            format!("{}(type {} ({}))", exported(*export), name.name, params_of(fields))
        }
        StmtKind::Enum { name, members, export } => {
            let members: Vec<_> = members
                .iter()
                .map(|(n, v)| v.as_ref().map_or(n.name.clone(), |v| format!("{}={}", n.name, expr(v))))
                .collect();
            format!("{}(enum {} {})", exported(*export), name.name, members.join(" "))
        }
        StmtKind::Import { path, alias } => {
            format!("(import {path}{})", alias.as_ref().map_or(String::new(), |a| format!(" as {}", a.name)))
        }
        StmtKind::Break => "(break)".into(),
        StmtKind::Continue => "(continue)".into(),
    }
}

fn exported(export: bool) -> &'static str {
    if export { "export " } else { "" }
}

fn typed(ty: &Option<TypeRef>) -> String {
    ty.as_ref().map_or(String::new(), |t| format!("{}:", type_ref(t)))
}

fn type_ref(t: &TypeRef) -> String {
    let qualifier = match t.qualifier {
        None => "",
        Some(Qualifier::Const) => "const ",
        Some(Qualifier::Input) => "input ",
        Some(Qualifier::Simple) => "simple ",
        Some(Qualifier::Series) => "series ",
    };
    format!("{qualifier}{}{}", t.name, types(&t.args))
}

fn types(list: &[TypeRef]) -> String {
    match list {
        [] => String::new(),
        _ => format!("<{}>", list.iter().map(type_ref).collect::<Vec<_>>().join(",")),
    }
}

fn params_of(params: &[Param]) -> String {
    let one = |p: &Param| {
        let varip = if p.varip { "varip " } else { "" };
        let default = p.default.as_ref().map_or(String::new(), |d| format!("={}", expr(d)));
        format!("{varip}{}{}{default}", typed(&p.ty), p.name.name)
    };
    params.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn binary(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Rem => "%",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
    }
}

fn exprs(list: &[Expr]) -> String {
    list.iter().map(expr).collect::<Vec<_>>().join(" ")
}

pub fn expr(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Int(v) => v.to_string(),
        ExprKind::Float(v) => format!("{v:?}"),
        ExprKind::Bool(v) => v.to_string(),
        ExprKind::Str(v) => format!("{v:?}"),
        ExprKind::Color(v) => format!("#{v:08x}"),
        ExprKind::Name(v) => v.clone(),
        ExprKind::Field(base, name) => format!("{}.{}", expr(base), name.name),
        ExprKind::Index(base, offset) => format!("([] {} {})", expr(base), expr(offset)),
        ExprKind::Call { callee, types: t, args } => {
            let arg = |a: &Arg| match &a.name {
                Some(n) => format!(" {}={}", n.name, expr(&a.value)),
                None => format!(" {}", expr(&a.value)),
            };
            format!("({}{}{})", expr(callee), types(t), args.iter().map(arg).collect::<String>())
        }
        ExprKind::Unary(UnaryOp::Neg, v) => format!("(- {})", expr(v)),
        ExprKind::Unary(UnaryOp::Plus, v) => format!("(+ {})", expr(v)),
        ExprKind::Unary(UnaryOp::Not, v) => format!("(not {})", expr(v)),
        ExprKind::Binary(op, a, b) => format!("({} {} {})", binary(*op), expr(a), expr(b)),
        ExprKind::Ternary(a, b, c) => format!("(? {} {} {})", expr(a), expr(b), expr(c)),
        ExprKind::Tuple(items) => format!("[{}]", exprs(items)),
        ExprKind::If { arms, otherwise } => {
            let arms: Vec<_> = arms.iter().map(|(c, b)| format!("{} {}", expr(c), block(b))).collect();
            let rest = otherwise.as_ref().map_or(String::new(), |b| format!(" else {}", block(b)));
            format!("(if {}{rest})", arms.join(" "))
        }
        ExprKind::Switch { subject, arms } => {
            let subject = subject.as_ref().map_or("-".to_string(), |s| expr(s));
            let arm = |(c, b): &(Option<Expr>, Vec<Stmt>)| {
                format!(" {}=>{}", c.as_ref().map_or("_".to_string(), expr), block(b))
            };
            format!("(switch {subject}{})", arms.iter().map(arm).collect::<String>())
        }
        ExprKind::For { var, from, to, step, body } => {
            let step = step.as_ref().map_or(String::new(), |s| format!(" {}", expr(s)));
            format!("(for {} {} {}{step} {})", var.name, expr(from), expr(to), block(body))
        }
        ExprKind::ForIn { index, var, over, body } => {
            let index = index.as_ref().map_or(String::new(), |i| format!("{},", i.name));
            format!("(for {index}{} in {} {})", var.name, expr(over), block(body))
        }
        ExprKind::While { cond, body } => format!("(while {} {})", expr(cond), block(body)),
        ExprKind::Error => "<error>".into(),
    }
}
