//! The parser's position, the end of the logical line it stands in, and where that end is.

use super::MAX_HEIGHT;
use super::ast::{Expr, ExprKind, Ident};
use super::token::{Kind, Token};
use springtide_domain::{Diagnostic, Severity, Span};

/// The reason is already in the diagnostics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

/// A piece of syntax, or a diagnostic that was made.
pub(super) type Read<T> = Result<T, Reported>;

/// Brackets, operators and blocks inside each other, in the source. Bounds the parser's own stack.
const MAX_NESTING: u32 = 96;

/// How often each token may be looked at in search of line ends, on average, and the number that is free.
const EFFORT: usize = 8;
const EFFORT_FREE: usize = 10_000;

/// Reads tokens, one logical line at a time.
pub(super) struct Parser<'s> {
    pub source: &'s str,
    pub tokens: Vec<Token>,
    /// The next token.
    pub pos: usize,
    /// One past the last token of the logical line.
    pub end: usize,
    /// First token of the logical line.
    line_start: usize,
    /// Indentation of the line that the current statement starts on.
    pub indent: u16,
    /// Has the logical line a `=>` outside brackets?
    pub has_arrow: bool,
    /// Did the current line get an error? Then what follows from it is not reported.
    pub failed: bool,
    /// Height of the tree that was read last.
    pub height: u32,
    /// Indentations of the blocks around.
    pub levels: Vec<u16>,
    pub nesting: u32,
    /// Tokens that the search for line ends may still look at. A sound script needs each once; a broken
    /// one is searched again behind each error, and this keeps the whole effort linear.
    effort: usize,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'s> Parser<'s> {
    pub(super) fn new(source: &'s str, tokens: Vec<Token>, diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            source,
            effort: EFFORT * tokens.len() + EFFORT_FREE,
            tokens,
            pos: 0,
            end: 0,
            line_start: 0,
            indent: 0,
            has_arrow: false,
            failed: false,
            height: 0,
            levels: Vec::new(),
            nesting: 0,
            diagnostics,
        }
    }

    pub(super) fn finish(self) -> (Vec<Diagnostic>, Vec<Token>) {
        (self.diagnostics, self.tokens)
    }

    /// The next token's kind; [`Kind::Eol`] at the end of the logical line.
    pub(super) fn peek(&self) -> Kind {
        self.kind_at(self.pos)
    }

    /// The kind of a token of this logical line.
    pub(super) fn kind_at(&self, index: usize) -> Kind {
        if index < self.end { self.tokens[index].kind } else { Kind::Eol }
    }

    pub(super) fn bump(&mut self) -> Token {
        let token = self.tokens[self.pos];
        self.pos += usize::from(self.pos < self.end);
        token
    }

    pub(super) fn eat(&mut self, kind: Kind) -> bool {
        let found = self.peek() == kind;
        self.pos += usize::from(found);
        found
    }

    pub(super) fn text_of(&self, token: Token) -> &'s str {
        self.source.get(token.start as usize..token.end as usize).unwrap_or("")
    }

    /// The text of a token of this logical line, empty beyond it.
    pub(super) fn text_at(&self, index: usize) -> &'s str {
        if index < self.end { self.text_of(self.tokens[index]) } else { "" }
    }

    /// Where the next token stands; at the end of the line, just behind its last token.
    pub(super) fn here(&self) -> Span {
        if self.pos < self.end || self.pos == 0 {
            return self.tokens[self.pos].span();
        }
        let end = self.tokens[self.pos - 1].end;
        Span { start: end, end }
    }

    /// From a place to the last token that was read.
    pub(super) fn since(&self, start: Span) -> Span {
        let last = self.tokens[self.pos.saturating_sub(1)].span();
        if last.end > start.end { start.to(last) } else { start }
    }

    pub(super) fn name(&mut self, what: &str) -> Read<Ident> {
        if self.peek() != Kind::Name {
            return Err(self.expected(what));
        }
        let token = self.bump();
        Ok(Ident { name: self.text_of(token).to_owned(), span: token.span() })
    }

    /// Notes an error. One place gets one: what comes second there follows from the first.
    pub(super) fn report(
        &mut self,
        code: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
        span: Span,
    ) -> Reported {
        self.failed = true;
        let known = |d: &&Diagnostic| d.span.start == span.start && d.severity == Severity::Error;
        if self.diagnostics.iter().rev().take(4).find(known).is_none() {
            self.diagnostics.push(Diagnostic {
                severity: Severity::Error,
                code: code.into(),
                feature: String::new(),
                message: message.into(),
                hint: hint.into(),
                span,
            });
        }
        Reported
    }

    /// One level further in; refused when there are too many.
    pub(super) fn enter(&mut self) -> Read<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING { Err(self.too_deep()) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// Runs a part whose failure ends there.
    pub(super) fn attempt<T>(&mut self, part: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let nesting = self.nesting;
        let result = part(self);
        self.nesting = nesting;
        result
    }

    /// Sets the height of the tree just built.
    pub(super) fn rise_to(&mut self, height: u32) -> Read<()> {
        self.height = height;
        if height > MAX_HEIGHT { Err(self.too_deep()) } else { Ok(()) }
    }

    fn too_deep(&mut self) -> Reported {
        let hint = "give parts of it names of their own";
        self.report("too-deep", "this is nested too deeply", hint, self.here())
    }

    /// A place holder, for what could not be read.
    pub(super) fn broken(&mut self, span: Span) -> Expr {
        self.height = 1;
        Expr { kind: ExprKind::Error, span }
    }

    /// Begins the logical line at the next token.
    pub(super) fn start_line(&mut self) {
        let first = self.tokens[self.pos];
        (self.line_start, self.indent) = (self.pos, first.indent);
        self.failed = false;
        self.find_end();
    }

    /// Goes on after an error: at the next line that looks like a statement, else behind the line.
    pub(super) fn resync(&mut self) {
        self.failed = true;
        let starts = |i: &usize| {
            let (token, prev) = (&self.tokens[*i], &self.tokens[i - 1]);
            let separate = !prev.kind.wants_more() && !matches!(prev.kind, Kind::LParen | Kind::LBracket);
            token.is_first()
                && token.indent <= self.indent
                && (token.kind.starts_statement() || token.kind.starts_operand() && separate)
        };
        let next = (self.pos.max(self.line_start + 1)..self.end).find(starts).unwrap_or(self.end);
        (self.pos, self.end) = (next, next);
    }

    /// Finds where the logical line ends that starts at the next token.
    fn find_end(&mut self) {
        let mut line = Line::new(self.indent, self.heads_type());
        let mut index = self.pos;
        loop {
            let token = self.tokens[index];
            if token.kind == Kind::Eof || index > self.pos && token.is_first() && self.breaks(&line, index) {
                break;
            }
            line.take(token);
            index += 1;
        }
        self.effort = self.effort.saturating_sub(index - self.pos);
        self.end = index;
        self.has_arrow = line.has_arrow;
    }

    /// `type X`, `enum X`, `export type X`.
    fn heads_type(&self) -> bool {
        let word = |i: usize| self.tokens.get(self.pos + i).map_or("", |t| self.text_of(*t));
        let first = if word(0) == "export" { 1 } else { 0 };
        matches!(word(first), "type" | "enum")
            && self.tokens.get(self.pos + first + 1).is_some_and(|t| t.kind == Kind::Name && !t.is_first())
    }

    /// Does the line end before this token, the first of its physical line?
    fn breaks(&self, line: &Line, index: usize) -> bool {
        let (token, prev) = (self.tokens[index], self.tokens[index - 1].kind);
        if self.effort == 0 {
            return true;
        }
        if line.depth > 0 {
            return line.breaks_in_bracket(token, prev);
        }
        !self.joins(line, index)
    }

    /// `++` or `--` before a token: a slip, so that the line ends behind it.
    pub(super) fn is_doubled_sign(&self, index: usize) -> bool {
        index >= 2 && {
            let (a, b) = (self.tokens[index - 2], self.tokens[index - 1]);
            a.kind == b.kind && a.end == b.start && matches!(a.kind, Kind::Plus | Kind::Minus)
        }
    }

    /// The line joining rules outside brackets.
    fn joins(&self, line: &Line, index: usize) -> bool {
        let (token, prev) = (self.tokens[index], self.tokens[index - 1].kind);
        if prev == Kind::Arrow || token.kind == Kind::Fence {
            return false;
        }
        // `if x:` is a slip that must not swallow the block below.
        let slip = prev == Kind::Colon && line.questions <= 0 && line.opens_block;
        if token.kind.starts_statement() && !(prev.is_assignment() && token.kind.opens_block()) {
            return false;
        }
        if prev.wants_more() && !slip && !self.is_doubled_sign(index) {
            return true;
        }
        if token.kind.is_infix()
            || token.kind.is_assignment()
            || matches!(token.kind, Kind::Comma | Kind::Dot)
        {
            return true;
        }
        if line.opens_block {
            return false;
        }
        // A sign may start a block's last expression, so it joins only from further right.
        let sign = matches!(token.kind, Kind::Plus | Kind::Minus);
        if sign && (token.indent > self.indent || self.levels.len() <= 1) {
            return true;
        }
        !token.indent.is_multiple_of(4) && !self.levels.contains(&token.indent)
    }
}

