//! How a text file is written, found from its first lines.

use super::clock::{self, Clock, NoFormat, TimeFormat};
use crate::{
    header::{self, Role},
    report::{Dialect, ImportError, ImportOptions},
};
use jiff::tz::TimeZone;
use std::path::Path;

/// Bytes looked at.
pub(super) const SNIFF_BYTES: usize = 256 << 10;
/// Data lines looked at.
const SNIFF_LINES: usize = 400;
const DELIMITERS: [u8; 4] = *b",;\t|";

/// How to read every line of a file.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub delimiter: u8,
    /// Of each column.
    pub roles: Vec<Role>,
    /// Columns up to the last one used.
    pub used: usize,
    /// Date and time of day stand in two columns.
    pub split_time: bool,
    pub clock: Clock,
    /// Byte where the first data line begins, and lines before it.
    pub data_start: u64,
    pub lines_before: u64,
    /// Names for messages and the report.
    pub names: Vec<String>,
    pub header_line: Option<u64>,
    pub notes: Vec<String>,
}

impl Plan {
    pub(super) fn dialect(&self) -> Dialect {
        let time_format = match self.clock.format {
            TimeFormat::Epoch(unit) => unit.name().to_owned(),
            TimeFormat::Compact => "YYYYMMDD".to_owned(),
            TimeFormat::Civil(order) => format!("date {order:?}").to_lowercase(),
        };
        Dialect { delimiter: self.delimiter as char, header_line: self.header_line, time_format }
    }
}

/// Fields of a line: quotes taken off, blanks around dropped. A quote opens a field only at its start.
pub(super) fn fields(line: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let mut out = Vec::with_capacity(16);
    let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
    rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    loop {
        let (field, tail) = next_field(rest, delimiter);
        out.push(field);
        match tail {
            Some(tail) => rest = tail,
            None => return out,
        }
    }
}

/// The first field and what stands behind its delimiter.
fn next_field(text: &[u8], delimiter: u8) -> (&[u8], Option<&[u8]>) {
    let blank = |b: &u8| *b == b' ' || *b == b'\t' && delimiter != b'\t';
    let lead = text.iter().take_while(|b| blank(b)).count();
    if text.get(lead) == Some(&b'"') {
        let inner = &text[lead + 1..];
        if let Some(close) = closing_quote(inner) {
            let after = &inner[close + 1..];
            let gap = after.iter().take_while(|b| blank(b)).count();
            match after.get(gap) {
                None => return (clock::trim(&inner[..close]), None),
                Some(b) if *b == delimiter => return (clock::trim(&inner[..close]), Some(&after[gap + 1..])),
                Some(_) => {}
            }
        }
    }
    match text.iter().position(|b| *b == delimiter) {
        Some(end) => (clock::trim(&text[..end]), Some(&text[end + 1..])),
        None => (clock::trim(text), None),
    }
}

/// Where a quoted field ends; doubled quotes belong to it.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text[at..].iter().position(|b| *b == b'"')?;
        if text.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// Fields without the empty one behind a trailing delimiter.
fn trimmed_count(fields: &[&[u8]]) -> usize {
    fields.len() - usize::from(fields.last().is_some_and(|f| f.is_empty()) && fields.len() > 1)
}

struct Line<'a> {
    start: usize,
    number: u64,
    text: &'a [u8],
}

/// The whole lines of the head that are not blank. The last line counts only when the file ends with it.
fn lines(head: &[u8], whole: bool) -> Vec<Line<'_>> {
    let mut out = Vec::new();
    let (mut start, mut number) = (0, 1);
    for text in head.split_inclusive(|b| *b == b'\n') {
        let complete = whole || text.ends_with(b"\n");
        if complete && !clock::trim(text).is_empty() {
            out.push(Line { start, number, text });
        }
        start += text.len();
        number += 1;
    }
    out
}

fn refuse(path: &Path, problem: impl Into<String>, hint: impl Into<String>) -> ImportError {
    ImportError::Columns { path: path.to_owned(), problem: problem.into(), hint: hint.into() }
}

