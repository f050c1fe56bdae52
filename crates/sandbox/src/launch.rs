//! The launcher: a process of its own, with one thread, that sets everything up and becomes the program.
//!
//! In the full tier it stays, does nothing but wait, and ends the way the program ended. Below it runs process 1
//! of the new process namespace, which takes dead processes off the table and whose end ends the whole
//! namespace. The program is that one's child.

use crate::{
    filter::Allowances,
    identity::{self, Identity},
    mechanism::{Findings, Tier},
    plan::{ANSWER_FD, Answer, PLAN_FD, Plan},
    restrict, root,
    step::{Failure, Step},
    sys::{self, Forked},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    pipe::PipeFlags,
    process::{DumpableBehavior, Signal},
};
use std::{
    ffi::CString,
    fs::File,
    io::{Read, Write},
    os::fd::{AsRawFd, OwnedFd},
};

/// Exit code of a launcher that could not set up the sandbox; the answer says why.
pub(crate) const NOT_CONFINED: i32 = 125;

/// Reads the plan and carries it out. Does not return.
pub(crate) fn run() -> ! {
    let mut answer = File::from(sys::inherited(ANSWER_FD.into()));
    let mut text = String::new();
    let plan = File::from(sys::inherited(PLAN_FD.into()))
        .read_to_string(&mut text)
        .step("plan")
        .and_then(|_| serde_json::from_str::<Plan>(&text).step("plan"));
    let failure = match plan {
        Ok(plan) => match confine(&plan, &mut answer) {
            Err(failure) => failure,
            Ok(never) => match never {},
        },
        Err(failure) => failure,
    };
    tell_failure(&mut answer, failure)
}

fn tell_failure(answer: &mut File, Failure { step, error }: Failure) -> ! {
    tell(answer, &Answer::Failed { step, error });
    sys::leave(NOT_CONFINED)
}

fn tell(answer: &mut File, what: &Answer) {
    let mut line = serde_json::to_string(what).unwrap_or_default();
    line.push('\n');
    // Nobody listens any more only when all this is being ended.
    let _ = answer.write_all(line.as_bytes());
}

/// Something that does not come to be: the paths that return it do not return.
pub(crate) enum Never {}

fn confine(plan: &Plan, answer: &mut File) -> Result<Never, Failure> {
    sys::close_on_exec_but(&plan.keep).step("descriptors")?;
    if plan.tier != Tier::Full {
        return become_program(plan, None, answer);
    }
    let identity = identity::leave_namespaces(plan.user)?;
    root::enter(&plan.read_only, plan.scratch_bytes, identity)?;
    // No name that tells where this runs.
    rustix::system::sethostname(b"sandbox").step("host name")?;
    let (life, status) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).step("pipe")?;
    match sys::fork().step("process namespace")? {
        Forked::Parent(_) => {
            drop(status);
            wait_outside(life)
        }
        Forked::Child => {
            drop(life);
            be_first(plan, identity, answer, status)
        }
    }
}

/// Waits for process 1 and ends as the program did.
fn wait_outside(life: OwnedFd) -> ! {
    let _ = identity::drop_capabilities();
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    sys::close_all_but(life.as_raw_fd());
    while sys::wait_any().is_some() {}
    let mut status = [0; 4];
    match File::from(life).read_exact(&mut status) {
        Ok(()) => sys::end_as(i32::from_ne_bytes(status)),
        // Process 1 was killed from outside.
        Err(_) => sys::end_as(libc::SIGKILL),
    }
}

