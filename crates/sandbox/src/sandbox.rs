//! The supervising side: what is there, starting a job, its outcome.

use crate::{
    filter,
    job::{Cage, Job},
    launch::NOT_CONFINED,
    mechanism::{Findings, Mechanisms, Tier},
    plan::{ANSWER_FD, Answer, Bind, KernelLimits, PLAN_FD, Plan, SCRATCH},
    scratch::Scratch,
};
use springtide_runtime::process::{
    Beyond, Child, ChildOptions, ChildSpec, Children, Ending, Exit, Limits, Output, ProcessError,
    ProgressChannel,
};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// How often the scratch folder of a reduced sandbox is looked at.
const SCRATCH_EVERY: Duration = Duration::from_millis(50);
/// How long dropping a reduced sandbox waits for its end, which is being killed.
const DROP_MAX: Duration = Duration::from_secs(10);
/// First of the numbers that are given to users of their own; far above those of people and services.
const USERS: u32 = 0x7000_0000;
/// How many there are before they come round.
const USERS_COUNT: u32 = 1 << 20;
/// What any program needs of the system. What a system lacks is left out.
const SYSTEM: [&str; 10] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/nix/store",
];

/// How to start the launcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LauncherProgram {
    /// A program whose `main` calls [`enter`](crate::enter) first.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Default for LauncherProgram {
    /// This program itself.
    fn default() -> Self {
        Self { path: "/proc/self/exe".into(), args: vec![crate::LAUNCHER_ARG.into()] }
    }
}

/// Settings of a [`Sandbox`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// The least that will do. [`Tier::None`] lets code run that nobody holds.
    pub least: Tier,
    /// Use no more than this, though the machine offers it.
    pub most: Tier,
    /// The launcher's program.
    pub launcher: LauncherProgram,
    /// Folder in which the scratch folders of reduced sandboxes are made.
    pub scratch_parent: PathBuf,
    /// Mechanisms not to use, by name: to test that the others hold alone.
    pub without: Vec<String>,
}

impl Default for SandboxConfig {
    /// At least reduced; whatever there is; this program as launcher.
    fn default() -> Self {
        Self {
            least: Tier::Reduced,
            most: Tier::Full,
            launcher: LauncherProgram::default(),
            scratch_parent: "/tmp".into(),
            without: Vec::new(),
        }
    }
}

/// Why a job did not run confined.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine does not offer enough.
    #[error("no sandbox that suffices on this machine ({}); `tide doctor` says what is missing and how to get it, \
             --allow-unsandboxed runs the code with all your rights", missing_text(.mechanisms))]
    Insufficient {
        /// What there is.
        mechanisms: Mechanisms,
    },
    /// The job wants more than this tier can hold.
    #[error("in a {tier} sandbox {what}")]
    Beyond {
        /// The tier.
        tier: Tier,
        /// What cannot be had.
        what: &'static str,
    },
    /// The specification cannot be carried out.
    #[error("cannot run `{}` confined: {problem}", program.display())]
    BadJob {
        /// The program.
        program: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The sandbox could not be set up; the program did not run.
    #[error("the sandbox could not be set up ({step}: {error}); the program did not run")]
    Setup {
        /// What was being done.
        step: String,
        /// What the system said.
        error: String,
    },
    /// The process could not be started or watched.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The scratch folder.
    #[error("cannot make a scratch folder in `{}`", folder.display())]
    Scratch {
        /// Where.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn missing_text(mechanisms: &Mechanisms) -> String {
    let missing = mechanisms.list.iter().filter(|m| !m.works);
    let list: Vec<String> = missing.map(|m| format!("{}: {}", m.name, m.detail)).collect();
    list.join("; ")
}

/// Runs jobs confined, in the best tier that the machine offers.
#[derive(Clone, Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    mechanisms: Mechanisms,
    tier: Tier,
}

/// Users of their own are never shared by two sandboxes at a time, in this process.
static NEXT_USER: AtomicU32 = AtomicU32::new(0);

