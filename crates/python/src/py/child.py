"""The first steps of a run's process: descriptors, limits, the cage. Then the harness gets control."""
import atexit
import ctypes
import gc
import os
import random
import resource
import signal
import struct
import sys
import traceback

import numpy

import tide_faults
import tide_files
import tide_harness

# Exit code of a process that ended before it was confined.
NOT_STARTED = 71
# Of one in which not the script failed, but what is around it.
BROKEN = 70
RESULTS = 3
PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 4
cage_program = b""
cage_pid_at = []


def prepare(config):
    """Takes the cage's program and the places of the process's number in it."""
    global cage_program
    cage_program = bytes.fromhex(config["cage"])
    for at in range(4, len(cage_program), 8):
        if struct.unpack_from("=I", cage_program, at)[0] == config["pid_mark"]:
            cage_pid_at.append(at)


def main(order, fds, known, scratch):
    """Becomes the run. Does not return."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, None, None, None)
    os.setsid()
    request_fd, results, out, err = fds
    request = tide_files.opened(request_fd)
    os.dup2(out, 1)
    os.dup2(err, 2)
    # In place of the server's socket, which is nobody's business from here on.
    os.dup2(results, RESULTS)
    os.closerange(RESULTS + 1, 1024)
    os.chdir(scratch)
    for name in ("HOME", "TMPDIR"):
        os.environ[name] = scratch
    limit(order["limits"])
    enter_cage()
    # Runs repeat: scripts that draw without a seed draw the same.
    random.seed(0)
    numpy.random.seed(0)
    gc.enable()
    tide_faults.keep_reserve()
    keep_output()
    try:
        tide_harness.main(request, known.get(order["data"]), RESULTS)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(BROKEN)
    os._exit(0)


def keep_output():
    """What was printed is not lost when the run is ended: by its limits, or by itself without the usual steps."""
    # What the modules that the server imported want at the exit is not the script's.
    atexit._clear()
    for number in (signal.SIGTERM, signal.SIGXCPU):
        signal.signal(number, ended)
    os._exit = left


def ended(number, _):
    flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def left(status, leave=os._exit):
    flush()
    leave(status)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            # Closed, replaced, or just being written to.
            pass


def limit(limits):
    cpu = limits["cpu_s"]
    for what, soft, hard in (
        (resource.RLIMIT_AS, limits["address_space_bytes"], limits["address_space_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_CPU, cpu, cpu + 1),
    ):
        resource.setrlimit(what, (soft, hard))


def enter_cage():
    """Puts the filter up; ends the process where that fails."""
    if not cage_program:
        return
    program = bytearray(cage_program)
    for at in cage_pid_at:
        struct.pack_into("=I", program, at, os.getpid())
    steps = (ctypes.c_char * len(program)).from_buffer(program)
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.cast(head, ctypes.c_void_p), None, None) != 0:
        os.write(2, b"the filter of system calls could not be put up\n")
        os._exit(NOT_STARTED)
