//! Bodies that go straight to a file, continued where they broke off.
//!
//! A file grows as `NAME.part` beside a note (`NAME.part.json`) of what it is a part of: the request's hash, the
//! server's validator and the whole length. It becomes `NAME` when all of it is there and on disk. What is left
//! by a broken connection, a killed process or a full disk is continued by the next attempt or the next call, but
//! only where the server proves that it still serves the same bytes (`Range` with `If-Range`); else it starts
//! over. A body that came packed although it was asked for unpacked cannot be continued: ranges count packed bytes.
//!
//! A part has one owner, here or in another process, by a lock on it. Whoever comes second waits for the first, and
//! then asks whether what that fetched is still right.

mod part;
mod range;
mod room;

pub use room::{Cleared, Room};

use super::{
    answer::Source,
    batch::Item,
    cache::{CacheUse, identity, may_keep},
    client::{Call, Client, FailedAttempt},
    config::Deadlines,
    error::{Cause, HttpError, Phase},
    exchange::Opened,
    request::Request,
};
use crate::{atomic::folder_of, machine::disk_space};
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use part::{Kept, Note, Owned, Part, Paths};
use range::{is_beyond, place, text, validator, whole_already};
use springtide_runtime::exec::Named;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// Pieces on their way to the disk; the server waits when it is slower than the network.
const PIECES_MAX: usize = 16;
/// Deadline of a whole download where the request sets none. What stalls is found by the deadline between pieces.
const TOTAL_DEFAULT: Duration = Duration::from_secs(6 * 3_600);
/// Time between two looks at a file that somebody else writes: other processes wake nobody.
const BUSY_LOOK: Duration = Duration::from_millis(100);
/// Most of a refusal's body that is kept, in bytes.
const EXCERPT_MAX: usize = 64 << 10;

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Its length.
    pub bytes: u64,
    /// Where it came from: the server, or what was there already.
    pub source: Source,
    /// How much of it was there before this call.
    pub resumed_from: u64,
    /// Attempts made.
    pub attempts: u32,
    /// Time for all of it.
    pub took: Duration,
    /// The server's name for this version of it.
    pub etag: Option<String>,
    /// The server can be asked later whether it is still right; see [`Request::cache`].
    pub kept: bool,
}

/// A download among many.
pub(super) struct Saving {
    pub(super) request: Request,
    pub(super) path: PathBuf,
}

impl Item for Saving {
    type Done = Downloaded;

    async fn run(self, client: &Client, rests: &(dyn Fn(bool) + Sync)) -> Result<Downloaded, HttpError> {
        client.download_watched(self.request, &self.path, rests).await
    }
}

impl Client {
    /// Fetches a body into a file, continuing what an earlier attempt or call left. The file appears whole or not
    /// at all; its folder is made. Two downloads into one file come one after the other.
    ///
    /// With [`Request::cache`] a file that an earlier call left at `path` is used where the server says that it is
    /// still right, or where it is young enough; a small note (`NAME.kept.json`) beside the file says what it is.
    ///
    /// The size is limited only where [`Request::body_max`] says so, the time to six hours unless
    /// [`Request::deadlines`] says otherwise. Attempts before one that got further than any of them do not count
    /// towards the number of attempts.
    ///
    /// # Errors
    /// As [`Client::fetch`], and when the file cannot be written; what can be continued stays for the next call.
    pub async fn download(&self, request: Request, path: &Path) -> Result<Downloaded, HttpError> {
        self.download_watched(request, path, &|_| {}).await
    }

    async fn download_watched(
        &self,
        mut request: Request,
        path: &Path,
        rests: &(dyn Fn(bool) + Sync),
    ) -> Result<Downloaded, HttpError> {
        let name = identity(&request).unwrap_or_default();
        request.deadlines.get_or_insert(Deadlines { total: TOTAL_DEFAULT, ..self.config().deadlines });
        request.body_max.get_or_insert(u64::MAX);
        request = request.header("accept-encoding", "identity");
        let cache = request.cache;
        let mut call = Call::new(&self.inner, request);
        let owned = match own(&call, &Paths::new(path)).await {
            Ok(owned) => Arc::new(owned),
            Err(failed) => return Err(call.error(failed.phase, failed.cause, None)),
        };
        let mut download = Download { owned, name, cache, kept: None, resumed_from: None, furthest: 0 };
        let mut attempts = 0;
        loop {
            let failed = match download.attempt(&mut call, &mut attempts).await {
                Ok(got) => {
                    return Ok(Downloaded {
                        bytes: got.bytes,
                        source: got.source,
                        resumed_from: download.resumed_from.unwrap_or(0),
                        attempts,
                        took: call.clock.start.elapsed(),
                        etag: got.etag,
                        kept: got.kept,
                    });
                }
                Err(failed) => failed,
            };
            let wait = call.failed(failed)?;
            rests(true);
            call.rest(wait).await;
            rests(false);
        }
    }
}

