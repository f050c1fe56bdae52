//! The board's `--where` expressions: `sharpe > 1 and trades >= 30 and symbol = "BTC-USD"`.
//!
//! A field is a column of the run, a metric, or an input of the strategy (`param.Fast` or bare). The
//! expression becomes SQL with bound values only; nothing a person types is pasted into a statement.

use springtide_domain::suggest;
use springtide_engine::metrics::METRICS;
use std::fmt;

/// A value bound to the statement.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Bind {
    Number(f64),
    Text(String),
    /// Where an input of this name lies among a run's.
    Input(String),
}

/// SQL text and the values it binds, in order.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct SqlExpr {
    pub sql: String,
    pub binds: Vec<Bind>,
}

/// What is wrong with an expression and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FilterError {
    pub message: String,
    /// Byte offset in the expression.
    pub at: usize,
    pub expression: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.expression.get(..self.at).map_or(self.at, |t| t.chars().count());
        write!(f, "{}\n  {}\n  {}^", self.message, self.expression, " ".repeat(column))
    }
}

impl std::error::Error for FilterError {}

/// Columns of a run that are text.
const COLUMNS: &[(&str, &str)] = &[
    ("run", "id"),
    ("strategy", "strategy"),
    ("source", "source"),
    ("data", "data"),
    ("symbol", "symbol"),
    ("timeframe", "timeframe"),
    ("status", "status"),
    ("rules", "json_extract(rules, '$.name')"),
    ("bars", "bars"),
    ("elapsed_us", "elapsed_us"),
    ("job", "job"),
];

/// The SQL for a field by name: a column, a metric, or an input.
pub fn field_sql(name: &str) -> SqlExpr {
    if let Some((_, sql)) = COLUMNS.iter().find(|(n, _)| *n == name) {
        return SqlExpr { sql: (*sql).into(), binds: vec![] };
    }
    match METRICS.iter().any(|m| m.name == name) {
        true => SqlExpr {
            sql: "json_extract(metrics, ?)".into(),
            binds: vec![Bind::Text(format!("$.\"{name}\""))],
        },
        false => SqlExpr {
            sql: "json_extract(params, ?)".into(),
            binds: vec![Bind::Input(name.strip_prefix("param.").unwrap_or(name).into())],
        },
    }
}

/// The path of an input in a run's JSON object of inputs.
pub(crate) fn input_path(name: &str) -> String {
    format!("$.\"{}\"", name.replace(['"', '\\'], ""))
}

/// What to say about a name that is neither metric nor column, nor an input of any recorded run.
pub(crate) fn unknown_field(name: &str) -> String {
    let known = COLUMNS.iter().map(|(n, _)| *n).chain(METRICS.iter().map(|m| m.name));
    let hint = match suggest::nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`tide board --metrics` lists the metrics".into(),
    };
    format!("there is no metric or column `{name}`, and no recorded run has such an input; {hint}")
}

/// True for names the board knows without looking at any strategy.
pub fn is_known_field(name: &str) -> bool {
    COLUMNS.iter().any(|(n, _)| *n == name) || METRICS.iter().any(|m| m.name == name)
}

/// Compiles an expression.
pub fn compile(expression: &str) -> Result<SqlExpr, FilterError> {
    let mut parser = Parser { tokens: lex(expression)?, next: 0, depth: 0, expression };
    let sql = parser.any_of()?;
    match parser.peek() {
        None => Ok(sql),
        Some((_, at)) => Err(parser.error("expected `and`, `or` or the end here", *at)),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Number(f64),
    Op(&'static str),
}

const OPERATORS: &[(&str, &str)] = &[
    ("<=", "<="),
    (">=", ">="),
    ("!=", "!="),
    ("<>", "!="),
    ("==", "="),
    ("&&", "and"),
    ("||", "or"),
    ("=", "="),
    ("<", "<"),
    (">", ">"),
    ("~", "~"),
    ("(", "("),
    (")", ")"),
];

fn lex(text: &str) -> Result<Vec<(Token, usize)>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == '"' || c == '\'' {
            let end = rest[1..].find(c).ok_or_else(|| FilterError {
                message: "this quote is never closed".into(),
                at,
                expression: text.into(),
            })?;
            tokens.push((Token::Quoted(rest[1..=end].into()), at));
            at += end + 2;
        } else if let Some((spelling, op)) = OPERATORS.iter().find(|(s, _)| rest.starts_with(s)) {
            tokens.push((Token::Op(op), at));
            at += spelling.len();
        } else {
            let stop = |c: char| c.is_whitespace() || "<>=!~()\"'&|".contains(c);
            let len = rest.find(stop).unwrap_or(rest.len()).max(c.len_utf8());
            tokens.push((word(&rest[..len]), at));
            at += len;
        }
    }
    Ok(tokens)
}

