//! Answers kept on disk, so that asking again costs a round trip without a body, or nothing.
//!
//! One file per answer: a line of JSON that says what it is, then the body, unpacked. Which answer belongs to a
//! request is told by its URL, by every header that the caller set and by the address rule; so an answer for one
//! key or token is never given to another. A file whose body does not have the recorded hash is no answer.
//!
//! It is not a shared HTTP cache: it never decides by itself that an answer is still fresh. A caller says how old
//! an answer may be ([`CacheUse::Within`]), else the server is asked.

use super::{
    answer::{Answer, Source},
    client::Client,
    error::HttpError,
    request::Request,
};
use crate::atomic::UNFINISHED;
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

/// Settings of a client's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Its folder; made when it is not there. It belongs to the cache alone.
    pub folder: PathBuf,
    /// Bytes it may take; beyond this the answers unused for longest go.
    pub bytes_max: u64,
}

/// How one request uses the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// Not at all.
    #[default]
    Off,
    /// An answer at hand is used after the server said that it is still right (`ETag`, `Last-Modified`).
    Revalidate,
    /// An answer at hand that is younger is used without asking, an older one as by `Revalidate`.
    Within(
        /// The age.
        Duration,
    ),
}

/// What the cache did. All only grow, except `bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Answers used without asking.
    pub fresh: u64,
    /// Answers used after asking.
    pub revalidated: u64,
    /// Requests for which there was nothing (any more).
    pub missed: u64,
    /// Answers stored.
    pub stored: u64,
    /// Answers removed to make room.
    pub evicted: u64,
    /// Files that were not what was written, or could not be read or written.
    pub broken: u64,
    /// Bytes stored now.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    fresh: AtomicU64,
    revalidated: AtomicU64,
    missed: AtomicU64,
    stored: AtomicU64,
    evicted: AtomicU64,
    broken: AtomicU64,
    bytes: AtomicU64,
}

/// First line of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    stored_ms: u64,
    status: u16,
    headers: Vec<(String, String)>,
    body_hash: String,
}

const VERSION: u32 = 1;

/// An answer from disk.
struct Entry {
    head: Head,
    body: Bytes,
}

#[derive(Clone)]
pub(super) struct Cache {
    config: Arc<CacheConfig>,
    counters: Arc<Counters>,
}

impl Cache {
    pub(super) fn open(config: CacheConfig) -> Result<Self, String> {
        let shown = config.folder.display();
        fs::create_dir_all(&config.folder).map_err(|error| format!("cache folder {shown}: {error}"))?;
        let files = files(&config.folder).map_err(|error| format!("cache folder {shown}: {error}"))?;
        let counters = Counters::default();
        counters.bytes.store(files.iter().map(|file| file.bytes).sum(), Relaxed);
        Ok(Self { config: Arc::new(config), counters: Arc::new(counters) })
    }

    pub(super) fn counts(&self) -> CacheCounts {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let c = &*self.counters;
        CacheCounts {
            fresh: of(&c.fresh),
            revalidated: of(&c.revalidated),
            missed: of(&c.missed),
            stored: of(&c.stored),
            evicted: of(&c.evicted),
            broken: of(&c.broken),
            bytes: of(&c.bytes),
        }
    }

