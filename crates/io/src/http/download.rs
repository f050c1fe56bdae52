//! Bodies that go straight to a file, continued where they broke off.
//!
//! A file grows as `NAME.part` beside a note (`NAME.part.json`) of what it is a part of: the URL's hash, the
//! server's validator and the whole length. It becomes `NAME` when all of it is there and on disk. What is left
//! by a broken connection, a killed process or a full disk is continued by the next attempt or the next call, but
//! only where the server proves that it still serves the same bytes (`Range` with `If-Range`); else it starts
//! over.

use super::{
    client::{Call, Client, FailedAttempt},
    config::Deadlines,
    error::{Cause, HttpError, Phase},
    exchange::Opened,
    request::Request,
};
use crate::atomic::folder_of;
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};

/// Pieces on their way to the disk; the server waits when it is slower than the network.
const PIECES_MAX: usize = 16;
/// Deadline of a whole download where the request sets none. What stalls is found by the deadline between pieces.
const TOTAL_DEFAULT: Duration = Duration::from_secs(6 * 3_600);

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Its length.
    pub bytes: u64,
    /// How much of it was there before this call.
    pub resumed_from: u64,
    /// Attempts made.
    pub attempts: u32,
    /// Time for all of it.
    pub took: Duration,
    /// The server's name for this version of it.
    pub etag: Option<String>,
}

/// What a part is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The URL may hold secrets.
    url_hash: String,
    /// A strong entity tag, or a date.
    validator: Option<String>,
    length: Option<u64>,
}

/// The files of one download.
#[derive(Clone)]
struct Paths {
    target: PathBuf,
    part: PathBuf,
    note: PathBuf,
}

impl Paths {
    fn new(target: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Self { target: target.to_owned(), part: with(".part"), note: with(".part.json") }
    }
}

/// A part that can be continued.
#[derive(Clone, Debug, Default)]
struct Part {
    bytes: u64,
    note: Note,
}

impl Client {
    /// Fetches a body into a file, continuing what an earlier attempt or call left. The file appears whole or not
    /// at all; its folder is made.
    ///
    /// The size is limited only where [`Request::body_max`] says so, the time to six hours unless
    /// [`Request::deadlines`] says otherwise. An attempt that got further than the one before does not count
    /// towards the number of attempts.
    ///
    /// # Errors
    /// As [`Client::fetch`], and when the file cannot be written; what was fetched stays for the next call.
    pub async fn download(&self, mut request: Request, path: &Path) -> Result<Downloaded, HttpError> {
        let paths = Paths::new(path);
        let url_hash =
            request.url.as_ref().map(|url| blake3::hash(url.as_str().as_bytes()).to_hex().to_string());
        let url_hash = url_hash.unwrap_or_default();
        request.deadlines.get_or_insert(Deadlines { total: TOTAL_DEFAULT, ..self.config().deadlines });
        request.body_max.get_or_insert(u64::MAX);
        request = request.header("accept-encoding", "identity");
        let mut call = Call::new(&self.inner, request);
        let mut resumed_from = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let failed = match attempt(&mut call, &paths, &url_hash, &mut resumed_from).await {
                Ok((bytes, etag)) => {
                    let took = call.clock.start.elapsed();
                    let resumed_from = resumed_from.unwrap_or(0);
                    return Ok(Downloaded { bytes, resumed_from, attempts, took, etag });
                }
                Err(failed) => failed,
            };
            let wait = call.failed(failed)?;
            sleep(wait).await;
            call.begin();
        }
    }
}

