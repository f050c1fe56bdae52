//! `cargo xtask python-package`: the `backtesting` package where the program looks for it.

use crate::cargo;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Builds the library and lays the package out as `python/backtesting` beside the release build; returns the folder
/// `python`.
pub fn lay_out(root: &Path) -> Result<PathBuf, String> {
    cargo(root, &["build", "--release", "--locked", "--package", "springtide-backtesting"], &[])?;
    let here = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
    let release = here.ancestors().nth(2).ok_or("own path has no target folder")?.join("release");
    let target = release.join("python/backtesting");
    let error = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    // Nothing of an older one may stay.
    if target.exists() {
        fs::remove_dir_all(&target).map_err(error(&target))?;
    }
    copy_sources(&root.join("crates/backtesting/python/backtesting"), &target)
        .map_err(|(path, e)| format!("{}: {e}", path.display()))?;
    let name = format!("{}backtesting_native{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = release.join(name);
    fs::copy(&library, target.join("_native.abi3.so")).map_err(error(&library))?;
    Ok(release.join("python"))
}

/// The Python files of a folder and the folders in it.
fn copy_sources(from: &Path, to: &Path) -> Result<(), (PathBuf, std::io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |e| (path, e)
    };
    fs::create_dir_all(to).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let path = entry.map_err(at(from))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() && path.file_name().is_some_and(|n| n != "__pycache__") {
            copy_sources(&path, &target)?;
        } else if path.extension().is_some_and(|e| e == "py") {
            fs::copy(&path, &target).map_err(at(&path))?;
        }
    }
    Ok(())
}
