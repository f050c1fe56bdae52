//! A file system of its own: what may be read, read-only; a scratch space with a size; a handful of devices;
//! nothing else. No `/proc`, no `/sys`, no home.

use crate::{
    identity::Identity,
    plan::{Bind, SCRATCH},
    step::{Failure, Step},
    sys,
};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags,
    },
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path},
};

/// Devices that are nothing but a function.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Size of the root folder itself: folders, links and one small file.
const ROOT_BYTES: u64 = 1 << 20;
const READ_ONLY: u64 = MountAttrFlags::MOUNT_ATTR_RDONLY.bits() as u64;
const NO_TRICKS: u64 =
    MountAttrFlags::MOUNT_ATTR_NOSUID.bits() as u64 | MountAttrFlags::MOUNT_ATTR_NODEV.bits() as u64;

/// Replaces the file system of this process, which is in a mount namespace of its own.
pub(crate) fn enter(binds: &[Bind], scratch_bytes: u64, identity: Identity) -> Result<(), Failure> {
    // What is mounted here is not seen outside, nor the other way round.
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .step("private mounts")?;
    // Everything that is taken from the host is in hand before anything is hidden.
    let mut parts = Vec::new();
    for bind in binds {
        if let Some(part) = Part::open(bind, READ_ONLY | NO_TRICKS)? {
            parts.push(part);
        }
    }
    for device in DEVICES {
        let bind = Bind { host: device.into(), inside: device.into() };
        parts.extend(Part::open(&bind, MountAttrFlags::MOUNT_ATTR_NOSUID.bits().into())?);
    }
    let user = identity.number();
    // Root's own where there is a root; in a user namespace only the one user exists.
    let owner = if matches!(identity, Identity::Own(_)) { 0 } else { user };
    let root = tmpfs(ROOT_BYTES, "0755", owner, MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
    let scratch = tmpfs(scratch_bytes, "0700", user, MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
    // Any folder does for a moment.
    attach(&root, CWD, "/tmp").step("root folder")?;
    make_folder(&root, Path::new(SCRATCH)).step("scratch folder")?;
    attach(&scratch, &root, &SCRATCH[1..]).step("scratch folder")?;
    // What lies in `/tmp` on the host appears within the scratch folder.
    for part in parts {
        part.place(&root)?;
    }
    users_file(&root, user)?;
    sys::restrict_mount(root.as_fd(), READ_ONLY, false).step("read-only root")?;
    rustix::process::fchdir(&root).step("root folder")?;
    // The old root ends up on top of the new one, in the same place, and is taken away.
    rustix::process::pivot_root(".", ".").step("pivot_root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("old root")?;
    rustix::process::chdir(SCRATCH).step("scratch folder")
}

/// A piece of the host, detached from it.
struct Part {
    tree: Piece,
    inside: String,
}

enum Piece {
    Folder(OwnedFd),
    File(OwnedFd),
    Link(String),
}

impl Part {
    /// `None` when the host has no such thing.
    fn open(bind: &Bind, attributes: u64) -> Result<Option<Self>, Failure> {
        let step = || format!("read-only {}", bind.host);
        let path = Path::new(&bind.host);
        let Ok(meta) = path.symlink_metadata() else { return Ok(None) };
        let tree = if meta.is_symlink() {
            let target = std::fs::read_link(path).step(&step())?;
            Piece::Link(target.into_os_string().into_string().map_err(|_| Failure::new(&step(), "odd link"))?)
        } else {
            // With everything mounted below: in a user namespace it could not be left out.
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let fd = rustix::mount::open_tree(CWD, path, flags).step(&step())?;
            sys::restrict_mount(fd.as_fd(), attributes, true).step(&step())?;
            if meta.is_dir() { Piece::Folder(fd) } else { Piece::File(fd) }
        };
        Ok(Some(Self { tree, inside: bind.inside.clone() }))
    }

    fn place(&self, root: &OwnedFd) -> Result<(), Failure> {
        let step = || format!("place for {}", self.inside);
        let path = Path::new(&self.inside);
        make_folder(root, path.parent().unwrap_or(Path::new("/"))).step(&step())?;
        let inside = self.inside.trim_start_matches('/');
        match &self.tree {
            Piece::Link(target) => {
                allow_existing(rustix::fs::symlinkat(target.as_str(), root, inside)).step(&step())
            }
            Piece::Folder(tree) => {
                make_folder(root, path).step(&step())?;
                attach(tree, root, inside).step(&step())
            }
            Piece::File(tree) => {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(root, inside, flags, Mode::from_raw_mode(0o444)).step(&step())?;
                attach(tree, root, inside).step(&step())
            }
        }
    }
}

/// An empty file system in memory with a bounded size.
fn tmpfs(bytes: u64, mode: &str, user: u32, more: MountAttrFlags) -> Result<OwnedFd, Failure> {
    let make = || -> Result<OwnedFd, Errno> {
        let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&fs, "size", bytes.to_string())?;
        rustix::mount::fsconfig_set_string(&fs, "nr_inodes", "4096")?;
        rustix::mount::fsconfig_set_string(&fs, "mode", mode)?;
        rustix::mount::fsconfig_set_string(&fs, "uid", user.to_string())?;
        rustix::mount::fsconfig_set_string(&fs, "gid", user.to_string())?;
        rustix::mount::fsconfig_create(&fs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | more;
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().step("tmpfs")
}

fn attach(tree: &OwnedFd, folder: impl AsFd, path: &str) -> Result<(), Errno> {
    rustix::mount::move_mount(tree, "", folder, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Makes a folder and those above it below `root`.
fn make_folder(root: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let mut so_far = std::path::PathBuf::new();
    for part in path.components() {
        if let Component::Normal(name) = part {
            so_far.push(name);
            allow_existing(rustix::fs::mkdirat(root, &so_far, Mode::from_raw_mode(0o755)))?;
        }
    }
    Ok(())
}

fn allow_existing(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Some libraries want to know what the user is called.
fn users_file(root: &OwnedFd, user: u32) -> Result<(), Failure> {
    make_folder(root, Path::new("/etc")).step("users file")?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::EXCL;
    let file = match rustix::fs::openat(root, "etc/passwd", flags, Mode::from_raw_mode(0o444)) {
        Err(Errno::EXIST) => return Ok(()),
        other => other.step("users file")?,
    };
    write_all(file.as_fd(), format!("sandbox:x:{user}:{user}::{SCRATCH}:/bin/false\n").as_bytes())
        .step("users file")
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let count = rustix::io::write(file, bytes)?;
        bytes = &bytes[count..];
    }
    Ok(())
}
