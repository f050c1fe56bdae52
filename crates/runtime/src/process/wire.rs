//! What the supervising process and its warden say to each other. Both are the same binary, so the form may
//! change at will; it is written out by hand because arguments and paths are bytes, not text.

use super::exit::{Cause, OutputStream};
use std::ffi::{CStr, CString};

/// To the warden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Spawn(SpawnRequest),
    /// End a child and all its descendants.
    Stop {
        id: u64,
        cause: Cause,
    },
}

/// A child to start. Its descriptors travel beside the message, in the order of `targets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpawnRequest {
    pub(crate) id: u64,
    pub(crate) program: CString,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) folder: CString,
    /// Numbers under which the descriptors appear in the child; those of 0, 1, 2 that are missing are the null
    /// device.
    pub(crate) targets: Vec<u8>,
    /// Kernel limits: resource, soft, hard.
    pub(crate) rlimits: Vec<(u32, u64, u64)>,
    pub(crate) watch: WatchLimits,
    /// It starts once fewer than this many run.
    pub(crate) at_once: u32,
    /// It goes before others that wait.
    pub(crate) urgent: bool,
}

/// Limits the warden itself watches. `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchLimits {
    pub(crate) wall_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) grace_ns: u64,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self { wall_ns: u64::MAX, cpu_ns: u64::MAX, memory_bytes: u64::MAX, grace_ns: 0 }
    }
}

/// From the warden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The warden is up; what it found on this machine.
    Ready {
        subreaper: bool,
        children_file: bool,
        tags: bool,
    },
    Started {
        id: u64,
        pid: u32,
    },
    /// It was stopped while it waited for its turn.
    Withdrawn {
        id: u64,
    },
    NotStarted {
        id: u64,
        step: Step,
        errno: i32,
    },
    Ended(Ended),
}

/// A child is gone, and with it all its descendants but `survivors`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) id: u64,
    pub(crate) cause: Option<Cause>,
    /// As `wait` tells it; `None` when it could not be ended.
    pub(crate) status: Option<i32>,
    pub(crate) kernel_oom: bool,
    pub(crate) wall_ns: u64,
    pub(crate) cost: Cost,
    pub(crate) floor_bytes: u64,
    pub(crate) descendants: u32,
    pub(crate) survivors: u32,
}

/// What processes used, as `wait4` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) major_faults: u64,
    pub(crate) minor_faults: u64,
    pub(crate) voluntary: u64,
    pub(crate) forced: u64,
    pub(crate) blocks_read: u64,
    pub(crate) blocks_written: u64,
}

impl Cost {
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.user_ns + self.system_ns
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.user_ns += other.user_ns;
        self.system_ns += other.system_ns;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
        self.major_faults += other.major_faults;
        self.minor_faults += other.minor_faults;
        self.voluntary += other.voluntary;
        self.forced += other.forced;
        self.blocks_read += other.blocks_read;
        self.blocks_written += other.blocks_written;
    }

    fn fields(&mut self) -> [&mut u64; 9] {
        [
            &mut self.user_ns,
            &mut self.system_ns,
            &mut self.peak_bytes,
            &mut self.major_faults,
            &mut self.minor_faults,
            &mut self.voluntary,
            &mut self.forced,
            &mut self.blocks_read,
            &mut self.blocks_written,
        ]
    }
}

/// Where the start of a child failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Clone,
    Session,
    ParentDeath,
    Limit,
    Folder,
    Descriptor,
    Exec,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Clone,
        Self::Session,
        Self::ParentDeath,
        Self::Limit,
        Self::Folder,
        Self::Descriptor,
        Self::Exec,
    ];

    pub(crate) fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }
}

const STREAMS: [OutputStream; 3] = [OutputStream::Stdout, OutputStream::Stderr, OutputStream::Results];

/// A message that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

