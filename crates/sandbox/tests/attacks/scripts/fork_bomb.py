# Stops by itself at 60, so that it is harmless where it succeeds.
children = []
try:
    for _ in range(60):
        pid = os.fork()
        if pid == 0:
            time.sleep(300)
            os._exit(0)
        children.append(pid)
except OSError as error:
    print("held after", len(children), error)
if len(children) >= 40:
    broke("%d processes" % len(children))
for pid in children:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
tried()
