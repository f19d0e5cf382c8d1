"""A link of a chosen rate in front of Redis, for systems that read the store themselves.

    python throttled_link.py CONTROL PORT:STORE_PORT ...

ShadowServe's data plane has its own token bucket; peers get this one. It passes bytes on as a process between the two: what
the stores answer goes through one token bucket for all connections, what clients send does not wait. CONTROL is the path of a
Unix socket: a line with a number sets Gbit/s ("0": no limit), every line is answered with the bytes answered so far.
"""

import contextlib
import os
import socket
import sys
import threading
import time

PIECE_BYTES = 256 << 10
BURST_S = 0.001  # what an idle link may send at once, as time


class TokenBucket:
    """Bytes leave at the rate, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes_per_s = 0.0
        self._free_at_s = 0.0
        self.passed_bytes = 0

    def set_rate(self, gbit: float) -> None:
        with self._lock:
            self._bytes_per_s = gbit * 1e9 / 8

    def take(self, count: int) -> None:
        """Returns when the link has sent `count` bytes."""
        with self._lock:
            self.passed_bytes += count
            if not self._bytes_per_s:
                return
            now_s = time.monotonic()
            self._free_at_s = max(self._free_at_s, now_s - BURST_S) + count / self._bytes_per_s
            wait_s = self._free_at_s - now_s
        if wait_s > 0:
            time.sleep(wait_s)


def pass_on(source: socket.socket, sink: socket.socket, bucket: TokenBucket | None) -> None:
    piece = bytearray(PIECE_BYTES)
    view = memoryview(piece)
    with contextlib.suppress(OSError):
        while count := source.recv_into(view):
            if bucket:
                bucket.take(count)
            sink.sendall(view[:count])
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def serve_control(path: str, bucket: TokenBucket) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            asking, _ = listener.accept()
            with asking, asking.makefile("rw") as lines:
                for line in lines:
                    if line.strip():
                        bucket.set_rate(float(line))
                    lines.write(f"{bucket.passed_bytes}\n")
                    lines.flush()


def serve(port: int, store_port: int, bucket: TokenBucket) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            client, _ = listener.accept()
            store = socket.create_connection(("127.0.0.1", store_port))
            for each in (client, store):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=pass_on, args=(client, store, None), daemon=True).start()
            threading.Thread(target=pass_on, args=(store, client, bucket), daemon=True).start()


def main() -> None:
    control, *pairs = sys.argv[1:]
    bucket = TokenBucket()
    for pair in pairs:
        port, store_port = map(int, pair.split(":"))
        threading.Thread(target=serve, args=(port, store_port, bucket), daemon=True).start()
    serve_control(control, bucket)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
    os._exit(0)  # threads wait in system calls
