//! Python as the command line finds it: the interpreter, the sandbox, the library.

use crate::args::{EngineArg, PythonArgs};
use springtide_engine::backtesting_py::Rules;
use springtide_lab::{
    LabError,
    python::{PythonEngine, PythonLab},
};
use springtide_python::{Engine, Environment, Need, Workers, WorkersConfig, setup};
use springtide_runtime::process::{Children, ChildrenConfig};
use springtide_sandbox::{Sandbox, SandboxConfig, Tier};
use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Children a batch may have at a time: workers of two engines and some to spare.
const CHILDREN_MAX: usize = 256;

/// What Python strategies need of the machine.
#[derive(Debug)]
pub struct Python {
    children: Arc<Children>,
    sandbox: Sandbox,
    environment: Environment,
}

impl Python {
    /// Finds an interpreter and tries the sandbox.
    pub fn find(args: &PythonArgs) -> Result<Self, LabError> {
        let config = ChildrenConfig { at_once: CHILDREN_MAX, ..ChildrenConfig::default() };
        let children = Arc::new(Children::new(config).map_err(usage)?);
        let environment = environment(&children, args)?;
        let least = if args.allow_unsandboxed { Tier::None } else { Tier::Reduced };
        let sandbox = Sandbox::new(&children, SandboxConfig { least, ..SandboxConfig::default() });
        Ok(Self { children, sandbox: sandbox.map_err(usage)?, environment })
    }

    /// Workers for an engine by its name, `rust` is ours, and the name of the rules it is to follow.
    fn engine(&self, name: &str, rules: &str, preload: &[String]) -> Result<PythonEngine, LabError> {
        let rules =
            Rules::named(rules).ok_or_else(|| LabError::Usage(format!("no library has rules `{rules}`")))?;
        let engine = match name {
            "rust" => Engine::Folder {
                path: package().ok_or_else(|| LabError::Usage(no_package()))?,
                rules: rules.name.into(),
            },
            _ => Engine::Original,
        };
        let library = match &engine {
            Engine::Folder { path, .. } => format!("springtide's backtesting {}", fingerprint(path)?),
            Engine::Original => {
                let version = self.environment.packages.get("backtesting");
                let version =
                    version.ok_or_else(|| LabError::Usage(lacks(&self.environment, &["backtesting"])))?;
                if series(version) != series(rules.version) {
                    return Err(LabError::Usage(other_version(&self.environment, version, &rules)));
                }
                format!("backtesting {version}")
            }
        };
        let config = WorkersConfig {
            children: Arc::clone(&self.children),
            sandbox: self.sandbox.clone(),
            environment: self.environment.clone(),
            engine,
            preload: preload.to_vec(),
        };
        Ok(PythonEngine {
            name: name.into(),
            rules,
            identity: format!("{library}; {}", self.environment.identity()),
            workers: Workers::new(config),
        })
    }

    /// Everything together, for each of the rules. `texts` are the scripts: what they import beyond the usual is
    /// imported beforehand.
    pub fn lab<'t>(
        &self,
        args: &PythonArgs,
        rules: &[&str],
        texts: impl Iterator<Item = &'t str>,
        workers: usize,
    ) -> Result<PythonLab, LabError> {
        let preload = preload(texts);
        let name = engine_name(args.python_engine);
        let engines = |name: &str| -> Result<Vec<_>, _> {
            rules.iter().map(|rules| self.engine(name, rules, &preload)).collect()
        };
        let verify = if args.verify_engine {
            engines(if name == "rust" { "original" } else { "rust" })?
        } else {
            Vec::new()
        };
        let engines = engines(name)?;
        if let Some(folder) = &args.plots {
            std::fs::create_dir_all(folder)
                .map_err(|source| LabError::File { path: folder.clone(), source })?;
        }
        engines.iter().chain(&verify).try_for_each(|e| e.workers.warm_up(workers)).map_err(usage)?;
        Ok(PythonLab { engines, verify, plots: args.plots.clone() })
    }

    /// The warning that goes with its sandbox.
    pub fn warning(&self) -> Option<&'static str> {
        self.sandbox.tier().warning()
    }
}

/// A lab for the repetition of a run that an engine of this name has made under rules of that name.
pub fn again(engine: &str, rules: &str) -> Result<PythonLab, LabError> {
    let python = Python::find(&PythonArgs::default())?;
    Ok(PythonLab { engines: vec![python.engine(engine, rules, &[])?], verify: Vec::new(), plots: None })
}

/// The part of a version whose releases have the same rules.
fn series(version: &str) -> Vec<&str> {
    version.split('.').take(2).collect()
}

fn other_version(environment: &Environment, version: &str, rules: &Rules) -> String {
    let python = environment.python.display();
    let other = Rules::ALL.iter().find(|other| series(other.version) == series(version));
    let or = other.map_or_else(String::new, |other| format!(" or --broker {},", other.name));
    format!(
        "{python} has backtesting {version}, and {} are the rules of {}: use --python-engine rust,{or} or name with \
         --python an interpreter that has that version",
        rules.name, rules.version
    )
}

fn usage(error: impl std::fmt::Display) -> LabError {
    LabError::Usage(error.to_string())
}

