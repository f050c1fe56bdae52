//! Files named by URL: fetched into the workspace, then used like any other.

use super::Context;
use springtide_domain::ContentHash;
use springtide_io::http::{Client, ClientConfig, Downloaded, HttpError, Request};
use springtide_lab::LabError;
use springtide_runtime::{
    Outcome, Priority,
    exec::{Runtime, RuntimeConfig, Task},
};
use std::path::{Path, PathBuf};

/// Largest file fetched, bytes.
const BYTES_MAX: u64 = 8 << 30;

/// Files that were fetched, which go when they have been used.
#[derive(Debug, Default)]
pub struct Fetched {
    files: Vec<PathBuf>,
}

impl Fetched {
    /// Removes a fetched file that is of no further use, with its folder; others are left alone.
    pub fn used(&self, file: &Path) {
        if self.files.iter().any(|f| f == file)
            && let Some(folder) = file.parent()
        {
            // What cannot be removed lies in the workspace's cache and is used when it is asked for again.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn is_url(argument: &str) -> bool {
    let lower = argument.get(..8).unwrap_or(argument).to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

/// Fetches the URLs among `arguments` and puts the files in their places. Public addresses only, unless `private`.
/// What was begun and broken off, by a kill, too, is continued the next time.
pub fn fetch(
    context: &Context,
    arguments: &[String],
    private: bool,
) -> Result<(Vec<String>, Fetched), LabError> {
    let mut arguments = arguments.to_vec();
    let mut fetched = Fetched::default();
    if !arguments.iter().any(|a| is_url(a)) {
        return Ok((arguments, fetched));
    }
    let folder = context.workspace.cache().join("fetched");
    let mut wanted = Vec::new();
    for (place, url) in arguments.iter().enumerate().filter(|(_, a)| is_url(a)) {
        wanted.push((place, url.clone(), target(&folder, url)?));
    }
    let failed = |error: &dyn std::fmt::Display| LabError::Data(error.to_string());
    let client = Client::new(ClientConfig::default()).map_err(|e| failed(&e))?;
    let runtime = RuntimeConfig { workers: 1, name: "fetch".into(), ..RuntimeConfig::default() };
    let runtime = Runtime::new(runtime).map_err(|e| failed(&e))?;
    let jobs: Vec<(String, PathBuf)> =
        wanted.iter().map(|(_, url, path)| (url.clone(), path.clone())).collect();
    let results = runtime.run("fetch", move |scope| async move {
        let start =
            |(url, path): (String, PathBuf)| {
                let client = client.clone();
                scope.spawn(Priority::Standard, "file", None, async move {
                    one(&client, &url, &path, private).await
                })
            };
        let tasks: Vec<Task<Result<Downloaded, HttpError>>> = jobs.into_iter().map(start).collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await);
        }
        results
    });
    for ((place, _, path), result) in wanted.into_iter().zip(results.map_err(|e| failed(&e))?) {
        let got = match result {
            Outcome::Done(got) => got.map_err(|e| failed(&e))?,
            other => {
                return Err(LabError::Data(format!("fetching {} did not end: {other:?}", path.display())));
            }
        };
        let resumed = match got.resumed_from {
            0 => String::new(),
            bytes => format!(", {:.1} MB of it before", bytes as f64 / 1e6),
        };
        let (mb, s) = (got.bytes as f64 / 1e6, got.took.as_secs_f64());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        context.term.note(&format!("fetched {name}: {mb:.1} MB in {s:.1} s{resumed}"));
        arguments[place] = path.display().to_string();
        fetched.files.push(path);
    }
    Ok((arguments, fetched))
}

async fn one(client: &Client, url: &str, path: &Path, private: bool) -> Result<Downloaded, HttpError> {
    let request = Request::get(url).body_max(BYTES_MAX);
    client.download(if private { request } else { request.supplied() }, path).await
}

/// Where a URL's file goes: under its own name, from which the symbol is read, in a folder that only this URL has.
fn target(folder: &Path, url: &str) -> Result<PathBuf, LabError> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
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
        assert!(of("https://x.example/%2e%2e%2fx.csv").unwrap().ends_with("/_2e_2e_2fx.csv"));
        for bad in
            ["https://x.example/", "https://x.example", "https://x.example/..", "https://x.example/a.exe"]
        {
            assert!(matches!(of(bad), Err(LabError::Usage(_))), "{bad}");
        }
        assert!(is_url("HTTPS://x") && is_url("http://x") && !is_url("httpx.csv") && !is_url("é"));
    }
}
