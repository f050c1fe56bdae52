//! Files that lie beside a script: which there are, what is in them, which of them its runs are given.

use crate::{
    LabError,
    encoding::decode,
    strategy::{StrategyKind, StrategySource},
};
use springtide_domain::ContentHash;
use springtide_python::{Beside, Shape, TABLES};
use springtide_runtime::locks::{Mutex, lock};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::{Component, Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

/// Files that one script is given: together at most this long.
const GIVEN_MAX_BYTES: u64 = 64 << 20;
/// How often a script is begun anew with files that it asked for.
pub(super) const ASKS_MAX: usize = 8;
/// How far below a script's folder its files may lie, unless it names them in full.
const DEPTH_MAX: usize = 4;
/// Files and folders that are looked at for one folder, and files that are listed.
const ENTRIES_MAX: usize = 20_000;
const LISTED_MAX: usize = 2_000;
/// Modules beside one script.
const MODULES_MAX: usize = 256;
/// Who has none of these in its text reads no file.
const READS: [&str; 3] = ["read_", "open", "load"];

/// What is in a file.
#[derive(Debug)]
struct Content {
    bytes: Arc<[u8]>,
    hash: ContentHash,
}

/// The files of a folder that a script in it may ask for.
#[derive(Debug, Default)]
struct Listing {
    names: Arc<BTreeSet<String>>,
    /// There may be more.
    is_cut: bool,
}

/// Hashes of files that a run has read, and of modules, by their names.
pub type Reads = BTreeMap<String, String>;

/// Folders and files as a lab has found them: each is looked at once, and is in memory as long as a script has it.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    listings: Mutex<HashMap<PathBuf, Arc<OnceLock<Listing>>>>,
    contents: Mutex<HashMap<PathBuf, Weak<Content>>>,
    imports: Mutex<HashMap<ContentHash, Imported>>,
}

/// What a module may import, or why it is none.
pub(super) type Imported = Result<Vec<String>, String>;
/// Asks of modules, by their names and texts, what they may import.
pub(super) type Importer<'a> = &'a dyn Fn(&[(String, String)]) -> Vec<Imported>;

impl Shelves {
    /// What modules may import; each is asked for once.
    fn imported(&self, modules: &[(String, String)], importer: Importer<'_>) -> Vec<Imported> {
        let key =
            |(file, text): &(String, String)| ContentHash::of_parts(&[file.as_bytes(), text.as_bytes()]);
        let is_known = |module: &&(String, String)| lock(&self.imports).contains_key(&key(module));
        let unknown: Vec<_> = modules.iter().filter(|module| !is_known(module)).cloned().collect();
        if !unknown.is_empty() {
            let told = importer(&unknown);
            lock(&self.imports).extend(unknown.iter().map(key).zip(told));
        }
        let known = lock(&self.imports);
        modules
            .iter()
            .map(|module| known.get(&key(module)).cloned().unwrap_or_else(|| Ok(Vec::new())))
            .collect()
    }

    fn listing(&self, folder: &Path) -> Arc<OnceLock<Listing>> {
        let listing = Arc::clone(lock(&self.listings).entry(folder.to_owned()).or_default());
        listing.get_or_init(|| Listing::of(folder));
        listing
    }

    /// What is in a file of at most `room` bytes, or why it cannot be given.
    fn content(&self, path: &Path, name: &str, room: u64) -> Result<Arc<Content>, String> {
        let unreadable = |error| {
            format!("`{name}` beside the script cannot be read: {error}; make it readable, or take it out")
        };
        let known = lock(&self.contents).get(path).and_then(Weak::upgrade);
        let length = match &known {
            Some(content) => content.bytes.len() as u64,
            None => std::fs::metadata(path).map_err(unreadable)?.len(),
        };
        if length > room {
            return Err(format!(
                "`{name}` beside the script has {length} bytes, and the files that a script is given have at most \
                 {GIVEN_MAX_BYTES} together: import it (`tide data import`) and name it with --data, or make it shorter"
            ));
        }
        if let Some(content) = known {
            return Ok(content);
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let content = Arc::new(Content { hash: ContentHash::of(&bytes), bytes: bytes.into() });
        lock(&self.contents).insert(path.to_owned(), Arc::downgrade(&content));
        Ok(content)
    }
}

impl Listing {
    /// Whatever lies nearest comes first. Links to folders are not followed, and hidden folders not entered.
    fn of(folder: &Path) -> Self {
        let (mut names, mut looked_at) = (BTreeSet::new(), 0);
        let mut folders = VecDeque::from([(folder.to_owned(), String::new(), 0)]);
        let mut is_cut = false;
        while let Some((place, before, depth)) = folders.pop_front() {
            for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
                looked_at += 1;
                if looked_at > ENTRIES_MAX || names.len() >= LISTED_MAX {
                    return Self { names: Arc::new(names), is_cut: true };
                }
                let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
                    continue;
                };
                if name.starts_with('.') || name == "__pycache__" {
                    continue;
                }
                let name = format!("{before}{name}");
                match kind.is_dir() {
                    true if depth < DEPTH_MAX => {
                        folders.push_back((entry.path(), format!("{name}/"), depth + 1));
                    }
                    true => is_cut = true,
                    false if is_table(&name) && (kind.is_file() || beside(folder, &name).is_some()) => {
                        names.insert(name);
                    }
                    false => {}
                }
            }
        }
        Self { names: Arc::new(names), is_cut }
    }
}

