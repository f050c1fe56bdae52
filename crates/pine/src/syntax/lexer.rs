//! Bytes to tokens. Every byte is accepted; what makes no sense becomes a token that the parser reports.

use super::token::{Kind, Token};
use springtide_domain::{Diagnostic, Severity, Span};

/// Columns of a tab.
const TAB: usize = 4;

/// Longest string over several lines.
const MAX_WRAPPED_LINES: usize = 16;

/// Tokens of a source, and what its comments declare.
pub(super) struct Lexed {
    /// Ends with [`Kind::Eof`], which stands first on a line of indentation 0.
    pub tokens: Vec<Token>,
    /// The number of the first `//@version=N`, and where.
    pub version: Option<(u32, Span)>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Splits a source into tokens.
pub(super) fn lex(source: &str) -> Lexed {
    let mut lexer = Lexer {
        source,
        bytes: source.as_bytes(),
        at: 0,
        indent: 0,
        line_start: true,
        open: Vec::new(),
        endless: Vec::new(),
        out: Lexed {
            tokens: Vec::with_capacity(source.len() / 4 + 8),
            version: None,
            diagnostics: Vec::new(),
        },
    };
    lexer.run();
    lexer.out
}

struct Lexer<'s> {
    source: &'s str,
    bytes: &'s [u8],
    at: usize,
    /// Columns of white space so far on a line that has no token yet.
    indent: usize,
    line_start: bool,
    /// Brackets that wait for their partner.
    open: Vec<usize>,
    /// Quotes of which a long string was opened and never closed: looking once is enough.
    endless: Vec<u8>,
    out: Lexed,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' | b'\r' => {
                    self.at += 1;
                    (self.line_start, self.indent) = (true, 0);
                }
                b' ' | 0x0b | 0x0c => self.blank(1, self.indent + 1),
                b'\t' => self.blank(1, (self.indent / TAB + 1) * TAB),
                b'/' if self.peek(1) == b'/' => self.comment(),
                b'/' if self.peek(1) == b'*' => self.block_comment(),
                0x80.. => self.not_ascii(),
                _ => self.token(byte),
            }
        }
        for index in std::mem::take(&mut self.open) {
            self.out.tokens[index].unmatched = true;
        }
        let end = self.bytes.len() as u32;
        self.out.tokens.push(Token { kind: Kind::Eof, unmatched: false, indent: 0, start: end, end });
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn blank(&mut self, bytes: usize, indent: usize) {
        self.at += bytes;
        if self.line_start {
            self.indent = indent;
        }
    }

    fn push(&mut self, kind: Kind, end: usize) {
        let indent = match self.line_start {
            true => self.indent.min(Token::INSIDE as usize - 1) as u16,
            false => Token::INSIDE,
        };
        self.line_start = false;
        let token = Token { kind, unmatched: false, indent, start: self.at as u32, end: end as u32 };
        self.out.tokens.push(token);
        self.at = end;
    }

    fn line_end(&self) -> usize {
        let rest = &self.bytes[self.at..];
        self.at + rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len())
    }

    fn comment(&mut self) {
        let end = self.line_end();
        if self.out.version.is_none() {
            let text = &self.bytes[self.at..end];
            self.out.version = version_of(text).map(|n| (n, Span::new(self.at, end)));
        }
        self.at = end;
    }

    /// Not part of the language, but some collections put their settings in one: skipped, and said.
    fn block_comment(&mut self) {
        let rest = &self.bytes[self.at + 2..];
        let length = rest.windows(2).position(|w| w == b"*/").map_or(rest.len(), |p| p + 2);
        let end = self.at + 2 + length;
        self.out.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code: "block-comment".into(),
            feature: "/* */".into(),
            message: "comments between `/*` and `*/` are not part of the language; skipped".into(),
            hint: "start each comment line with `//`".into(),
            span: Span::new(self.at, self.at + 2),
        });
        self.at = end;
    }

    fn not_ascii(&mut self) {
        let rest = &self.source[self.at..];
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() || matches!(first, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}') {
            let wide = usize::from(first.is_whitespace());
            return self.blank(first.len_utf8(), self.indent + wide);
        }
        let end = if is_foreign_mark(first) {
            self.at + first.len_utf8()
        } else {
            let stop = |c: char| c.is_ascii() || is_foreign_mark(c) || c.is_whitespace();
            self.at + rest.find(stop).unwrap_or(rest.len())
        };
        self.push(Kind::Bad, end);
    }

    fn token(&mut self, byte: u8) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() && !self.after_operand() => self.number(),
            b'"' | b'\'' => self.string(byte),
            b'#' => self.color(),
            b'`' if self.line_start && self.bytes[self.at..].starts_with(b"```") => {
                let end = self.line_end();
                self.push(Kind::Fence, end);
            }
            _ => self.sign(byte),
        }
    }

    fn after_operand(&self) -> bool {
        let last = self.out.tokens.last();
        !self.line_start
            && last.is_some_and(|t| t.end as usize == self.at && t.kind.ends_operand() && t.kind != Kind::Int)
    }

    fn word(&mut self) {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len());
        self.push(keyword(&rest[..length]), self.at + length);
    }

    fn number(&mut self) {
        let digits = |at: usize| self.bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        let mut end = self.at + digits(self.at);
        let mut kind = Kind::Int;
        let fraction = || !byte(end + 1).is_ascii_alphabetic() || exponent(&self.bytes[end + 1..]);
        if byte(end) == b'.' && fraction() {
            kind = Kind::Float;
            end += 1;
            end += digits(end);
        }
        if exponent(&self.bytes[end..]) {
            kind = Kind::Float;
            end += 1 + usize::from(matches!(byte(end + 1), b'+' | b'-'));
            end += digits(end);
        }
        self.push(kind, end);
    }

    fn string(&mut self, quote: u8) {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(&[quote; 3]) && self.endless.contains(&quote) {
            let end = self.line_end();
            return self.push(Kind::OpenStr, end);
        }
        if rest.starts_with(&[quote; 3]) && rest.get(3).is_some_and(|b| *b != quote) {
            return self.long_string(quote);
        }
        let mut length = 1;
        loop {
            match rest.get(length) {
                None => return self.push(Kind::OpenStr, self.at + length),
                Some(b'\n' | b'\r') => {
                    let end = self.wrapped_string(quote).unwrap_or((Kind::OpenStr, self.at + length));
                    return self.push(end.0, end.1);
                }
                Some(b'\\') if !matches!(rest.get(length + 1), None | Some(b'\n' | b'\r')) => length += 2,
                Some(b) if *b == quote => return self.push(Kind::Str, self.at + length + 1),
                Some(_) => length += 1,
            }
        }
    }

    /// A string may be wrapped like any line: the next one is indented by no multiple of 4. Taken for
    /// one only when what follows the closing quote can follow a string, so that a forgotten quote is
    /// found where it is missing.
    fn wrapped_string(&self, quote: u8) -> Option<(Kind, usize)> {
        let mut at = self.at + 1;
        for _ in 0..MAX_WRAPPED_LINES {
            let rest = &self.bytes[at..];
            let stop = rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
            if let Some(close) = closing(&rest[..stop], quote) {
                let after = rest[close + 1..stop].trim_ascii_start().first().copied();
                let fits = after.is_none_or(|b| b",)]+=!?:/".contains(&b));
                return fits.then_some((Kind::Str, at + close + 1));
            }
            at += stop + 1;
            at += usize::from(rest.get(stop..stop + 2) == Some(b"\r\n"));
            let line = self.bytes.get(at..)?;
            let columns = line.iter().take_while(|b| **b == b' ').count();
            if columns % 4 == 0 {
                return None;
            }
        }
        None
    }

    /// Three quotes: line breaks belong to the text.
    fn long_string(&mut self, quote: u8) {
        let rest = &self.bytes[self.at..];
        let mut length = 3;
        while length < rest.len() {
            match rest[length] {
                b'\\' => length += 2,
                b if b == quote && rest[length..].starts_with(&[quote; 3]) => {
                    return self.push(Kind::Str, self.at + length + 3);
                }
                _ => length += 1,
            }
        }
        self.endless.push(quote);
        let end = self.line_end();
        self.push(Kind::OpenStr, end);
    }

    fn color(&mut self) {
        let rest = &self.bytes[self.at + 1..];
        let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        let hex = rest[..length].iter().all(u8::is_ascii_hexdigit);
        let kind = if hex && matches!(length, 6 | 8) { Kind::Color } else { Kind::Bad };
        self.push(kind, self.at + 1 + length);
    }

    fn sign(&mut self, byte: u8) {
        let (kind, length) = sign_of(byte, self.peek(1));
        let index = self.out.tokens.len();
        self.push(kind, self.at + length);
        match kind {
            Kind::LParen | Kind::LBracket => self.open.push(index),
            Kind::RParen | Kind::RBracket => self.close(kind, index),
            _ => {}
        }
    }

    fn close(&mut self, kind: Kind, index: usize) {
        let opener = if kind == Kind::RParen { Kind::LParen } else { Kind::LBracket };
        match self.open.last() {
            Some(&open) if self.out.tokens[open].kind == opener => drop(self.open.pop()),
            _ => self.out.tokens[index].unmatched = true,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where a string's closing quote is in the rest of its line.
fn closing(line: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b'\\' => at += 2,
            b if b == quote => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// `e5`, `E-3`: an exponent and nothing like the start of a name.
fn exponent(rest: &[u8]) -> bool {
    let at = |i: usize| rest.get(i).copied().unwrap_or(0);
    matches!(at(0), b'e' | b'E')
        && (at(1).is_ascii_digit() || matches!(at(1), b'+' | b'-') && at(2).is_ascii_digit())
}

/// Quotes, brackets and punctuation that word processors and Asian keyboards put in place of ASCII.
fn is_foreign_mark(c: char) -> bool {
    matches!(c, '\u{2010}'..='\u{2027}' | '\u{2032}'..='\u{205e}' | '\u{2190}'..='\u{22ff}'
        | '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff40}'
        | '\u{ff5b}'..='\u{ff65}' | '\u{d7}' | '\u{f7}' | '\u{ab}' | '\u{bb}')
}

fn keyword(word: &[u8]) -> Kind {
    match word {
        b"and" => Kind::And,
        b"or" => Kind::Or,
        b"not" => Kind::Not,
        b"if" => Kind::If,
        b"else" => Kind::Else,
        b"for" => Kind::For,
        b"while" => Kind::While,
        b"switch" => Kind::Switch,
        b"true" => Kind::True,
        b"false" => Kind::False,
        b"var" => Kind::Var,
        b"varip" => Kind::Varip,
        b"break" => Kind::Break,
        b"continue" => Kind::Continue,
        _ => Kind::Name,
    }
}

fn sign_of(byte: u8, next: u8) -> (Kind, usize) {
    use Kind::*;
    match (byte, next) {
        (b'=', b'>') => (Arrow, 2),
        (b'=', b'=') => (EqEq, 2),
        (b':', b'=') => (Reassign, 2),
        (b'!', b'=') => (NotEq, 2),
        (b'<', b'=') => (Le, 2),
        (b'>', b'=') => (Ge, 2),
        (b'+', b'=') => (PlusAssign, 2),
        (b'-', b'=') => (MinusAssign, 2),
        (b'*', b'=') => (StarAssign, 2),
        (b'/', b'=') => (SlashAssign, 2),
        (b'%', b'=') => (PercentAssign, 2),
        (b'|', b'|') => (PipePipe, 2),
        (b'&', b'&') => (AmpAmp, 2),
        (b'{', b'{') | (b'}', b'}') | (b'-', b'>') => (Bad, 2),
        (b'(', _) => (LParen, 1),
        (b')', _) => (RParen, 1),
        (b'[', _) => (LBracket, 1),
        (b']', _) => (RBracket, 1),
        (b',', _) => (Comma, 1),
        (b'.', _) => (Dot, 1),
        (b'?', _) => (Question, 1),
        (b':', _) => (Colon, 1),
        (b'=', _) => (Assign, 1),
        (b'<', _) => (Lt, 1),
        (b'>', _) => (Gt, 1),
        (b'+', _) => (Plus, 1),
        (b'-', _) => (Minus, 1),
        (b'*', _) => (Star, 1),
        (b'/', _) => (Slash, 1),
        (b'%', _) => (Percent, 1),
        (b'!', _) => (Bang, 1),
        (b';', _) => (Semicolon, 1),
        _ => (Bad, 1),
    }
}

/// The number of a `//@version=5` comment; spaces are allowed around each part.
fn version_of(comment: &[u8]) -> Option<u32> {
    let text = comment.trim_ascii_start().strip_prefix(b"//")?;
    let text = text.trim_ascii_start().strip_prefix(b"@version")?;
    let text = text.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// The text that a string token stands for.
pub(super) fn unescape(token: &str) -> String {
    let quotes = if token.len() >= 6 && is_long(token) { 3 } else { 1 };
    let inner = token.get(quotes..token.len().saturating_sub(quotes)).unwrap_or("");
    let wrapped = quotes == 1 && inner.contains(['\n', '\r']);
    if !wrapped && !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            // The line break and the indentation below make one space.
            '\n' | '\r' if wrapped => {
                let rest = chars.as_str().trim_start();
                chars = rest.chars();
                text.push(' ');
            }
            '\\' => text.extend(chars.next().map(escaped)),
            _ => text.push(c),
        }
    }
    text
}

fn is_long(token: &str) -> bool {
    token.starts_with("\"\"\"") || token.starts_with("'''")
}

fn escaped(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        other => other,
    }
}
