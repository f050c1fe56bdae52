# What all attacks share. Each probe that succeeds says BROKE; the last line says that all were tried.
import ctypes, errno, json, os, socket, sys, time

WORLD = json.loads(sys.argv[1])
SCRATCH = os.environ.get("TMPDIR", "/tmp")
libc = ctypes.CDLL(None, use_errno=True)


def broke(what):
    print("BROKE", what, flush=True)


def attempt(what, action):
    """The attack succeeds when the action raises nothing."""
    try:
        result = action()
    except BaseException as error:
        print("held", what, type(error).__name__, error, flush=True)
        return None
    broke(what)
    return result


def syscall(what, number, *args):
    """The attack succeeds when the call does."""
    ctypes.set_errno(0)
    result = libc.syscall(number, *args)
    if result < 0:
        print("held", what, os.strerror(ctypes.get_errno()), flush=True)
    else:
        broke(what)
    return result


def tried():
    print("TRIED", flush=True)