fn is_table(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TABLES.iter().any(|ending| name.ends_with(ending))
}

/// The file of that name, if it lies in the folder or below. A script may name any file; what lies elsewhere is
/// none of its business.
fn beside(folder: &Path, name: &str) -> Option<PathBuf> {
    let root = folder.canonicalize().ok()?;
    let path = folder.join(name).canonicalize().ok()?;
    (path.starts_with(&root) && path.is_file()).then_some(path)
}

/// The name without steps that lead nowhere, as listed names are.
fn plain(name: &str) -> String {
    let parts: Option<Vec<&str>> = Path::new(name)
        .components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| if let Component::Normal(part) = part { part.to_str() } else { None })
        .collect();
    parts.map_or_else(|| name.to_owned(), |parts| parts.join("/"))
}

/// Files that a run is given.
#[derive(Clone, Debug, Default)]
struct Hand {
    files: BTreeMap<String, Arc<Content>>,
    withheld: BTreeMap<String, String>,
    absent: BTreeSet<String>,
    bytes: u64,
}

impl Hand {
    /// Adds a file; false where there is no room for it.
    fn take(&mut self, shelves: &Shelves, folder: &Path, name: &str) -> bool {
        if self.files.contains_key(name) {
            return true;
        }
        let Some(path) = beside(folder, name).filter(|_| is_table(name)) else {
            self.absent.insert(name.into());
            return true;
        };
        match shelves.content(&path, name, GIVEN_MAX_BYTES - self.bytes) {
            Ok(content) => {
                self.bytes += content.bytes.len() as u64;
                self.withheld.remove(name);
                self.files.insert(name.into(), content);
                true
            }
            Err(why) => {
                self.withheld.insert(name.into(), why);
                false
            }
        }
    }
}

/// A module beside a script.
#[derive(Debug)]
struct Module {
    text: Arc<str>,
    hash: ContentHash,
}

/// What lies beside one script.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    folder: PathBuf,
    /// The files that it names in full, which every run of it is given.
    named: Hand,
    modules: BTreeMap<String, Module>,
    /// Why modules among them are none.
    problems: Vec<String>,
    /// It may read files that it does not name in full.
    may_ask: bool,
    /// The files that it names and those that its runs have asked for so far.
    asked: Mutex<Option<Hand>>,
}

impl Neighbours {
    /// Finds the files that a script names and the modules that it imports, and that these import.
    pub(super) fn of(
        source: &StrategySource,
        shape: &Shape,
        shelves: &Shelves,
        importer: Importer<'_>,
    ) -> Self {
        let parent = source.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut own =
            Self { folder: parent.canonicalize().unwrap_or_else(|_| parent.to_owned()), ..Self::default() };
        for name in &shape.files {
            own.named.take(shelves, &own.folder, &plain(name));
        }
        let mut names = shape.imports.clone();
        while !names.is_empty() {
            let found = own.add_modules(&names);
            names.clear();
            for ((file, _), imported) in found.iter().zip(shelves.imported(&found, importer)) {
                match imported {
                    Ok(more) => names.extend(more),
                    Err(why) => own.problems.push(format!("`{file}` beside the script: {why}")),
                }
            }
        }
        let texts = own.modules.values().map(|module| &*module.text).chain([source.text.as_str()]);
        own.may_ask = texts.into_iter().any(|text| READS.iter().any(|word| text.contains(word)));
        own
    }

