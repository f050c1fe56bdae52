//! Compressed messages (permessage-deflate, RFC 7692): what is agreed on, and how frames are unpacked.
//!
//! The frames' library knows no extensions. What comes is therefore unpacked before it: [`Unpacker`] is a pure state
//! machine from the server's bytes to the bytes of the same frames without compression. It changes nothing but
//! compressed messages; whatever else is wrong with a frame is left for the library to find.

use flate2::{Decompress, FlushDecompress, Status};
use std::io::{Error, ErrorKind};

/// What is offered to servers. The window for what we send may be limited, since nothing is sent compressed.
pub(super) const OFFER: &str = "permessage-deflate; client_max_window_bits";
/// What a sender leaves away at the end of each message (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Longest head of a frame that a server may send: a mask is the client's.
const HEAD_MAX: usize = 10;
/// Least room for what is unpacked at a time.
const ROOM_MIN: usize = 4 << 10;
/// Unpacking pauses when so much waits to be taken away.
const OUT_ENOUGH: usize = 64 << 10;

/// What the server agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Each message is compressed by itself.
    alone: bool,
}

impl Agreed {
    /// Reads the answer's `Sec-WebSocket-Extensions`; none where it uses none.
    pub(super) fn parse(value: &str) -> Result<Option<Self>, String> {
        let mut extensions = value.split(',').map(str::trim).filter(|one| !one.is_empty());
        let Some(extension) = extensions.next() else { return Ok(None) };
        if let Some(second) = extensions.next() {
            return Err(format!(
                "the server uses `{second}` besides `{extension}`: one extension was offered"
            ));
        }
        let mut parts = extension.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        if !name.eq_ignore_ascii_case("permessage-deflate") {
            return Err(format!("the server uses the extension `{name}`, which was not offered"));
        }
        let mut seen = Vec::new();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim_start().trim_matches('"'))),
                None => (part, None),
            };
            let name = name.to_ascii_lowercase();
            let right = match name.as_str() {
                "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
                "server_max_window_bits" | "client_max_window_bits" => value.is_some_and(is_window),
                _ => false,
            };
            if !right || seen.contains(&name) {
                return Err(format!("the server's `{part}` is no parameter of permessage-deflate"));
            }
            seen.push(name);
        }
        Ok(Some(Self { alone: seen.iter().any(|name| name == "server_no_context_takeover") }))
    }
}

/// 8 to 15, as it is written.
fn is_window(value: &str) -> bool {
    !value.starts_with('0') && value.parse::<u8>().is_ok_and(|bits| (8..=15).contains(&bits))
}

/// A compressed message that cannot be taken. It reaches [`super::WsError`] inside an error of the transport.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("a message of more than {limit} bytes once unpacked")]
    TooLarge { bytes: usize, limit: usize },
    #[error("a message cannot be unpacked: {0}")]
    Broken(String),
}

impl From<Unusable> for Error {
    fn from(unusable: Unusable) -> Self {
        Self::new(ErrorKind::InvalidData, unusable)
    }
}

/// Takes the server's frames apart and unpacks compressed messages.
pub(super) struct Unpacker {
    stream: Decompress,
    alone: bool,
    message_max: usize,
    part: Part,
    /// The message under way is compressed.
    packed: bool,
    /// Bytes of the message under way that were unpacked in earlier frames.
    before: usize,
    /// What was unpacked of the frame under way.
    unpacked: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Part {
    Head,
    /// A payload that is handed on as it is.
    Plain {
        left: u64,
    },
    /// A payload to unpack; `first` is the frame's first byte as it is handed on.
    Packed {
        left: u64,
        first: u8,
    },
}

/// A frame's head, as far as it matters here.
struct Head {
    first: u8,
    masked: bool,
    length: u64,
    /// Its own length.
    bytes: usize,
}

impl Head {
    const FINAL: u8 = 0x80;
    const PACKED: u8 = 0x40;
    const RESERVED: u8 = 0x70;
    const CONTROL: u8 = 0x08;
    const OPCODE: u8 = 0x0f;

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (length, end) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes[2..].first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        Some(Self { first, masked: second & 0x80 != 0, length, bytes: end })
    }

