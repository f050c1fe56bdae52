//! Python as the command line finds it: the interpreter, the sandbox, the library.

use crate::args::{EngineArg, InterpreterArgs, PythonArgs};
use springtide_engine::{Rules as BrokerRules, backtesting_py::Rules};
use springtide_lab::{
    LabError,
    python::{Interpreter, PythonEngine, PythonFacts, PythonLab},
};
use springtide_python::{Engine, Environment, Need, Workers, WorkersConfig, setup};
use springtide_runtime::{
    observe::{Component, Health},
    process::{Children, ChildrenConfig},
};
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
    health: Component,
}

impl Python {
    /// Finds an interpreter and tries the sandbox. The process that starts children and the workers tell of
    /// themselves in `health`.
    pub fn find(args: &PythonArgs, health: &Health) -> Result<Self, LabError> {
        Self::find_or(args, health, &|error| error)
    }

    /// The same; where there is no interpreter, the error is what `or` makes of it.
    fn find_or(
        args: &PythonArgs,
        health: &Health,
        or: &dyn Fn(LabError) -> LabError,
    ) -> Result<Self, LabError> {
        let engine = engine_name(args.python_engine)?;
        if args.plots.is_some() && engine == "rust" {
            return Err(LabError::Usage(
                "--plots keeps what the original library draws, and springtide's own draws nothing: add \
                 --python-engine original, or leave --plots away"
                    .into(),
            ));
        }
        let config = ChildrenConfig { at_once: CHILDREN_MAX, ..ChildrenConfig::default() };
        let children = Arc::new(Children::new(config).map_err(usage)?);
        children.watch(health.component("children"));
        let environment = environment(&children, args).map_err(or)?;
        let least = if args.interpreter.allow_unsandboxed { Tier::None } else { Tier::Reduced };
        let sandbox = Sandbox::new(&children, SandboxConfig { least, ..SandboxConfig::default() });
        let health = health.component("python workers");
        Ok(Self { children, sandbox: sandbox.map_err(usage)?, environment, health })
    }