    /// Adds the modules of these dotted names that lie beside the script; gives those that are new.
    fn add_modules(&mut self, names: &[String]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for file in names.iter().flat_map(|name| module_files(&self.folder, name)) {
            if self.modules.contains_key(&file) || self.named.withheld.contains_key(&file) {
                continue;
            }
            let room = GIVEN_MAX_BYTES - self.named.bytes;
            match self.module(&file, room) {
                Ok(module) => {
                    self.named.bytes += module.text.len() as u64;
                    found.push((file.clone(), module.text.to_string()));
                    self.modules.insert(file, module);
                }
                Err(why) => drop(self.named.withheld.insert(file, why)),
            }
        }
        found
    }

    fn module(&self, file: &str, room: u64) -> Result<Module, String> {
        if self.modules.len() >= MODULES_MAX {
            return Err(format!(
                "`{file}` is one more module beside the script than the {MODULES_MAX} that it can have"
            ));
        }
        // What is read for one run only is no matter for the shelves.
        let content = Shelves::default().content(&self.folder.join(file), file, room)?;
        let text =
            decode(content.bytes.to_vec(), StrategyKind::Python).map_err(|why| format!("`{file}`: {why}"))?;
        Ok(Module { text: text.into(), hash: content.hash })
    }

    /// What keeps files from being given and modules from being imported.
    pub(super) fn problems(&self) -> impl Iterator<Item = &String> {
        self.named.withheld.values().chain(&self.problems)
    }

    /// What a run is given at first: what earlier ones of the same script have asked for is there already.
    pub(super) fn first(&self) -> Giving<'_> {
        let known = lock(&self.asked).clone();
        Giving { own: self, hand: known.unwrap_or_else(|| self.named.clone()), asked: Vec::new() }
    }

    /// Identity of what a run may have seen that has read `reads`; none where that is nothing.
    pub(super) fn identity(&self, reads: &Reads) -> Option<ContentHash> {
        let files = self.named.files.iter().map(|(name, content)| (name, content.hash.to_string()));
        let modules = self.modules.iter().map(|(name, module)| (name, module.hash.to_string()));
        let read = reads.iter().map(|(name, hash)| (name, hash.clone()));
        let all: BTreeMap<&String, String> = files.chain(modules).chain(read).collect();
        let text = serde_json::to_vec(&all).unwrap_or_default();
        (!all.is_empty()).then(|| ContentHash::of(&text))
    }

    /// That all these files are there and as they were.
    ///
    /// # Errors
    /// Names the first one that is gone, or is another one now, and what to do.
    pub(super) fn still_has(&self, reads: &Reads, shelves: &Shelves) -> Result<(), LabError> {
        for (name, then) in reads {
            let now = match self.modules.get(name) {
                Some(module) => Some(module.hash),
                None => beside(&self.folder, name)
                    .and_then(|path| shelves.content(&path, name, GIVEN_MAX_BYTES).ok())
                    .map(|content| content.hash),
            };
            let what = match now {
                Some(now) if now.to_string() == *then => continue,
                Some(_) => "has changed since",
                None => "is gone",
            };
            return Err(LabError::Data(format!(
                "{}: the run read this file, which {what}; put it back as it was",
                self.folder.join(name).display()
            )));
        }
        Ok(())
    }
}

/// The files of the module of this dotted name, and of the packages that it lies in, that are in the folder.
fn module_files(folder: &Path, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut place = String::new();
    for part in name.split('.').take_while(|part| !part.is_empty()) {
        place = if place.is_empty() { part.to_owned() } else { format!("{place}/{part}") };
        let files = [format!("{place}/__init__.py"), format!("{place}.py")];
        let there = files.into_iter().find(|file| beside(folder, file).is_some());
        if there.is_none() && !folder.join(&place).is_dir() {
            break;
        }
        found.extend(there);
    }
    found
}

/// What one run is given, attempt after attempt.
#[derive(Debug)]
pub(super) struct Giving<'n> {
    own: &'n Neighbours,
    hand: Hand,
    /// What this run has asked for itself.
    asked: Vec<String>,
}

