# Memory that the limit on address space does not count. Stops by itself at 400 MB.
block = b"x" * (1 << 20)
def fill(fd):
    for _ in range(400):
        assert os.write(fd, block) == len(block)
attempt("memfd", lambda: fill(os.memfd_create("bomb")))
attempt("/dev/shm", lambda: fill(os.open("/dev/shm/bomb", os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)))
try:
    os.unlink("/dev/shm/bomb")
except OSError:
    pass
SHMGET, SHMCTL = 29, 31
if os.uname().machine == "x86_64":
    shared = syscall("shmget", SHMGET, 0, ctypes.c_size_t(400 << 20), 0o600 | 0o1000)
    if shared >= 0:
        libc.syscall(SHMCTL, shared, 0, None)
def pipes():
    # A megabyte for each of two hundred pipes.
    import fcntl
    for _ in range(200):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, 1031, 1 << 20)
        os.set_blocking(writer, False)
        assert os.write(writer, block) == len(block)
attempt("pipes", pipes)
tried()
