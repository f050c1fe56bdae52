def environ(pid):
    with open("/proc/%s/environ" % pid, "rb") as file:
        assert WORLD["password"].encode() in file.read()
if any(WORLD["password"] in value for value in os.environ.values()):
    broke("own environment")
for pid in ["self", os.getppid(), WORLD["victim"], 1]:
    attempt("environment of %s" % pid, lambda: environ(pid))
tried()