impl Giving<'_> {
    /// As a worker takes it.
    pub(super) fn beside(&self, shelves: &Shelves) -> Beside {
        let listing = self.own.may_ask.then(|| shelves.listing(&self.own.folder));
        let listing = listing.as_ref().and_then(|listing| listing.get());
        let hand = &self.hand;
        Beside {
            files: hand
                .files
                .iter()
                .map(|(name, content)| (name.clone(), Arc::clone(&content.bytes)))
                .collect(),
            modules: self.own.modules.iter().map(|(name, m)| (name.clone(), Arc::clone(&m.text))).collect(),
            listed: listing.map(|listing| Arc::clone(&listing.names)).unwrap_or_default(),
            is_list_cut: listing.is_some_and(|listing| listing.is_cut),
            withheld: hand.withheld.clone(),
            absent: hand.absent.clone(),
        }
    }

    /// Adds a file that the run has asked for; false where it has asked too often. One that asks a second time may ask
    /// for many: it gets all of the same kind in the same folder, as far as there is room.
    pub(super) fn add(&mut self, name: &str, shelves: &Shelves) -> bool {
        if self.asked.len() >= ASKS_MAX {
            return false;
        }
        self.asked.push(name.into());
        let folder = &self.own.folder;
        if !self.hand.take(shelves, folder, name) {
            // Others' wishes take the room: this run goes by its own.
            self.hand = self.own.named.clone();
            for name in &self.asked {
                self.hand.take(shelves, folder, name);
            }
        }
        if self.asked.len() > 1 {
            self.add_alike(name, shelves);
        }
        *lock(&self.own.asked) = Some(self.hand.clone());
        true
    }

    fn add_alike(&mut self, name: &str, shelves: &Shelves) {
        let kind = |name: &str| {
            let path = Path::new(name);
            (path.parent().map(Path::to_owned), path.extension().map(ToOwned::to_owned))
        };
        let listing = shelves.listing(&self.own.folder);
        let names = listing.get().map(|listing| Arc::clone(&listing.names)).unwrap_or_default();
        for other in names.iter().filter(|other| kind(other) == kind(name)) {
            let mut more = self.hand.clone();
            if more.take(shelves, &self.own.folder, other) {
                self.hand = more;
            }
        }
    }

    /// Hashes of those files and modules that the run says it has read.
    pub(super) fn hashes(&self, reads: &BTreeSet<String>) -> Reads {
        let hash = |name: &String| {
            let file = self.hand.files.get(name).map(|content| content.hash);
            file.or_else(|| self.own.modules.get(name).map(|module| module.hash))
        };
        reads.iter().filter_map(|name| Some((name.clone(), hash(name)?.to_string()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_beside_a_script_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let scripts = dir.path().join("scripts");
        std::fs::create_dir_all(scripts.join("data")).unwrap();
        for name in ["secret.csv", "scripts/a.csv", "scripts/data/b.csv"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("../secret.csv", scripts.join("link.csv")).unwrap();
        let secret = dir.path().join("secret.csv");
        let own = scripts.join("a.csv");
        for (name, there) in [
            ("a.csv", true),
            ("data/b.csv", true),
            (own.to_str().unwrap(), true),
            ("../secret.csv", false),
            ("link.csv", false),
            (secret.to_str().unwrap(), false),
            ("none.csv", false),
        ] {
            assert_eq!(beside(&scripts, name).is_some(), there, "{name}");
        }
    }

    /// A folder with these files; one whose text is a length is that long and empty.
    fn folder(files: &[(&str, u64)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, length) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(path).unwrap().set_len(*length).unwrap();
        }
        dir
    }

    fn neighbours(dir: &Path, text: &str, files: &[&str], imports: &[&str], shelves: &Shelves) -> Neighbours {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let source = StrategySource::from_text(&dir.join("s.py"), StrategyKind::Python, text.into());
        let shape = Shape { files: owned(files), imports: owned(imports), ..Shape::default() };
        let importer = |modules: &[(String, String)]| modules.iter().map(|_| Ok(Vec::new())).collect();
        Neighbours::of(&source, &shape, shelves, &importer)
    }

    fn names<V>(map: &BTreeMap<String, V>) -> Vec<&str> {
        map.keys().map(String::as_str).collect()
    }

    #[test]
    fn tables_of_the_folder_and_below_are_listed_once() {
        let dir = folder(&[
            ("a.csv", 1),
            ("b.TXT", 1),
            ("c.csv.gz", 1),
            ("d.key", 1),
            (".git/e.csv", 1),
            ("1/2/3/4/f.csv", 1),
            ("1/2/3/4/5/g.csv", 1),
        ]);
        let outside = folder(&[("h.csv", 1)]);
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("h.csv"), dir.path().join("h.csv")).unwrap();
        std::os::unix::fs::symlink("a.csv", dir.path().join("i.csv")).unwrap();
        let shelves = Shelves::default();
        let listing = shelves.listing(dir.path());
        let found = listing.get().unwrap();
        assert!(found.is_cut, "something lies deeper");
        let wanted = ["1/2/3/4/f.csv", "a.csv", "b.TXT", "c.csv.gz", "i.csv"];
        assert_eq!(found.names.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
        std::fs::remove_file(dir.path().join("a.csv")).unwrap();
        assert_eq!(shelves.listing(dir.path()).get().unwrap().names, found.names, "looked at once");
        let silent = neighbours(dir.path(), "x = 1", &[], &[], &shelves).first().beside(&shelves);
        assert!(silent.listed.is_empty(), "nobody reads");
    }

    #[test]
    fn what_is_too_long_is_left_out_and_what_is_asked_for_added() {
        let dir =
            folder(&[("a.csv", 40 << 20), ("b.csv", 30 << 20), ("c.csv", 10), ("d/e.csv", 5), ("k.key", 1)]);
        let shelves = Shelves::default();
        let own = neighbours(dir.path(), "read_csv", &["./a.csv", "b.csv", "/x/c.csv"], &[], &shelves);
        let mut giving = own.first();
        let given = giving.beside(&shelves);
        assert_eq!((names(&given.files), names(&given.withheld)), (vec!["a.csv"], vec!["b.csv"]));
        assert!(given.absent.contains("/x/c.csv") && given.withheld["b.csv"].contains("67108864 together"));
        assert!(
            giving.add("d/e.csv", &shelves)
                && giving.add("k.key", &shelves)
                && giving.add("../c.csv", &shelves)
        );
        let given = giving.beside(&shelves);
        assert_eq!(names(&given.files), ["a.csv", "d/e.csv"]);
        assert!(given.absent.contains("k.key") && given.absent.contains("../c.csv"));
        (0..ASKS_MAX - 3).for_each(|_| assert!(giving.add("c.csv", &shelves)));
        assert!(!giving.add("c.csv", &shelves), "asked too often");
        assert_eq!(
            names(&own.first().beside(&shelves).files),
            ["a.csv", "c.csv", "d/e.csv"],
            "for the next run"
        );
        assert!(
            own.named.files.len() == 1
                && own.identity(&Reads::new())
                    != own.identity(&giving.hashes(&BTreeSet::from(["c.csv".to_owned()])))
        );
    }

    #[test]
    fn the_second_wish_brings_its_like_and_own_wishes_go_before_those_of_others() {
        let dir = folder(&[
            ("d/a.csv", 30 << 20),
            ("d/b.csv", 1),
            ("d/c.csv", 2),
            ("d/d.txt", 3),
            ("e.csv", 50 << 20),
        ]);
        let shelves = Shelves::default();
        let own = neighbours(dir.path(), "open(", &[], &[], &shelves);
        let mut one = own.first();
        assert!(one.add("d/a.csv", &shelves));
        assert_eq!(names(&one.beside(&shelves).files), ["d/a.csv"]);
        assert!(one.add("d/b.csv", &shelves));
        assert_eq!(names(&one.beside(&shelves).files), ["d/a.csv", "d/b.csv", "d/c.csv"]);
        let mut other = own.first();
        assert!(other.add("e.csv", &shelves));
        let given = other.beside(&shelves);
        assert!(names(&given.files) == ["e.csv"] && given.withheld.is_empty(), "{:?}", given.withheld);
    }

    #[test]
    fn modules_are_found_with_the_packages_they_lie_in() {
        let dir = folder(&[("a.py", 0), ("p/__init__.py", 0), ("p/q/r.py", 0), ("p.py", 0)]);
        for (name, files) in [
            ("a.x", vec!["a.py"]),
            ("p.q.r", vec!["p/__init__.py", "p/q/r.py"]),
            ("numpy.linalg", vec![]),
            ("..a", vec![]),
        ] {
            assert_eq!(module_files(dir.path(), name), files, "{name}");
        }
        std::fs::write(dir.path().join("a.py"), b"'\xe9'").unwrap();
        let shelves = Shelves::default();
        let own = neighbours(dir.path(), "", &[], &["a", "p"], &shelves);
        assert_eq!(names(&own.modules), ["p/__init__.py"]);
        assert!(own.problems().next().unwrap().contains("no UTF-8 text"), "{:?}", own.named.withheld);
        let read = Reads::from([("p/__init__.py".into(), own.modules["p/__init__.py"].hash.to_string())]);
        assert!(own.still_has(&read, &shelves).is_ok());
        let gone = own.still_has(&Reads::from([("g.csv".into(), "1".into())]), &shelves).unwrap_err();
        assert!(gone.to_string().contains("g.csv: the run read this file, which is gone"), "{gone}");
    }
}