    /// A request by way of the cache.
    pub(super) async fn fetch(
        &self,
        client: &Client,
        mut request: Request,
        waits: &(dyn Fn(bool) + Sync),
    ) -> Result<Answer, HttpError> {
        let began = tokio::time::Instant::now();
        let (Some(path), Ok(url)) = (self.path(&request), request.url.clone()) else {
            return client.fetch_uncached(request, waits).await;
        };
        let entry = self.blocking(path.clone(), |cache, path| cache.read(&path)).await.flatten();
        let method = request.method.clone();
        let answer = |entry: Entry, source| Answer {
            method,
            status: StatusCode::from_u16(entry.head.status).unwrap_or(StatusCode::OK),
            headers: entry.head.header_map(),
            body: entry.body,
            url,
            source,
            timing: super::Timing { total: began.elapsed(), ..Default::default() },
        };
        if let (CacheUse::Within(age), Some(_)) = (request.cache, &entry)
            && entry.as_ref().is_some_and(|entry| entry.head.age() <= age)
            && let Some(entry) = entry
        {
            self.counters.fresh.fetch_add(1, Relaxed);
            return Ok(answer(entry, Source::Cache));
        }
        let asks = entry.as_ref().is_some_and(|entry| entry.head.ask(&mut request.headers));
        let keeps = matches!(request.cache, CacheUse::Within(_));
        let got = client.fetch_uncached(request, waits).await?;
        if got.status == StatusCode::NOT_MODIFIED
            && asks
            && let Some(mut entry) = entry
        {
            self.counters.revalidated.fetch_add(1, Relaxed);
            entry.head.stored_ms = now_ms();
            entry.head.merge(&got.headers);
            let mut answer = answer(entry, Source::Revalidated);
            answer.timing = got.timing;
            self.store(path, &answer).await;
            return Ok(answer);
        }
        self.counters.missed.fetch_add(1, Relaxed);
        if worth_keeping(&got, keeps) && (got.body.len() as u64) < self.config.bytes_max / 4 {
            self.store(path, &got).await;
        }
        Ok(got)
    }

    /// Where the answer to a request would be.
    fn path(&self, request: &Request) -> Option<PathBuf> {
        let name = identity(request)?;
        Some(self.config.folder.join(&name[..2]).join(&name[2..]))
    }

    async fn store(&self, path: PathBuf, answer: &Answer) {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        // What described the body on the wire no longer describes it here.
        let wire = [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        let kept =
            answer.headers.iter().filter(|(name, _)| !wire.contains(name) && **name != header::SET_COOKIE);
        let head = Head {
            version: VERSION,
            stored_ms: now_ms(),
            status: answer.status.as_u16(),
            headers: kept
                .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
                .collect(),
            body_hash: blake3::hash(&answer.body).to_hex().to_string(),
        };
        let body = answer.body.clone();
        self.blocking(path, move |cache, path| cache.write(&path, &head, &body)).await;
    }

    /// File work on a thread that may wait.
    async fn blocking<T: Send + 'static>(
        &self,
        path: PathBuf,
        work: impl FnOnce(&Self, PathBuf) -> T + Send + 'static,
    ) -> Option<T> {
        let cache = self.clone();
        tokio::task::spawn_blocking(move || work(&cache, path)).await.ok()
    }

    fn read(&self, path: &Path) -> Option<Entry> {
        let bytes = match fs::read(path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => {
                self.counters.broken.fetch_add(1, Relaxed);
                return None;
            }
        };
        let entry = parse(&bytes);
        if entry.is_none() {
            self.counters.broken.fetch_add(1, Relaxed);
            self.remove(path, bytes.len() as u64);
        } else if let Ok(file) = fs::File::options().append(true).open(path) {
            // The time of last use, for eviction.
            let _ = file.set_modified(SystemTime::now());
        }
        entry
    }

    fn write(&self, path: &Path, head: &Head, body: &[u8]) {
        let Ok(mut bytes) = serde_json::to_vec(head) else { return };
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        let before = fs::metadata(path).map_or(0, |meta| meta.len());
        let folder = path.parent().unwrap_or(path);
        let written = fs::create_dir_all(folder).and_then(|()| place(folder, path, &bytes));
        if written.is_err() {
            self.counters.broken.fetch_add(1, Relaxed);
            return;
        }
        self.counters.stored.fetch_add(1, Relaxed);
        let added = bytes.len() as u64;
        let total = self.counters.bytes.fetch_add(added, Relaxed) + added;
        self.subtract(before);
        if total.saturating_sub(before) > self.config.bytes_max {
            self.evict();
        }
    }

