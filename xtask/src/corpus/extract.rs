//! Scripts out of collections of strategies: files of source, and documents with source in them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A script and the file it stands in.
pub struct Sample {
    pub origin: PathBuf,
    pub source: String,
}

/// The distinct scripts of every collection below a folder, in the order of their paths: strategies,
/// indicators and pieces of either. Empty when the folder is absent. What is kept aside for
/// acceptance is left unread.
pub fn scripts(corpora: &Path) -> Vec<Sample> {
    let mut files = Vec::new();
    walk(corpora, &mut files);
    let mut seen = HashSet::new();
    let mut samples = Vec::new();
    for origin in files {
        let Ok(bytes) = std::fs::read(&origin) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let sources = match origin.extension().is_some_and(|e| e == "md") {
            true => extract_scripts(&text),
            false => vec![text.into_owned()],
        };
        for source in sources {
            if seen.insert(source.clone()) {
                samples.push(Sample { origin: origin.clone(), source });
            }
        }
    }
    samples
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|p| !kept_aside(p)) {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|e| e == "md" || e == "pine") {
            files.push(path);
        }
    }
}

fn kept_aside(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("composite-") || name == "special-validation" || name == "symbol-specified"
}

/// The source of every code block that is marked as Pine, ```` ```pine ```` or ```` ``` pinescript ````.
/// A block that the document does not close ends with it.
pub fn extract_scripts(markdown: &str) -> Vec<String> {
    let mut scripts = Vec::new();
    let mut open: Option<String> = None;
    for line in markdown.lines() {
        match &mut open {
            Some(_) if line.trim() == "```" => scripts.extend(open.take()),
            Some(script) => {
                script.push_str(line);
                script.push('\n');
            }
            None if opens_script(line) => open = Some(String::new()),
            None => {}
        }
    }
    scripts.extend(open);
    scripts
}

fn opens_script(line: &str) -> bool {
    let language = line.trim_start().strip_prefix("```").map(|l| l.trim().to_ascii_lowercase());
    language.is_some_and(|l| matches!(l.as_str(), "pine" | "pinescript" | "pine-script"))
}

/// Does a line start with `strategy(`?
pub fn is_strategy(source: &str) -> bool {
    let call = |line: &str| {
        line.trim_start().strip_prefix("strategy").is_some_and(|r| r.trim_start().starts_with('('))
    };
    source.lines().any(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_marked_as_pine_are_taken() {
        let text =
            "# T\n``` pinescript\na\n  b\n```\n```js\nc\n```\n```pine  \nd\n```\n```\ne\n```\n``` Pine\nf";
        assert_eq!(extract_scripts(text), ["a\n  b\n", "d\n", "f\n"]);
    }

    #[test]
    fn a_strategy_declares_itself() {
        assert!(is_strategy("//@version=5\nstrategy(\"x\")"));
        assert!(is_strategy("  strategy (title=\"x\")"));
        assert!(!is_strategy("indicator(\"x\")\nstrategy.entry(\"a\")\n// strategy(\"x\")"));
    }
}