/// What is known of a logical line while its end is searched.
struct Line {
    indent: u16,
    depth: u32,
    /// A bracket that nothing closes was opened.
    unclosed: bool,
    opens_block: bool,
    has_arrow: bool,
    /// `?` minus `:`.
    questions: i32,
}

impl Line {
    fn new(indent: u16, opens_block: bool) -> Self {
        Self { indent, depth: 0, unclosed: false, opens_block, has_arrow: false, questions: 0 }
    }

    fn take(&mut self, token: Token) {
        match token.kind {
            Kind::LParen | Kind::LBracket => {
                self.depth += 1;
                self.unclosed |= token.unmatched;
            }
            Kind::RParen | Kind::RBracket => self.depth = self.depth.saturating_sub(1),
            Kind::Question => self.questions += 1,
            Kind::Colon => self.questions -= 1,
            Kind::Arrow => self.has_arrow |= self.depth == 0,
            kind => self.opens_block |= self.depth == 0 && kind.opens_block(),
        }
    }

    /// Inside brackets a line goes on, unless what follows cannot belong to it: then a bracket is
    /// missing, and its line must not swallow the rest of the script.
    fn breaks_in_bracket(&self, token: Token, prev: Kind) -> bool {
        let adjacent = prev.ends_operand() && token.kind.starts_operand();
        if token.kind == Kind::Fence {
            return true;
        }
        if token.indent <= self.indent {
            return token.kind.starts_statement()
                || adjacent
                || self.unclosed && (token.kind.starts_operand() || token.kind == Kind::Bad);
        }
        self.unclosed && (self.opens_block && adjacent || token.kind.starts_statement())
    }
}
