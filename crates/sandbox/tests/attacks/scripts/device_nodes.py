import stat
attempt("make a character device", lambda: os.mknod(os.path.join(SCRATCH, "null"), stat.S_IFCHR | 0o666, os.makedev(1, 3)))
attempt("make a block device", lambda: os.mknod(os.path.join(SCRATCH, "disk"), stat.S_IFBLK | 0o666, os.makedev(254, 0)))
allowed = {"null", "zero", "full", "random", "urandom"}
def found():
    return [name for name in os.listdir("/dev") if name not in allowed]
attempt("list devices", lambda: found()[0])
for name in ["mem", "kmsg", "port", "sda", "vda", "fuse", "kvm", "ptmx", "tty", "loop0", "vsock", "net/tun"]:
    attempt("open /dev/" + name, lambda: os.close(os.open("/dev/" + name, os.O_RDONLY)))
tried()