    /// An unmasked head of a payload this long.
    fn write(first: u8, length: usize, out: &mut Vec<u8>) {
        out.push(first);
        match length {
            0..126 => out.push(length as u8),
            126..0x1_0000 => {
                out.push(126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                out.push(127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
    }
}

impl Unpacker {
    pub(super) fn new(agreed: Agreed, message_max: usize) -> Self {
        Self {
            stream: Decompress::new(false),
            alone: agreed.alone,
            message_max,
            part: Part::Head,
            packed: false,
            before: 0,
            unpacked: Vec::new(),
        }
    }

    /// Takes bytes from `input` and adds those of plain frames to `out`; returns how many it took. It leaves what it
    /// cannot use yet, and what would make `out` long: both are to be shown again once `out` was taken away, with what
    /// follows them.
    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Unusable> {
        let mut rest = input;
        // A piece may unpack to a thousand times its size.
        while out.len() < OUT_ENOUGH {
            match &mut self.part {
                Part::Head => {
                    let Some(head) = Head::parse(&rest[..rest.len().min(HEAD_MAX)]) else { break };
                    let (bytes, after) = rest.split_at(head.bytes);
                    rest = after;
                    self.head(&head, bytes, out)?;
                }
                Part::Plain { left: 0 } => self.part = Part::Head,
                Part::Plain { left } => {
                    out.extend_from_slice(take(&mut rest, left));
                    if *left > 0 {
                        break;
                    }
                }
                Part::Packed { left: 0, first } => {
                    let first = *first;
                    self.end_frame(first, out)?;
                    self.part = Part::Head;
                }
                Part::Packed { left, .. } => {
                    let (bytes, more) = (take(&mut rest, left), *left > 0);
                    self.unpack(bytes)?;
                    if more {
                        break;
                    }
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    fn head(&mut self, head: &Head, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unusable> {
        let data = head.first & Head::CONTROL == 0;
        let begins = data && head.first & Head::OPCODE != 0;
        let marked = head.first & Head::RESERVED == Head::PACKED;
        if begins {
            // The mark stands on a message's first frame only.
            self.packed = marked;
            self.before = 0;
        }
        let packed = data && self.packed && if begins { marked } else { head.first & Head::RESERVED == 0 };
        self.part = if head.masked {
            // No frame of a server: from here on the library is to see the bytes as they are.
            out.extend_from_slice(bytes);
            Part::Plain { left: u64::MAX }
        } else if packed {
            Part::Packed { left: head.length, first: head.first & !Head::PACKED }
        } else {
            out.extend_from_slice(bytes);
            Part::Plain { left: head.length }
        };
        Ok(())
    }

    /// A frame's payload is complete: hands it on, with its head.
    fn end_frame(&mut self, first: u8, out: &mut Vec<u8>) -> Result<(), Unusable> {
        let last = first & Head::FINAL != 0;
        if last {
            self.unpack(&TAIL)?;
            if self.alone {
                self.stream.reset(false);
            }
        }
        Head::write(first, self.unpacked.len(), out);
        out.extend_from_slice(&self.unpacked);
        self.before = if last { 0 } else { self.before + self.unpacked.len() };
        self.unpacked.clear();
        Ok(())
    }

    /// Unpacks some bytes; never more than the largest message and a little.
    fn unpack(&mut self, mut bytes: &[u8]) -> Result<(), Unusable> {
        loop {
            if self.unpacked.capacity() - self.unpacked.len() < ROOM_MIN {
                // Twice as much, but little more than is allowed.
                let left = self.message_max - self.before - self.unpacked.len();
                let more = self.unpacked.len().max(2 * bytes.len()).min(left) + ROOM_MIN;
                self.unpacked.reserve_exact(more);
            }
            let (taken, made) = (self.stream.total_in(), self.unpacked.len());
            let status = self.stream.decompress_vec(bytes, &mut self.unpacked, FlushDecompress::Sync);
            let status = status.map_err(|error| Unusable::Broken(error.to_string()))?;
            let taken = (self.stream.total_in() - taken) as usize;
            bytes = &bytes[taken..];
            let size = self.before + self.unpacked.len();
            if size > self.message_max {
                return Err(Unusable::TooLarge { bytes: size, limit: self.message_max });
            }
            if status == Status::StreamEnd {
                // A message may consist of several streams (RFC 7692, 7.2.3.4).
                self.stream.reset(false);
            }
            let full = self.unpacked.len() == self.unpacked.capacity();
            if bytes.is_empty() && !full {
                return Ok(());
            }
            if taken == 0 && made == self.unpacked.len() && status != Status::StreamEnd {
                return Err(Unusable::Broken("it does not go on".into()));
            }
        }
    }
}

/// Takes from `rest` what belongs to a payload of which `left` is left.
fn take<'a>(rest: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let count = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    let (bytes, after) = rest.split_at(count);
    *left -= count as u64;
    *rest = after;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    #[test]
    fn what_servers_agree_to() {
        let agreed = |alone| Ok(Some(Agreed { alone }));
        for (value, found) in [
            ("", Ok(None)),
            ("permessage-deflate", agreed(false)),
            ("PerMessage-Deflate ; server_max_window_bits=12; client_max_window_bits=\"9\"", agreed(false)),
            ("permessage-deflate;server_no_context_takeover;client_no_context_takeover", agreed(true)),
        ] {
            assert_eq!(Agreed::parse(value), found, "{value}");
        }
        for (value, word) in [
            ("x-webkit-deflate-frame", "was not offered"),
            ("permessage-deflate, permessage-deflate", "one extension was offered"),
            ("permessage-deflate; server_max_window_bits", "no parameter"),
            ("permessage-deflate; server_max_window_bits=7", "no parameter"),
            ("permessage-deflate; server_max_window_bits=012", "no parameter"),
            ("permessage-deflate; server_no_context_takeover=1", "no parameter"),
            ("permessage-deflate; client_max_window_bits=16", "no parameter"),
            ("permessage-deflate; client_max_window_bits=10; client_max_window_bits=10", "no parameter"),
            ("permessage-deflate; level=9", "`level=9`"),
        ] {
            assert!(Agreed::parse(value).is_err_and(|error| error.contains(word)), "{value}");
        }
    }

    /// Compresses messages as a server does.
    struct Packer {
        stream: Compress,
        alone: bool,
    }

    impl Packer {
        fn new(alone: bool) -> Self {
            Self { stream: Compress::new(Compression::default(), false), alone }
        }

        fn pack(&mut self, mut message: &[u8]) -> Vec<u8> {
            let mut packed = Vec::new();
            loop {
                packed.reserve(64);
                let before = self.stream.total_in();
                self.stream.compress_vec(message, &mut packed, FlushCompress::Sync).unwrap();
                message = &message[(self.stream.total_in() - before) as usize..];
                if message.is_empty() && packed.len() < packed.capacity() {
                    break;
                }
            }
            assert_eq!(packed.split_off(packed.len() - TAIL.len()), TAIL);
            if self.alone {
                self.stream.reset();
            }
            packed
        }
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Head::write(first, payload.len(), &mut out);
        out.extend_from_slice(payload);
        out
    }

    fn agreed(alone: bool) -> Agreed {
        Agreed { alone }
    }

    /// Shows bytes in pieces of these sizes, what is left over again with the next.
    fn unpacked(unpacker: &mut Unpacker, bytes: &[u8], sizes: &[usize]) -> Result<Vec<u8>, Unusable> {
        let (mut out, mut held, mut rest) = (Vec::new(), Vec::new(), bytes);
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*size));
            held.extend_from_slice(piece);
            loop {
                let mut made = Vec::new();
                let taken = unpacker.push(&held, &mut made)?;
                held.drain(..taken);
                out.extend_from_slice(&made);
                if made.is_empty() {
                    break;
                }
            }
            assert!(held.len() < HEAD_MAX);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        Ok(out)
    }

    proptest! {
        /// Whatever is compressed, and however it is cut into frames and pieces, the same messages come out.
        #[test]
        fn messages_come_out_as_they_went_in(
            messages in prop::collection::vec((prop::collection::vec(0..4u8, 0..70_000), any::<bool>(), 1..4usize), 1..5),
            sizes in prop::collection::vec(1..5_000usize, 1..6),
            alone: bool,
        ) {
            let mut packer = Packer::new(alone);
            let (mut sent, mut all) = (Vec::new(), Vec::new());
            for (message, packs, frames) in &messages {
                let payload = if *packs { packer.pack(message) } else { message.clone() };
                for (n, part) in payload.chunks(payload.len().div_ceil(*frames).max(1)).enumerate() {
                    let opcode = if n == 0 { 2 } else { 0 };
                    let mark = if n == 0 && *packs { Head::PACKED } else { 0 };
                    sent.extend(frame(opcode | mark, part));
                    // Pings may come between a message's frames.
                    sent.extend(frame(Head::FINAL | 9, b"ping"));
                }
                if payload.is_empty() {
                    sent.extend(frame(2, &[]));
                }
                sent.extend(frame(Head::FINAL, &[]));
                all.extend_from_slice(message);
            }
            let mut unpacker = Unpacker::new(agreed(alone), 70_000);
            let out = unpacked(&mut unpacker, &sent, &sizes).unwrap();
            let (mut rest, mut found, mut finals) = (&out[..], Vec::new(), 0);
            while let Some(head) = Head::parse(rest) {
                prop_assert_eq!(head.first & Head::RESERVED, 0);
                let payload = &rest[head.bytes..][..head.length as usize];
                if head.first & Head::CONTROL == 0 {
                    found.extend_from_slice(payload);
                    finals += usize::from(head.first & Head::FINAL != 0);
                } else {
                    prop_assert_eq!(payload, b"ping");
                }
                rest = &rest[head.bytes + payload.len()..];
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(finals, messages.len());
            prop_assert!(found == all);
        }

        /// Nonsense gives an error or something for the library to judge, never a panic or too much.
        #[test]
        fn nonsense_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), sizes in prop::collection::vec(1..50usize, 1..4)) {
            let mut unpacker = Unpacker::new(agreed(false), 10_000);
            let out = unpacked(&mut unpacker, &bytes, &sizes);
            prop_assert!(out.is_err() || unpacker.unpacked.len() <= 10_000);
        }
    }

    #[test]
    fn a_window_is_kept_from_message_to_message_where_that_was_agreed() {
        let message = b"{\"symbol\":\"BTC-USD\",\"price\":\"97012.55\",\"side\":\"buy\"}";
        for alone in [false, true] {
            let mut packer = Packer::new(alone);
            let packed = [packer.pack(message), packer.pack(message)];
            assert_eq!(packed[1].len() < packed[0].len() / 3, !alone);
            let sent = packed.map(|payload| frame(Head::FINAL | Head::PACKED | 1, &payload)).concat();
            let plain = [frame(Head::FINAL | 1, message), frame(Head::FINAL | 1, message)].concat();
            assert_eq!(unpacked(&mut Unpacker::new(agreed(alone), 100), &sent, &[7]).unwrap(), plain);
            // Who forgets what was to be kept does not find what later messages refer to.
            let forgetful = unpacked(&mut Unpacker::new(agreed(true), 100), &sent, &[7]);
            assert_eq!(forgetful.is_ok_and(|out| out == plain), alone);
        }
    }

    #[test]
    fn the_examples_of_the_standard() {
        // RFC 7692, 7.2.3: one frame; two fragments; a block without compression; a last block; two blocks.
        let hello = frame(Head::FINAL | 1, b"Hello");
        for sent in [
            &[0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0xc1, 0x0b, 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xc1, 0x0d, 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            let mut unpacker = Unpacker::new(agreed(false), 100);
            assert_eq!(unpacked(&mut unpacker, sent, &[100]).unwrap(), hello, "{sent:x?}");
        }
        let fragments = [0x41, 0x03, 0xf2, 0x48, 0xcd, 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00];
        let mut out = unpacked(&mut Unpacker::new(agreed(false), 100), &fragments, &[1]).unwrap();
        out.retain(u8::is_ascii_alphabetic);
        assert_eq!(out, b"Hello");
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        const BOMB: usize = 64 << 20;
        let mut packer = Packer::new(false);
        let bomb = packer.pack(&vec![0; BOMB]);
        assert!(bomb.len() < BOMB / 900);
        let half = bomb.len() / 2;
        let fragments = [frame(Head::PACKED | 2, &bomb[..half]), frame(Head::FINAL, &bomb[half..])].concat();
        for (sent, limit) in
            [(frame(Head::FINAL | Head::PACKED | 2, &bomb), 1 << 20), (fragments, BOMB / 2 + (1 << 20))]
        {
            let mut unpacker = Unpacker::new(agreed(false), limit);
            let error = unpacked(&mut unpacker, &sent, &[4_096]).unwrap_err();
            assert!(matches!(error, Unusable::TooLarge { limit: l, .. } if l == limit), "{error}");
            assert!(unpacker.unpacked.capacity() <= limit + 2 * ROOM_MIN, "{}", unpacker.unpacked.capacity());
        }
    }

    #[test]
    fn frames_that_are_wrong_are_left_to_the_library() {
        // A mark on a continuation and on a ping, other reserved bits, a masked frame.
        let plain = frame(2, &[0]);
        let marked = [
            frame(Head::PACKED | Head::FINAL, &[1]),
            frame(Head::PACKED | Head::FINAL | 9, &[]),
            frame(0x20 | Head::FINAL | 1, &[2]),
            vec![0xc1, 0x81, 1, 2, 3, 4, 5],
            vec![0xff; 30],
        ];
        let sent = [plain, marked.concat()].concat();
        let mut unpacker = Unpacker::new(agreed(false), 100);
        assert_eq!(unpacked(&mut unpacker, &sent, &[11]).unwrap(), sent);
    }
}