    /// Removes what was unused for longest until a tenth of the room is free.
    fn evict(&self) {
        let Ok(mut files) = files(&self.config.folder) else { return };
        files.sort_by_key(|file| file.used);
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        let target = self.config.bytes_max / 10 * 9;
        for file in files {
            if total <= target {
                break;
            }
            if fs::remove_file(&file.path).is_ok() {
                self.counters.evicted.fetch_add(1, Relaxed);
                total -= file.bytes;
            }
        }
        self.counters.bytes.store(total, Relaxed);
    }

    fn remove(&self, path: &Path, bytes: u64) {
        if fs::remove_file(path).is_ok() {
            self.subtract(bytes);
        }
    }

    fn subtract(&self, bytes: u64) {
        let less = |total: u64| Some(total.saturating_sub(bytes));
        let _ = self.counters.bytes.fetch_update(Relaxed, Relaxed, less);
    }
}

impl Request {
    /// Whether the cache has anything to do with it.
    pub(super) fn uses_cache(&self) -> bool {
        self.cache != CacheUse::Off && self.method == Method::GET && !self.headers.contains_key(header::RANGE)
    }
}

/// A name for what a request asks: of its URL, every header that the caller set and its address rule.
pub(super) fn identity(request: &Request) -> Option<String> {
    let mut hash = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(request.url.as_ref().ok()?.as_str().as_bytes());
    part(format!("{:?}", request.addresses).as_bytes());
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    headers.sort();
    headers.into_iter().for_each(|(name, value)| {
        part(name.as_bytes());
        part(value);
    });
    Some(hash.finalize().to_hex().to_string())
}

fn worth_keeping(answer: &Answer, without_validator: bool) -> bool {
    answer.status == StatusCode::OK && may_keep(&answer.headers, without_validator)
}

/// Whether what came with these headers may be kept and can be asked about later.
pub(super) fn may_keep(headers: &HeaderMap, without_validator: bool) -> bool {
    let control = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let forbids = control
        .is_some_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("no-store")));
    let validator = headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    !forbids && (validator || without_validator)
}

impl Head {
    fn value(&self, name: &HeaderName) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name.as_str()).map(|(_, value)| value.as_str())
    }

    fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.stored_ms))
    }

    /// Makes a request conditional; false when there is nothing to ask by.
    fn ask(&self, headers: &mut HeaderMap) -> bool {
        let mut asked = false;
        for (condition, validator) in
            [(header::IF_NONE_MATCH, header::ETAG), (header::IF_MODIFIED_SINCE, header::LAST_MODIFIED)]
        {
            // A condition of the caller's own is the caller's business.
            if headers.contains_key(&condition) {
                return false;
            }
            if let Some(value) = self.value(&validator).and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(condition, value);
                asked = true;
            }
        }
        asked
    }

    /// A 304 brings the headers up to date.
    fn merge(&mut self, newer: &HeaderMap) {
        for (name, value) in newer {
            if let Ok(value) = value.to_str() {
                self.headers.retain(|(n, _)| n != name.as_str());
                self.headers.push((name.as_str().to_owned(), value.to_owned()));
            }
        }
    }

    fn header_map(&self) -> HeaderMap {
        let pair = |(name, value): &(String, String)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
        };
        self.headers.iter().filter_map(pair).collect()
    }
}

fn parse(bytes: &Bytes) -> Option<Entry> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
    let body = bytes.slice(end + 1..);
    let whole = head.version == VERSION && blake3::hash(&body).to_hex().as_str() == head.body_hash;
    whole.then_some(Entry { head, body })
}

/// Writes a file that appears whole. It need not be durable: its hash tells whether it is whole.
fn place(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Relaxed);
    let passing = folder.join(format!(".{}.{count}{UNFINISHED}", std::process::id()));
    fs::write(&passing, bytes)?;
    fs::rename(&passing, path).inspect_err(|_| {
        let _ = fs::remove_file(&passing);
    })
}

struct File {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Every file of the cache, two levels down.
fn files(folder: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for shelf in fs::read_dir(folder)?.flatten() {
        let Ok(entries) = fs::read_dir(shelf.path()) else { continue };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push(File { path: entry.path(), bytes: meta.len(), used });
        }
    }
    Ok(files)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