impl Sandbox {
    /// Tries what the machine offers.
    ///
    /// # Errors
    /// When it is less than wanted, or the launcher does not run.
    pub fn new(children: &Children, config: SandboxConfig) -> Result<Self, SandboxError> {
        let mechanisms = detect(children, &config.launcher)?;
        let tier = mechanisms.tier.min(config.most);
        if tier < config.least {
            return Err(SandboxError::Insufficient { mechanisms });
        }
        if tier != Tier::Full {
            Scratch::remove_remainders(&config.scratch_parent);
        }
        Ok(Self { config, mechanisms, tier })
    }

    /// What jobs run in.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// What the machine offers.
    pub fn mechanisms(&self) -> &Mechanisms {
        &self.mechanisms
    }

    /// What a [server](Job::server) puts its children in.
    ///
    /// # Errors
    /// On a machine for which no filter can be made.
    pub fn cage(&self) -> Result<Cage, SandboxError> {
        let setup = |error| SandboxError::Setup { step: "seccomp".into(), error };
        let program = match self.tier {
            Tier::None => Vec::new(),
            Tier::Reduced | Tier::Full => filter::cage(self.tier == Tier::Reduced).map_err(setup)?,
        };
        Ok(Cage { program, pid_mark: filter::PID_MARK })
    }

    /// Starts a job when there is a place for it; does not wait.
    ///
    /// # Errors
    /// When the job cannot be carried out, or its process not be asked for.
    pub fn start(
        &self,
        children: &Children,
        job: Job,
        options: ChildOptions,
    ) -> Result<Confined, SandboxError> {
        if job.allowance.forks && self.tier == Tier::Reduced {
            return Err(SandboxError::Beyond { tier: self.tier, what: "no processes can be started" });
        }
        let scratch = match self.tier {
            Tier::Full => None,
            Tier::Reduced | Tier::None => {
                let folder = self.config.scratch_parent.clone();
                let made = Scratch::new(&folder, job.allowance.scratch_bytes);
                Some(made.map_err(|source| SandboxError::Scratch { folder, source })?)
            }
        };
        let results_bytes = job.results.map_or(0, |(_, bytes)| bytes);
        let spec = match self.tier {
            Tier::None => bare(job, scratch.as_ref()),
            Tier::Reduced | Tier::Full => self.confined(job, scratch.as_ref())?,
        };
        let child = children.spawn(spec, options)?;
        Ok(Confined { child, tier: self.tier, scratch, results_bytes })
    }

    fn confined(&self, job: Job, scratch: Option<&Scratch>) -> Result<ChildSpec, SandboxError> {
        let plan = self.plan(&job, scratch)?;
        let bytes = serde_json::to_vec(&plan).map_err(|e| bad(&job, e))?;
        let plan_fd = plan_file(&bytes).map_err(|e| bad(&job, e))?;
        let mut spec = ChildSpec::new(&self.config.launcher.path).args(self.config.launcher.args.clone());
        spec.env.clear();
        streams(&mut spec, job);
        spec.pass.push((PLAN_FD, plan_fd));
        spec.progress = Some(ProgressChannel { fd: ANSWER_FD, line_bytes_max: 4_096, events_max: 4 });
        Ok(spec)
    }