pub(crate) fn encode_request(request: &Request) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(1_024));
    match request {
        Request::Spawn(spawn) => {
            out.byte(0);
            out.number(spawn.id);
            out.text(&spawn.program);
            out.list(&spawn.argv, |out, text| out.text(text));
            out.list(&spawn.env, |out, text| out.text(text));
            out.text(&spawn.folder);
            out.list(&spawn.targets, |out, target| out.byte(*target));
            out.list(&spawn.rlimits, |out, (resource, soft, hard)| {
                out.number(u64::from(*resource));
                out.number(*soft);
                out.number(*hard);
            });
            let WatchLimits { wall_ns, cpu_ns, memory_bytes, grace_ns } = spawn.watch;
            [wall_ns, cpu_ns, memory_bytes, grace_ns].into_iter().for_each(|n| out.number(n));
            out.number(u64::from(spawn.at_once));
            out.byte(u8::from(spawn.urgent));
        }
        Request::Stop { id, cause } => {
            out.byte(1);
            out.number(*id);
            out.cause(Some(*cause));
        }
    }
    out.0
}

pub(crate) fn decode_request(bytes: &[u8]) -> Result<Request, Garbled> {
    let mut input = Reader(bytes);
    let request = match input.byte()? {
        0 => Request::Spawn(SpawnRequest {
            id: input.number()?,
            program: input.text()?,
            argv: input.list(Reader::text)?,
            env: input.list(Reader::text)?,
            folder: input.text()?,
            targets: input.list(Reader::byte)?,
            rlimits: input.list(|input| {
                let resource = u32::try_from(input.number()?).map_err(|_| Garbled)?;
                Ok((resource, input.number()?, input.number()?))
            })?,
            watch: WatchLimits {
                wall_ns: input.number()?,
                cpu_ns: input.number()?,
                memory_bytes: input.number()?,
                grace_ns: input.number()?,
            },
            at_once: input.number()? as u32,
            urgent: input.flag()?,
        }),
        1 => Request::Stop { id: input.number()?, cause: input.cause()?.ok_or(Garbled)? },
        _ => return Err(Garbled),
    };
    input.end(request)
}

pub(crate) fn encode_reply(reply: &Reply) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(192));
    match reply {
        Reply::Ready { subreaper, children_file, tags } => {
            out.byte(0);
            [*subreaper, *children_file, *tags].into_iter().for_each(|flag| out.byte(u8::from(flag)));
        }
        Reply::Started { id, pid } => {
            out.byte(1);
            out.number(*id);
            out.number(u64::from(*pid));
        }
        Reply::NotStarted { id, step, errno } => {
            out.byte(2);
            out.number(*id);
            out.byte(*step as u8);
            out.number(*errno as u64);
        }
        Reply::Withdrawn { id } => {
            out.byte(4);
            out.number(*id);
        }
        Reply::Ended(ended) => {
            out.byte(3);
            out.number(ended.id);
            out.cause(ended.cause);
            out.byte(u8::from(ended.status.is_some()));
            out.number(ended.status.unwrap_or_default() as u64);
            out.byte(u8::from(ended.kernel_oom));
            out.number(ended.wall_ns);
            ended.cost.clone().fields().into_iter().for_each(|n| out.number(*n));
            out.number(ended.floor_bytes);
            out.number(u64::from(ended.descendants));
            out.number(u64::from(ended.survivors));
        }
    }
    out.0
}

