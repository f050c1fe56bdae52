# Stops by itself at 256 MB. Slow enough for a watch that looks now and then.
count = 0
try:
    for count in range(256):
        with open(os.path.join(SCRATCH, "fill%d" % count), "wb") as file:
            file.write(b"x" * (1 << 20))
        time.sleep(0.004)
except OSError as error:
    print("held after", count, "MB", error)
if count == 255:
    broke("256 MB of files")
# Nor by number.
number = 0
try:
    for number in range(6000):
        os.mkdir(os.path.join(SCRATCH, "folder%d" % number))
except OSError as error:
    print("held after", number, "folders", error)
if number == 5999:
    broke("6,000 folders")
tried()
