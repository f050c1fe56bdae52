for fd in range(3, 1024):
    try:
        os.fstat(fd)
        broke("descriptor %d" % fd)
    except OSError:
        pass
tried()
