//! Files, folders and globs from the command line to a sorted list of files.

use crate::LabError;
use std::path::{Path, PathBuf};

/// Expands each argument: a file as it is, a folder recursively to the files `accept` takes, a glob
/// (`*`, `?`, `[...]`, `**`) likewise. Sorted, without repeats. An argument that names nothing is an error:
/// nobody wants a batch that silently left a folder out.
pub fn expand(arguments: &[String], accept: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>, LabError> {
    let mut files = Vec::new();
    for argument in arguments {
        let before = files.len();
        expand_one(argument, accept, &mut files)?;
        if files.len() == before {
            return Err(LabError::Usage(format!("`{argument}` names no file that can be used here")));
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn expand_one(
    argument: &str,
    accept: &dyn Fn(&Path) -> bool,
    files: &mut Vec<PathBuf>,
) -> Result<(), LabError> {
    let path = Path::new(argument);
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    if path.is_dir() {
        return walk(path, &mut |file| {
            if accept(file) {
                files.push(file.to_owned())
            }
        });
    }
    if !argument.contains(['*', '?', '[']) {
        return Err(LabError::Usage(format!("`{argument}`: no such file or folder")));
    }
    let glob = globset::GlobBuilder::new(argument)
        .literal_separator(true)
        .build()
        .map_err(|e| LabError::Usage(format!("`{argument}`: {e}")))?
        .compile_matcher();
    walk(&glob_root(argument), &mut |file| {
        let plain = file.strip_prefix("./").unwrap_or(file);
        if (glob.is_match(plain) || glob.is_match(file)) && accept(file) {
            files.push(plain.to_owned());
        }
    })
}

/// The folder that an argument speaks of: itself, the one its file lies in, or the one before its first wildcard.
pub fn folder_of(argument: &str) -> PathBuf {
    let path = Path::new(argument);
    match path.parent() {
        _ if path.is_dir() => path.to_owned(),
        _ if argument.contains(['*', '?', '[']) => glob_root(argument),
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The folder before the first wildcard.
fn glob_root(glob: &str) -> PathBuf {
    let fixed = &glob[..glob.find(['*', '?', '[']).unwrap_or(glob.len())];
    match fixed.rfind('/') {
        Some(0) => PathBuf::from("/"),
        Some(slash) => PathBuf::from(&fixed[..slash]),
        None => PathBuf::from("."),
    }
}

/// Visits files below `folder`, in no particular order, without following links to folders (which may
/// form a ring) and without hidden folders.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) -> Result<(), LabError> {
    let file_error = |source| LabError::File { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(file_error)? {
        let entry = entry.map_err(file_error)?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let kind = entry.file_type().map_err(file_error)?;
        let path = entry.path();
        if kind.is_dir() && !hidden {
            walk(&path, visit)?;
        } else if !kind.is_dir() && path.is_file() {
            visit(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_globs() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        for name in ["a/x.pine", "a/b/y.pine", "a/b/z.txt"] {
            std::fs::write(at(name), "").unwrap();
        }
        let pine = |p: &Path| p.extension().is_some_and(|e| e == "pine");
        let find = |arg: &str| {
            expand(&[at(arg).to_string_lossy().into_owned()], &pine).map(|f| f.len()).unwrap_or(0)
        };
        assert_eq!(find("a"), 2);
        assert_eq!(find("a/*.pine"), 1);
        assert_eq!(find("a/**/*.pine"), 2);
        assert_eq!(find("a/b/z.txt"), 1, "a file named outright is taken whatever its ending");
        assert_eq!(find("a/*.csv"), 0);
        assert_eq!(find("nowhere"), 0);
    }
}
