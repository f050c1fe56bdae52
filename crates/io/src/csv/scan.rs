//! Lines to rows: a fast reading of the usual shape, a careful one of everything else. Both give the same.

use super::{
    clock::{self, TimeFormat},
    dialect::{Plan, fields},
    number,
};
use crate::{
    collect::{Batch, Problem, Row},
    header::Role,
    report::excerpt,
};

/// Reads whole lines by a plan. One per thread.
pub(super) struct Scanner {
    plan: Plan,
}

impl Scanner {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone() }
    }

    /// Reads the lines in `buf[at..end]`; [`number::PADDING`] zero bytes must follow the end.
    pub(super) fn scan(&mut self, buf: &[u8], mut at: usize, end: usize, out: &mut Batch) {
        while at < end {
            out.lines += 1;
            if let Some((row, next)) = self.fast_line(buf, at, end).filter(|(row, _)| row.is_possible()) {
                out.push(&row, out.lines);
                at = next;
            } else {
                let next = buf[at..end].iter().position(|b| *b == b'\n').map_or(end, |n| at + n + 1);
                self.careful_line(&buf[at..next], out);
                at = next;
            }
        }
    }

    /// A line without quotes, exponents, empty fields or anything unusual.
    #[inline(always)]
    fn fast_line(&mut self, buf: &[u8], mut at: usize, end: usize) -> Option<(Row, usize)> {
        let Plan { delimiter, roles, used, clock, split_time, .. } = &mut self.plan;
        let mut row = Row { volume: f64::NAN, ..Row::default() };
        let mut left = *used;
        for role in &roles[..*used] {
            at = skip_spaces(buf, at);
            at = match role {
                Role::Open => decimal(buf, at, &mut row.open)?,
                Role::High => decimal(buf, at, &mut row.high)?,
                Role::Low => decimal(buf, at, &mut row.low)?,
                Role::Close => decimal(buf, at, &mut row.close)?,
                Role::Volume => decimal(buf, at, &mut row.volume)?,
                Role::Time => {
                    let (time, next) = clock.scan(buf, at)?;
                    row.time = time;
                    next
                }
                Role::Date if clock.format == TimeFormat::Compact => return None,
                Role::Date => {
                    let (midnight, next) = clock.scan_date(buf, at)?;
                    row.time += midnight;
                    next
                }
                Role::Clock => {
                    let (of_day, next) = clock::scan_time_of_day(buf, at)?;
                    row.time += of_day;
                    next
                }
                Role::Skip => skip_field(buf, at, *delimiter)?,
            };
            at = skip_spaces(buf, at);
            left -= 1;
            if left > 0 {
                (*buf.get(at)? == *delimiter).then_some(())?;
                at += 1;
            }
        }
        if *split_time {
            row.time = clock.local_to_epoch(row.time)?;
        }
        let spare = roles.len() - *used;
        line_end(buf, at, end, *delimiter, spare).map(|next| (row, next))
    }

    fn careful_line(&mut self, line: &[u8], out: &mut Batch) {
        if line.trim_ascii().is_empty() {
            return;
        }
        match self.careful_row(line) {
            Ok(row) => out.push(&row, out.lines),
            Err(problem) => out.reject(out.lines, problem, || excerpt(line)),
        }
    }

    fn careful_row(&mut self, line: &[u8]) -> Result<Row, Problem> {
        let Plan { delimiter, roles, used, clock, split_time, .. } = &mut self.plan;
        let fields = fields(line, *delimiter);
        let trailing = usize::from(fields.last().is_some_and(|f| f.is_empty()));
        if fields.len() < *used {
            return Err(Problem::TooFewFields { found: fields.len(), needed: *used });
        }
        if fields.len() - trailing > roles.len() {
            return Err(Problem::TooManyFields { found: fields.len() - trailing, expected: roles.len() });
        }
        let mut row = Row { volume: f64::NAN, ..Row::default() };
        let (mut date, mut time_of_day) = (&b""[..], &b""[..]);
        for (role, field) in roles.iter().zip(fields) {
            match role {
                Role::Skip => {}
                Role::Time => row.time = clock.parse(field).ok_or(Problem::BadTime)?,
                Role::Date => date = field,
                Role::Clock => time_of_day = field,
                Role::Volume => row.volume = volume(field)?,
                Role::Open => row.open = price(field, Role::Open)?,
                Role::High => row.high = price(field, Role::High)?,
                Role::Low => row.low = price(field, Role::Low)?,
                Role::Close => row.close = price(field, Role::Close)?,
            }
        }
        if *split_time {
            row.time = clock.parse_pair(date, time_of_day).ok_or(Problem::BadTime)?;
        }
        row.problem().map_or(Ok(row), Err)
    }
}

#[inline(always)]
fn decimal(buf: &[u8], at: usize, slot: &mut f64) -> Option<usize> {
    let (value, next) = number::scan(buf, at)?;
    *slot = value;
    Some(next)
}

#[inline(always)]
fn skip_spaces(buf: &[u8], mut at: usize) -> usize {
    while buf.get(at) == Some(&b' ') {
        at += 1;
    }
    at
}

/// The place of the delimiter that ends a field nobody reads; none at quotes and line ends.
#[inline(always)]
fn skip_field(buf: &[u8], mut at: usize, delimiter: u8) -> Option<usize> {
    loop {
        match *buf.get(at)? {
            b if b == delimiter => return Some(at),
            b'"' | b'\n' | 0 => return None,
            _ => at += 1,
        }
    }
}

/// The start of the next line, when nothing but unread columns stands in between.
#[inline(always)]
fn line_end(buf: &[u8], at: usize, end: usize, delimiter: u8, spare: usize) -> Option<usize> {
    match buf[at] {
        b'\n' if at < end => return Some(at + 1),
        b'\r' if buf[at + 1] == b'\n' && at + 1 < end => return Some(at + 2),
        b if b == delimiter && at < end => {}
        _ => return (at >= end).then_some(end),
    }
    unread_columns(buf, at, end, delimiter, spare)
}

fn unread_columns(buf: &[u8], mut at: usize, end: usize, delimiter: u8, spare: usize) -> Option<usize> {
    let (mut found, mut blank) = (0, true);
    while at < end {
        match buf[at] {
            b'\n' => break,
            b'"' => return None,
            b if b == delimiter => {
                found += 1;
                blank = true;
            }
            b => blank &= b.is_ascii_whitespace(),
        }
        at += 1;
    }
    (found - usize::from(blank) <= spare).then_some((at + 1).min(end))
}

/// Texts that programs write where there is no value.
pub(crate) fn is_absent(field: &[u8]) -> bool {
    let absent: [&[u8]; 8] = [b"", b"nan", b"null", b"none", b"na", b"n/a", b"-", b"nat"];
    absent.iter().any(|a| field.eq_ignore_ascii_case(a))
}

/// A price from a text.
pub(crate) fn price(field: &[u8], role: Role) -> Result<f64, Problem> {
    match number::parse(field) {
        Some(value) => Ok(value),
        None if is_absent(field) => Err(Problem::NoValue(role)),
        None => Err(Problem::BadNumber(role)),
    }
}

/// A volume from a text; NaN when it says there is none.
pub(crate) fn volume(field: &[u8]) -> Result<f64, Problem> {
    match number::parse(field) {
        Some(value) => Ok(value),
        None if is_absent(field) => Ok(f64::NAN),
        None => Err(Problem::BadNumber(Role::Volume)),
    }
}
