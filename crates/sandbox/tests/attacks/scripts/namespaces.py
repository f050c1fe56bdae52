x86 = os.uname().machine == "x86_64"
UNSHARE, MOUNT, CHROOT, PIVOT, SETNS, CLONE, CLONE3, UMOUNT, FSOPEN, OPEN_TREE = (
    (272, 165, 161, 155, 308, 56, 435, 166, 430, 428) if x86 else (97, 40, 51, 41, 268, 220, 435, 39, 430, 428)
)
scratch = SCRATCH.encode()
syscall("chroot", CHROOT, scratch)
syscall("mount", MOUNT, b"none", scratch, b"tmpfs", 0, None)
syscall("bind mount", MOUNT, b"/", scratch, None, 4096, None)
syscall("umount", UMOUNT, scratch, 0)
syscall("pivot_root", PIVOT, scratch, scratch)
syscall("fsopen", FSOPEN, b"tmpfs", 0)
syscall("open_tree", OPEN_TREE, -100, b"/", 1)
for name, flag in [("user", 0x10000000), ("mount", 0x20000), ("network", 0x40000000), ("process", 0x20000000)]:
    syscall("new %s namespace" % name, UNSHARE, flag)
if WORLD["inside"]:
    arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
    pid = syscall("clone3 with a namespace", CLONE3, ctypes.byref(arguments), 88)
    if pid == 0:
        os._exit(0)
    pid = syscall("clone with a namespace", CLONE, 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
tried()