pub(crate) fn decode_reply(bytes: &[u8]) -> Result<Reply, Garbled> {
    let mut input = Reader(bytes);
    let reply = match input.byte()? {
        0 => Reply::Ready { subreaper: input.flag()?, children_file: input.flag()?, tags: input.flag()? },
        1 => Reply::Started { id: input.number()?, pid: input.number()? as u32 },
        2 => Reply::NotStarted {
            id: input.number()?,
            step: Step::from_index(input.byte()?).ok_or(Garbled)?,
            errno: input.number()? as i32,
        },
        3 => {
            let (id, cause) = (input.number()?, input.cause()?);
            let (has_status, status) = (input.flag()?, input.number()? as i32);
            let mut ended = Ended { id, cause, status: has_status.then_some(status), ..Ended::default() };
            ended.kernel_oom = input.flag()?;
            ended.wall_ns = input.number()?;
            for field in ended.cost.fields() {
                *field = input.number()?;
            }
            ended.floor_bytes = input.number()?;
            ended.descendants = input.number()? as u32;
            ended.survivors = input.number()? as u32;
            Reply::Ended(ended)
        }
        4 => Reply::Withdrawn { id: input.number()? },
        _ => return Err(Garbled),
    };
    input.end(reply)
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &CStr) {
        self.0.extend_from_slice(text.to_bytes_with_nul());
    }

    fn list<T>(&mut self, list: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.number(list.len() as u64);
        list.iter().for_each(|item| each(self, item));
    }

    fn cause(&mut self, cause: Option<Cause>) {
        let (kind, a, b) = match cause {
            None => (0, 0, 0),
            Some(Cause::Wall) => (1, 0, 0),
            Some(Cause::Cpu { used_ns }) => (2, used_ns, 0),
            Some(Cause::Memory { seen_bytes }) => (3, seen_bytes, 0),
            Some(Cause::Output { stream, limit_bytes }) => (4, stream as u64, limit_bytes),
            Some(Cause::Cancelled) => (5, 0, 0),
        };
        self.byte(kind);
        self.number(a);
        self.number(b);
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Garbled> {
        let (&first, rest) = self.0.split_first().ok_or(Garbled)?;
        self.0 = rest;
        Ok(first)
    }

    fn flag(&mut self) -> Result<bool, Garbled> {
        Ok(self.byte()? != 0)
    }

    fn number(&mut self) -> Result<u64, Garbled> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Garbled)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*first))
    }

    fn text(&mut self) -> Result<CString, Garbled> {
        let text = CStr::from_bytes_until_nul(self.0).map_err(|_| Garbled)?;
        self.0 = &self.0[text.to_bytes_with_nul().len()..];
        Ok(text.to_owned())
    }

    fn list<T>(&mut self, each: impl FnMut(&mut Self) -> Result<T, Garbled>) -> Result<Vec<T>, Garbled> {
        let count = usize::try_from(self.number()?).map_err(|_| Garbled)?;
        let mut each = each;
        let mut list = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            list.push(each(self)?);
        }
        Ok(list)
    }

    fn cause(&mut self) -> Result<Option<Cause>, Garbled> {
        let (kind, a, b) = (self.byte()?, self.number()?, self.number()?);
        Ok(Some(match kind {
            0 => return Ok(None),
            1 => Cause::Wall,
            2 => Cause::Cpu { used_ns: a },
            3 => Cause::Memory { seen_bytes: a },
            4 => Cause::Output { stream: *STREAMS.get(a as usize).ok_or(Garbled)?, limit_bytes: b },
            5 => Cause::Cancelled,
            _ => return Err(Garbled),
        }))
    }

    fn end<T>(&self, value: T) -> Result<T, Garbled> {
        if self.0.is_empty() { Ok(value) } else { Err(Garbled) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn() -> Request {
        Request::Spawn(SpawnRequest {
            id: 7,
            program: c"/bin/true".into(),
            argv: vec![c"true".into(), c"".into(), c"\xff x".into()],
            env: vec![c"A=b".into()],
            folder: c"/".into(),
            targets: vec![0, 3],
            rlimits: vec![(4, 0, u64::MAX)],
            watch: WatchLimits { wall_ns: 1, cpu_ns: 2, memory_bytes: 3, grace_ns: 4 },
            at_once: 5,
            urgent: true,
        })
    }

    #[test]
    fn requests_come_through() {
        let output = Cause::Output { stream: OutputStream::Stderr, limit_bytes: 9 };
        for request in [spawn(), Request::Stop { id: 1, cause: output }] {
            assert_eq!(decode_request(&encode_request(&request)), Ok(request));
        }
    }

    #[test]
    fn replies_come_through() {
        let ended = Ended {
            id: 3,
            cause: Some(Cause::Memory { seen_bytes: 5 }),
            status: Some(9),
            cost: Cost { peak_bytes: 1, blocks_written: 2, ..Cost::default() },
            descendants: 4,
            ..Ended::default()
        };
        let replies = [
            Reply::Ready { subreaper: true, children_file: false, tags: true },
            Reply::Started { id: 1, pid: 2 },
            Reply::Withdrawn { id: 9 },
            Reply::NotStarted { id: 1, step: Step::Exec, errno: -2 },
            Reply::Ended(ended),
            Reply::Ended(Ended { status: None, cause: None, ..ended }),
        ];
        for reply in replies {
            assert_eq!(decode_reply(&encode_reply(&reply)), Ok(reply));
        }
    }

    #[test]
    fn cut_messages_are_refused() {
        let whole = encode_request(&spawn());
        for end in 0..whole.len() {
            assert_eq!(decode_request(&whole[..end]), Err(Garbled), "cut at {end}");
        }
    }
}
