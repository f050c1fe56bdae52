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

/// The commands that make an environment in `folder` or bring one up to date, in their order.
pub fn commands(folder: &Path, uv: Option<&Path>, python: &Path, with: &[String]) -> Vec<Vec<String>> {
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
        let plain = commands(folder, None, python, &with);
        assert_eq!(plain[0], ["/usr/bin/python3", "-m", "venv", "/nowhere/env"]);
        assert_eq!(plain[1][..4], ["/nowhere/env/bin/python", "-m", "pip", "install"]);
        let uv = commands(folder, Some(Path::new("/bin/uv")), python, &with);
        assert_eq!(uv[0], ["/bin/uv", "venv", "--python", "/usr/bin/python3", "/nowhere/env"]);
        assert_eq!(uv[1][..5], ["/bin/uv", "pip", "install", "--python", "/nowhere/env/bin/python"]);
        for list in [&plain[1], &uv[1]] {
            assert!(list.iter().any(|a| a.starts_with("pandas==")) && list.last() == Some(&with[0]));
        }
    }
}