/// Process 1: starts the program, buries the dead, tells how the program ended. Its end is everybody's end.
fn be_first(plan: &Plan, identity: Identity, answer: &mut File, status: OwnedFd) -> Result<Never, Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("process 1")?;
    if reader_is_gone(&status) {
        sys::leave(NOT_CONFINED);
    }
    match sys::fork().step("program's process")? {
        Forked::Child => {
            drop(status);
            become_program(plan, Some(identity), answer)
        }
        Forked::Parent(program) => {
            // Root without capabilities or, in a user namespace, the same user: in no case to be looked into.
            let _ = identity::drop_capabilities();
            let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
            sys::close_all_but(status.as_raw_fd());
            while let Some((pid, how)) = sys::wait_any() {
                if pid == program {
                    let _ = File::from(status).write_all(&how.to_ne_bytes());
                    sys::leave(0);
                }
            }
            sys::leave(NOT_CONFINED)
        }
    }
}

/// True when the launcher ended before this process asked to end with it.
fn reader_is_gone(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}

fn become_program(plan: &Plan, identity: Option<Identity>, answer: &mut File) -> Result<Never, Failure> {
    let mut mechanisms: Vec<String> = Vec::new();
    if let Some(identity) = identity {
        // Not in the launcher's group: signals to the own group stay inside.
        rustix::process::setsid().step("session")?;
        identity::become_user(identity)?;
        mechanisms.push(match identity {
            Identity::Own(_) => "own user".into(),
            Identity::Mapped => "user namespace".into(),
        });
        mechanisms.push("namespaces".into());
    } else if let Some(folder) = &plan.scratch_folder {
        rustix::process::chdir(folder.as_str()).step("scratch folder")?;
        identity::drop_capabilities()?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("death signal")?;
    let text = |text: &String| CString::new(text.as_str()).step("arguments");
    let program = text(&plan.program)?;
    let argv = plan.argv.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let env = plan.env.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    mechanisms.extend(restrict::restrict(plan, identity.is_some())?);
    tell(answer, &Answer::Confined { mechanisms });
    let error = sys::execute(&program, &argv, &env);
    Err(Failure::new(&format!("starting {}", plan.program), &error.to_string()))
}

/// Tries each mechanism in a process of its own and prints what works. Does not return.
pub(crate) fn probe() -> ! {
    let findings = Findings {
        namespaces: attempt(|| {
            let identity = identity::leave_namespaces(PROBE_USER)?;
            root::enter(&[], 1 << 16, identity)?;
            match sys::fork().step("process namespace")? {
                Forked::Child => sys::leave(0),
                Forked::Parent(_) => _ = sys::wait_any(),
            }
            identity::become_user(identity)
        }),
        own_user: identity::is_mighty(),
        landlock: sys::landlock_version(),
        seccomp: attempt(|| {
            rustix::thread::set_no_new_privs(true).step("no_new_privs")?;
            let allow = Allowances { forks: false, signals_only_to: None, exposed: false, server: false };
            restrict::seccomp(allow)
        }),
    };
    let text = serde_json::to_string(&findings).unwrap_or_default();
    let mut out = std::io::stdout();
    let told = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    sys::leave(if told.is_ok() { 0 } else { NOT_CONFINED })
}

/// Any user that is nobody's.
const PROBE_USER: u32 = 0x7000_0000;

/// Runs something that cannot be undone in a child.
fn attempt(work: impl FnOnce() -> Result<(), Failure>) -> Option<String> {
    let run = || -> Result<Option<String>, Failure> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).step("pipe")?;
        match sys::fork().step("process")? {
            Forked::Child => {
                let text = work().err().map_or(String::new(), |f| format!("{}: {}", f.step, f.error));
                let _ = File::from(writer).write_all(format!("{text}.").as_bytes());
                sys::leave(0)
            }
            Forked::Parent(_) => {
                drop(writer);
                let mut text = String::new();
                File::from(reader).read_to_string(&mut text).step("pipe")?;
                sys::wait_any();
                // Without its full stop it died on the way.
                Ok(match text.strip_suffix('.') {
                    Some("") => None,
                    Some(problem) => Some(problem.into()),
                    None => Some("the process that tried it was ended".into()),
                })
            }
        }
    };
    run().unwrap_or_else(|f| Some(format!("{}: {}", f.step, f.error)))
}