    fn plan(&self, job: &Job, scratch: Option<&Scratch>) -> Result<Plan, SandboxError> {
        let text = |path: &Path| -> Result<String, SandboxError> {
            let text = path.to_str().ok_or_else(|| bad(job, format!("`{}` is not UTF-8", path.display())))?;
            match text.starts_with('/') && !text.split('/').any(|part| part == "..") {
                true => Ok(text.into()),
                false => Err(bad(job, format!("`{text}` must be absolute and without `..`"))),
            }
        };
        let program = text(&job.program)?;
        let mut read_only = Vec::new();
        for path in SYSTEM.iter().map(Path::new).chain(job.read_only.iter().map(PathBuf::as_path)) {
            let path = text(path)?;
            read_only.push(Bind { host: path.clone(), inside: path });
        }
        let folder = scratch.map(|s| text(s.path())).transpose()?;
        let home = folder.clone().unwrap_or_else(|| SCRATCH.into());
        let mut env = vec!["PATH=/usr/local/bin:/usr/bin:/bin".into(), "LANG=C.UTF-8".into()];
        env.extend([format!("HOME={home}"), format!("TMPDIR={home}")]);
        env.extend(job.env.iter().map(|(name, value)| format!("{name}={value}")));
        let allowance = &job.allowance;
        let mut keep: Vec<u8> = job.pass.iter().map(|(fd, _)| *fd).collect();
        keep.extend(job.results.map(|(fd, _)| fd));
        if keep.iter().any(|fd| *fd >= PLAN_FD) {
            return Err(bad(job, "descriptors 14 and 15 are the sandbox's own"));
        }
        Ok(Plan {
            tier: self.tier,
            read_only,
            scratch_bytes: allowance.scratch_bytes,
            scratch_folder: folder,
            argv: [program.clone()].into_iter().chain(job.args.iter().cloned()).collect(),
            program,
            env,
            keep,
            limits: KernelLimits {
                address_space_bytes: allowance.address_space_bytes,
                file_bytes: allowance.file_bytes,
                open_files: allowance.open_files,
                tasks: allowance.tasks,
                // The watch comes first; this is for when it does not.
                cpu_s: allowance.cpu.as_secs().saturating_add(2),
            },
            forks: allowance.forks,
            server: job.server,
            user: USERS + NEXT_USER.fetch_add(1, Ordering::Relaxed) % USERS_COUNT,
            without: self.config.without.clone(),
        })
    }
}

fn bad(job: &Job, problem: impl ToString) -> SandboxError {
    SandboxError::BadJob { program: job.program.clone(), problem: problem.to_string() }
}

/// Without a sandbox: the process's limits are all there is.
fn bare(job: Job, scratch: Option<&Scratch>) -> ChildSpec {
    let mut spec = ChildSpec::new(&job.program).args(job.args.clone());
    for (name, value) in &job.env {
        spec = spec.env(name, value);
    }
    if let Some(scratch) = scratch {
        spec = spec.env("HOME", scratch.path()).env("TMPDIR", scratch.path());
        spec.folder = Some(scratch.path().into());
    }
    spec.limits.address_space_bytes = Some(job.allowance.address_space_bytes);
    spec.limits.file_bytes = Some(job.allowance.file_bytes);
    spec.limits.open_files = Some(job.allowance.open_files);
    streams(&mut spec, job);
    spec
}

/// What holds in all tiers: streams with bounds, and the watch over the tree.
fn streams(spec: &mut ChildSpec, job: Job) {
    let kept = |bytes| Output::Keep { bytes, beyond: Beyond::Drop };
    let allowance = job.allowance;
    spec.stdin = job.stdin;
    spec.stdout = kept(allowance.output_bytes);
    spec.stderr = kept(allowance.output_bytes);
    spec.results = job.results.map(|(fd, bytes)| (fd, kept(bytes)));
    spec.pass.extend(job.pass);
    spec.limits = Limits {
        wall: allowance.wall,
        cpu: (allowance.cpu < Duration::MAX).then_some(allowance.cpu),
        memory_bytes: Some(allowance.memory_bytes),
        grace: Duration::ZERO,
        ..spec.limits.clone()
    };
}

fn plan_file(bytes: &[u8]) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags};
    use std::io::{Seek, Write};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(rustix::fs::memfd_create(c"plan", flags)?);
    file.write_all(bytes)?;
    file.rewind()?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

/// Tries each mechanism in a child and tells what works: for `tide doctor`.
///
/// # Errors
/// When the launcher does not run.
pub fn detect(children: &Children, launcher: &LauncherProgram) -> Result<Mechanisms, SandboxError> {
    let args = launcher.args.iter().cloned().chain(["probe".into()]);
    let spec = ChildSpec::new(&launcher.path).args(args).limits(Limits::within(Duration::from_secs(20)));
    let exit = children.spawn(spec, ChildOptions::new("sandbox probe"))?.wait()?;
    let found: Result<Findings, _> = serde_json::from_slice(&exit.stdout.bytes);
    match found {
        Ok(found) if exit.is_success() => Ok(Mechanisms::new(&found)),
        _ => Err(SandboxError::Setup {
            step: "probe".into(),
            error: format!("{}: its `main` must call `sandbox::enter`", exit.ending),
        }),
    }
}

