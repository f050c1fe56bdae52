def read(path):
    with open(path, "rb") as file:
        assert file.read(1)

for path in [WORLD["secret"], "/etc/shadow", "/etc/passwd-", "/root/.bashrc", "/root/.ssh/id_rsa", "/proc/1/environ", "/proc/self/maps", "/sys/kernel/vmcoreinfo"]:
    attempt("read " + path, lambda: read(path))
for folder in [os.path.dirname(WORLD["secret"]), "/root", "/home", "/var/log", "/proc", "/sys"]:
    def list_it():
        assert os.listdir(folder)
    attempt("list " + folder, list_it)
tried()
