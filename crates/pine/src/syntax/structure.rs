//! `if`, `switch`, `for` and `while`: expressions with blocks. A head that cannot be read costs its
//! value, not its block.

use super::ast::{Expr, ExprKind, Ident, Stmt};
use super::cursor::{Parser, Read, Reported};
use super::token::Kind;
use springtide_domain::Span;

impl Parser<'_> {
    /// `if`, `switch`, `for`, `while`: expressions that have blocks.
    pub(super) fn structure(&mut self) -> Read<Expr> {
        self.enter()?;
        let expr = match self.peek() {
            Kind::If => self.if_(),
            Kind::For => self.for_(),
            Kind::While => self.while_(),
            _ => self.switch(),
        }?;
        self.leave();
        self.rise_to(self.height + 1)?;
        Ok(expr)
    }

    /// A header's expression. When it cannot be read its block still is.
    fn header(&mut self, what: &str) -> Expr {
        let start = self.here();
        let Ok(expr) = self.attempt(Self::expr) else {
            self.resync();
            return self.broken(start);
        };
        self.end_header(what);
        expr
    }

    /// Nothing but the end of the line may follow a header.
    fn end_header(&mut self, what: &str) {
        while self.peek() == Kind::Semicolon {
            self.skip_semicolon();
        }
        if self.peek() != Kind::Eol {
            self.header_rest(what);
            self.resync();
        }
    }

    fn header_rest(&mut self, what: &str) -> Reported {
        if what == "the range" && self.text_at(self.pos) == "to" {
            let hint = "to count, write `for i = 0 to 10`; `in` goes over the elements of a collection";
            return self.report("unexpected-token", "`to` does not go with `in`", hint, self.here());
        }
        let same_line = matches!(self.peek(), Kind::Name | Kind::Break | Kind::Continue);
        if same_line && self.text_at(self.pos) != "then" && self.hints_nothing() {
            let hint = "put the body on the next line, indented by 4 spaces or a tab";
            return self.report(
                "missing-block",
                format!("the body cannot follow {what} on its line"),
                hint,
                self.here(),
            );
        }
        self.unexpected_rest(what)
    }

    fn hints_nothing(&self) -> bool {
        !matches!(self.text_at(self.pos).to_ascii_lowercase().as_str(), "and" | "or" | "not")
    }

    fn if_(&mut self) -> Read<Expr> {
        let (start, indent) = (self.here(), self.indent);
        let (mut arms, mut otherwise, mut height) = (Vec::new(), None, 0);
        loop {
            let keyword = self.bump().span();
            let cond = self.header("the condition");
            height = height.max(self.height);
            let body = self.block(indent, "`if`", keyword)?;
            height = height.max(self.height);
            arms.push((cond, body));
            let Some(keyword) = self.eat_else(indent) else { break };
            if self.peek() == Kind::If {
                continue;
            }
            self.else_rest();
            otherwise = Some(self.block(indent, "`else`", keyword)?);
            height = height.max(self.height);
            break;
        }
        self.height = height;
        let span = self.since(start);
        Ok(Expr { kind: ExprKind::If { arms, otherwise }, span })
    }

    /// The `else` of an `if` of this indentation, when it comes next.
    fn eat_else(&mut self, indent: u16) -> Option<Span> {
        let token = self.tokens[self.pos];
        if token.kind != Kind::Else || !token.is_first() || token.indent < indent {
            return None;
        }
        self.start_line();
        self.indent = indent;
        Some(self.bump().span())
    }

    fn else_rest(&mut self) {
        if self.peek() == Kind::Eol {
            return;
        }
        let same_line = matches!(self.peek(), Kind::Name | Kind::Break | Kind::Continue);
        if same_line {
            let hint = "put the body on the next line, indented by 4 spaces or a tab";
            self.report("missing-block", "the body cannot follow `else` on its line", hint, self.here());
        } else {
            self.unexpected_rest("`else`");
        }
        self.resync();
    }

    fn while_(&mut self) -> Read<Expr> {
        let (start, indent) = (self.bump().span(), self.indent);
        let cond = self.header("the condition");
        let height = self.height;
        let body = self.block(indent, "`while`", start)?;
        self.height = self.height.max(height);
        Ok(Expr { kind: ExprKind::While { cond: Box::new(cond), body }, span: self.since(start) })
    }

    fn for_(&mut self) -> Read<Expr> {
        let (start, indent) = (self.here(), self.indent);
        let head = self.attempt(Self::for_head).ok();
        if head.is_none() {
            self.resync();
        }
        let height = self.height;
        let body = self.block(indent, "`for`", start)?;
        self.height = self.height.max(height);
        let kind = match head {
            Some(Range::Count { var, from, to, step }) => {
                let step = step.map(Box::new);
                ExprKind::For { var, from: Box::new(from), to: Box::new(to), step, body }
            }
            Some(Range::Over { index, var, over }) => {
                ExprKind::ForIn { index, var, over: Box::new(over), body }
            }
            // The body is checked all the same, as that of a loop which never runs.
            None => ExprKind::While { cond: Box::new(Expr { kind: ExprKind::Error, span: start }), body },
        };
        Ok(Expr { kind, span: self.since(start) })
    }

    fn for_head(&mut self) -> Read<Range> {
        self.bump();
        let range = if self.peek() == Kind::LBracket { self.pair_in()? } else { self.single()? };
        self.end_header("the range");
        Ok(range)
    }

    /// `[i, x] in a`.
    fn pair_in(&mut self) -> Read<Range> {
        self.bump();
        let index = self.name("a name")?;
        if !self.eat(Kind::Comma) {
            return Err(self.expected("`,`"));
        }
        let var = self.name("a name")?;
        if !self.eat(Kind::RBracket) {
            return Err(self.expected("`]`"));
        }
        self.contextual("in")?;
        Ok(Range::Over { index: Some(index), var, over: self.expr()? })
    }

    /// `i = a to b by c`, `x in a`.
    fn single(&mut self) -> Read<Range> {
        self.declared_type_before_counter()?;
        let var = self.name("a name")?;
        if !self.eat(Kind::Assign) {
            self.contextual("in")?;
            return Ok(Range::Over { index: None, var, over: self.expr()? });
        }
        let from = self.expr()?;
        let mut height = self.height;
        self.contextual("to")?;
        let to = self.expr()?;
        height = height.max(self.height);
        let step = if self.text_at(self.pos) == "by" {
            self.bump();
            Some(self.expr()?)
        } else {
            None
        };
        self.height = height.max(self.height);
        Ok(Range::Count { var, from, to, step })
    }

    /// `for int i = …`: the type is read and not kept, a counter being what its bounds are.
    fn declared_type_before_counter(&mut self) -> Read<()> {
        if self.kind_at(self.pos + 1) == Kind::Name && self.text_at(self.pos + 1) != "in" {
            self.declared_type()?;
        }
        Ok(())
    }

    fn contextual(&mut self, word: &str) -> Read<()> {
        if self.text_at(self.pos) != word {
            return Err(self.expected(&format!("`{word}`")));
        }
        self.bump();
        Ok(())
    }

    fn switch(&mut self) -> Read<Expr> {
        let (start, indent) = (self.bump().span(), self.indent);
        let mut height = 0;
        let mut subject = None;
        if self.peek() != Kind::Eol {
            subject = Some(Box::new(self.header("the value of `switch`")));
            height = self.height;
        }
        let arms = self.arms(indent, start)?;
        self.height = self.height.max(height);
        Ok(Expr { kind: ExprKind::Switch { subject, arms }, span: self.since(start) })
    }

    fn arms(&mut self, indent: u16, at: Span) -> Read<Vec<(Option<Expr>, Vec<Stmt>)>> {
        let mut arms = Vec::new();
        let mut height = 0;
        let first = self.tokens[self.pos];
        if first.kind == Kind::Eof || first.indent <= indent {
            self.report(
                "missing-block",
                "`switch` has no cases below",
                "indent them by 4 spaces or a tab",
                at,
            );
            return Ok(arms);
        }
        self.levels.push(first.indent);
        while self.tokens[self.pos].kind != Kind::Eof && self.tokens[self.pos].indent > indent {
            self.start_line();
            match self.attempt(Self::arm) {
                Ok(arm) => arms.push(arm),
                Err(Reported) => self.resync(),
            }
            height = height.max(self.height);
        }
        self.levels.pop();
        (self.indent, self.end, self.height, self.failed) = (indent, self.pos, height, false);
        Ok(arms)
    }

    /// `value => body` or `=> body`.
    fn arm(&mut self) -> Read<(Option<Expr>, Vec<Stmt>)> {
        let indent = self.indent;
        let start = self.here();
        self.height = 0;
        let case = match self.peek() {
            Kind::Arrow => None,
            _ => Some(self.case()?),
        };
        let height = self.height;
        if !self.eat(Kind::Arrow) {
            let hint = "a case is written `value => result`, the default `=> result`";
            return Err(match self.peek() {
                Kind::Eol => self.report("missing-arrow", "this case has no `=>`", hint, self.here()),
                _ => self.expected("`=>`"),
            });
        }
        let body = self.body(indent, "`=>`", start)?;
        self.height = self.height.max(height);
        Ok((case, body))
    }

    /// The value before `=>`; when it cannot be read, what follows `=>` still is.
    fn case(&mut self) -> Read<Expr> {
        let start = self.here();
        match self.attempt(Self::expr) {
            Ok(expr) => Ok(expr),
            Err(Reported) => {
                while !matches!(self.peek(), Kind::Arrow | Kind::Eol) {
                    self.bump();
                }
                if self.peek() == Kind::Eol { Err(Reported) } else { Ok(self.broken(start)) }
            }
        }
    }
}

/// The head of a `for`.
enum Range {
    Count { var: Ident, from: Expr, to: Expr, step: Option<Expr> },
    Over { index: Option<Ident>, var: Ident, over: Expr },
}
