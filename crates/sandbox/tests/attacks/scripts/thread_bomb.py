import threading
# Stops by itself at 200.
done = threading.Event()
count = 0
try:
    for count in range(200):
        threading.Thread(target=done.wait, daemon=True).start()
except (RuntimeError, MemoryError) as error:
    print("held after", count, error)
if count >= 150:
    broke("%d threads" % count)
done.set()
tried()
