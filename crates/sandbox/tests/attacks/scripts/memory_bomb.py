import mmap
# Stops by itself at 600 MB.
taken = []
try:
    for _ in range(60):
        taken.append(bytearray(b"x") * (10 << 20))
except MemoryError:
    print("held after", len(taken) * 10, "MB")
if len(taken) == 60:
    broke("600 MB")
taken = []
def map_it():
    area = mmap.mmap(-1, 600 << 20)
    for page in range(0, 600 << 20, 4096):
        area[page] = 1
attempt("600 MB mapped", map_it)
tried()