    /// Workers for an engine by its name, `rust` is ours, and the name of the rules it is to follow.
    fn engine(&self, name: &str, rules: &str, preload: &[String]) -> Result<PythonEngine, LabError> {
        let rules =
            Rules::named(rules).ok_or_else(|| LabError::Usage(format!("no library has rules `{rules}`")))?;
        let engine = match name {
            "rust" => Engine::Folder {
                path: package()?.ok_or_else(|| LabError::Usage(no_package()))?,
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
            health: Some(self.health.clone()),
        };
        Ok(PythonEngine {
            name: name.into(),
            rules,
            identity: format!("{library}; {}", self.environment.identity()),
            interpreter: Interpreter {
                path: self.environment.python.display().to_string(),
                version: self.environment.version.clone(),
            },
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
        let name = engine_name(args.python_engine)?;
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
        Ok(PythonLab::new(engines, verify, args.plots.clone()))
    }

    /// The warning that goes with its sandbox.
    pub fn warning(&self) -> Option<&'static str> {
        self.sandbox.tier().warning()
    }
}

/// A lab for the repetition of a run under these rules.
pub fn again(
    args: &InterpreterArgs,
    facts: &PythonFacts,
    rules: &BrokerRules,
) -> Result<PythonLab, LabError> {
    let engine = if facts.engine == "rust" { EngineArg::Rust } else { EngineArg::Original };
    let args = PythonArgs { interpreter: args.clone(), python_engine: Some(engine), ..PythonArgs::default() };
    let elsewhere = |error| LabError::Usage(format!("{error}{}", facts.made_with(None)));
    // One lab after another: what became of an earlier one says nothing about this process.
    let python = Python::find_or(&args, &Health::default(), &elsewhere)?;
    let engine = python.engine(&facts.engine, &rules.name, &[])?;
    Ok(PythonLab::new(vec![engine], Vec::new(), None))
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
fn engine_name(asked: Option<EngineArg>) -> Result<&'static str, LabError> {
    Ok(match asked {
        Some(EngineArg::Rust) => "rust",
        Some(EngineArg::Original) => "original",
        None if package()?.is_some() => "rust",
        None => "original",
    })
}

/// True when the engine was left to choose and ours is not there.
pub fn falls_back(args: &PythonArgs) -> Result<bool, LabError> {
    Ok(args.python_engine.is_none() && package()?.is_none())
}

/// The folder of our `backtesting` package: named by `TIDE_PYTHON_PACKAGE`, else beside the program.
fn package() -> Result<Option<PathBuf>, LabError> {
    let found = |folder: PathBuf| {
        let folder = folder.canonicalize().ok()?;
        folder.join("backtesting/__init__.py").is_file().then_some(folder)
    };
    if let Some(named) = env::var_os("TIDE_PYTHON_PACKAGE").filter(|name| !name.is_empty()) {
        return match found(PathBuf::from(&named)) {
            Some(folder) => Ok(Some(folder)),
            None => Err(LabError::Usage(format!(
                "TIDE_PYTHON_PACKAGE={}: that is no folder with a package `backtesting` inside; `cargo xtask \
                 python-package` makes one, and without the variable the one beside the program is taken",
                Path::new(&named).display()
            ))),
        };
    }
    let program = env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let beside = program
        .as_deref()
        .and_then(Path::parent)
        .map(|bin| ["python", "../lib/tide/python", "../share/tide/python"].map(|place| bin.join(place)));
    Ok(beside.into_iter().flatten().find_map(found))
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
        ("skopt", "skopt"),
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
    let named = args.interpreter.python.clone().or_else(|| env::var_os("TIDE_PYTHON").map(PathBuf::from));
    if let Some(python) = &named {
        let found = inspect(&std::path::absolute(python).unwrap_or_else(|_| python.clone()))?;
        let missing = needed(&found, args)?;
        return if missing.is_empty() { Ok(found) } else { Err(LabError::Usage(lacks(&found, &missing))) };
    }
    let mut seen = Vec::new();
    for python in candidates() {
        let Ok(found) = inspect(&python) else { continue };
        let missing = needed(&found, args)?;
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
fn needed(environment: &Environment, args: &PythonArgs) -> Result<Vec<&'static str>, LabError> {
    let original = args.verify_engine || engine_name(args.python_engine)? == "original";
    let counts = |need: Need| need == Need::Always || need == Need::Original && original;
    Ok(environment.missing().into_iter().filter(|p| counts(p.need)).map(|p| p.name).collect())
}

fn lacks(environment: &Environment, missing: &[&str]) -> String {
    format!(
        "{} lacks {}; `tide python setup` makes an environment that has it",
        environment.python.display(),
        missing.join(", ")
    )
}

/// Something that is not there.
#[derive(Debug)]
pub struct Missing {
    /// What, and how to get it, one line.
    pub text: String,
    /// Without it no Python strategy runs.
    pub blocks: bool,
}

/// What is missing for Python strategies; none when nothing is.
pub fn missing(args: &PythonArgs) -> Vec<Missing> {
    let blocking = |error: LabError| Missing { text: error.to_string(), blocks: true };
    let package = match package() {
        Ok(package) => package,
        Err(error) => return vec![blocking(error)],
    };
    let config = ChildrenConfig::default();
    let found = Children::new(config).map_err(usage).and_then(|children| environment(&children, args));
    let mut list = Vec::new();
    match found {
        Err(error) => list.push(blocking(error)),
        Ok(found) => list.extend(found.missing().into_iter().map(|p| {
            let why = match p.need {
                Need::Always => "every script needs it",
                Need::Original => "--python-engine original and --verify-engine need it",
                Need::Scripts => "scripts that import it need it",
            };
            let place = found.python.display();
            // An interpreter without what scripts cannot do without is not found in the first place.
            Missing {
                text: format!("{} is not in {place}: {why}; `tide python setup` installs it", p.name),
                blocks: false,
            }
        })),
    }
    if package.is_none() {
        list.push(Missing { text: no_package(), blocks: false });
    }
    list
}
