//! Makes an environment: `uv` where there is one, else the interpreter's own `venv` and `pip`.

use crate::environment::PACKAGES;
use std::path::{Path, PathBuf};

/// The interpreter of an environment in a folder.
pub fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

/// The packages with their versions, and those that are wanted beside.
pub fn requirements(with: &[String]) -> Vec<String> {
    PACKAGES.iter().map(|p| format!("{}=={}", p.name, p.version)).chain(with.iter().cloned()).collect()
}

/// Where packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Wherever the installer is set to look, PyPI as a rule.
    Usual,
    /// The registry at this address.
    Index(String),
    /// Wheels in this folder, and nothing else.
    Wheels(PathBuf),
}

/// The commands that make an environment in `folder` or bring one up to date, in their order.
pub fn commands(
    folder: &Path,
    uv: Option<&Path>,
    python: &Path,
    with: &[String],
    source: &Source,
) -> Vec<Vec<String>> {
    let text = |path: &Path| path.display().to_string();
    let inside = text(&interpreter(folder));
    let there = interpreter(folder).is_file();
    let mut list = Vec::new();
    let mut install = match uv {
        Some(uv) => {
            if !there {
                list.push(vec![text(uv), "venv".into(), "--python".into(), text(python), text(folder)]);
            }
            ["pip", "install", "--python"].map(str::to_owned).into_iter().fold(
                vec![text(uv)],
                |mut all, arg| {
                    all.push(arg);
                    all
                },
            )
        }
        None => {
            if !there {
                list.push(vec![text(python), "-m".into(), "venv".into(), text(folder)]);
            }
            Vec::new()
        }
    };
    install.push(inside);
    if uv.is_none() {
        install.extend(["-m", "pip", "install", "--disable-pip-version-check"].map(str::to_owned));
    }
    match source {
        Source::Usual => {}
        Source::Index(url) => install.extend(["--index-url".into(), url.clone()]),
        Source::Wheels(wheels) => {
            install.extend(["--no-index".into(), "--find-links".into(), text(wheels)]);
        }
    }
    install.extend(requirements(with));
    list.push(install);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_name_pinned_packages() {
        let (folder, python) = (Path::new("/nowhere/env"), Path::new("/usr/bin/python3"));
        let with = ["termcolor".to_owned()];
        let plain = commands(folder, None, python, &with, &Source::Usual);
        assert_eq!(plain[0], ["/usr/bin/python3", "-m", "venv", "/nowhere/env"]);
        assert_eq!(plain[1][..4], ["/nowhere/env/bin/python", "-m", "pip", "install"]);
        let uv = commands(folder, Some(Path::new("/bin/uv")), python, &with, &Source::Usual);
        assert_eq!(uv[0], ["/bin/uv", "venv", "--python", "/usr/bin/python3", "/nowhere/env"]);
        assert_eq!(uv[1][..5], ["/bin/uv", "pip", "install", "--python", "/nowhere/env/bin/python"]);
        for list in [&plain[1], &uv[1]] {
            assert!(list.iter().any(|a| a.starts_with("pandas==")) && list.last() == Some(&with[0]));
        }
        let own = commands(folder, None, python, &with, &Source::Index("https://own/simple".into()));
        assert_eq!(own[1][5..7], ["--index-url", "https://own/simple"]);
        let wheels = commands(folder, None, python, &with, &Source::Wheels("/wheels".into()));
        assert_eq!(wheels[1][5..8], ["--no-index", "--find-links", "/wheels"]);
    }
}
