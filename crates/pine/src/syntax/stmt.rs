//! Statements and blocks. An error ends its statement, not the script: reading goes on behind it.

use super::ast::{BinaryOp, DeclMode, Expr, ExprKind, Ident, Param, Stmt, StmtKind, TypeRef};
use super::cursor::{Parser, Read, Reported};
use super::token::Kind;
use springtide_domain::{Diagnostic, Severity, Span};

impl Parser<'_> {
    /// The whole script.
    pub(super) fn script(&mut self) -> Vec<Stmt> {
        let mut out = Vec::new();
        let mut indent = self.tokens[0].indent;
        while self.tokens[self.pos].kind != Kind::Eof {
            indent = indent.min(self.tokens[self.pos].indent);
            self.levels = vec![indent];
            self.lines(indent, &mut out);
        }
        out
    }

    /// The lines of a block of this indentation. Deeper lines that nothing opened are reported, and
    /// read as if they belonged to it. Leaves the highest height in `self.height`.
    fn lines(&mut self, indent: u16, out: &mut Vec<Stmt>) {
        let mut height = 0;
        let mut after_prose = false;
        let mut reported = false;
        loop {
            let token = self.tokens[self.pos];
            if token.kind == Kind::Eof || token.indent < indent {
                break;
            }
            if token.indent > indent && !self.failed && !reported {
                if let Some(function) = out.pop_if(|s| is_like_header(s)) {
                    out.push(self.function_without_arrow(function, indent));
                    height = height.max(self.height);
                    continue;
                }
                self.unexpected_indent();
            }
            reported = token.indent > indent;
            let failed_before = self.failed;
            after_prose = self.line(after_prose, out);
            // What stands below a broken line, deeper, belongs to it.
            self.failed |= failed_before && reported;
            height = height.max(self.height);
        }
        self.height = height;
    }

    /// `f(x)` with a deeper block below: the block is read as its body.
    fn function_without_arrow(&mut self, head: Stmt, indent: u16) -> Stmt {
        let hint = "a function is written `name(parameters) =>`, its body indented below";
        self.report("missing-arrow", "is this a function? Its `=>` is missing", hint, head.span);
        let body = self.attempt(|p| p.block(indent, "`=>`", head.span)).unwrap_or_default();
        self.height += 1;
        Stmt { kind: function_of(head.kind, body), span: self.since(head.span) }
    }

    fn unexpected_indent(&mut self) {
        let token = self.tokens[self.pos];
        let message =
            format!("this line is indented by {} columns, but no block is open there", token.indent);
        let hint = "only `if`, `else`, `for`, `while`, `switch`, `type`, `enum` and `=>` open a block; \
                    to continue a line, indent by a number of spaces that is no multiple of 4";
        self.report("unexpected-indent", message, hint, token.span());
    }

    /// One logical line: statements separated by commas. Tells whether it was prose.
    fn line(&mut self, after_prose: bool, out: &mut Vec<Stmt>) -> bool {
        self.start_line();
        if self.is_prose() {
            self.prose(after_prose);
            (self.pos, self.height) = (self.end, 0);
            return true;
        }
        self.statements(out);
        false
    }

    /// Statements up to the end of the logical line.
    fn statements(&mut self, out: &mut Vec<Stmt>) {
        let mut height = 0;
        loop {
            match self.attempt(Self::statement) {
                Ok(statement) => out.push(statement),
                Err(Reported) => return self.resync(),
            }
            height = height.max(self.height);
            while self.peek() == Kind::Semicolon {
                self.skip_semicolon();
            }
            match self.peek() {
                Kind::Eol => break,
                Kind::Comma => drop(self.bump()),
                _ if self.failed => return self.resync(),
                _ => {
                    self.unexpected_rest("this statement");
                    return self.resync();
                }
            }
            if self.peek() == Kind::Eol {
                break;
            }
        }
        self.height = height;
    }

    /// At least three words side by side, or a word beyond ASCII before another: no statement.
    fn is_prose(&self) -> bool {
        let word = |i: usize| {
            let apart = i == self.pos || i < self.end && self.tokens[i].start > self.tokens[i - 1].end;
            let letters = self.text_at(i).chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
            apart && (self.kind_at(i) == Kind::Name || self.kind_at(i) == Kind::Bad && letters)
        };
        let exotic = self.kind_at(self.pos) == Kind::Bad && word(self.pos);
        let assigns = || (self.pos..self.end).any(|i| self.kind_at(i).is_assignment());
        let three = || word(self.pos) && word(self.pos + 1) && word(self.pos + 2);
        let four = || three() && word(self.pos + 3);
        let header = || matches!(self.text_at(self.pos), "export" | "import" | "type" | "enum" | "method");
        exotic || four() && !assigns() && !header() || three() && !assigns() && !self.has_arrow && !header()
    }

    fn statement(&mut self) -> Read<Stmt> {
        let start = self.here();
        let kind = match self.peek() {
            Kind::Var => self.declaration(DeclMode::Var, false)?,
            Kind::Varip => self.declaration(DeclMode::Varip, false)?,
            Kind::Break => self.word(StmtKind::Break),
            Kind::Continue => self.word(StmtKind::Continue),
            Kind::If | Kind::For | Kind::While | Kind::Switch => StmtKind::Expr(self.structure()?),
            Kind::LBracket if self.heads_tuple() => self.tuple_declaration()?,
            Kind::Else => return Err(self.stray_else()),
            Kind::Fence => return Err(self.expected("a statement")),
            Kind::Name => self.named()?,
            _ => self.expression_statement()?,
        };
        Ok(Stmt { kind, span: self.since(start) })
    }

    fn word(&mut self, kind: StmtKind) -> StmtKind {
        self.bump();
        self.height = 1;
        kind
    }

    fn stray_else(&mut self) -> Reported {
        let hint = "indent it exactly like its `if`, with nothing but the `if`'s block between";
        self.report("stray-else", "this `else` belongs to no `if`", hint, self.here())
    }

    /// A statement that starts with a name: a declaration of some kind, or an expression.
    fn named(&mut self) -> Read<StmtKind> {
        let second = self.kind_at(self.pos + 1);
        if second == Kind::Assign {
            return self.declaration(DeclMode::Plain, false);
        }
        if let Some((message, hint)) = self.foreign_word() {
            let word = self.text_at(self.pos);
            let reported = self.report("foreign-word", message, hint, self.here());
            // What follows these words is a statement by itself.
            return match word {
                "return" | "let" | "local" | "final" => {
                    self.bump();
                    self.enter()?;
                    let statement = self.statement()?;
                    self.leave();
                    Ok(statement.kind)
                }
                _ => Err(reported),
            };
        }
        if second == Kind::Name || second == Kind::Var || second == Kind::Varip {
            match self.text_at(self.pos) {
                "export" => return self.exported(),
                "import" => return self.import(),
                "type" if self.heads_block() => return self.type_declaration(false),
                "enum" if self.heads_block() => return self.enum_declaration(false),
                "method" if self.has_arrow => return self.method(false),
                _ => {}
            }
        }
        if second == Kind::LParen && self.heads_function(self.pos) {
            return self.function(false, false);
        }
        if self.heads_typed() {
            return self.declaration(DeclMode::Plain, false);
        }
        self.expression_statement()
    }

    /// `type X`, `enum X` and nothing more.
    fn heads_block(&self) -> bool {
        matches!(self.kind_at(self.pos + 2), Kind::Eol)
    }

    /// `f(...) =>`.
    fn heads_function(&self, name: usize) -> bool {
        if !self.has_arrow || self.kind_at(name + 1) != Kind::LParen {
            return false;
        }
        let mut depth = 0i32;
        for at in name + 1..self.end {
            match self.tokens[at].kind {
                Kind::LParen | Kind::LBracket => depth += 1,
                Kind::RParen | Kind::RBracket => depth -= 1,
                _ => {}
            }
            if depth <= 0 {
                return self.kind_at(at + 1) == Kind::Arrow;
            }
        }
        false
    }

    /// A type, a name, then `=` or nothing.
    fn heads_typed(&self) -> bool {
        let Some(name) = self.skip_type(self.pos, 0) else { return false };
        self.kind_at(name) == Kind::Name
            && matches!(self.kind_at(name + 1), Kind::Assign | Kind::Reassign | Kind::Eol | Kind::Comma)
    }

    /// `[a, b] =`.
    fn heads_tuple(&self) -> bool {
        let mut at = self.pos + 1;
        while matches!(self.kind_at(at), Kind::Name | Kind::Comma) {
            at += 1;
        }
        self.kind_at(at) == Kind::RBracket && self.kind_at(at + 1).is_assignment()
    }

    fn exported(&mut self) -> Read<StmtKind> {
        self.bump();
        match self.text_at(self.pos) {
            "type" => self.type_declaration(true),
            "enum" => self.enum_declaration(true),
            "method" => self.method(true),
            _ if self.heads_function(self.pos) => self.function(false, true),
            _ => self.declaration(DeclMode::Plain, true),
        }
    }

    /// `import user/library/1 as name`.
    fn import(&mut self) -> Read<StmtKind> {
        self.bump();
        let first = self.here();
        while self.peek() != Kind::Eol && self.text_at(self.pos) != "as" {
            self.bump();
        }
        let span = self.since(first);
        let path = self.source.get(span.start as usize..span.end as usize).unwrap_or("").trim().to_owned();
        let alias = match self.peek() {
            Kind::Eol => None,
            _ => {
                self.bump();
                Some(self.name("a name after `as`")?)
            }
        };
        self.height = 1;
        Ok(StmtKind::Import { path, alias })
    }

    /// `x = e`, `T x = e`, `var T x = e`. When the value cannot be read the name stays known.
    fn declaration(&mut self, mode: DeclMode, export: bool) -> Read<StmtKind> {
        if mode != DeclMode::Plain {
            self.bump();
            if self.peek() == Kind::LBracket {
                return Err(self.kept_tuple());
            }
        }
        let ty = match self.kind_at(self.pos + 1) {
            Kind::Assign => None,
            _ => self.declared_type()?,
        };
        let name = self.name("a name")?;
        if self.peek() != Kind::Assign {
            return self.without_value(mode, ty, name, export);
        }
        self.bump();
        let value = self.value_or_broken();
        Ok(StmtKind::Decl { mode, ty, name, value, export })
    }

    fn kept_tuple(&mut self) -> Reported {
        let hint = "declare each variable with `var` on its own line, then assign them";
        self.report("unexpected-token", "`var` cannot declare several variables at once", hint, self.here())
    }

    pub(super) fn declared_type(&mut self) -> Read<Option<TypeRef>> {
        let typed = self.skip_type(self.pos, 0).is_some_and(|name| self.kind_at(name) == Kind::Name);
        if typed { self.type_ref().map(Some) } else { Ok(None) }
    }

    fn without_value(
        &mut self,
        mode: DeclMode,
        ty: Option<TypeRef>,
        name: Ident,
        export: bool,
    ) -> Read<StmtKind> {
        let text = &name.name;
        match (self.peek(), &ty) {
            (Kind::Eol | Kind::Comma, _) => {
                let hint = format!("give it a first value: `{text} = na`");
                self.report(
                    "missing-value",
                    format!("`{text}` is declared without a value"),
                    hint,
                    name.span,
                );
                let value = self.broken(name.span);
                Ok(StmtKind::Decl { mode, ty, name, value, export })
            }
            (Kind::Reassign, _) => {
                let hint = format!("declare it with `=`: `{text} = …`; `:=` gives a new value later");
                self.report("reassigned-declaration", "a declaration needs `=`", hint, self.here());
                self.bump();
                let value = self.value_or_broken();
                Ok(StmtKind::Decl { mode, ty, name, value, export })
            }
            _ => Err(self.expected("`=` and a value")),
        }
    }

    fn tuple_declaration(&mut self) -> Read<StmtKind> {
        let open = self.bump();
        let mut names = Vec::new();
        while !self.eat(Kind::RBracket) {
            names.push(self.name("a name")?);
            if self.peek() != Kind::RBracket && !self.eat(Kind::Comma) {
                return Err(self.unclosed(open));
            }
        }
        if self.peek() != Kind::Assign {
            let hint = "declare new names with `=`, then assign each variable with `:=`";
            let message = "several variables cannot be assigned at once";
            self.report("reassigned-tuple", message, hint, self.here());
        }
        self.bump();
        let value = self.value_or_broken();
        Ok(StmtKind::TupleDecl { names, value })
    }

    /// What stands right of `=`: an expression or `if`, `switch`, `for`, `while`.
    fn value(&mut self) -> Read<Expr> {
        match self.peek() {
            Kind::If | Kind::For | Kind::While | Kind::Switch => self.structure(),
            _ => self.expr(),
        }
    }

    fn value_or_broken(&mut self) -> Expr {
        let start = self.here();
        self.attempt(Self::value).unwrap_or_else(|Reported| {
            self.resync();
            self.broken(start)
        })
    }

    /// An expression, or an assignment to one.
    fn expression_statement(&mut self) -> Read<StmtKind> {
        let target = self.expr()?;
        let op = match self.peek() {
            Kind::Reassign => None,
            Kind::PlusAssign => Some(BinaryOp::Add),
            Kind::MinusAssign => Some(BinaryOp::Sub),
            Kind::StarAssign => Some(BinaryOp::Mul),
            Kind::SlashAssign => Some(BinaryOp::Div),
            Kind::PercentAssign => Some(BinaryOp::Rem),
            Kind::Assign => return self.dotted_declaration(target),
            _ => return Ok(StmtKind::Expr(target)),
        };
        if !matches!(target.kind, ExprKind::Name(_) | ExprKind::Field(..)) {
            return Err(self.bad_target(&target));
        }
        self.bump();
        let height = self.height;
        let value = self.value_or_broken();
        self.rise_to(height.max(self.height) + 1)?;
        Ok(StmtKind::Assign { target, op, value })
    }

    fn bad_target(&mut self, target: &Expr) -> Reported {
        let hint = match target.kind {
            ExprKind::Index(..) => "past values are fixed; to change an array use `array.set(a, i, value)`",
            _ => "only variables and fields of objects take a new value",
        };
        self.report("bad-assignment", "this cannot be assigned to", hint, target.span)
    }

    /// `strategy.initial_capital = 50000`: old scripts declare names that look like a built-in's.
    fn dotted_declaration(&mut self, target: Expr) -> Read<StmtKind> {
        let name = match &target.kind {
            ExprKind::Field(base, field) if matches!(&base.kind, ExprKind::Name(n) if n == "strategy") => {
                format!("strategy.{}", field.name)
            }
            _ if is_head(&target) => return self.function_by_assign(target),
            _ => return Err(self.misplaced_assign(&target)),
        };
        self.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code: "shadowed-builtin".into(),
            feature: name.clone(),
            message: format!("this declares a variable `{name}` that hides the built-in of that name"),
            hint: "give the variable a name of its own".into(),
            span: target.span,
        });
        self.bump();
        let value = self.value_or_broken();
        let name = Ident { name, span: target.span };
        Ok(StmtKind::Decl { mode: DeclMode::Plain, ty: None, name, value, export: false })
    }

    /// `f(x) = x + 1`.
    fn function_by_assign(&mut self, head: Expr) -> Read<StmtKind> {
        self.misplaced_assign(&head);
        self.bump();
        let value = self.value_or_broken();
        let span = value.span;
        self.rise_to(self.height + 1)?;
        Ok(function_of(StmtKind::Expr(head), vec![Stmt { kind: StmtKind::Expr(value), span }]))
    }

    fn misplaced_assign(&mut self, target: &Expr) -> Reported {
        match &target.kind {
            ExprKind::Field(..) => {
                let hint = "use `:=` to change a field";
                self.report("bad-assignment", "`=` declares a variable; a field is none", hint, self.here())
            }
            ExprKind::Call { .. } => {
                let hint = "a function is defined by `name(parameters) => body`";
                self.report("missing-arrow", "`=` cannot define a function", hint, self.here())
            }
            _ => self.bad_target(target),
        }
    }

    fn method(&mut self, export: bool) -> Read<StmtKind> {
        self.bump();
        self.function(true, export)
    }

    /// `f(params) => body`. When the parameters cannot be read the body still is.
    fn function(&mut self, is_method: bool, export: bool) -> Read<StmtKind> {
        let indent = self.indent;
        let name = self.name("a function name")?;
        let params = self.attempt(Self::params).or_else(|Reported| {
            while !matches!(self.peek(), Kind::Arrow | Kind::Eol) {
                self.bump();
            }
            if self.peek() == Kind::Eol { Err(Reported) } else { Ok(Vec::new()) }
        })?;
        let height = self.height;
        let arrow = self.here();
        if !self.eat(Kind::Arrow) {
            return Err(self.expected("`=>`"));
        }
        let body = self.body(indent, "`=>`", arrow)?;
        self.rise_to(height.max(self.height) + 1)?;
        Ok(StmtKind::Function { name, params, body, is_method, export })
    }

    fn params(&mut self) -> Read<Vec<Param>> {
        if !self.eat(Kind::LParen) {
            return Err(self.expected("`(` and the parameters"));
        }
        let (mut params, mut height) = (Vec::new(), 0);
        self.height = 0;
        while !self.eat(Kind::RParen) {
            params.push(self.param()?);
            height = height.max(self.height);
            if self.peek() != Kind::RParen && !self.eat(Kind::Comma) {
                return Err(self.expected("`,` or `)`"));
            }
        }
        self.height = height;
        Ok(params)
    }

    /// `x`, `float x`, `simple int x = 14`.
    fn param(&mut self) -> Read<Param> {
        let ty = self.declared_type()?;
        let name = self.name("a name")?;
        self.height = 1;
        let default = if self.eat(Kind::Assign) { Some(self.expr()?) } else { None };
        Ok(Param { ty, name, default, varip: false })
    }

    /// What follows `=>`: the rest of the line, or a block.
    pub(super) fn body(&mut self, indent: u16, opener: &str, at: Span) -> Read<Vec<Stmt>> {
        if self.peek() == Kind::Eol {
            return self.block(indent, opener, at);
        }
        self.enter()?;
        let mut body = Vec::new();
        self.statements(&mut body);
        self.leave();
        (self.indent, self.end) = (indent, self.pos);
        Ok(body)
    }

    /// The deeper lines below.
    pub(super) fn block(&mut self, indent: u16, opener: &str, at: Span) -> Read<Vec<Stmt>> {
        let first = self.tokens[self.pos];
        let has_arrow = self.has_arrow;
        if first.kind == Kind::Eof || first.indent <= indent {
            if !self.failed {
                let hint = "indent its lines by 4 spaces or a tab";
                self.report("missing-block", format!("{opener} has no block below"), hint, at);
            }
            self.height = 0;
            return Ok(Vec::new());
        }
        self.enter()?;
        self.levels.push(first.indent);
        let mut body = Vec::new();
        self.lines(first.indent, &mut body);
        self.levels.pop();
        self.leave();
        self.end = self.pos;
        (self.indent, self.has_arrow, self.failed) = (indent, has_arrow, false);
        Ok(body)
    }

    fn type_declaration(&mut self, export: bool) -> Read<StmtKind> {
        let (keyword, indent) = (self.bump().span(), self.indent);
        let name = self.name("a name for the type")?;
        let mut fields = Vec::new();
        self.members(indent, keyword, "`type`", |p| {
            fields.push(p.type_field()?);
            Ok(())
        })?;
        Ok(StmtKind::Type { name, fields, export })
    }

    fn type_field(&mut self) -> Read<Param> {
        let varip = self.eat(Kind::Varip);
        let ty = self.declared_type()?;
        let name = self.name("a name")?;
        if ty.is_none() {
            let hint = format!("write its type first: `float {}`", name.name);
            return Err(self.report("missing-type", "a field needs a type", hint, name.span));
        }
        Ok(Param { ty, name, default: self.member_value(), varip })
    }

    /// `= value` behind a member; one that cannot be read leaves the member known.
    fn member_value(&mut self) -> Option<Expr> {
        self.height = 1;
        if !self.eat(Kind::Assign) {
            return None;
        }
        let value = self.attempt(Self::expr).ok();
        if value.is_none() {
            self.pos = self.end;
        }
        value
    }

    fn enum_declaration(&mut self, export: bool) -> Read<StmtKind> {
        let (keyword, indent) = (self.bump().span(), self.indent);
        let name = self.name("a name for the enum")?;
        let mut members = Vec::new();
        self.members(indent, keyword, "`enum`", |p| {
            let member = p.name("a member's name")?;
            members.push((member, p.member_value()));
            Ok(())
        })?;
        Ok(StmtKind::Enum { name, members, export })
    }

    /// The lines below `type` and `enum`, one member each (several when separated by commas).
    fn members(
        &mut self,
        indent: u16,
        at: Span,
        opener: &str,
        mut member: impl FnMut(&mut Self) -> Read<()>,
    ) -> Read<()> {
        if self.peek() != Kind::Eol {
            return Err(self.unexpected_rest("the name"));
        }
        let first = self.tokens[self.pos];
        if first.kind == Kind::Eof || first.indent <= indent {
            let hint = "list its members below, indented by 4 spaces or a tab";
            self.report("missing-block", format!("{opener} has no members below"), hint, at);
            return Ok(());
        }
        self.levels.push(first.indent);
        let mut height = 1;
        while self.tokens[self.pos].kind != Kind::Eof && self.tokens[self.pos].indent > indent {
            self.start_line();
            loop {
                let read = self.attempt(&mut member);
                height = height.max(self.height);
                if read.is_err() || self.peek() == Kind::Eol {
                    break;
                }
                if !self.eat(Kind::Comma) {
                    self.unexpected_rest("this member");
                    break;
                }
            }
            (self.pos, self.height) = (self.end, height);
        }
        self.levels.pop();
        (self.indent, self.end, self.failed) = (indent, self.pos, false);
        self.rise_to(height + 1)
    }
}

/// A call with nothing but names: a function's head without its arrow.
fn is_like_header(statement: &Stmt) -> bool {
    matches!(&statement.kind, StmtKind::Expr(call) if is_head(call))
}

fn is_head(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call { callee, args, .. } => {
            matches!(callee.kind, ExprKind::Name(_))
                && args.iter().all(|a| a.name.is_none() && matches!(a.value.kind, ExprKind::Name(_)))
        }
        _ => false,
    }
}

/// The function whose head was read as a call.
fn function_of(head: StmtKind, body: Vec<Stmt>) -> StmtKind {
    let name_of = |e: Expr| match e.kind {
        ExprKind::Name(name) => Ident { name, span: e.span },
        _ => Ident { name: String::new(), span: e.span },
    };
    match head {
        StmtKind::Expr(Expr { kind: ExprKind::Call { callee, args, .. }, .. }) => StmtKind::Function {
            name: name_of(*callee),
            params: args
                .into_iter()
                .map(|a| Param { ty: None, name: name_of(a.value), default: None, varip: false })
                .collect(),
            body,
            is_method: false,
            export: false,
        },
        other => other,
    }
}
