//! What a script printed, up to a bound: its first and its last lines.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const HEAD_BYTES: usize = 16 << 10;
const TAIL_BYTES: usize = 48 << 10;

/// Collects a stream: its beginning and its end are kept, what is between is counted.
#[derive(Debug, Default)]
pub struct Bounded {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Bounded {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        let room = (HEAD_BYTES - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        bytes = &bytes[room..];
        let skip = bytes.len().saturating_sub(TAIL_BYTES);
        self.dropped += skip as u64;
        self.tail.extend(&bytes[skip..]);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.dropped += over as u64;
        self.tail.drain(..over);
    }

    /// Text, with a line where something is left out.
    pub fn text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.dropped > 0 {
            bytes.extend(format!("\n[{} bytes left out]\n", self.dropped).as_bytes());
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What a script wrote to its two streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Log {
    /// The last lines of both, standard error last.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let lines = |text: &str| -> Vec<String> {
            let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            all[all.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
        };
        let mut out = lines(&self.stdout);
        out.extend(lines(&self.stderr));
        out.split_off(out.len().saturating_sub(count))
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut all = Bounded::default();
        all.push(b"first\n");
        for i in 0..20_000 {
            all.push(format!("line {i}\n").as_bytes());
        }
        let text = all.text();
        assert!(text.starts_with("first\nline 0\n") && text.ends_with("line 19999\n"));
        assert!(text.len() < HEAD_BYTES + TAIL_BYTES + 64 && text.contains("bytes left out"));
        let mut small = Bounded::default();
        small.push(b"a");
        small.push(b"b");
        assert_eq!(small.text(), "ab");
        let mut large = Bounded::default();
        large.push(&vec![b'x'; 1 << 20]);
        assert!(large.text().len() < HEAD_BYTES + TAIL_BYTES + 64);
    }

    #[test]
    fn last_lines_end_with_the_errors() {
        let log = Log { stdout: "a\nb\n\n".into(), stderr: "c\n".into() };
        assert_eq!(log.last_lines(2), ["b", "c"]);
    }
}
