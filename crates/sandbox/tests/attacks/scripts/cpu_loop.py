end = time.process_time() + WORLD["seconds"]
while time.process_time() < end:
    pass
broke("used %s s" % WORLD["seconds"])
