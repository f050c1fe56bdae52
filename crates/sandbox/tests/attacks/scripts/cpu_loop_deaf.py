import signal
for which in range(1, 65):
    try:
        signal.signal(which, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
end = time.process_time() + WORLD["seconds"]
while time.process_time() < end:
    pass
broke("used %s s" % WORLD["seconds"])
