//! Lines to rows: a fast reading of the usual shape, a careful one of everything else. Both give the same.

use super::{
    clock::{self, Clock, TimeFormat},
    dialect::{Plan, fields},
    marks::Marks,
    number,
};
use crate::{
    collect::{Batch, Block, Problem, Row},
    header::Role,
    report::excerpt,
};

/// Reads whole lines by a plan. One per thread.
pub(super) struct Scanner {
    plan: Plan,
    marks: Marks,
    steps: Vec<Step>,
}

/// What is done with a column that is used, or lies before one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Skip,
    Time,
    Date,
    Clock,
    /// A number, kept at this place: open, high, low, close, volume.
    Number(u8),
}

impl Step {
    fn of(role: Role) -> Self {
        match role {
            Role::Skip => Self::Skip,
            Role::Time => Self::Time,
            Role::Date => Self::Date,
            Role::Clock => Self::Clock,
            Role::Open => Self::Number(0),
            Role::High => Self::Number(1),
            Role::Low => Self::Number(2),
            Role::Close => Self::Number(3),
            Role::Volume => Self::Number(4),
        }
    }
}

impl Scanner {
    pub(super) fn new(plan: &Plan) -> Self {
        let steps = plan.roles[..plan.used].iter().map(|role| Step::of(*role)).collect();
        Self { plan: plan.clone(), marks: Marks::default(), steps }
    }

    /// Reads the lines in `buf[at..end]`; [`number::PADDING`] zero bytes must follow the end.
    pub(super) fn scan(&mut self, buf: &[u8], at: usize, end: usize, out: &mut Batch) {
        let mut marks = std::mem::take(&mut self.marks);
        marks.find(buf, at, end, self.plan.delimiter);
        out.reserve(marks.ends().len());
        #[cfg(target_arch = "x86_64")]
        if super::wide::is_there() {
            super::wide::scan_lines(self, &marks, buf, at, end, out);
            self.marks = marks;
            return;
        }
        self.scan_lines(&marks, buf, at, end, out);
        self.marks = marks;
    }

    /// Reads the lines between the marks.
    #[inline(always)]
    pub(super) fn scan_lines(
        &mut self,
        marks: &Marks,
        buf: &[u8],
        mut at: usize,
        end: usize,
        out: &mut Batch,
    ) {
        let (mut delimiters, mut quotes) = (marks.delimiters(), marks.quotes());
        let mut block = Block::default();
        // Delimiters of the line before: most lines have equally many.
        let mut usual = 0;
        for close in marks.ends() {
            out.lines += 1;
            if !has_before(delimiters, usual, *close) {
                usual = delimiters.iter().take_while(|d| **d < *close).count();
            }
            let (inside, behind) = delimiters.split_at(usual);
            delimiters = behind;
            let unquoted = quotes.first().is_none_or(|q| *q > *close);
            let row = if unquoted { self.fast_row(buf, at, *close as usize, inside) } else { None };
            match row.filter(Row::is_possible) {
                Some(row) => {
                    if block.push(&row) {
                        out.push_block(&mut block);
                    }
                }
                None => {
                    out.push_block_before(&mut block);
                    quotes = &quotes[quotes.iter().take_while(|q| **q < *close).count()..];
                    self.careful_line(&buf[at..end.min(*close as usize + 1)], out);
                }
            }
            at = *close as usize + 1;
        }
        out.push_block(&mut block);
    }

