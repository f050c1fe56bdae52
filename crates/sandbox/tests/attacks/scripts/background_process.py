try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sleep", ["sleep", WORLD["marker"]], {})
        os._exit(0)
    os.wait()
    time.sleep(0.2)
except OSError as error:
    print("held", error)
tried()