/// The engine asked for; ours unless it is not there.
fn engine_name(asked: Option<EngineArg>) -> &'static str {
    match asked {
        Some(EngineArg::Rust) => "rust",
        Some(EngineArg::Original) => "original",
        None if package().is_some() => "rust",
        None => "original",
    }
}

/// True when the engine was left to choose and ours is not there.
pub fn falls_back(args: &PythonArgs) -> bool {
    args.python_engine.is_none() && package().is_none()
}

/// The folder of our `backtesting` package: named by `TIDE_PYTHON_PACKAGE`, else beside the program.
pub fn package() -> Option<PathBuf> {
    let named = env::var_os("TIDE_PYTHON_PACKAGE").map(PathBuf::from);
    let program = env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let beside = program
        .as_deref()
        .and_then(Path::parent)
        .map(|bin| ["python", "../lib/tide/python", "../share/tide/python"].map(|place| bin.join(place)));
    let places = named.into_iter().chain(beside.into_iter().flatten());
    places.filter_map(|p| p.canonicalize().ok()).find(|p| p.join("backtesting/__init__.py").is_file())
}

fn no_package() -> String {
    "springtide's own `backtesting` package is not beside the program (folder `python`), nor named by \
     TIDE_PYTHON_PACKAGE; --python-engine original uses the library of the environment"
        .into()
}

/// A short hash of a package's files.
fn fingerprint(folder: &Path) -> Result<String, LabError> {
    let inner = folder.join("backtesting");
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| LabError::File { path, source }
    };
    let mut names: Vec<PathBuf> = std::fs::read_dir(&inner)
        .map_err(file(&inner))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "py" || e == "so"))
        .collect();
    names.sort();
    let mut bytes = Vec::new();
    for name in names {
        bytes.extend(std::fs::read(&name).map_err(file(&name))?);
    }
    Ok(springtide_domain::ContentHash::of(&bytes).short(12))
}

/// Heavy modules that some script imports.
fn preload<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let known = [
        ("pandas_ta", "pandas_ta_classic"),
        ("scipy", "scipy.stats"),
        ("sklearn", "sklearn"),
        ("sambo", "sambo"),
    ];
    let mut wanted = vec![];
    for text in texts {
        for (word, module) in known {
            if text.contains(word) && !wanted.iter().any(|w| w == module) {
                wanted.push(module.to_owned());
            }
        }
    }
    wanted
}

/// Where `tide python setup` makes an environment unless told otherwise.
pub fn home() -> Option<PathBuf> {
    let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let data = data.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    data.map(|data| data.join("tide/python"))
}

/// A program of that name on the path.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The interpreter named, else the first that has what every script needs.
fn environment(children: &Children, args: &PythonArgs) -> Result<Environment, LabError> {
    let inspect = |python: &Path| Environment::inspect(children, python).map_err(usage);
    let named = args.python.clone().or_else(|| env::var_os("TIDE_PYTHON").map(PathBuf::from));
    if let Some(python) = &named {
        let found = inspect(&std::path::absolute(python).unwrap_or_else(|_| python.clone()))?;
        let missing = needed(&found, args);
        return if missing.is_empty() { Ok(found) } else { Err(LabError::Usage(lacks(&found, &missing))) };
    }
    let mut seen = Vec::new();
    for python in candidates() {
        let Ok(found) = inspect(&python) else { continue };
        let missing = needed(&found, args);
        if missing.is_empty() {
            return Ok(found);
        }
        seen.push(format!("{} lacks {}", python.display(), missing.join(", ")));
    }
    let seen = if seen.is_empty() { "no Python was found".to_owned() } else { seen.join("; ") };
    Err(LabError::Usage(format!("no Python to run strategies in: {seen}. `tide python setup` makes one")))
}

fn candidates() -> Vec<PathBuf> {
    let active = env::var_os("VIRTUAL_ENV").map(|folder| setup::interpreter(Path::new(&folder)));
    let own = home().map(|folder| setup::interpreter(&folder));
    active.into_iter().chain(own).chain(on_path("python3")).collect()
}

/// What must be there for the engine that will be used, and is not.
fn needed(environment: &Environment, args: &PythonArgs) -> Vec<&'static str> {
    let original = args.verify_engine || engine_name(args.python_engine) == "original";
    let counts = |need: Need| need == Need::Always || need == Need::Original && original;
    environment.missing().into_iter().filter(|p| counts(p.need)).map(|p| p.name).collect()
}

fn lacks(environment: &Environment, missing: &[&str]) -> String {
    format!(
        "{} lacks {}; `tide python setup` makes an environment that has it",
        environment.python.display(),
        missing.join(", ")
    )
}

/// What is missing for Python strategies and how to get it, one line each; none when nothing is.
pub fn missing(args: &PythonArgs) -> Vec<String> {
    let config = ChildrenConfig::default();
    let found = Children::new(config).map_err(usage).and_then(|children| environment(&children, args));
    let mut lines = Vec::new();
    match found {
        Err(error) => lines.push(error.to_string()),
        Ok(found) => lines.extend(found.missing().into_iter().map(|p| {
            let why = match p.need {
                Need::Always => "every script needs it",
                Need::Original => "--python-engine original and --verify-engine need it",
                Need::Scripts => "scripts that import it need it",
            };
            format!("{} is not in {}: {why}; `tide python setup` installs it", p.name, found.python.display())
        })),
    }
    if package().is_none() {
        lines.push(no_package());
    }
    lines
}
