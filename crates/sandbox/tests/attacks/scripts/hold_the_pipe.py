try:
    if os.fork() == 0:
        os.setsid()
        time.sleep(WORLD["seconds"])
        os._exit(0)
except OSError as error:
    print("held", error)
tried()