/// Finds how a file is written. `head` is its beginning, all of it when `whole`.
pub(super) fn sniff(
    path: &Path,
    head: &[u8],
    whole: bool,
    zone: &TimeZone,
    options: &ImportOptions,
) -> Result<Plan, ImportError> {
    let bom = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    check_encoding(path, head)?;
    let all = lines(&head[bom..], whole);
    if all.is_empty() && !whole {
        return Err(refuse(
            path,
            format!("no line ends within {SNIFF_BYTES} bytes"),
            "this is no table of bars",
        ));
    }
    if all.is_empty() {
        return Err(ImportError::Empty { path: path.to_owned(), hint: "the file is blank".into() });
    }
    let (delimiter, first) = find_table(path, &all)?;
    let mut notes = Vec::new();
    if first > 0 {
        notes.push(format!("{first} lines before the table were skipped"));
    }
    let names: Vec<String> =
        fields(all[first].text, delimiter).iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect();
    let is_header = looks_like_header(&names);
    let data = &all[(first + usize::from(is_header)).min(all.len())..];
    let sample: Vec<Vec<&[u8]>> = data.iter().take(SNIFF_LINES).map(|l| fields(l.text, delimiter)).collect();
    if sample.is_empty() {
        return Err(ImportError::Empty {
            path: path.to_owned(),
            hint: "there is nothing below the header".into(),
        });
    }
    check_decimal_comma(path, delimiter, &names, is_header, &sample)?;
    let (roles, names) = if is_header {
        (named_roles(path, &names, &sample)?, names)
    } else {
        positional_roles(path, &sample)?
    };
    let format = time_format(path, &roles, &sample, options)?;
    if !roles.contains(&Role::Volume) {
        notes.push("there is no volume column: volumes are unknown (NaN)".into());
    }
    let used = roles.iter().rposition(|r| *r != Role::Skip).map_or(0, |i| i + 1);
    Ok(Plan {
        delimiter,
        used,
        split_time: roles.contains(&Role::Date),
        clock: Clock::new(format, zone),
        data_start: (bom + data[0].start) as u64,
        lines_before: data[0].number - 1,
        header_line: is_header.then(|| all[first].number),
        names,
        roles,
        notes,
    })
}

fn check_encoding(path: &Path, head: &[u8]) -> Result<(), ImportError> {
    // A single NUL is a bad row, to be named by its line; text of two bytes a letter is half NULs.
    let start = &head[..head.len().min(512)];
    let nuls = start.iter().filter(|b| **b == 0).count();
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || nuls * 8 > start.len() {
        return Err(refuse(path, "this is UTF-16 or binary data, not text", "save it as UTF-8 text"));
    }
    let line_ends = head.contains(&b'\n');
    if !line_ends && head.iter().filter(|b| **b == b'\r').count() > 1 {
        return Err(refuse(
            path,
            "lines end with a lone carriage return",
            "save it with LF or CRLF line ends",
        ));
    }
    Ok(())
}

