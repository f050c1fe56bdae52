time.sleep(WORLD["seconds"])
broke("slept %s s" % WORLD["seconds"])