/// One attempt; the whole file's length.
async fn attempt(
    call: &mut Call,
    paths: &Paths,
    url_hash: &str,
    resumed_from: &mut Option<u64>,
) -> Result<(u64, Option<String>), FailedAttempt> {
    let part = blocking(paths, |paths| Ok(find_part(paths))).await?;
    let part = Some(part).filter(|part| part.note.url_hash == url_hash).unwrap_or_default();
    ask_for_rest(&mut call.request.headers, &part);
    let mut opened = match call.open().await {
        Ok(opened) => opened,
        Err(failed) => {
            return match whole_already(&failed, &part) {
                true => finish(paths, part.bytes).await.map(|bytes| (bytes, part.note.validator)),
                false => Err(beyond_the_end(failed, paths).await),
            };
        }
    };
    let etag = text(&opened.headers, &header::ETAG).map(str::to_owned);
    let (from, length) = match place(&opened, &part) {
        Ok(place) => place,
        Err(why) => {
            // What is there fits nothing the server has: start over with the next attempt.
            blocking(paths, discard).await?;
            return Err(FailedAttempt {
                sent: false,
                ..FailedAttempt::from((Phase::Connect, Cause::Resume(why)))
            });
        }
    };
    resumed_from.get_or_insert(from);
    let note = Note { url_hash: url_hash.to_owned(), validator: validator(&opened.headers), length };
    let got = write(&mut opened, paths, note, from).await;
    // Further than before: the attempts are counted anew.
    if opened.reader.handed() > 0 {
        call.progress();
    }
    let bytes = got?;
    if let Some(length) = length.filter(|length| *length != bytes) {
        return Err((Phase::Body, Cause::Short { got: bytes, announced: length }).into());
    }
    Ok((finish(paths, bytes).await?, etag))
}

/// `Range` and `If-Range` for what is missing.
fn ask_for_rest(headers: &mut HeaderMap, part: &Part) {
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
    let Some(validator) = part.note.validator.as_ref().filter(|_| part.bytes > 0) else { return };
    let range = HeaderValue::from_str(&format!("bytes={}-", part.bytes));
    if let (Ok(range), Ok(validator)) = (range, HeaderValue::from_str(validator)) {
        headers.insert(header::RANGE, range);
        headers.insert(header::IF_RANGE, validator);
    }
}

/// Where the body belongs in the file, and the file's length where it is known.
fn place(opened: &Opened, part: &Part) -> Result<(u64, Option<u64>), String> {
    if opened.status != StatusCode::PARTIAL_CONTENT {
        return Ok((0, opened.reader.length()));
    }
    let range = text(&opened.headers, &header::CONTENT_RANGE).unwrap_or_default();
    let (first, last, length) =
        content_range(range).ok_or_else(|| format!("the server sent the range `{range}`"))?;
    if first != part.bytes {
        return Err(format!("asked for bytes from {}, the server sent them from {first}", part.bytes));
    }
    if let (Some(then), Some(now)) = (part.note.length, length)
        && then != now
    {
        return Err(format!("it was {then} bytes long and is {now} now"));
    }
    Ok((first, length.or(Some(last + 1))))
}

/// `bytes 0-499/1234` or `bytes 0-499/*`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (span, length) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let length = if length == "*" { None } else { Some(length.parse().ok()?) };
    (first <= last && length.is_none_or(|length| last < length)).then_some((first, last, length))
}

