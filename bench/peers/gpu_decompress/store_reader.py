"""Redis over plain sockets: chunks are received straight into pinned memory, which no client library offers.

A chunk NAME is stored as pieces NAME:0, NAME:1, ... of PIECE_BYTES (Redis is slow at larger values), the last one shorter, and NAME
itself, written last, holds the chunk's size in decimal digits: who finds it finds the pieces. Where there are several servers, all of a
chunk lies on the one that its name's CRC falls to.
"""

import contextlib
import itertools
import socket
import struct
import time
import zlib
from collections.abc import Iterable, Sequence

PIECE_BYTES = 1 << 20
WAKE_US = 200_000  # how late a deadline, or a value that is missing, may be noticed
COMMAND_TIMEOUT_S = 2.0


class StoreError(OSError):
    """The store does not answer, or not with what was asked for."""


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def pieces_of(name: str, chunk_bytes: int) -> Iterable[tuple[bytes, int]]:
    """Names and sizes in bytes."""
    for number, begin in enumerate(range(0, chunk_bytes, PIECE_BYTES)):
        yield b"%b:%d" % (name.encode(), number), min(PIECE_BYTES, chunk_bytes - begin)


def server_of(name: str, servers: int) -> int:
    return zlib.crc32(name.encode()) % servers


class StoreCommands:
    """Short questions, and saving. Connects when it has to; a failure closes the connection."""

    def __init__(self, host: str, ports: Sequence[int]):
        self._servers = [ServerCommands(host, port) for port in ports]

    def chunk_sizes(self, names: Sequence[str]) -> list[int]:
        """Sizes in bytes of the leading chunks that are stored, in one round trip a server. Raises OSError."""
        found: dict[str, bytes | None] = {}
        for number, server in enumerate(self._servers):
            theirs = [name for name in names if server_of(name, len(self._servers)) == number]
            found |= zip(theirs, server.values(theirs), strict=True)
        return [int(size) for size in itertools.takewhile(lambda reply: reply is not None, (found[name] for name in names))]

    def save(self, name: str, chunk: bytes) -> None:
        """Raises OSError."""
        self._servers[server_of(name, len(self._servers))].save(name, chunk)

    def close(self) -> None:
        for server in self._servers:
            server.close()


class ServerCommands:
    """The same of one server."""

    def __init__(self, host: str, port: int):
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def values(self, names: Sequence[str]) -> list[bytes | None]:
        return self._ask([command(b"MGET", *(name.encode() for name in names))], values=len(names)) if names else []

    def save(self, name: str, chunk: bytes) -> None:
        parts = [
            command(b"SET", piece, chunk[number * PIECE_BYTES :][:size])
            for number, (piece, size) in enumerate(pieces_of(name, len(chunk)))
        ]
        self._ask([*parts, command(b"SET", name.encode(), b"%d" % len(chunk))])

    def _ask(self, commands: list[bytes], values: int | None = None) -> list[bytes | None]:
        """`values`: of the one command's array; None: each command is answered by a line."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, COMMAND_TIMEOUT_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._replies = self._socket.makefile("rb")
            self._socket.sendall(b"".join(commands))
            if values is None:
                return [self._line(b"+") for _ in commands]
            if int(self._line(b"*")) != values:
                raise StoreError("an array of another length")
            return [self._value() for _ in range(values)]
        except (OSError, ValueError) as error:
            self.close()
            raise StoreError(f"store at {self._address}: {error}") from error

    def _line(self, kind: bytes) -> bytes:
        line = self._replies.readline()
        if not line.startswith(kind) or not line.endswith(b"\r\n"):
            raise StoreError(f"unexpected answer {line[:80]!r}")
        return line[1:-2]

    def _value(self) -> bytes | None:
        size = int(self._line(b"$"))
        if size < 0:
            return None
        value = self._replies.read(size + 2)
        if len(value) != size + 2:
            raise StoreError("the connection ended")
        return value[:size]

    def close(self) -> None:
        if self._socket is not None:
            self._replies.close()
            self._socket.close()
            self._socket = None


class Expected:
    """The answers to a chunk's GETs: of sizes known beforehand, so that one system call can receive them all."""

    def __init__(self, name: str, chunk: memoryview):
        self._name = name
        self._pieces = [size for _, size in pieces_of(name, len(chunk))]
        self._heads = [b"$%d\r\n" % size for size in self._pieces]
        self._received = [bytearray(len(head)) for head in self._heads]
        self._end = bytearray(2)
        self.bytes = sum(len(head) + size + 2 for head, size in zip(self._heads, self._pieces))
        self._chunk = chunk

    def buffers(self, begin: int) -> list[memoryview]:
        """Where the answers go from byte `begin` on."""
        whole, at = [], 0
        for head, size in zip(self._received, self._pieces):
            whole += [memoryview(head), self._chunk[at : at + size], memoryview(self._end)]
            at += size
        while whole and begin >= len(whole[0]):
            begin -= len(whole.pop(0))
        return [whole[0][begin:], *whole[1:]] if whole else []

    def check(self, count: int) -> None:
        """The first `count` bytes that came are as they should be, as far as heads tell. Raises StoreError."""
        at = 0
        for number, (head, found, size) in enumerate(zip(self._heads, self._received, self._pieces)):
            came = min(max(count - at, 0), len(head))
            if found[:came] != head[:came]:
                raise StoreError(f"{self._name}:{number}: no value of {size} bytes but {bytes(found[:came])!r}")
            at += len(head) + size + 2


