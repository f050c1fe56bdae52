x86 = os.uname().machine == "x86_64"
buffer = ctypes.create_string_buffer(256)
perf = ctypes.create_string_buffer(128)
perf[0:8] = (1).to_bytes(4, "little") + (128).to_bytes(4, "little")
calls = {
    "bpf": (321 if x86 else 280, 5, ctypes.byref(buffer), 0),
    "bpf map": (321 if x86 else 280, 0, ctypes.byref((ctypes.c_uint32 * 18)(2, 4, 4, 1)), 72),
    "perf_event_open": (298 if x86 else 241, ctypes.byref(perf), 0, -1, -1, 0),
    "userfaultfd": (323 if x86 else 282, 1),
    "add_key": (248 if x86 else 217, b"user", b"attack", b"x", 1, -3),
    "keyctl": (250 if x86 else 219, 0, -3, 0),
    "io_uring_setup": (425, 4, ctypes.byref(buffer)),
    "memfd_secret": (447, 0),
    "fanotify_init": (300 if x86 else 262, 0, 0),
    "inotify_init1": (294 if x86 else 26, 0),
    "name_to_handle_at": (303 if x86 else 264, -100, b"/usr", ctypes.byref((ctypes.c_uint32 * 64)(128)), ctypes.byref(buffer), 0),
    "personality": (135 if x86 else 92, 0x0040000),
    "syslog": (103 if x86 else 116, 3, ctypes.byref(buffer), 256),
    "kcmp": (312 if x86 else 272, os.getpid(), os.getpid(), 0, 1, 1),
    "quotactl": (179 if x86 else 60, 0x800002, None, 0, None),
    "swapoff": (168 if x86 else 225, b"/nowhere"),
    "init_module": (175 if x86 else 105, None, 0, b""),
    "mq_open": (240 if x86 else 180, b"attack", 0o102, 0o600, None),
    "semget": (64 if x86 else 190, 0, 1, 0o600 | 0o1000),
    "landlock": (444, None, 0, 1),
    "seccomp": (317 if x86 else 277, 2, 0, ctypes.byref(ctypes.c_uint32(0x7FFF0000))),
}
for name, call in calls.items():
    syscall(name, *call)
tried()
