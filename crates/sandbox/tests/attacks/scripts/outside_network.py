def udp():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", WORLD["udp"]))
def unix(address):
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(address)
def far():
    # Nobody is there (TEST-NET-1); what counts is whether the attempt leaves the machine.
    peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    peer.setblocking(False)
    result = peer.connect_ex(("192.0.2.1", 80))
    assert result in (0, errno.EINPROGRESS), os.strerror(result)
attempt("UDP", udp)
attempt("unix socket by path", lambda: unix(WORLD["unix"]))
attempt("abstract unix socket", lambda: unix(b"\0" + WORLD["abstract"].encode()))
attempt("TCP to another machine", far)
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0)))
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("raw packets", lambda: socket.socket(17, socket.SOCK_RAW, 3))
attempt("a pair of sockets", lambda: socket.socketpair())
tried()