/// Waits until the part is ours.
async fn own(call: &Call, paths: &Paths) -> Result<Owned, FailedAttempt> {
    let taken = async {
        loop {
            let of = paths.clone();
            let taken = on_disk(paths, move || Owned::take(&of)).await?;
            if let Some(owned) = taken {
                return Ok(owned);
            }
            if Instant::now() >= call.clock.end {
                return Err((Phase::File, Cause::Busy { path: paths.target.clone() }).into());
            }
            sleep(BUSY_LOOK).await;
        }
    };
    taken.named(format!("another download of {}", paths.target.display())).await
}

/// One file on its way.
struct Download {
    owned: Arc<Owned>,
    /// The request's hash.
    name: String,
    cache: CacheUse,
    /// What an earlier call left, as long as it is what the server is asked about.
    kept: Option<Kept>,
    resumed_from: Option<u64>,
    /// Length that any attempt of this call reached.
    furthest: u64,
}

/// What an attempt came to.
struct Got {
    bytes: u64,
    source: Source,
    etag: Option<String>,
    kept: bool,
}

impl Got {
    fn again(kept: Kept, source: Source) -> Self {
        Self { bytes: kept.bytes, source, etag: kept.etag, kept: true }
    }
}

impl Download {
    async fn attempt(&mut self, call: &mut Call, attempts: &mut u32) -> Result<Got, FailedAttempt> {
        let (name, cached) = (self.name.clone(), self.cache != CacheUse::Off);
        let found = self.blocking(move |owned| {
            let part = owned.part(&name);
            // A part is newer than the file that is there whole.
            let kept = if cached && part.bytes == 0 { owned.paths.kept(&name) } else { None };
            Ok((part, kept))
        });
        let (part, kept) = found.await?;
        if let (CacheUse::Within(age), Some(kept)) = (self.cache, &kept)
            && kept.age() <= age
        {
            return Ok(Got::again(kept.clone(), Source::Cache));
        }
        self.kept = kept;
        *attempts += 1;
        self.ask(&mut call.request.headers, &part);
        let mut opened = match call.open().await {
            Ok(opened) => opened,
            Err(failed) => {
                return match whole_already(&failed, &part) {
                    true => self.finish(part.bytes, part.note.validator, None).await,
                    false => Err(self.beyond_the_end(failed).await),
                };
            }
        };
        if opened.status == StatusCode::NOT_MODIFIED
            && let Some(kept) = self.kept.take()
        {
            opened.reader.drain(EXCERPT_MAX as u64).await;
            let again = kept.clone();
            self.blocking(move |owned| owned.paths.keep(again)).await?;
            return Ok(Got::again(kept, Source::Revalidated));
        }
        if !opened.status.is_success() {
            let body = opened.reader.excerpt(EXCERPT_MAX).await;
            return Err((Phase::Headers, Cause::Status { status: opened.status, body }).into());
        }
        self.take(call, opened, &part).await
    }

    /// Asks for what is missing (`Range`, `If-Range`), or whether what is there is still right.
    fn ask(&self, headers: &mut HeaderMap, part: &Part) {
        let conditions = [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
        conditions.iter().for_each(|name| drop(headers.remove(name)));
        let mut set = |name: HeaderName, value: Option<&String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        };
        if let Some(kept) = &self.kept {
            set(header::IF_NONE_MATCH, kept.etag.as_ref());
            set(header::IF_MODIFIED_SINCE, kept.last_modified.as_ref());
        } else if part.bytes > 0 && part.note.validator.is_some() {
            set(header::RANGE, Some(&format!("bytes={}-", part.bytes)));
            set(header::IF_RANGE, part.note.validator.as_ref());
        }
    }

