//! `cargo xtask tidy`: the rooms' promises, read from the dependency graph and the sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Arrows between rooms: left may use right, directly. Everything not listed is forbidden.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("runtime", &[]),
    ("sandbox", &["runtime"]),
    ("io", &["domain", "runtime"]),
    ("engine", &["domain"]),
    ("pine", &["engine", "domain"]),
    ("backtesting", &["engine", "domain"]),
    ("python", &["sandbox", "runtime", "domain"]),
    ("lab", &["python", "pine", "engine", "io", "runtime", "domain"]),
    ("scenario", &["io", "runtime", "domain"]),
    ("cli", &["python", "lab", "scenario", "pine", "engine", "io", "runtime", "sandbox", "domain"]),
];

/// Rooms that compute only: none of these crates may be anywhere below them.
const PURE: &[&str] = &["domain", "engine", "pine"];
const IMPURE_CRATES: &[&str] = &["tokio", "sqlx", "reqwest", "hyper", "memmap2", "rand", "mio", "socket2"];

/// Rooms below the runtime, or beside it, which have no other locks than the system's.
const WITHOUT_CHECKED_LOCKS: &[&str] = &["backtesting", "domain", "engine", "pine"];

/// Files with locks of the system, under which no other is taken.
const UNCHECKED_LOCKS: &[&str] =
    &["crates/cli/src/log.rs", "crates/runtime/src/listed.rs", "crates/runtime/src/observe/stall/stack.rs"];

/// Words of the language that a pure room's sources may not contain, and why.
const PURE_FORBIDDEN: &[(&str, &str)] = &[
    ("std::fs", "files are io's"),
    ("std::net", "sockets are io's"),
    ("std::time::Instant", "no clock: equal input gives equal bytes"),
    ("SystemTime", "no clock: equal input gives equal bytes"),
    ("std::env", "no environment outside the cli"),
    ("std::thread", "threads are the runtime's"),
    ("HashMap<", "iteration order differs from run to run; use FxHashMap, BTreeMap or a Vec"),
];

/// What only the edge may do.
const EDGE_ONLY: &[(&str, &str)] = &[
    ("println!", "printing is the cli's"),
    ("eprintln!", "printing is the cli's"),
    ("print!", "printing is the cli's"),
    ("std::env::args", "process arguments are the cli's"),
    ("std::env::var", "environment variables are the cli's"),
];

/// Crates that only one room may use directly, and why.
const ONE_ROOM: &[(&str, &str, &str)] = &[
    ("hyper", "io", "requests go out through io, where limits, deadlines and redaction apply"),
    ("hyper-util", "io", "requests go out through io, where limits, deadlines and redaction apply"),
    ("h2", "io", "requests go out through io, where limits, deadlines and redaction apply"),
    ("tokio-rustls", "io", "connections go out through io"),
    ("sqlx", "io", "database handles are io's"),
    ("crossbeam-deque", "runtime", "stealing is the scheduler's"),
];

/// What clippy.toml must refuse, so that nothing runs on without an owner.
const DETACHED: &[&str] = &[
    "std::thread::spawn",
    "tokio::spawn",
    "tokio::task::spawn_local",
    "tokio::runtime::Handle::spawn",
    "tokio::runtime::Runtime::spawn",
    "tokio::task::LocalSet::spawn_local",
];

/// Where the sources make an exception of that, and why that is none.
const NOT_DETACHED: &[(&str, &str)] = &[
    ("crates/runtime/src/pool/reactor.rs", "awaits what it spawns, on the thread that runs it"),
    ("crates/cli/src/interrupt.rs", "ends the process when a person asks twice"),
];

/// Words of the trade that the runtime must not know.
const TRADING_WORDS: &[&str] = &["strategy", "backtest", "candle", "broker", "ticker", "trading"];

/// Longest source file; beyond this a file holds more than one thing.
const MAX_LINES: usize = 1_200;

/// Runs every check; returns what is broken.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    let graph = Graph::read(root)?;
    let mut broken = Vec::new();
    arrows(&graph, &mut broken);
    purity(&graph, &mut broken);
    for (room, _) in ARROWS {
        sources(root, room, &mut broken)?;
    }
    one_room(&graph, &mut broken);
    detached(root, &mut broken)?;
    lengths(root, &mut broken)?;
    repository(root, &mut broken)?;
    Ok(broken)
}

