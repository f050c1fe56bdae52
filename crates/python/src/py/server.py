"""The fork server: imports once what scripts need, then forks for every run.

It runs no script, and sees neither their texts nor their results: it passes descriptors on. Its child confines
itself before it looks at anything (`child`). Messages are packets of JSON on descriptor 3.
"""
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys

import tide_child
import tide_data
import tide_shape

PACKET_BYTES = 1 << 18
# Between being told to end and being ended.
LAST_WORDS_MS = 100


def serve(config):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=3)
    modules = load(config["required"], config["optional"])
    send(sock, {"ready": modules})
    if modules["errors"]:
        return
    tide_child.prepare(config)
    tide_shape.TABLES = tuple(config["tables"])
    known = {}
    home = os.environ["TMPDIR"]
    # Folders of the interpreter may lie there.
    kept = set(os.listdir(home))
    # What is there now is never collected, so that its pages stay shared with the children.
    gc.collect()
    gc.disable()
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(sock, PACKET_BYTES, 8)
        if not message:
            return
        request = json.loads(message)
        if request["op"] == "data":
            known[request["id"]] = tide_data.Given(request, fds)
            gc.freeze()
        elif request["op"] == "forget":
            known.clear()
            # Frames hold themselves, in part.
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        elif request["op"] == "run":
            if request["reads"] and request["data"] in known:
                prepare(known[request["data"]])
            run(sock, request, fds, known, home, kept)


def prepare(given):
    try:
        given.prepare()
    except Exception:
        # The script that reads it meets the same error, and tells.
        pass
    gc.freeze()


def load(required, optional):
    """Imports modules; says their versions, which are missing and why those that must be there are not."""
    found, missing, errors = {}, [], {}
    for name in required + optional:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            if name in required:
                errors[name] = "%s: %s" % (type(error).__name__, error)
            missing.append(name)
            continue
        found[name] = str(getattr(module, "__version__", ""))
    if "pandas_ta" not in found and "pandas_ta_classic" in found:
        # The living fork of a library that is gone from the registries.
        sys.modules["pandas_ta"] = sys.modules["pandas_ta_classic"]
    return {"python": sys.version.split()[0], "versions": found, "missing": missing, "errors": errors}


def send(sock, message):
    sock.send(json.dumps(message).encode())


def run(sock, request, fds, known, home, kept):
    scratch = os.path.join(home, "run")
    os.mkdir(scratch, 0o700)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            tide_child.main(request, fds, known, scratch)
        finally:
            os._exit(tide_child.NOT_STARTED)
    for fd in fds:
        os.close(fd)
    watch(sock, pid)
    _, status, usage = os.wait4(pid, 0)
    # A run can write beside its folder, too.
    clean = empty(home, kept)
    ended = {"run": request["run"], "status": status, "clean": clean}
    ended["cpu_us"] = round((usage.ru_utime + usage.ru_stime) * 1e6)
    ended["peak_kib"] = usage.ru_maxrss
    send(sock, {"ended": ended})
    if not clean:
        # The next run must not find anything: another server takes over.
        sys.exit(3)


def watch(sock, pid):
    """Waits until the child has ended; ends it when told to, or when nobody is there any more."""
    child = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(child, select.POLLIN)
    poll.register(sock, select.POLLIN)
    try:
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if child in ready:
                return
            end(pid, child)
            if not sock.recvmsg(PACKET_BYTES)[0]:
                poll.unregister(sock)
    finally:
        os.close(child)


def end(pid, child):
    """Gives it a moment to put out what it has printed."""
    os.kill(pid, signal.SIGTERM)
    moment = select.poll()
    moment.register(child, select.POLLIN)
    moment.poll(LAST_WORDS_MS)
    os.kill(pid, signal.SIGKILL)


def empty(home, kept):
    """Takes away all that a run has made; false when something is left."""
    try:
        for name in set(os.listdir(home)) - kept:
            remove(os.path.join(home, name))
        return kept.issuperset(os.listdir(home))
    except OSError:
        return False


def remove(path):
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    try:
        # What most runs leave: nothing.
        os.rmdir(path)
        return
    except OSError:
        pass
    try:
        shutil.rmtree(path)
    except Exception:
        make_removable(path)
        shutil.rmtree(path, ignore_errors=True)


def make_removable(folder):
    folders = [folder]
    while folders:
        next_one = folders.pop()
        try:
            os.chmod(next_one, 0o700)
            with os.scandir(next_one) as entries:
                folders.extend(e.path for e in entries if e.is_dir(follow_symlinks=False))
        except OSError:
            return