    /// A line without quotes, exponents, empty fields or anything unusual, from its start to its end, divided at
    /// `delimiters`.
    #[inline(always)]
    fn fast_row(&mut self, buf: &[u8], mut start: usize, end: usize, delimiters: &[u32]) -> Option<Row> {
        let Self { plan: Plan { roles, clock, split_time, .. }, steps, .. } = self;
        if delimiters.len() + 1 < steps.len() {
            return None;
        }
        let mut time = 0;
        let mut numbers = [0.0, 0.0, 0.0, 0.0, f64::NAN, 0.0, 0.0, 0.0];
        let line_end = end - usize::from(end > start && buf[end - 1] == b'\r');
        for (i, step) in steps.iter().enumerate() {
            let stop = delimiters.get(i).map_or(line_end, |d| *d as usize);
            let from = start + usize::from(buf[start] == b' ');
            if let Step::Number(place) = step {
                let value = number::field(buf, from, stop).or_else(|| number_in_blanks(buf, start, stop));
                numbers[usize::from(place & 7)] = value?;
            } else {
                time += other_field(*step, clock, buf, start, stop)?;
            }
            start = stop + 1;
        }
        if *split_time {
            time = clock.local_to_epoch(time)?;
        }
        if delimiters.len() >= roles.len() {
            let last = delimiters[delimiters.len() - 1] as usize + 1;
            let blank = buf[last..end].iter().all(u8::is_ascii_whitespace);
            if !blank || delimiters.len() > roles.len() {
                return None;
            }
        }
        let [open, high, low, close, volume, ..] = numbers;
        Some(Row { time, open, high, low, close, volume })
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

/// What a field that is no number adds to the row's time.
#[inline]
fn other_field(step: Step, clock: &mut Clock, buf: &[u8], start: usize, stop: usize) -> Option<i64> {
    let (from, to) = without_blanks(buf, start, stop);
    let (time, end) = match step {
        Step::Time => clock.scan(buf, from)?,
        Step::Date if clock.format == TimeFormat::Compact => return None,
        Step::Date => clock.scan_date(buf, from)?,
        Step::Clock => clock::scan_time_of_day(buf, from)?,
        Step::Skip | Step::Number(_) => return Some(0),
    };
    (end == to).then_some(time)
}

/// A number with more blanks around it than one space before.
#[cold]
fn number_in_blanks(buf: &[u8], start: usize, stop: usize) -> Option<f64> {
    let (from, to) = without_blanks(buf, start, stop);
    number::field(buf, from, to)
}

/// True when exactly `count` of the places come before `end`.
#[inline(always)]
fn has_before(places: &[u32], count: usize, end: u32) -> bool {
    let next_is_behind = places.get(count).is_none_or(|p| *p > end);
    next_is_behind && (count == 0 || places.get(count - 1).is_some_and(|p| *p < end))
}

/// A field without the spaces around it and the carriage return that may stand behind a line's last one.
#[inline(always)]
fn without_blanks(buf: &[u8], mut start: usize, mut stop: usize) -> (usize, usize) {
    while start < stop && buf[start] == b' ' {
        start += 1;
    }
    while stop > start && matches!(buf[stop - 1], b' ' | b'\r') {
        stop -= 1;
    }
    (start, stop)
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

#[cfg(test)]
mod tests {
    use super::super::dialect;
    use super::*;
    use crate::report::ImportOptions;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use std::path::Path;

    const HEAD: &str = "time,open,high,low,close,volume,note\n2024-01-01 00:00:00,1,2,0.5,1.5,10,a\n\
                        2024-01-01 01:00:00,1,2,0.5,1.5,10,a\n2024-01-01 02:00:00,1,2,0.5,1.5,10,a\n";

    fn plan(head: &str) -> Plan {
        dialect::sniff(
            Path::new("A_1h.csv"),
            head.as_bytes(),
            true,
            &TimeZone::UTC,
            &ImportOptions::default(),
        )
        .unwrap()
    }

    /// Every bit of what a text holds, read line by line with care.
    fn with_care(plan: &Plan, text: &[u8]) -> String {
        let (mut scanner, mut out) = (Scanner::new(plan), Batch::default());
        for line in text.split_inclusive(|b| *b == b'\n') {
            out.lines += 1;
            scanner.careful_line(line, &mut out);
        }
        format!("{out:?}")
    }

    fn at_once(plan: &Plan, text: &[u8], before: usize) -> String {
        let (mut scanner, mut out) = (Scanner::new(plan), Batch::default());
        let buf = [&vec![b'7'; before], text, &[0; number::PADDING]].concat();
        scanner.scan(&buf, before, before + text.len(), &mut out);
        format!("{out:?}")
    }

    fn times() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "2024-0[1-9]-[0-2][0-9] [012][0-9]:[0-6][0-9]:[0-6][0-9]",
            2 => "2024-0[1-9]-[0-2][0-9][T ][012][0-9]:[0-6][0-9]",
            1 => "2024-0[1-9]-[0-2][0-9]",
            1 => "2024-01-01 1[0-9]:00:00(Z|\\.5|\\+01:00| AM|:|0|,)",
            1 => "[0-9: -]{0,20}",
        ]
    }

    fn numbers() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => "[1-9][0-9]{0,5}\\.[0-9]{1,8}",
            2 => "[0-9]{0,18}\\.?[0-9]{0,4}",
            1 => "-?[0-9.]{0,5}(e[0-9])?",
            1 => "\"[0-9.]{1,4}\"",
            1 => "(nan|null|[0-9]+x|\\+1|1_0|é)",
        ]
    }

    fn lines() -> impl Strategy<Value = String> {
        let blank = || prop::sample::select(vec!["", "", "", " ", "  ", "\t"]);
        let field = |text: BoxedStrategy<String>| {
            (blank(), text, blank()).prop_map(|(a, text, b)| format!("{a}{text}{b}")).boxed()
        };
        let row = (field(times().boxed()), proptest::collection::vec(field(numbers().boxed()), 4..8));
        let rest = prop::sample::select(vec!["", ",", ",,", ",\"a,b\"", ",\"", ",x", ", ", "\r", ",\r"]);
        (row, rest, prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\n\n"]))
            .prop_map(|((time, numbers), rest, end)| format!("{time},{}{rest}{end}", numbers.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn the_fast_reading_equals_the_careful_one(
            lines in proptest::collection::vec(lines(), 1..12), cut in 0usize..3, before in 0usize..20,
            broken in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let plan = plan(HEAD);
            let mut text = lines.concat().into_bytes();
            text.truncate(text.len() - cut);
            if let Some((place, byte)) = broken.filter(|_| !text.is_empty()) {
                let at = place.index(text.len());
                text[at] = byte;
            }
            prop_assert_eq!(at_once(&plan, &text, before), with_care(&plan, &text), "{:?}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn usual_rows_take_the_fast_way() {
        for text in [
            "2024-01-01 00:15:00, 16531.83, 16532.69, 16509.11, 16510.82, 231.05338022,\n",
            "2024-01-01T00:15,1,2,0.5,1.25,10,\"x\n",
            "2024-01-01,1.5,2.5,0.5,1.25,10.25,x\r\n",
            "2024-01-01 00:15:00Z,0.00012345,0.00012346,0.00012344,0.00012345,123456789.5",
        ] {
            let mut scanner = Scanner::new(&plan(HEAD));
            let buf = [&[b'\n'; 16], text.as_bytes(), &[0; number::PADDING]].concat();
            let mut marks = Marks::default();
            marks.find(&buf, 16, 16 + text.len(), b',');
            let (line, end) = (marks.delimiters(), marks.ends()[0] as usize);
            let found = scanner.fast_row(&buf, 16, end, line).filter(|_| marks.quotes().is_empty());
            let quoted = text.contains('"');
            assert_eq!(found.is_none(), quoted, "{text}");
        }
    }
}
