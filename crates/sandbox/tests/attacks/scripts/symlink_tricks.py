os.chdir(SCRATCH)
def read(path):
    with open(path, "rb") as file:
        assert file.read(1)
def write(path):
    with open(path, "w") as file:
        file.write("x")
def link(target, name):
    try:
        os.symlink(target, name)
    except OSError as error:
        print("held link", error)
link(WORLD["secret"], "to-secret")
attempt("read through a link", lambda: read("to-secret"))
link(os.path.join(WORLD["outside"], "written-by-link"), "to-outside")
attempt("write through a dangling link", lambda: write("to-outside"))
link(WORLD["outside"], "folder")
attempt("write through a linked folder", lambda: write("folder/written-by-folder"))
attempt("climb out", lambda: read("../" * 30 + WORLD["secret"].lstrip("/")))
attempt("a second name for a secret", lambda: os.link(WORLD["secret"], "name"))
attempt("rename into place", lambda: os.rename("to-secret", os.path.join(WORLD["outside"], "renamed")))
link("/proc/self/root", "root")
attempt("through /proc", lambda: read("root" + WORLD["secret"]))
link("/proc/1/root", "first")
attempt("through process 1", lambda: read("first" + WORLD["secret"]))
tried()
