//! Who descends from a process and what they use, read from `/proc`.

use std::{collections::HashMap, fs::File, io::Read, os::unix::fs::FileExt};

/// Finds our own children, adopted ones included.
#[derive(Debug)]
pub(crate) struct OwnChildren {
    /// `/proc/self/task/PID/children`, where the kernel has it.
    file: Option<File>,
    pid: u32,
    text: Vec<u8>,
}

impl OwnChildren {
    /// For the calling process, which has one thread.
    pub(crate) fn new() -> Self {
        let pid = std::process::id();
        let file = File::open(format!("/proc/{pid}/task/{pid}/children")).ok();
        Self { file, pid, text: vec![0; 4_096] }
    }

    /// True when the kernel lists children directly; otherwise all processes are searched.
    pub(crate) fn is_direct(&self) -> bool {
        self.file.is_some()
    }

    /// All children, dead ones that were not waited for included.
    pub(crate) fn list(&mut self) -> Vec<u32> {
        let Some(file) = &self.file else { return children_by_search(self.pid) };
        loop {
            match file.read_at(&mut self.text, 0) {
                // More than fits: once more with room.
                Ok(length) if length == self.text.len() => self.text.resize(2 * length, 0),
                Ok(length) => return numbers(&self.text[..length]),
                Err(_) => return children_by_search(self.pid),
            }
        }
    }
}

fn numbers(text: &[u8]) -> Vec<u32> {
    text.split(|b| *b == b' ')
        .filter_map(|word| std::str::from_utf8(word).ok()?.trim().parse().ok())
        .collect()
}

/// Children of any process: those of all its threads.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match std::fs::read(thread.path().join("children")) {
            Ok(text) => found.extend(numbers(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && thread.path().exists() => {
                return children_by_search(pid);
            }
            // The thread ended meanwhile.
            Err(_) => {}
        }
    }
    found
}

fn children_by_search(parent: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| Stat::read(*pid).is_some_and(|stat| stat.parent == parent))
        .collect()
}

/// The given processes and all that descend from them.
pub(crate) fn with_descendants(roots: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut all: Vec<u32> = roots.into_iter().collect();
    let mut at = 0;
    // A bound against a tree that grows while it is walked.
    while at < all.len() && all.len() < 100_000 {
        let found = children(all[at]);
        all.extend(found);
        at += 1;
    }
    all
}

/// Most processes and threads that one [`Census`] looks at.
const CENSUS_MAX: usize = 4_096;
/// Memory whose page tables one [`Census`] walks to tell shared pages apart, which takes about 10 ms.
const WALKED_MAX_BYTES: u64 = 1 << 30;

/// What a process and all that descend from it use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeUsage {
    /// Processor time, that of descendants that were waited for included, in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// Memory. Of several processes, pages that they share count once, as long as that is cheap to tell.
    pub(crate) resident_bytes: u64,
    pub(crate) processes: u32,
}

/// One look at the trees of several processes. Its cost is bounded however large they are: what lies beyond the
/// bound is left out.
#[derive(Debug)]
pub(crate) struct Census {
    looks_left: usize,
    walk_left_bytes: u64,
    page_bytes: u64,
    /// Where the kernel does not list a process's children: all processes by their parents, read once.
    by_parent: Option<HashMap<u32, Vec<u32>>>,
}

impl Census {
    pub(crate) fn new() -> Self {
        Self {
            looks_left: CENSUS_MAX,
            walk_left_bytes: WALKED_MAX_BYTES,
            page_bytes: rustix::param::page_size() as u64,
            by_parent: None,
        }
    }

    /// What the tree below a process uses; `None` when there is no such process.
    pub(crate) fn usage(&mut self, root: u32) -> Option<TreeUsage> {
        let mut members = vec![(root, Stat::read(root)?)];
        let mut at = 0;
        while at < members.len() {
            for pid in self.children(members[at].0) {
                members.extend(Stat::read(pid).map(|stat| (pid, stat)));
            }
            at += 1;
        }
        let mut usage = TreeUsage { processes: members.len() as u32, ..TreeUsage::default() };
        for (pid, stat) in &members {
            usage.cpu_ticks += stat.cpu_ticks;
            usage.resident_bytes += match members.len() {
                1 => stat.resident_pages * self.page_bytes,
                _ => self.fair_bytes(*pid, stat),
            };
        }
        Some(usage)
    }

