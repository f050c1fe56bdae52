import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = os.path.join(SCRATCH, "huge")
def write():
    with open(path, "wb") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
def sparse():
    with open(path, "wb") as file:
        file.truncate(1 << 30)
def allocate():
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 64 << 20)
attempt("write 64 MB", write)
attempt("a gigabyte with a hole", sparse)
attempt("allocate 64 MB", allocate)
tried()
