//! Files named by URL: fetched into the workspace, then used like any other.

mod picture;

use super::Context;
use crate::{args::ImportArgs, net, observe, progress::Display, term::cut};
use picture::{Downloads, Line};
use springtide_domain::ContentHash;
use springtide_io::{
    ImportError,
    http::{CacheUse, Cause, Client, Deadlines, Downloaded, HttpError, Request, Room, Source, redact},
};
use springtide_lab::LabError;
use springtide_runtime::{
    CancelToken, Outcome, Priority,
    exec::{Runtime, RuntimeConfig, Scope},
    limit::RetryConfig,
};
use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Largest file fetched, bytes.
const BYTES_MAX: u64 = 8 << 30;
/// Files fetched at once.
const WIDTH: usize = 8;
/// Attempts without progress.
const ATTEMPTS: u32 = 3;
/// What fetched files may take that are kept to be asked about again.
const ROOM: Room = Room { bytes_max: 4 << 30, age_max: Duration::from_secs(30 * 86_400) };

/// What became of the URLs.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Those that are there.
    pub files: Vec<PathBuf>,
    /// The others: the URL without its secrets, and why not.
    pub failed: Vec<(String, String)>,
    /// Those among `files` that the server can be asked about again.
    kept: Vec<PathBuf>,
    /// The URL of each among `files`, without its secrets.
    addresses: Vec<String>,
    folder: PathBuf,
    /// The person interrupted it; nothing is there then.
    pub interrupted: bool,
}

impl Fetched {
    /// A file was imported: it goes, unless it need not be fetched again the next time.
    pub fn used(&self, file: &Path) {
        if !self.kept.iter().any(|kept| kept == file) {
            self.remove(file);
        }
    }

    /// A file was refused: it goes, unless other options may make it one that is taken.
    pub fn refused(&self, file: &Path, why: &ImportError) {
        let for_good = !matches!(
            why,
            ImportError::BadRows { .. } | ImportError::Disorder { .. } | ImportError::Identity { .. }
        );
        if for_good || !self.kept.iter().any(|kept| kept == file) {
            self.remove(file);
        }
    }

    /// A text that names fetched files by where they came from, not by where they lie in the meantime.
    pub fn by_address(&self, text: &str) -> String {
        let named = self.files.iter().zip(&self.addresses);
        named.fold(text.to_owned(), |text, (file, url)| text.replace(&*file.to_string_lossy(), url))
    }

    fn remove(&self, file: &Path) {
        if self.files.iter().any(|f| f == file) {
            discard(file);
        }
    }

    /// Keeps what lies in the cache to its room, and says what went.
    pub fn keep_to_room(&self, context: &Context) {
        match ROOM.keep(&self.folder) {
            Ok(cleared) if cleared.downloads > 0 => context.term.note(&format!(
                "removed {} fetched files that were old, large or of no use: {:.1} MB",
                cleared.downloads,
                cleared.bytes as f64 / 1e6
            )),
            Ok(_) => {}
            Err(error) => context.term.note_as(
                &context.term.err().yellow("warning:"),
                &format!("{}: {error}", self.folder.display()),
            ),
        }
    }
}

/// Removes a file with its folder, which is its alone. What cannot be removed goes with the room it takes.
fn discard(file: &Path) {
    let _ = file.parent().map(fs::remove_dir_all);
}

