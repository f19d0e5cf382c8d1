"""The demo's data plane on an emulated SmartNIC, and the proof that the engine never talked to the store."""

import pathlib
import socket
import sys
import time

from demo_processes import Cores, Plane, StartFailed, shadowserve_command

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "smartnic"))

from emulated_nic import AARCH64_COMMAND, STORE_PORT, EmulatedNic, NicFailed  # noqa: E402
from network_namespaces import HOST_ADDRESS, NIC_ADDRESS, STORE_ADDRESS, NamespacesRefused, NetworkNamespaces  # noqa: E402
from packet_count import PacketCount  # noqa: E402

# An emulated core is 10 to 30 times slower than a real one.
PATIENCE = {"lookup_timeout_ms": 2000, "fetch_timeout_ms": 60000, "save_timeout_ms": 240000}


class SmartNicPlane(Plane):
    """Made before anything else is started: from then on this process, and with it the engines, are in the host's network."""

    name = "the emulated SmartNIC"
    save_seconds_max = 240

    def __init__(self, folder: pathlib.Path, cores: Cores):
        self.log = folder / "nic-plane.log"
        self.log.touch()
        try:
            self._networks = NetworkNamespaces()
        except NamespacesRefused as refused:
            raise StartFailed(f"{refused}; --smartnic needs it", self.log) from refused
        self._nic = None
        try:
            self._networks.enter(self._networks.host)
            self._count = PacketCount({HOST_ADDRESS}, {NIC_ADDRESS: "SmartNIC", STORE_ADDRESS: "store"})
            self._nic = EmulatedNic(folder, self._networks, shadowserve_command(), str(AARCH64_COMMAND), cores.plane)
            self._nic.start_store()
            self._nic.start_plane()
        except NicFailed as failed:
            self.stop()
            raise StartFailed(str(failed), failed.log) from failed
        self.socket = self._nic.socket

    def engine_settings(self) -> dict:
        return self._nic.engine_settings() | PATIENCE

    def wait_until_ready(self) -> None:
        """It is."""

    def describe(self) -> str:
        return f"an aarch64 data plane under qemu in a network of its own; its Redis is at {STORE_ADDRESS}, behind it"

    def proof(self) -> tuple[str, bool]:
        """What the engine's network exchanged with whom; whether that is what was promised. Ends with a connection to the store that
        is tried on purpose: a count that cannot see one proves nothing."""
        count = self._count
        with_store, with_nic, with_others, nic_bytes = (
            count.packets("store"), count.packets("SmartNIC"), count.packets("others"), count.bytes("SmartNIC"))  # fmt: skip
        lost = count.lost()
        reached = _try_to_reach_the_store()
        seen = _soon(lambda: count.packets("store") > with_store)
        fetched = self.stats()["funnels"]["fetch"]["wire_bytes"]
        text = (
            f"the engine's network exchanged {with_store} packets with the store, {with_nic:,} with the SmartNIC ({nic_bytes / 1e6:.1f} MB of questions and "
            f"answers) and {with_others} with others; the SmartNIC fetched {fetched / 1e6:.1f} MB from the store. A connection to the store "
            f"tried on purpose: {'it was ACCEPTED' if reached else 'no answer'}, and the count {'saw' if seen else 'did NOT see'} it"
        )
        if lost:
            text += f"; {lost} packets were missed by the count"
        return text, with_store == 0 and with_nic > 0 and with_others == 0 and lost == 0 and seen and not reached

    def pause(self) -> None:
        """Never: it is another machine."""

    def stop(self) -> None:
        if self._nic is not None:
            self._nic.stop()
        if hasattr(self, "_count"):
            self._count.close()
        self._networks.close()


def _try_to_reach_the_store() -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        try:
            probe.connect((STORE_ADDRESS, STORE_PORT))
        except OSError:
            return False
        return True


def _soon(seen) -> bool:
    until_s = time.monotonic() + 2
    while not seen() and time.monotonic() < until_s:
        time.sleep(0.05)
    return seen()