/// The delimiter and the first line of the table: the first whose field count the next lines share.
fn find_table(path: &Path, all: &[Line<'_>]) -> Result<(u8, usize), ImportError> {
    let count = |line: &Line<'_>, d: u8| trimmed_count(&fields(line.text, d));
    for first in 0..all.len().min(20) {
        let rows = &all[first..all.len().min(first + 12)];
        let score = |d: u8| {
            let columns = count(&rows[0], d);
            let same = rows.iter().filter(|r| count(r, d) == columns).count();
            let wide = rows[1..].iter().filter(|r| count(r, d) >= 5).count();
            (columns >= 5 && (same * 2 >= rows.len() || wide * 2 > rows.len())).then_some((same, columns))
        };
        let best = DELIMITERS.iter().filter_map(|d| Some((score(*d)?, *d))).max_by_key(|(score, _)| *score);
        if let Some((_, delimiter)) = best {
            return Ok((delimiter, first));
        }
    }
    let line = crate::report::excerpt(all[0].text);
    Err(refuse(
        path,
        format!("no table of five or more columns found; line {} reads `{line}`", all[0].number),
        "give time, open, high, low, close and volume, separated by `,`, `;`, tab or `|`; a file of single trades is \
         summed up with --trades 1m",
    ))
}

fn looks_like_header(names: &[String]) -> bool {
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    header::price_count(&header::assign(&texts)) >= 2
        || names.iter().all(|n| super::number::parse(n.as_bytes()).is_none())
            && names.iter().filter(|n| n.bytes().any(|b| b.is_ascii_alphabetic())).count() >= 4
}

fn named_roles(path: &Path, names: &[String], sample: &[Vec<&[u8]>]) -> Result<Vec<Role>, ImportError> {
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut roles = header::assign(&texts);
    if let Some((date, time)) = header::date_and_clock(&texts) {
        let clocks = sample.iter().filter(|r| r.get(time).is_some_and(|f| clock::is_time_of_day(f))).count();
        // `HHMMSS` alone could be a number; the date beside it settles it.
        if clocks * 10 >= sample.len() * 8 {
            roles.iter_mut().filter(|r| **r == Role::Time).for_each(|r| *r = Role::Skip);
            (roles[date], roles[time]) = (Role::Date, Role::Clock);
        }
    }
    if !roles.contains(&Role::Date) {
        roles.iter_mut().filter(|r| **r == Role::Clock).for_each(|r| *r = Role::Skip);
    }
    match header::missing(&roles) {
        None => Ok(roles),
        Some(missing) => {
            // `price` alone: single trades, or closes without their bars.
            let hint = match header::price_count(&roles) {
                0 | 1 => {
                    "name the columns time, open, high, low, close, volume; a file of single trades is summed up with --trades 1m"
                }
                _ => "name the columns time, open, high, low, close, volume",
            };
            Err(refuse(path, format!("no column for {missing} among `{}`", texts.join("`, `")), hint))
        }
    }
}

fn positional_roles(path: &Path, sample: &[Vec<&[u8]>]) -> Result<(Vec<Role>, Vec<String>), ImportError> {
    let columns = trimmed_count(&sample[0]);
    let split = sample[0].get(1).is_some_and(|f| f.contains(&b':') && clock::is_time_of_day(f));
    let order = [Role::Open, Role::High, Role::Low, Role::Close, Role::Volume];
    let lead: &[Role] = if split { &[Role::Date, Role::Clock] } else { &[Role::Time] };
    let mut roles: Vec<Role> = lead.iter().chain(&order).copied().take(columns).collect();
    roles.resize(columns, Role::Skip);
    if let Some(missing) = header::missing(&roles) {
        return Err(refuse(
            path,
            format!("there is no header, and {columns} columns leave none for {missing}"),
            "give time, open, high, low, close, volume in this order, or a header",
        ));
    }
    let names = (1..=columns).map(|i| format!("column {i}")).collect();
    Ok((roles, names))
}

/// `1,5;1,6` or a header of six names over rows of eleven fields.
fn check_decimal_comma(
    path: &Path,
    delimiter: u8,
    names: &[String],
    is_header: bool,
    sample: &[Vec<&[u8]>],
) -> Result<(), ImportError> {
    let comma_number = |f: &&[u8]| {
        let mut parts = f.split(|b| *b == b',');
        let digits = |p: Option<&[u8]>| p.is_some_and(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit));
        digits(parts.next()) && digits(parts.next()) && parts.next().is_none()
    };
    let in_fields = sample.iter().filter(|row| row.iter().filter(|f| comma_number(f)).count() >= 3).count();
    let split = delimiter == b','
        && is_header
        && sample.iter().filter(|r| trimmed_count(r) >= names.len().max(5) + 4).count() * 2 > sample.len();
    if in_fields * 2 > sample.len() || split {
        return Err(refuse(
            path,
            "numbers are written with a decimal comma",
            "write them with a decimal point (in a spreadsheet: export with an English locale)",
        ));
    }
    Ok(())
}

fn time_format(
    path: &Path,
    roles: &[Role],
    sample: &[Vec<&[u8]>],
    options: &ImportOptions,
) -> Result<TimeFormat, ImportError> {
    let column = roles.iter().position(|r| matches!(r, Role::Time | Role::Date)).unwrap_or(0);
    let texts: Vec<&[u8]> = sample.iter().filter_map(|r| r.get(column).copied()).collect();
    clock::sniff(&texts, options.date_order).map_err(|why| {
        let named = match why {
            NoFormat::AmbiguousOrder => texts.first().copied(),
            NoFormat::Unknown => clock::culprit(&texts),
        };
        let first = named.map_or(String::new(), crate::report::excerpt);
        match why {
            NoFormat::AmbiguousOrder => refuse(
                path,
                format!("`{first}` does not tell the day from the month"),
                "pass --date-order dmy or --date-order mdy",
            ),
            NoFormat::Unknown => refuse(
                path,
                format!("`{first}` is no time that is understood"),
                "write 2024-01-31 15:04:05, with T and an offset if you like, or a number counted from 1970",
            ),
        }
    })
}
