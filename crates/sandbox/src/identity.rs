//! Namespaces, user and capabilities of the process that becomes the program.

use crate::step::{Failure, Step};
use rustix::{
    fs::{Gid, Uid},
    process::DumpableBehavior,
    thread::{CapabilitySet, CapabilitySets, UnshareFlags},
};

/// The user's number inside a user namespace.
pub(crate) const INSIDE: u32 = 1_000;

/// Who the program will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The launcher is root and becomes a user that nobody else is.
    Own(u32),
    /// The launcher's user, in a user namespace.
    Mapped,
}

impl Identity {
    /// Its number, as seen from inside.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Own(user) => user,
            Self::Mapped => INSIDE,
        }
    }
}

/// May this process become another user and set up mounts?
pub(crate) fn is_mighty() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID;
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Leaves the host's namespaces. Children are in a new process namespace; this process is not.
pub(crate) fn leave_namespaces(user: u32) -> Result<Identity, Failure> {
    let spaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if is_mighty() {
        unshare(spaces).step("namespaces")?;
        return Ok(Identity::Own(user));
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // The files below belong to whoever may dump this process.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).step("user namespace")?;
    unshare(spaces | UnshareFlags::NEWUSER).step("user namespace")?;
    map_user(INSIDE, uid, gid)?;
    Ok(Identity::Mapped)
}

/// Maps one user and group into this process's new user namespace.
pub(crate) fn map_user(inside: u32, uid: u32, gid: u32) -> Result<(), Failure> {
    let write =
        |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text).step("user namespace");
    write("setgroups", "deny".into())?;
    write("uid_map", format!("{inside} {uid} 1"))?;
    write("gid_map", format!("{inside} {gid} 1"))
}

fn unshare(spaces: UnshareFlags) -> Result<(), rustix::io::Errno> {
    debug_assert!(!spaces.contains(UnshareFlags::FILES));
    // SAFETY: only unsharing the table of descriptors could invalidate what others hold.
    #[allow(unsafe_code, reason = "safe without FILES")]
    unsafe {
        rustix::thread::unshare_unsafe(spaces)
    }
}

/// Becomes the user and gives up every capability, for good. PDEATHSIG and the dumpable flag are lost with a
/// change of user; the caller sets them again.
pub(crate) fn become_user(identity: Identity) -> Result<(), Failure> {
    if let Identity::Own(user) = identity {
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        rustix::thread::set_thread_groups(&[]).step("user")?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).step("user")?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).step("user")?;
    }
    drop_capabilities()
}

/// Gives up every capability.
pub(crate) fn drop_capabilities() -> Result<(), Failure> {
    // Fails where there is no such set; then nothing is in it.
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).step("capabilities")
}