/// What proves that a part belongs to the same file: a strong entity tag or a date.
fn validator(headers: &HeaderMap) -> Option<String> {
    let etag = text(headers, &header::ETAG).filter(|etag| !etag.starts_with("W/"));
    etag.or_else(|| text(headers, &header::LAST_MODIFIED)).map(str::to_owned)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The server has nothing beyond what is there, and that is all of it.
fn whole_already(failed: &FailedAttempt, part: &Part) -> bool {
    is_beyond(failed) && part.bytes > 0 && {
        let range = failed.headers.as_ref().and_then(|headers| text(headers, &header::CONTENT_RANGE));
        let length = range.and_then(|range| range.trim().strip_prefix("bytes */")?.parse::<u64>().ok());
        length.or(part.note.length) == Some(part.bytes)
    }
}

fn is_beyond(failed: &FailedAttempt) -> bool {
    matches!(&failed.cause, Cause::Status { status, .. } if *status == StatusCode::RANGE_NOT_SATISFIABLE)
}

/// A part longer than what the server has is of no use: the next attempt starts over.
async fn beyond_the_end(failed: FailedAttempt, paths: &Paths) -> FailedAttempt {
    if !is_beyond(&failed) {
        return failed;
    }
    if let Err(failed) = blocking(paths, discard).await {
        return failed;
    }
    let why = "it is longer than what the server has".to_owned();
    FailedAttempt { sent: false, ..FailedAttempt::from((Phase::Connect, Cause::Resume(why))) }
}

/// Writes the body from `from` on; the file's length.
async fn write(opened: &mut Opened, paths: &Paths, note: Note, from: u64) -> Result<u64, FailedAttempt> {
    let (pieces, inbox) = mpsc::channel(PIECES_MAX);
    let of = paths.clone();
    let writer = spawn_blocking(move || write_pieces(&of, &note, from, inbox));
    let read = async {
        while let Some(piece) = opened.reader.next().await? {
            if pieces.send(piece).await.is_err() {
                // The writer gave up; its own error is told below.
                break;
            }
        }
        Ok::<(), FailedAttempt>(())
    }
    .await;
    drop(pieces);
    let written = match writer.await {
        Ok(written) => written.map_err(|error| file_error(&paths.part, error)),
        Err(error) => Err(file_error(&paths.part, io::Error::other(error))),
    };
    let bytes = written?;
    read.map(|()| bytes)
}

/// Runs on a thread that may wait.
fn write_pieces(paths: &Paths, note: &Note, from: u64, mut inbox: mpsc::Receiver<Bytes>) -> io::Result<u64> {
    fs::create_dir_all(folder_of(&paths.part))?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&paths.part)?;
    file.set_len(from)?;
    if from == 0 {
        fs::write(&paths.note, serde_json::to_vec(note)?)?;
    }
    io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
    let mut bytes = from;
    while let Some(piece) = inbox.blocking_recv() {
        file.write_all(&piece)?;
        bytes += piece.len() as u64;
    }
    Ok(bytes)
}

fn find_part(paths: &Paths) -> Part {
    let note = fs::read(&paths.note).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let bytes = fs::metadata(&paths.part).map(|meta| meta.len());
    match (note, bytes) {
        (Some(note), Ok(bytes)) => Part { bytes, note },
        _ => Part::default(),
    }
}

/// Forgets a part.
fn discard(paths: &Paths) -> io::Result<()> {
    for path in [&paths.part, &paths.note] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// All is there: makes it durable and gives it its name.
async fn finish(paths: &Paths, bytes: u64) -> Result<u64, FailedAttempt> {
    blocking(paths, move |paths| {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&paths.part)?;
        file.sync_all()?;
        fs::rename(&paths.part, &paths.target)?;
        let _ = fs::remove_file(&paths.note);
        File::open(folder_of(&paths.target))?.sync_all()?;
        Ok(bytes)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    paths: &Paths,
    work: impl FnOnce(&Paths) -> io::Result<T> + Send + 'static,
) -> Result<T, FailedAttempt> {
    let of = paths.clone();
    match spawn_blocking(move || work(&of)).await {
        Ok(done) => done.map_err(|error| file_error(&paths.target, error)),
        Err(error) => Err(file_error(&paths.target, io::Error::other(error))),
    }
}

fn file_error(path: &Path, error: io::Error) -> FailedAttempt {
    (Phase::File, Cause::File { path: path.to_owned(), error }).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 0-499/1234"), Some((0, 499, Some(1_234))));
        assert_eq!(content_range("bytes 500-1233/*"), Some((500, 1_233, None)));
        for wrong in ["", "bytes */12", "bytes 5-4/9", "bytes 0-9/9", "0-1/2", "bytes a-b/c"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_strong_validators_prove_anything() {
        let headers = |pairs: &[(HeaderName, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let date = (header::LAST_MODIFIED, "Wed, 01 Jan 2025 00:00:00 GMT");
        assert_eq!(validator(&headers(&[(header::ETAG, "\"a\""), date.clone()])).as_deref(), Some("\"a\""));
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\""), date.clone()])).as_deref(), Some(date.1));
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\"")])), None);
    }
}
