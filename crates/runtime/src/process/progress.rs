//! What a child tells about itself: lines on a descriptor of its own, each one JSON object.
//!
//! `{"done": 3, "total": 12, "note": "EURUSD"}` says how far it is; `total` and `note` may be missing. Any
//! other object is an event, handed on as it is. A line that is no object, or too long, is counted and the
//! first of them kept, so that a mistake on the child's side is seen.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::VecDeque;

/// How far a child is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: f64,
    /// Units in all, when known.
    #[serde(default)]
    pub total: Option<f64>,
    /// What it is at.
    #[serde(default)]
    pub note: Option<String>,
}

/// What came over a progress channel, in sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressReport {
    /// The last progress told.
    pub last: Option<Progress>,
    /// Well-formed lines.
    pub lines: u64,
    /// Lines that were no JSON object, or too long.
    pub malformed: u64,
    /// The start of the first malformed line.
    pub first_malformed: Option<String>,
    /// Events dropped because nobody fetched them in time.
    pub events_dropped: u64,
}

// Numbers come from JSON and are never NaN.
impl Eq for ProgressReport {}

/// Splits bytes into lines and reads them.
#[derive(Debug)]
pub(crate) struct Decoder {
    line: Vec<u8>,
    line_bytes_max: usize,
    /// The current line is too long: skip to its end.
    skipping: bool,
    events_max: usize,
    pub(crate) events: VecDeque<Map<String, Value>>,
    pub(crate) report: ProgressReport,
}

impl Decoder {
    pub(crate) fn new(line_bytes_max: usize, events_max: usize) -> Self {
        Self {
            line: Vec::new(),
            line_bytes_max,
            skipping: false,
            events_max: events_max.max(1),
            events: VecDeque::new(),
            report: ProgressReport::default(),
        }
    }

    /// Takes what was read.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// The channel ended; a last line without its newline counts.
    pub(crate) fn finish(&mut self) {
        if !self.line.is_empty() || self.skipping {
            self.end_line();
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = self.line_bytes_max - self.line.len();
        self.skipping |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let skipped = std::mem::take(&mut self.skipping);
        if line.is_empty() && !skipped {
            return;
        }
        match serde_json::from_slice::<Map<String, Value>>(&line) {
            Ok(object) if !skipped => self.take(object),
            _ => self.refuse(&line),
        }
        self.line = line;
        self.line.clear();
    }

    fn take(&mut self, object: Map<String, Value>) {
        self.report.lines += 1;
        if object.contains_key("done") {
            match serde_json::from_value(Value::Object(object.clone())) {
                Ok(progress) => self.report.last = Some(progress),
                Err(_) => {
                    self.report.lines -= 1;
                    self.refuse(Value::Object(object).to_string().as_bytes());
                }
            }
            return;
        }
        if self.events.len() >= self.events_max {
            self.events.pop_front();
            self.report.events_dropped += 1;
        }
        self.events.push_back(object);
    }

    fn refuse(&mut self, line: &[u8]) {
        self.report.malformed += 1;
        if self.report.first_malformed.is_none() {
            let text: String = String::from_utf8_lossy(line).chars().take(200).collect();
            self.report.first_malformed = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_progress_and_events_and_counts_the_rest() {
        let mut decoder = Decoder::new(64, 2);
        decoder.push(
            b"{\"done\":1}\n\n{\"done\":2,\"total\":4,\"note\":\"x\"}\nnot json\n[1]\n{\"done\":\"no\"}\n",
        );
        for n in 0..3 {
            decoder.push(format!("{{\"n\":{n}}}\n").as_bytes());
        }
        decoder.push(&[b'a'; 100]);
        decoder.push(b"\n{\"end\":true}");
        decoder.finish();
        let report = &decoder.report;
        assert_eq!(report.last, Some(Progress { done: 2.0, total: Some(4.0), note: Some("x".into()) }));
        assert_eq!((report.lines, report.malformed, report.events_dropped), (6, 4, 2));
        assert_eq!(report.first_malformed.as_deref(), Some("not json"));
        assert_eq!(decoder.events.len(), 2);
        assert!(decoder.events[1].contains_key("end"));
    }

    proptest! {
        /// However the bytes are cut into reads, the same comes out; memory stays bounded.
        #[test]
        fn cuts_do_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), Just(b'}'), any::<u8>()], 0..300),
            cuts in proptest::collection::vec(0_usize..300, 0..10),
        ) {
            let mut whole = Decoder::new(20, 3);
            whole.push(&text);
            whole.finish();
            let mut parts = Decoder::new(20, 3);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let mut at = 0;
            for cut in cuts {
                parts.push(&text[at..cut]);
                prop_assert!(parts.line.len() <= 20);
                at = cut;
            }
            parts.finish();
            prop_assert_eq!(whole.report, parts.report);
            prop_assert_eq!(whole.events, parts.events);
        }
    }
}