fn word(text: &str) -> Token {
    match text.to_ascii_lowercase().as_str() {
        "and" => Token::Op("and"),
        "or" => Token::Op("or"),
        "not" => Token::Op("not"),
        _ => match text.trim_end_matches('%').parse::<f64>() {
            Ok(number) if number.is_finite() => Token::Number(number),
            _ => Token::Word(text.into()),
        },
    }
}

struct Parser<'a> {
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
    expression: &'a str,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&(Token, usize)> {
        self.tokens.get(self.next)
    }

    fn error(&self, message: &str, at: usize) -> FilterError {
        FilterError { message: message.into(), at, expression: self.expression.into() }
    }

    fn take(&mut self, op: &str) -> bool {
        let found = matches!(self.peek(), Some((Token::Op(o), _)) if *o == op);
        self.next += usize::from(found);
        found
    }

    fn any_of(&mut self) -> Result<SqlExpr, FilterError> {
        self.chain("or", Self::all_of)
    }

    fn all_of(&mut self) -> Result<SqlExpr, FilterError> {
        self.chain("and", Self::term)
    }

    fn chain(
        &mut self,
        op: &str,
        part: fn(&mut Self) -> Result<SqlExpr, FilterError>,
    ) -> Result<SqlExpr, FilterError> {
        let mut left = part(self)?;
        while self.take(op) {
            let right = part(self)?;
            left.sql = format!("({} {op} {})", left.sql, right.sql);
            left.binds.extend(right.binds);
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<SqlExpr, FilterError> {
        self.depth += 1;
        if self.depth > 64 {
            return Err(self.error("nested too deeply", 0));
        }
        let result = if self.take("not") {
            self.term().map(|inner| SqlExpr { sql: format!("NOT {}", inner.sql), binds: inner.binds })
        } else if self.take("(") {
            let inner = self.any_of()?;
            let at = self.peek().map_or(self.expression.len(), |t| t.1);
            if self.take(")") { Ok(inner) } else { Err(self.error("expected `)` here", at)) }
        } else {
            self.comparison()
        };
        self.depth -= 1;
        result
    }

    fn comparison(&mut self) -> Result<SqlExpr, FilterError> {
        let left = self.operand()?;
        let at = self.peek().map_or(self.expression.len(), |t| t.1);
        let op = match self.peek() {
            Some((Token::Op(op @ ("<" | "<=" | ">" | ">=" | "=" | "!=" | "~")), _)) => *op,
            _ => return Err(self.error("expected a comparison: < <= > >= = != or ~ (contains)", at)),
        };
        self.next += 1;
        let right = self.operand_or_text()?;
        let mut binds = left.binds;
        binds.extend(right.binds);
        let sql = match op {
            "~" => format!("instr(lower({}), lower({})) > 0", left.sql, right.sql),
            _ => format!("{} {op} {}", left.sql, right.sql),
        };
        Ok(SqlExpr { sql, binds })
    }

    fn operand(&mut self) -> Result<SqlExpr, FilterError> {
        let (token, at) = self
            .peek()
            .cloned()
            .ok_or_else(|| self.error("expected a field or a value here", self.expression.len()))?;
        self.next += 1;
        match token {
            Token::Word(name) => Ok(field_sql(&name)),
            Token::Quoted(text) => Ok(SqlExpr { sql: "?".into(), binds: vec![Bind::Text(text)] }),
            Token::Number(x) => Ok(SqlExpr { sql: "?".into(), binds: vec![Bind::Number(x)] }),
            Token::Op(_) => Err(self.error("expected a field or a value here", at)),
        }
    }

    /// On the right side a bare word that is no field is text, so `symbol = BTC-USD` works.
    fn operand_or_text(&mut self) -> Result<SqlExpr, FilterError> {
        if let Some((Token::Word(name), _)) = self.peek()
            && !is_known_field(name)
            && !name.starts_with("param.")
        {
            let text = name.clone();
            self.next += 1;
            return Ok(SqlExpr { sql: "?".into(), binds: vec![Bind::Text(text)] });
        }
        self.operand()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiles_fields_metrics_and_inputs() {
        let got = compile("sharpe > 1 and (symbol = BTC-USD or not Fast <= 20)").unwrap();
        assert_eq!(
            got.sql,
            "(json_extract(metrics, ?) > ? and (symbol = ? or NOT json_extract(params, ?) <= ?))"
        );
        assert_eq!(got.binds.len(), 5);
        assert_eq!(got.binds[3], Bind::Input("Fast".into()));
    }

    #[test]
    fn values_are_bound_never_pasted() {
        let got = compile("strategy = \"x'; DROP TABLE runs; --\"").unwrap();
        assert_eq!(got.sql, "strategy = ?");
    }

    #[test]
    fn errors_point_at_the_place() {
        for (text, at) in [
            ("sharpe >", 8),
            ("sharpe", 6),
            ("(sharpe > 1", 11),
            ("sharpe > 1 2", 11),
            ("a = 'x", 4),
            ("", 0),
        ] {
            assert_eq!(compile(text).unwrap_err().at, at, "{text}");
        }
        assert!(compile(&"(".repeat(10_000)).is_err());
    }
}