/// A job that waits or runs. Dropping it ends it.
#[derive(Debug)]
pub struct Confined {
    child: Child,
    tier: Tier,
    scratch: Option<Scratch>,
    results_bytes: usize,
}

impl Drop for Confined {
    /// A scratch folder on the host can be removed only when nobody writes to it any more.
    fn drop(&mut self) {
        if self.scratch.is_some() {
            self.child.stop();
            let _ = self.child.wait_within(DROP_MAX);
        }
    }
}

/// What held a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// How well it was held.
    pub tier: Tier,
    /// What was in force before it got control. Empty when it never did.
    pub mechanisms: Vec<String>,
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How its process ended, what it printed and cost. Its results are in [`Exit::results`].
    pub exit: Exit,
    /// What held it.
    pub confinement: Confinement,
    /// In a reduced sandbox: what was in the scratch folder when that had become too large and the job was ended.
    pub scratch_overflow_bytes: Option<u64>,
    results_bytes: usize,
}

impl Confined {
    /// The process, to read streams and events from.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// In a reduced sandbox: what is in the scratch folder, when that is too much. Asked while the job runs, by
    /// whoever does not [wait](Self::wait).
    pub fn scratch_overflow(&self) -> Option<u64> {
        self.scratch.as_ref().and_then(Scratch::overflow)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When the sandbox could not be set up, or the process not be started or watched. The program did not run
    /// then.
    pub fn wait(mut self) -> Result<Outcome, SandboxError> {
        let mut overflow = None;
        let exit = loop {
            let every = if self.scratch.is_some() { SCRATCH_EVERY } else { Duration::MAX };
            if let Some(exit) = self.child.wait_within(every) {
                break exit?;
            }
            if let (Some(scratch), None) = (&self.scratch, overflow) {
                overflow = scratch.overflow();
                if overflow.is_some() {
                    self.child.stop();
                }
            }
        };
        let mechanisms = self.answer(&exit)?;
        let confinement = Confinement { tier: self.tier, mechanisms };
        Ok(Outcome { exit, confinement, scratch_overflow_bytes: overflow, results_bytes: self.results_bytes })
    }

    fn answer(&self, exit: &Exit) -> Result<Vec<String>, SandboxError> {
        if self.tier == Tier::None {
            return Ok(Vec::new());
        }
        let answer = self.child.next_event(Duration::ZERO).map(serde_json::Value::Object);
        match answer.and_then(|answer| serde_json::from_value(answer).ok()) {
            Some(Answer::Confined { mechanisms }) => Ok(mechanisms),
            Some(Answer::Failed { step, error }) => Err(SandboxError::Setup { step, error }),
            // Ended from outside before it got that far.
            None if !matches!(exit.ending, Ending::Code(_)) => Ok(Vec::new()),
            None => Err(SandboxError::Setup {
                step: "launcher".into(),
                error: match exit.ending {
                    Ending::Code(NOT_CONFINED) => "it gave up without a word".into(),
                    other => format!("{other}: its `main` must call `sandbox::enter`"),
                },
            }),
        }
    }
}

/// Why results are not what was agreed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultsError {
    /// Nothing was written.
    #[error("it gave no result")]
    None,
    /// More was written than is allowed.
    #[error("its result is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// It is not one JSON object on one line.
    #[error("its result is not one JSON object on one line: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
}

impl Outcome {
    /// The result: exactly one line, one JSON object. It was written by code that nobody vouches for: every field
    /// is a claim to be checked.
    ///
    /// # Errors
    /// When there is none, too much, or something else.
    pub fn result(&self) -> Result<serde_json::Map<String, serde_json::Value>, ResultsError> {
        let captured = &self.exit.results;
        if captured.dropped > 0 {
            return Err(ResultsError::TooLong { limit_bytes: self.results_bytes });
        }
        if captured.bytes.is_empty() {
            return Err(ResultsError::None);
        }
        let malformed = |problem: &str| ResultsError::Malformed { problem: problem.into() };
        let line = captured.bytes.strip_suffix(b"\n").ok_or_else(|| malformed("it is cut off"))?;
        if line.contains(&b'\n') {
            return Err(malformed("there is more than one line"));
        }
        serde_json::from_slice(line).map_err(|e| malformed(&e.to_string()))
    }
}
