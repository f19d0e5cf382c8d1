"""Three networks on one machine: an engine's host, its SmartNIC, and the store behind it, which only the SmartNIC can reach."""

import contextlib
import ctypes
import os
import shutil
import subprocess

HOST_ADDRESS, NIC_ADDRESS = "10.99.1.1", "10.99.1.2"
NIC_STORE_ADDRESS, STORE_ADDRESS = "10.99.2.1", "10.99.2.2"
CLONE_NEWNET = 0x40000000


class NamespacesRefused(Exception):
    """With a sentence that says what is missing."""


class NetworkNamespaces:
    """host -- nic -- store. The SmartNIC does not forward: the host has a route to the store through it, so that whatever it sent
    there could be counted, and no answer. Needs root. Nothing outside of these networks is touched; close() leaves nothing."""

    def __init__(self):
        self._before = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.host, self.nic, self.store = (f"shadowserve-{os.getpid()}-{name}" for name in ("host", "nic", "store"))
        missing = [tool for tool in ("ip", "nsenter") if shutil.which(tool) is None]
        if os.geteuid() != 0 or missing:
            why = f"{' and '.join(missing)} is not there (packages iproute2, util-linux)" if missing else "this is not root"
            raise NamespacesRefused(f"networks of one's own cannot be made: {why}")
        try:
            self._make()
        except subprocess.CalledProcessError as error:
            self.close()
            raise NamespacesRefused(f"networks of one's own cannot be made here: {error.stderr.strip() or error}") from error

    def _make(self) -> None:
        for name in (self.host, self.nic, self.store):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        for near, near_device, near_address, far, far_device, far_address in (
            (self.host, "nic0", HOST_ADDRESS, self.nic, "host0", NIC_ADDRESS),
            (self.nic, "store0", NIC_STORE_ADDRESS, self.store, "nic0", STORE_ADDRESS),
        ):
            _ip("-n", near, "link", "add", near_device, "type", "veth", "peer", "name", far_device, "netns", far)
            for name, device, address in ((near, near_device, near_address), (far, far_device, far_address)):
                _ip("-n", name, "addr", "add", f"{address}/30", "dev", device)
                _ip("-n", name, "link", "set", device, "up")
        _ip("-n", self.host, "route", "add", "default", "via", NIC_ADDRESS)

    def inside(self, name: str, command: list[str]) -> list[str]:
        """The command, to be run in that network."""
        return ["nsenter", f"--net=/run/netns/{name}", "--", *command]

    def enter(self, name: str) -> None:
        """This thread, and what it starts from now on, is in that network."""
        descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            _setns(descriptor)
        finally:
            os.close(descriptor)

    def leave(self) -> None:
        """Back to where this was made."""
        _setns(self._before)

    def cut(self) -> None:
        """Packets between host and SmartNIC get lost; no connection is told."""
        _ip("-n", self.nic, "link", "set", "host0", "down")

    def mend(self) -> None:
        self._discipline("del")
        _ip("-n", self.nic, "link", "set", "host0", "up")
        with contextlib.suppress(subprocess.CalledProcessError):  # a device that was down has forgotten it
            _ip("-n", self.host, "route", "add", "default", "via", NIC_ADDRESS)

    def shape(self, mbit_per_s: float) -> None:
        """Both directions between host and SmartNIC, until mend()."""
        self._discipline("add", "tbf", "rate", f"{mbit_per_s:g}mbit", "burst", "16kb", "latency", "200ms")

    def _discipline(self, change: str, *what: str) -> None:
        for name, device in ((self.host, "nic0"), (self.nic, "host0")):
            done = subprocess.run(["tc", "-n", name, "qdisc", change, "dev", device, "root", *what], capture_output=True, text=True)
            if done.returncode != 0 and change == "add":
                raise NamespacesRefused(f"the link cannot be shaped: {done.stderr.strip()}")

    def close(self) -> None:
        """What still runs in them keeps them until it ends."""
        if self._before < 0:
            return
        self.leave()
        for name in (self.host, self.nic, self.store):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        os.close(self._before)
        self._before = -1


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise NamespacesRefused(f"networks cannot be changed here: {os.strerror(ctypes.get_errno())}")
