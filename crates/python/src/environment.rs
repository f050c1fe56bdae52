//! The Python that scripts run in: where it is, what is installed, what is missing.

use serde::Deserialize;
use springtide_runtime::process::{ChildOptions, ChildSpec, Children, Limits, ProcessError};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long an interpreter may take to describe itself.
const PROBE_WALL: Duration = Duration::from_secs(30);

/// A package that scripts use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name in the registry.
    pub name: &'static str,
    /// The version that is installed by `tide python setup`.
    pub version: &'static str,
    /// What it is imported as.
    pub module: &'static str,
    /// When it is needed.
    pub need: Need,
}

/// When a package is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Always.
    Always,
    /// With `--python-engine original`.
    Original,
    /// By scripts that import it.
    Scripts,
}

/// The stack, pinned.
pub(crate) const PACKAGES: [Package; 6] = [
    Package { name: "numpy", version: "2.4.6", module: "numpy", need: Need::Always },
    Package { name: "pandas", version: "2.2.3", module: "pandas", need: Need::Always },
    Package { name: "backtesting", version: "0.6.6", module: "backtesting", need: Need::Original },
    Package { name: "TA-Lib", version: "0.8.2", module: "talib", need: Need::Scripts },
    Package {
        name: "pandas-ta-classic",
        version: "0.8.32",
        module: "pandas_ta_classic",
        need: Need::Scripts,
    },
    Package { name: "scipy", version: "1.17.1", module: "scipy", need: Need::Scripts },
];

/// A Python with its packages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Environment {
    /// The interpreter, as it is to be started.
    pub python: PathBuf,
    /// Its version.
    pub version: String,
    /// Folders that a program in it reads.
    pub folders: Vec<PathBuf>,
    /// Versions by name, of the packages that matter here.
    pub packages: BTreeMap<String, String>,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum EnvironmentError {
    #[error("no Python at `{}`; `tide python setup` makes an environment", python.display())]
    NotThere { python: PathBuf },
    #[error("`{}` does not say what it is: {problem}", python.display())]
    NoAnswer { python: PathBuf, problem: String },
    #[error(transparent)]
    Process(#[from] ProcessError),
}

const PROBE: &str = r#"
import importlib.metadata as metadata, json, os, sys
packages = {}
for name in sys.argv[1:]:
    try:
        packages[name] = metadata.version(name)
    except Exception:
        pass
folders = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
folders += [p for p in sys.path if os.path.isdir(p)]
folders = [os.path.realpath(p) for p in folders] + folders
print(json.dumps({"python": sys.executable, "version": sys.version.split()[0], "folders": folders,
                  "packages": packages}))
"#;

impl Environment {
    /// Asks an interpreter what it is. Nothing of its packages is imported.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub fn inspect(children: &Children, python: &Path) -> Result<Self, EnvironmentError> {
        if !python.is_file() {
            return Err(EnvironmentError::NotThere { python: python.into() });
        }
        let names = PACKAGES.iter().map(|p| p.name.to_owned());
        let args = ["-I", "-B", "-c", PROBE].map(str::to_owned).into_iter().chain(names);
        let spec = ChildSpec::new(python).args(args).limits(Limits::within(PROBE_WALL));
        let exit = children.spawn(spec, ChildOptions::new("python probe"))?.wait()?;
        let no_answer = |problem: String| EnvironmentError::NoAnswer { python: python.into(), problem };
        if !exit.is_success() {
            return Err(no_answer(format!("{}: {}", exit.ending, exit.stderr.text().trim())));
        }
        let found: Self = serde_json::from_slice(&exit.stdout.bytes).map_err(|e| no_answer(e.to_string()))?;
        Ok(Self { folders: outermost(found.folders), ..found })
    }

    /// The packages that are not there, and what each is needed for.
    pub fn missing(&self) -> Vec<Package> {
        PACKAGES.iter().filter(|p| !self.packages.contains_key(p.name)).copied().collect()
    }

    /// One line that changes whenever results could: interpreter and package versions.
    pub fn identity(&self) -> String {
        let list: Vec<String> =
            self.packages.iter().map(|(name, version)| format!("{name} {version}")).collect();
        format!("python {}, {}", self.version, list.join(", "))
    }
}

/// Folders without those within others, and without what a sandbox shows anyway.
fn outermost(mut folders: Vec<PathBuf>) -> Vec<PathBuf> {
    folders.retain(|f| f.is_absolute() && !f.starts_with("/usr") && f.as_path() != Path::new("/"));
    folders.sort();
    folders.dedup_by(|next, kept| next.starts_with(&*kept));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_within_others_are_left_out() {
        let list = ["/opt/py/lib", "/opt/py", "/usr/lib/python3", "relative", "/", "/opt/pyx", "/opt/py"];
        let kept = outermost(list.map(PathBuf::from).to_vec());
        assert_eq!(kept, [Path::new("/opt/py"), Path::new("/opt/pyx")]);
    }
}