class StoreReader:
    """Reads chunks one behind the other, in turns from a few connections. Blocks; for one thread.

    Few system calls matter more than their kind: after each, the thread has to wait for Python's lock, which the engine's thread
    holds most of the time. The kernel's buffers receive meanwhile.
    """

    def __init__(self, host: str, ports: Sequence[int], connections: int):
        """As many chunks are asked for ahead as there are connections: `connections`, or the next multiple of the servers."""
        self._addresses = [(host, port) for port in ports]
        self._each = -(-connections // len(ports))
        self._count = self._each * len(ports)
        self._sockets: list[socket.socket] = []

    def begin(self, chunks: Sequence[tuple[str, int]], deadline_s: float) -> None:
        """Asks for the first of some chunks (name, bytes); receive() then takes all of them in this order. `deadline_s`:
        time.monotonic() at which to give up. REQUIRES that the chunks before were received, or reset(). Raises OSError."""
        self._connect()
        self._chunks = chunks
        self._ways: list[socket.socket] = []  # of each chunk that was asked for; answers come in the order of questions
        self._asked_of = [0] * len(self._addresses)
        self._next = 0
        self._deadline_s = deadline_s
        for number in range(min(len(chunks), self._count)):
            self._request(number)

    def receive(self, chunk: memoryview) -> None:
        """Fills `chunk` with the next chunk. Raises OSError: then only reset() is left to do."""
        name, _ = self._chunks[self._next]
        self._receive_all(self._ways[self._next], Expected(name, chunk))
        if self._next + self._count < len(self._chunks):
            self._request(self._next + self._count)
        self._next += 1

    def reset(self) -> None:
        """Whatever was asked for and not received is forgotten, with its connections."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.close()
        self._sockets = []

    def _connect(self) -> None:
        while len(self._sockets) < self._count:
            connected = socket.create_connection(self._addresses[len(self._sockets) // self._each], COMMAND_TIMEOUT_S)
            # No timeout of Python's: it would make the socket non-blocking, and MSG_WAITALL void.
            connected.settimeout(None)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, WAKE_US))
            self._sockets.append(connected)

    def _request(self, number: int) -> None:
        asked = b"".join(command(b"GET", piece) for piece, _ in pieces_of(*self._chunks[number]))
        server = server_of(self._chunks[number][0], len(self._addresses))
        self._ways.append(self._sockets[server * self._each + self._asked_of[server] % self._each])
        self._asked_of[server] += 1
        self._ways[number].sendall(asked)

    def _receive_all(self, source: socket.socket, expected: Expected) -> None:
        received = 0
        while received < expected.bytes:
            try:
                count, *_ = source.recvmsg_into(expected.buffers(received), 0, socket.MSG_WAITALL)
                if count == 0:
                    raise StoreError("the store closed a connection")
                received += count
            except BlockingIOError:
                pass  # nothing came for WAKE_US
            expected.check(received)
            if received < expected.bytes and time.monotonic() > self._deadline_s:
                raise StoreError("the deadline of the load is over")