    fn fair_bytes(&mut self, pid: u32, stat: &Stat) -> u64 {
        let resident = stat.resident_pages * self.page_bytes;
        match self.walk_left_bytes.checked_sub(resident) {
            Some(left) => {
                self.walk_left_bytes = left;
                proportional_bytes(pid).unwrap_or(resident)
            }
            None => resident,
        }
    }

    fn children(&mut self, pid: u32) -> Vec<u32> {
        if let Some(known) = &self.by_parent {
            return known.get(&pid).cloned().unwrap_or_default();
        }
        let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
        let mut found = Vec::new();
        for thread in threads.flatten() {
            let Some(left) = self.looks_left.checked_sub(1) else { break };
            self.looks_left = left;
            match std::fs::read(thread.path().join("children")) {
                Ok(text) => found.extend(numbers(&text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && thread.path().exists() => {
                    let known = self.by_parent.insert(all_by_parent());
                    return known.get(&pid).cloned().unwrap_or_default();
                }
                // The thread ended meanwhile.
                Err(_) => {}
            }
        }
        found.truncate(self.looks_left);
        found
    }
}

fn all_by_parent() -> HashMap<u32, Vec<u32>> {
    let mut all: HashMap<u32, Vec<u32>> = HashMap::new();
    let Ok(processes) = std::fs::read_dir("/proc") else { return all };
    for pid in processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(stat) = Stat::read(pid) {
            all.entry(stat.parent).or_default().push(pid);
        }
    }
    all
}

/// What is read from `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// Processor time of the process and of the children it has waited for, in clock ticks.
    pub(crate) cpu_ticks: u64,
    pub(crate) resident_pages: u64,
}

impl Stat {
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let mut text = String::new();
        File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name stands in parentheses and may hold anything, parentheses included.
        let after = &text[text.rfind(')')? + 1..];
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<i64>().ok();
        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            cpu_ticks: u64::try_from(ticks).ok()?,
            resident_pages: u64::try_from(number(21)?).ok()?,
        })
    }
}

/// Memory of a process with each shared page divided by the number of those who share it. Costs a walk over
/// its page tables.
pub(crate) fn proportional_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// How many times the kernel has ended a process for want of memory since it started.
pub(crate) fn oom_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or_default()
}

/// Largest resident memory this process ever had, from `VmHWM`.
pub(crate) fn own_peak_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or_default() << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_whatever_the_name() {
        let line =
            "7 (a) b (c)) S 3 7 7 0 -1 4194560 108 0 0 0 1 2 30 40 20 0 1 0 123 8192 55 18446744073709551615";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 3, cpu_ticks: 73, resident_pages: 55 }));
        assert_eq!(Stat::parse("7 (a) S 3"), None);
    }

    #[test]
    fn finds_children_with_and_without_the_kernels_list() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let me = std::process::id();
        assert!(children(me).contains(&child.id()));
        assert!(children_by_search(me).contains(&child.id()));
        assert!(with_descendants([me]).contains(&child.id()));
        assert!(Stat::read(child.id()).unwrap().parent == me);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children(me).contains(&child.id()));
    }

    #[test]
    fn a_tree_is_counted_whole_with_and_without_the_kernels_list() {
        let script = "sh -c 'sleep 60 & wait' & wait";
        let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let below = || with_descendants([child.id()]);
        while below().len() < 3 || below().iter().any(|pid| Stat::read(*pid).is_none()) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let listed = Census::new().usage(child.id()).unwrap();
        let searched =
            Census { by_parent: Some(all_by_parent()), ..Census::new() }.usage(child.id()).unwrap();
        assert_eq!((listed.processes, searched.processes), (3, 3));
        let alone = Stat::read(child.id()).unwrap().resident_pages * rustix::param::page_size() as u64;
        assert!(listed.resident_bytes > 0 && alone > 0);
        let bounded = Census { looks_left: 1, ..Census::new() }.usage(child.id()).unwrap();
        assert!(bounded.processes < 3, "{bounded:?}");
        let all = below();
        all.iter()
            .for_each(|pid| drop(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()));
        child.wait().unwrap();
        assert_eq!(Census::new().usage(child.id()), None);
    }

    #[test]
    fn measures_this_process() {
        let me = std::process::id();
        assert!(Stat::read(me).unwrap().resident_pages > 0);
        assert!(proportional_bytes(me).is_none_or(|bytes| bytes > 4_096));
        assert!(own_peak_bytes() > 100 << 10);
    }
}
