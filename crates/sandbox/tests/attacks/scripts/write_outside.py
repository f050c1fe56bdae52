def write(path):
    with open(path, "x") as file:
        file.write("x")
    if os.path.dirname(path) != WORLD["outside"]:
        os.unlink(path)

for folder in [WORLD["outside"], "/", "/usr/lib", "/etc", "/var/tmp", "/dev/shm", "/dev", "/run", "/home"]:
    attempt("write in " + folder, lambda: write(os.path.join(folder, "written-by-attack")))
attempt("change a mode", lambda: os.chmod(WORLD["outside"], 0o700))
attempt("change a time", lambda: os.utime(os.path.join(WORLD["outside"], "precious"), (0, 0)))
attempt("change an owner", lambda: os.chown(os.path.join(WORLD["outside"], "precious"), os.getuid(), os.getgid()))
attempt("add an attribute", lambda: os.setxattr(os.path.join(WORLD["outside"], "precious"), "user.x", b"x"))
attempt("remove a file", lambda: os.unlink(os.path.join(WORLD["outside"], "precious")))
attempt("cut a file", lambda: os.truncate(os.path.join(WORLD["outside"], "precious"), 0))
tried()
