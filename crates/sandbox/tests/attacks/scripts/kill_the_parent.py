import signal
def kill(pid):
    os.kill(pid, signal.SIGTERM)
# Whether it came to harm is looked at from outside: some of these answer with success and do nothing.
targets = [WORLD["victim"]]
if WORLD["inside"]:
    targets += [os.getppid(), 1, -1]
for pid in targets:
    try:
        if pid == -1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        kill(pid)
        print("said", pid)
    except OSError as error:
        print("held", pid, error)
if WORLD["inside"]:
    for pid in [os.getppid(), 1]:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError as error:
            print("held", pid, error)
    try:
        import resource
        resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))
        broke("limits of the parent")
    except OSError as error:
        print("held limits", error)
    try:
        os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)
        broke("priority of the parent")
    except OSError as error:
        print("held priority", error)
tried()