/// Whether an argument is an address.
pub fn is_url(argument: &str) -> bool {
    let lower = argument.get(..8).unwrap_or(argument).to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

/// A URL and its file.
struct Wanted {
    url: String,
    path: PathBuf,
    line: Arc<Line>,
}

/// Fetches URLs, all at once, each once. Public addresses only, unless `--private`. What was begun and broken off, by
/// a kill, too, is continued the next time.
pub fn fetch(context: &Context, urls: &BTreeSet<&str>, args: &ImportArgs) -> Result<Fetched, LabError> {
    let folder = context.workspace.cache().join("fetched");
    let mut wanted: Vec<Wanted> = Vec::new();
    for url in urls {
        let path = target(&folder, url)?;
        if wanted.iter().all(|w| w.path != path) {
            let line = Arc::new(Line::new(context.term, &name(&path)));
            wanted.push(Wanted { url: (*url).to_owned(), path, line });
        }
    }
    let mut fetched = Fetched { folder, ..Fetched::default() };
    if wanted.is_empty() {
        return Ok(fetched);
    }
    let failed = |error: &dyn std::fmt::Display| LabError::Data(error.to_string());
    let lines: Vec<Arc<Line>> = wanted.iter().map(|w| Arc::clone(&w.line)).collect();
    let picture = Downloads::new(lines.clone());
    let (view, jobs, cancel) = (picture.clone(), jobs(&wanted, args), CancelToken::new());
    context.seen.add_section("fetch", move || view.view());
    let _visible = observe::serve(context.term, &context.seen);
    let display = Display::of(context.term, picture)
        .map_err(|source| LabError::File { path: "progress".into(), source })?;
    let _signals = (context.signals.speak_through(display.speaker()), context.signals.cancels(&cancel)?);
    let runtime = RuntimeConfig { workers: 1, name: "fetch".into(), ..RuntimeConfig::default() };
    let runtime = Runtime::under(runtime, &cancel).map_err(|e| failed(&e))?;
    let results = runtime.run("fetch", move |scope| all(scope, jobs, lines));
    display.finish();
    if cancel.is_cancelled() {
        return Ok(Fetched { interrupted: true, ..fetched });
    }
    let results = results.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
    for (Wanted { url, path, .. }, result) in wanted.into_iter().zip(results) {
        match result.map_err(|error| told(&error)).and_then(|got| not_a_page(&path).map(|()| got)) {
            Ok(got) => {
                context.term.note(&summary(&name(&path), &got));
                fetched.kept.extend(got.kept.then(|| path.clone()));
                fetched.files.push(path);
                fetched.addresses.push(redact::text(&url));
            }
            Err(why) => {
                // What can be continued stays, and so does its folder.
                let _ = path.parent().map(fs::remove_dir);
                fetched.failed.push((redact::text(&url), why));
            }
        }
    }
    Ok(fetched)
}

fn jobs(wanted: &[Wanted], args: &ImportArgs) -> Vec<(Request, PathBuf)> {
    let deadlines = Deadlines { total: args.timeout, ..Deadlines::default() };
    let retry = RetryConfig { attempts_max: ATTEMPTS, ..RetryConfig::default() };
    let job = |Wanted { url, path, line }: &Wanted| {
        let request = Request::get(url)
            .body_max(BYTES_MAX)
            .deadlines(deadlines)
            .retry(retry)
            .cache(CacheUse::Revalidate)
            .follow(Arc::clone(line) as _);
        (if args.private { request } else { request.supplied() }, path.clone())
    };
    wanted.iter().map(job).collect()
}

type Results = Vec<Result<Downloaded, HttpError>>;

/// Runs them as data collection: after everything that somebody waits for.
async fn all(scope: Scope, jobs: Vec<(Request, PathBuf)>, lines: Vec<Arc<Line>>) -> Result<Results, String> {
    let config = net::config(&scope).map_err(|e| e.to_string())?;
    let client = Client::new(config).map_err(|e| e.to_string())?;
    let ended = move |number: usize, result| {
        lines[number].end();
        result
    };
    let task = scope
        .spawn(Priority::Low, "import", None, async move { client.download_each(jobs, WIDTH, ended).await });
    match task.await {
        Outcome::Done(results) => Ok(results),
        other => Err(format!("fetching did not end: {other:?}")),
    }
}

fn summary(name: &str, got: &Downloaded) -> String {
    let mb = got.bytes as f64 / 1e6;
    if got.source != Source::Server {
        return format!("{name} has not changed since it was fetched: {mb:.1} MB need not be fetched again");
    }
    let resumed = match got.resumed_from {
        0 => String::new(),
        bytes => format!(", {:.1} MB of it before", bytes as f64 / 1e6),
    };
    format!("fetched {name}: {mb:.1} MB in {:.1} s{resumed}", got.took.as_secs_f64())
}

/// An error with what a person can do about it.
fn told(error: &HttpError) -> String {
    let remedy = match error.cause() {
        Cause::Forbidden { .. } => "; --private lets addresses lead there",
        Cause::DiskFull { .. } => ", or name a workspace on another disk (--workspace)",
        Cause::Short { .. } | Cause::Transport(_) | Cause::Timeout { .. } | Cause::Deadline(_) => {
            "; the same command tries again, and goes on where it stopped if the server lets it"
        }
        _ => "",
    };
    format!("{error}{remedy}")
}

/// Servers answer with a page where there is no file, or a sign-in. None of the files that are imported begins so.
fn not_a_page(path: &Path) -> Result<(), String> {
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(512).read_to_end(&mut start));
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with('<') {
        return Ok(());
    }
    discard(path);
    let begin = cut(text.lines().next().unwrap_or_default(), 60);
    Err(format!(
        "the server sent a web page instead of {} (it begins `{begin}`): look whether the address is right and \
         needs no sign-in",
        name(path)
    ))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a URL's file goes: under its own name, from which the symbol is read, in a folder that only this URL has.
fn target(folder: &Path, url: &str) -> Result<PathBuf, LabError> {
    let url = url.split('#').next().unwrap_or(url);
    let path = url.split('?').next().unwrap_or(url);
    let name = path.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
    let name: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if name.starts_with('.') || !springtide_lab::market::is_bar_file(Path::new(&name)) {
        return Err(LabError::Usage(format!(
            "the URL's path must end with a file's name, .csv, .parquet or .arrow; it ends with `{name}`"
        )));
    }
    Ok(folder.join(ContentHash::of(url.as_bytes()).to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_name_and_stays_in_its_folder() {
        let folder = Path::new("f");
        let of = |url: &str| target(folder, url).map(|p| p.display().to_string());
        let first = of("https://x.example/a/BTC-USD_15m.csv?token=geheim#top").unwrap();
        assert!(first.starts_with("f/") && first.ends_with("/BTC-USD_15m.csv") && !first.contains("geheim"));
        assert_ne!(first, of("https://y.example/a/BTC-USD_15m.csv").unwrap());
        assert_eq!(of("https://x.example/a.csv#b").unwrap(), of("https://x.example/a.csv").unwrap());
        assert!(of("https://x.example/%2e%2e%2fx.csv").unwrap().ends_with("/_2e_2e_2fx.csv"));
        for bad in
            ["https://x.example/", "https://x.example", "https://x.example/..", "https://x.example/a.exe"]
        {
            assert!(matches!(of(bad), Err(LabError::Usage(_))), "{bad}");
        }
        assert!(is_url("HTTPS://x") && is_url("http://x") && !is_url("httpx.csv") && !is_url("é"));
    }

    #[test]
    fn a_page_is_told_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            let path = folder.path().join("d/X.csv");
            fs::create_dir_all(folder.path().join("d")).unwrap();
            fs::write(&path, text).unwrap();
            (not_a_page(&path), path.exists())
        };
        assert_eq!(of("time,open\n<1"), (Ok(()), true));
        assert_eq!(of(""), (Ok(()), true));
        let (told, there) = of("\u{feff}\n <!DOCTYPE html>\n<html>");
        assert!(!there && told.clone().is_err_and(|why| why.contains("`<!DOCTYPE html>`")), "{told:?}");
    }
}
