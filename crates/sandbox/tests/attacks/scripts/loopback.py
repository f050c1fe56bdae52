attempt("TCP to 127.0.0.1", lambda: socket.create_connection(("127.0.0.1", WORLD["tcp"]), 2).sendall(b"x"))
def listen():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
attempt("listen", listen)
tried()
