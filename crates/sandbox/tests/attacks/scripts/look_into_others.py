class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

victim, address = WORLD["victim"], WORLD["victim_address"]
x86 = os.uname().machine == "x86_64"
PTRACE, READV, WRITEV, PIDFD_OPEN = (101, 310, 311, 434) if x86 else (117, 270, 271, 434)
buffer = ctypes.create_string_buffer(16)
here, there = Vector(ctypes.addressof(buffer), 16), Vector(address, 16)
# With a length of zero this would succeed and mean nothing.
for pid in {victim, os.getppid()} if WORLD["inside"] else {victim}:
    syscall("process_vm_readv %d" % pid, READV, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    def memory():
        with open("/proc/%d/mem" % pid, "rb", 0) as file:
            file.seek(address)
            assert file.read(16)
    attempt("/proc/%d/mem" % pid, memory)
    if syscall("ptrace %d" % pid, PTRACE, 16, pid, None, None) >= 0:
        os.waitpid(pid, 0)
        libc.syscall(PTRACE, 17, pid, None, None)
    syscall("pidfd %d" % pid, PIDFD_OPEN, pid, 0)
tried()
