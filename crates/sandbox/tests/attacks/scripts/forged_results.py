forged = b'{"confined":{"mechanisms":["pwned"]}}\n'
for fd in list(range(3, 20)) + [100, 1023]:
    if fd == 5:
        continue
    try:
        os.write(fd, forged)
        broke("wrote to descriptor %d" % fd)
    except OSError:
        pass
way = WORLD["way"]
honest = b'{"profit": 1}\n'
os.write(1, forged + honest)
os.write(5, {
    "honest": honest,
    "nothing": b"",
    "twice": honest + honest,
    "cut off": honest[:-1],
    "no object": b"[1]\n",
    "not a number": b'{"profit": NaN}\n',
    "infinite": b'{"profit": Infinity}\n',
    "too long": b'{"profit": "' + b"9" * 5000 + b'"}\n',
    "deep": b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"\n",
    "no text": b'{"profit": "\xff\xfe"}\n',
}[way])
tried()
