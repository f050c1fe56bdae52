//! What there is to be attacked.

use serde_json::{Value, json};
use springtide_sandbox::Tier;
use std::{
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command},
};

/// A variable of this process that no sandboxed program may see.
pub const PASSWORD: &str = "hunter2-of-the-attack-suite";

/// Names a program that makes its user root, for tests that run as an ordinary user, who cannot make one.
pub const SETUID: &str = "TIDE_TEST_SETUID";

/// A program that makes its user root and prints its user's number.
pub struct Setuid {
    pub program: PathBuf,
    _made: Option<tempfile::TempDir>,
}

impl Setuid {
    /// The one that [`SETUID`] names, else a new one; `None`, said aloud, where there is neither.
    pub fn find() -> Option<Self> {
        if let Some(program) = std::env::var_os(SETUID) {
            return Some(Self { program: program.into(), _made: None });
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can make a setuid program to attack with");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("id");
        std::fs::copy("/usr/bin/id", &program).unwrap();
        for (path, mode) in [(folder.path(), 0o755), (&program, 0o4755)] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        Some(Self { program, _made: Some(folder) })
    }

    pub fn folder(&self) -> &Path {
        self.program.parent().unwrap()
    }
}

/// Whether a sandbox of this kind can tell: in a reduced one, which root would share, it is root beforehand.
pub fn can_tell(tier: Tier) -> bool {
    tier == Tier::Full || !rustix::process::geteuid().is_root()
}

/// Things outside the sandbox.
pub struct World {
    folder: tempfile::TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    unix: UnixListener,
    abstract_unix: UnixListener,
    abstract_name: String,
    pub victim: Child,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        // As inviting as can be: only the sandbox stands in the way.
        for path in [folder.path(), &outside] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
        }
        for file in [folder.path().join("secret"), outside.join("precious")] {
            std::fs::write(&file, "precious").unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        }
        let abstract_name = format!("attack{}", folder.path().display());
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
        std::fs::set_permissions(folder.path().join("socket"), PermissionsExt::from_mode(0o777)).unwrap();
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let abstract_unix = UnixListener::bind_addr(&address).unwrap();
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        unix.set_nonblocking(true).unwrap();
        abstract_unix.set_nonblocking(true).unwrap();
        let victim = Command::new("/bin/sleep").arg("1000").env("PASSWORD", PASSWORD).spawn().unwrap();
        Self { folder, tcp, udp, unix, abstract_unix, abstract_name, victim }
    }

    pub fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    /// What an attack is told.
    pub fn describe(&self, inside: bool, more: &Value) -> String {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.victim.id())).unwrap();
        let address = u64::from_str_radix(maps.split('-').next().unwrap(), 16).unwrap();
        let mut world = json!({
            "inside": inside,
            "folder": self.folder.path(),
            "secret": self.folder.path().join("secret"),
            "outside": self.outside(),
            "unix": self.folder.path().join("socket"),
            "abstract": self.abstract_name,
            "tcp": self.tcp.local_addr().unwrap().port(),
            "udp": self.udp.local_addr().unwrap().port(),
            "victim": self.victim.id(),
            "victim_address": address,
            "password": PASSWORD,
        });
        if let (Value::Object(world), Value::Object(more)) = (&mut world, more) {
            world.extend(more.clone());
        }
        world.to_string()
    }

    /// What came to harm, seen from outside, whatever the attack says.
    pub fn harm(&mut self) -> Option<String> {
        if self.tcp.accept().is_ok() {
            return Some("a TCP connection arrived".into());
        }
        if self.udp.recv(&mut [0; 10]).is_ok() {
            return Some("a datagram arrived".into());
        }
        if self.unix.accept().is_ok() || self.abstract_unix.accept().is_ok() {
            return Some("a connection to a unix socket arrived".into());
        }
        if self.victim.try_wait().unwrap().is_some() {
            return Some("the victim was ended".into());
        }
        let mut names: Vec<String> = std::fs::read_dir(self.outside())
            .map(|list| list.flatten().map(|e| e.file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        names.sort();
        if names != ["precious"] {
            return Some(format!("the outside folder holds {names:?}"));
        }
        if std::fs::read(self.outside().join("precious")).ok().as_deref() != Some(b"precious".as_slice()) {
            return Some("the precious file was changed".into());
        }
        None
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}