struct Graph {
    /// Package name to direct dependencies (normal and build, not dev).
    direct: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read(root: &Path) -> Result<Self, String> {
        let output = Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root)
            .output()
            .map_err(|e| format!("cargo metadata: {e}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let json: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let list = |v: &serde_json::Value| v.as_array().cloned().unwrap_or_default();
        let names: BTreeMap<String, String> =
            list(&json["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
        let mut direct = BTreeMap::new();
        for node in list(&json["resolve"]["nodes"]) {
            let normal = |dep: &serde_json::Value| list(&dep["dep_kinds"]).iter().any(|k| k["kind"] != "dev");
            let deps = list(&node["deps"])
                .iter()
                .filter(|d| normal(d))
                .map(|d| names[&text(&d["pkg"])].clone())
                .collect();
            direct.insert(names[&text(&node["id"])].clone(), deps);
        }
        Ok(Self { direct })
    }

    fn all_below(&self, package: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut queue = vec![package.to_owned()];
        while let Some(next) = queue.pop() {
            for dep in self.direct.get(&next).into_iter().flatten() {
                if seen.insert(dep.clone()) {
                    queue.push(dep.clone());
                }
            }
        }
        seen
    }
}

fn arrows(graph: &Graph, broken: &mut Vec<String>) {
    for (room, allowed) in ARROWS {
        let package = format!("springtide-{room}");
        let Some(direct) = graph.direct.get(&package) else {
            broken.push(format!("room `{room}` is listed in xtask/src/tidy.rs but is no crate"));
            continue;
        };
        for other in direct.iter().filter_map(|d| d.strip_prefix("springtide-")) {
            if !allowed.contains(&other) {
                broken.push(format!(
                    "{room} uses {other}: that arrow is not in the design (xtask/src/tidy.rs)"
                ));
            }
        }
    }
    let known: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).chain(["bench", "testkit"]).collect();
    for room in graph.direct.keys().filter_map(|p| p.strip_prefix("springtide-")) {
        if !known.contains(room) {
            broken.push(format!("crate springtide-{room} has no promise in xtask/src/tidy.rs"));
        }
    }
}

fn purity(graph: &Graph, broken: &mut Vec<String>) {
    for room in PURE {
        let below = graph.all_below(&format!("springtide-{room}"));
        for bad in IMPURE_CRATES.iter().filter(|c| below.contains(**c)) {
            broken.push(format!("{room} promises to compute only, yet depends on {bad}"));
        }
    }
}

fn one_room(graph: &Graph, broken: &mut Vec<String>) {
    for (room, _) in ARROWS {
        let direct = graph.direct.get(&format!("springtide-{room}"));
        for (dependency, owner, why) in ONE_ROOM.iter().filter(|(_, owner, _)| owner != room) {
            if direct.is_some_and(|direct| direct.contains(*dependency)) {
                broken.push(format!("{room} uses {dependency}, which is {owner}'s alone: {why}"));
            }
        }
    }
}

/// Nothing runs on without an owner: clippy refuses every way to start such work, and no source allows it itself.
fn detached(root: &Path, broken: &mut Vec<String>) -> Result<(), String> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let refused = read(&root.join("clippy.toml"))?;
    for path in DETACHED.iter().filter(|path| !refused.contains(&format!("path = \"{path}\""))) {
        broken.push(format!("clippy.toml does not refuse `{path}`"));
    }
    for (room, _) in ARROWS {
        for file in rust_files(&root.join("crates").join(room).join("src"))? {
            let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let code = read(&file)?;
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            if code.contains("disallowed_methods") && !NOT_DETACHED.iter().any(|(known, _)| *known == name) {
                broken.push(format!("{name}: allows itself a method that clippy.toml refuses"));
            }
            // The runtime's locks are checked for their order in debug builds; the system's own are not.
            let checked = !WITHOUT_CHECKED_LOCKS.contains(room);
            let own = name.starts_with("crates/runtime/src/sync") || UNCHECKED_LOCKS.contains(&name.as_str());
            if checked && !own && plain_locks(code) {
                broken.push(format!(
                    "{name}: takes the system's locks, whose order is not checked; use the runtime's `locks`"
                ));
            }
        }
    }
    Ok(())
}

/// True when `Mutex` or `Condvar` comes from `std`.
fn plain_locks(code: &str) -> bool {
    let from_std = code.split("use std::").skip(1).filter_map(|rest| rest.split(';').next());
    let named = |list: &str| {
        let list = list.split_once("sync::").map_or("", |(_, list)| list);
        let list = list.split('}').next().unwrap_or_default();
        list.contains("Mutex") || list.contains("Condvar") || list.contains("RwLock")
    };
    from_std.into_iter().any(named) || code.contains("std::sync::Mutex")
}

fn sources(root: &Path, room: &str, broken: &mut Vec<String>) -> Result<(), String> {
    for file in rust_files(&root.join("crates").join(room).join("src"))? {
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        // Unit tests stand at the end of a file and may do what they need.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("//") {
                if room == "runtime" && line.starts_with("//") {
                    trading_words(line, &file, number, broken);
                }
                continue;
            }
            let mut forbid = |words: &[(&str, &str)]| {
                for (word, why) in words.iter().filter(|(w, _)| contains_word(line, w)) {
                    broken.push(format!("{}:{}: `{word}`: {why}", file.display(), number + 1));
                }
            };
            if PURE.contains(&room) {
                forbid(PURE_FORBIDDEN);
            }
            if room != "cli" {
                forbid(EDGE_ONLY);
            }
            if room == "runtime" {
                trading_words(line, &file, number, broken);
            }
        }
    }
    Ok(())
}

