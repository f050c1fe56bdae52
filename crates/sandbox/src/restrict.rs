//! The last steps in the process that becomes the program: limits, Landlock, seccomp. None can be undone.

use crate::{
    filter::{self, Allowances},
    plan::{KernelLimits, Plan, SCRATCH},
    step::{Failure, Step},
    sys,
};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

/// Highest version of Landlock whose rules are used; what the kernel lacks of it is left out.
const LANDLOCK: ABI = ABI::V6;

/// What is in force, for the answer.
pub(crate) fn restrict(plan: &Plan, in_namespaces: bool) -> Result<Vec<String>, Failure> {
    let uses = |mechanism: &str| !plan.without.iter().any(|w| w == mechanism);
    let mut done = Vec::new();
    rustix::thread::set_no_new_privs(true).step("no_new_privs")?;
    done.push("no_new_privs".into());
    if uses("limits") {
        limits(&plan.limits, in_namespaces)?;
        done.push("limits".into());
    }
    if uses("landlock") && sys::landlock_version() > 0 {
        landlock(plan, in_namespaces)?;
        done.push(format!("landlock {}", sys::landlock_version()));
    } else if !in_namespaces && uses("landlock") {
        return Err(Failure::new("landlock", "the kernel has none, and without namespaces it is needed"));
    }
    if uses("seccomp") {
        let allow = Allowances {
            forks: plan.server || plan.forks && in_namespaces,
            signals_only_to: (!in_namespaces && !plan.server).then(std::process::id),
            exposed: !in_namespaces,
            server: plan.server,
        };
        seccomp(allow)?;
        done.push("seccomp".into());
    }
    Ok(done)
}

pub(crate) fn seccomp(allow: Allowances) -> Result<(), Failure> {
    let programs = filter::programs(allow).map_err(|e| Failure::new("seccomp", &e))?;
    programs.iter().try_for_each(|program| seccompiler::apply_filter(program).step("seccomp"))
}

fn limits(limits: &KernelLimits, in_namespaces: bool) -> Result<(), Failure> {
    let mut list = vec![
        // Not zero: with zero the kernel still pipes a dump to a handler of the host; with one it does not.
        (libc::RLIMIT_CORE, 1),
        (libc::RLIMIT_AS, limits.address_space_bytes),
        (libc::RLIMIT_FSIZE, limits.file_bytes),
        (libc::RLIMIT_NOFILE, limits.open_files),
        (libc::RLIMIT_CPU, limits.cpu_s),
        (libc::RLIMIT_MEMLOCK, 0),
        (libc::RLIMIT_MSGQUEUE, 0),
    ];
    if in_namespaces {
        // Counted for the user of this sandbox alone. Without a namespace everything the person runs would count.
        list.push((libc::RLIMIT_NPROC, limits.tasks));
    }
    list.into_iter().try_for_each(|(resource, value)| sys::limit(resource, value).step("limits"))
}

fn landlock(plan: &Plan, in_namespaces: bool) -> Result<(), Failure> {
    let read = AccessFs::from_read(LANDLOCK);
    let write = AccessFs::from_all(LANDLOCK) & !BitFlags::from(AccessFs::Execute);
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let mut rules: Vec<(String, BitFlags<AccessFs>)> = Vec::new();
    if in_namespaces {
        rules.push(("/".into(), read));
        rules.push((SCRATCH.into(), write));
    } else {
        rules.extend(plan.read_only.iter().map(|bind| (bind.host.clone(), read)));
        rules.extend(plan.scratch_folder.iter().map(|folder| (folder.clone(), write)));
    }
    for device_file in ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"] {
        rules.push((device_file.into(), device));
    }
    let error = |e: landlock::RulesetError| Failure::new("landlock", &e.to_string());
    let mut set = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|set| set.handle_access(AccessNet::from_all(LANDLOCK)))
        .and_then(|set| set.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .map_err(error)?;
    for (path, access) in rules {
        // What does not exist cannot be read.
        let Ok(fd) = PathFd::new(&path) else { continue };
        let is_folder = std::path::Path::new(&path).is_dir();
        let access = if is_folder { access } else { access & AccessFs::from_file(LANDLOCK) };
        set = set.add_rule(PathBeneath::new(fd, access)).map_err(error)?;
    }
    let status = set.restrict_self().map_err(error)?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(Failure::new("landlock", "the kernel did not enforce it")),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}
