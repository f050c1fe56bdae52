line = b"x" * 4095 + b"\n"
for _ in range(WORLD["lines"]):
    os.write(1, line)
    os.write(2, line)
