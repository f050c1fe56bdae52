# Each takes 60 MB, all together 360 MB.
children = []
try:
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            held = bytearray(b"x") * (60 << 20)
            time.sleep(WORLD["seconds"])
            os._exit(0)
        children.append(pid)
    time.sleep(WORLD["seconds"])
    if all(os.waitpid(pid, 0)[1] == 0 for pid in children):
        broke("360 MB in six processes")
except OSError as error:
    print("held", error)
tried()