    /// From an answer's head to the file.
    async fn take(&mut self, call: &mut Call, mut opened: Opened, part: &Part) -> Result<Got, FailedAttempt> {
        let (from, length) = match place(&opened, part) {
            Ok(place) => place,
            Err(why) => {
                // What is there fits nothing the server has: start over with the next attempt.
                self.blocking(Owned::discard).await?;
                let failed = FailedAttempt::from((Phase::Connect, Cause::Resume(why)));
                return Err(FailedAttempt { sent: false, ..failed });
            }
        };
        self.resumed_from.get_or_insert(from);
        // Ranges count packed bytes, the part has unpacked ones.
        let validator = if opened.reader.is_packed() { None } else { validator(&opened.headers) };
        let note = Note { request: self.name.clone(), validator, length };
        let got = self.write(call, &mut opened, note, from).await;
        // Attempts are counted anew only from where none has been: a server that lets nothing be continued and breaks
        // off each time would else be asked for ever.
        let reached = from + opened.reader.handed();
        if opened.reader.handed() > 0 && reached > self.furthest {
            self.furthest = reached;
            call.progress();
        }
        if let Err(FailedAttempt {
            cause: Cause::TooLarge { .. } | Cause::TooDense { .. } | Cause::Coding(_),
            ..
        }) = &got
        {
            self.blocking(Owned::discard).await?;
        }
        let bytes = got?;
        if let Some(length) = length.filter(|length| *length != bytes) {
            return Err((Phase::Body, Cause::Short { got: bytes, announced: length }).into());
        }
        let of = |name| text(&opened.headers, &name).map(str::to_owned);
        let (etag, last_modified) = (of(header::ETAG), of(header::LAST_MODIFIED));
        let keeps = matches!(self.cache, CacheUse::Within(_));
        let keeps = self.cache != CacheUse::Off && may_keep(&opened.headers, keeps);
        let kept = Kept { request: self.name.clone(), etag: etag.clone(), last_modified, ..Kept::default() };
        self.finish(bytes, etag, keeps.then_some(kept)).await
    }

    /// Writes the body from `from` on; the file's length.
    async fn write(
        &self,
        call: &Call,
        opened: &mut Opened,
        note: Note,
        from: u64,
    ) -> Result<u64, FailedAttempt> {
        let (pieces, inbox) = mpsc::channel(PIECES_MAX);
        let (owned, length) = (Arc::clone(&self.owned), note.length);
        let follow = call.request.follow.as_deref();
        let reached = |bytes| follow.iter().for_each(|follow| follow.reached(bytes, length));
        let writer = spawn_blocking(move || owned.write(&note, from, inbox));
        let read = async {
            reached(from);
            while let Some(piece) = opened.reader.next().await? {
                reached(from + opened.reader.handed());
                if pieces.send(piece).await.is_err() {
                    // The writer gave up; its own error is told below.
                    break;
                }
            }
            Ok::<(), FailedAttempt>(())
        };
        let read = read.named(call.places.body.clone()).await;
        drop(pieces);
        let paths = &self.owned.paths;
        let written = match writer.await {
            Ok(written) => written.map_err(|error| file_error(&paths.part, error, length)),
            Err(error) => Err(file_error(&paths.part, io::Error::other(error), length)),
        };
        let bytes = written?;
        read.map(|()| bytes)
    }

    /// All is there.
    async fn finish(
        &self,
        bytes: u64,
        etag: Option<String>,
        kept: Option<Kept>,
    ) -> Result<Got, FailedAttempt> {
        let is_kept = kept.is_some();
        self.blocking(move |owned| owned.finish(kept)).await?;
        Ok(Got { bytes, source: Source::Server, etag, kept: is_kept })
    }

    /// A part longer than what the server has is of no use: the next attempt starts over.
    async fn beyond_the_end(&self, failed: FailedAttempt) -> FailedAttempt {
        if !is_beyond(&failed) {
            return failed;
        }
        if let Err(failed) = self.blocking(Owned::discard).await {
            return failed;
        }
        let why = "it is longer than what the server has".to_owned();
        FailedAttempt { sent: false, ..FailedAttempt::from((Phase::Connect, Cause::Resume(why))) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Owned) -> io::Result<T> + Send + 'static,
    ) -> Result<T, FailedAttempt> {
        let owned = Arc::clone(&self.owned);
        on_disk(&self.owned.paths, move || work(&owned)).await
    }
}

/// Work on a thread that may wait.
async fn on_disk<T: Send + 'static>(
    paths: &Paths,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FailedAttempt> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| file_error(&paths.target, error, None)),
        Err(error) => Err(file_error(&paths.target, io::Error::other(error), None)),
    }
}

/// The error of a file that is to have `length` bytes.
fn file_error(path: &Path, error: io::Error, length: Option<u64>) -> FailedAttempt {
    let path = path.to_owned();
    let cause = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let have = fs::metadata(&path).map_or(0, |meta| meta.len());
            let needs = length.map(|length| length.saturating_sub(have));
            let free = disk_space(folder_of(&path)).ok().map(|(free, _)| free);
            Cause::DiskFull { path, needs, free }
        }
        _ => Cause::File { path, error },
    };
    (Phase::File, cause).into()
}