/// `word` not preceded by a letter: `print!` is not in `eprint!`, `HashMap<` not in `FxHashMap<`.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn trading_words(line: &str, file: &Path, number: usize, broken: &mut Vec<String>) {
    let lower = line.to_lowercase();
    for word in TRADING_WORDS.iter().filter(|w| lower.contains(**w)) {
        broken.push(format!(
            "{}:{}: the runtime knows no trading, yet says `{word}`",
            file.display(),
            number + 1
        ));
    }
}

fn lengths(root: &Path, broken: &mut Vec<String>) -> Result<(), String> {
    for folder in ["crates", "xtask", "bench"] {
        for file in rust_files(&root.join(folder))? {
            let lines = std::fs::read_to_string(&file)
                .map_err(|e| format!("{}: {e}", file.display()))?
                .lines()
                .count();
            if lines > MAX_LINES {
                broken.push(format!("{}: {lines} lines, at most {MAX_LINES}: split it", file.display()));
            }
        }
    }
    Ok(())
}

/// Things no file of the repository may hold.
fn repository(root: &Path, broken: &mut Vec<String>) -> Result<(), String> {
    let output =
        Command::new("git").args(["ls-files"]).current_dir(root).output().map_err(|e| format!("git: {e}"))?;
    for name in String::from_utf8_lossy(&output.stdout).lines() {
        let path = root.join(name);
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        if meta.len() > 1 << 20 {
            broken.push(format!("{name}: {} bytes; files over 1 MiB do not belong here", meta.len()));
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if text.contains(concat!("<<<<", "<<< ")) || text.contains(concat!(">>>>", ">>> ")) {
            broken.push(format!("{name}: holds a merge conflict"));
        }
        if name.ends_with(".rs")
            && (text.contains(concat!("todo", "!(")) || text.contains(concat!("unimplemented", "!(")))
        {
            broken.push(format!("{name}: holds a stub"));
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut queue = vec![folder.to_owned()];
    while let Some(next) = queue.pop() {
        for entry in std::fs::read_dir(&next).map_err(|e| format!("{}: {e}", next.display()))? {
            let path = entry.map_err(|e| e.to_string())?.path();
            if path.is_dir() {
                queue.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_locks_are_found_in_imports() {
        assert!(plain_locks("use std::sync::Mutex;"));
        assert!(plain_locks("use std::{\n    fmt,\n    sync::{Arc, Condvar},\n};"));
        assert!(!plain_locks("use crate::sync::Mutex;\nuse std::sync::Arc;"));
        assert!(!plain_locks("use std::{sync::{Arc, atomic::{AtomicU8}}, fmt};"));
    }

    #[test]
    fn words_are_found_whole() {
        assert!(contains_word("let m: HashMap<u8, u8>", "HashMap<"));
        assert!(!contains_word("let m: FxHashMap<u8, u8>", "HashMap<"));
        assert!(!contains_word("eprintln!(\"x\")", "println!"));
    }
}
