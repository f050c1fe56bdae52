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
    fs::create_dir_all(&target).map_err(error(&target))?;
    let sources = root.join("crates/backtesting/python/backtesting");
    for entry in fs::read_dir(&sources).map_err(error(&sources))?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "py") {
            fs::copy(&path, target.join(entry.file_name())).map_err(error(&path))?;
        }
    }
    let name = format!("{}backtesting_native{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = release.join(name);
    fs::copy(&library, target.join("_native.abi3.so")).map_err(error(&library))?;
    Ok(release.join("python"))
}
