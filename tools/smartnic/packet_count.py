"""Counts the packets of the network that it is started in, by who is at the other end."""

import socket
import struct
import threading

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6
LOOK_S = 0.2


class PacketCount:
    """A thread that sees every packet of every device here, loopback among them. `names` gives addresses a name; what has none is
    "others", and "inside" is between two addresses of this network itself."""

    def __init__(self, own: set[str], names: dict[str, str]):
        self._own = own | {"127.0.0.1"}
        self._names = names
        self._packets = dict.fromkeys([*names.values(), "others", "inside"], 0)
        self._bytes = dict(self._packets)
        self._lost = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.settimeout(LOOK_S)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="packet-count", daemon=True)
        self._thread.start()

    def packets(self, name: str) -> int:
        return self._packets[name]

    def bytes(self, name: str) -> int:
        return self._bytes[name]

    def lost(self) -> int:
        """Packets that this was too slow to see; a count means something only when it is 0."""
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._lost += dropped
        return self._lost

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                frame, address = self._socket.recvfrom(128, socket.MSG_TRUNC)
            except TimeoutError:
                continue
            self._note(frame)

    def _note(self, frame: bytes) -> None:
        if frame[12:14] != b"\x08\x00":  # not IPv4: neighbours asking for each other
            return
        length = struct.unpack_from("!H", frame, 16)[0]
        ends = {socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])} - self._own
        name = "inside" if not ends else next((self._names[end] for end in ends if end in self._names), "others")
        self._packets[name] += 1
        self._bytes[name] += length
