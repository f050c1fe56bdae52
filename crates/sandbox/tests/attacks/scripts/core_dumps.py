import resource
os.chdir(WORLD["folder"] if not WORLD["inside"] else SCRATCH)
try:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
except (OSError, ValueError) as error:
    print("held", error)
try:
    pid = os.fork()
except OSError as error:
    print("held fork", error)
    # Judged from outside then.
    tried()
    os.abort()
if pid == 0:
    os.abort()
_, status = os.waitpid(pid, 0)
if os.WCOREDUMP(status):
    broke("a core dump")
if any(name.startswith("core") for name in os.listdir(".")):
    broke("a core file")
tried()
