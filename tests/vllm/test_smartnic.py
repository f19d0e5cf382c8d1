"""An engine whose data plane is on an emulated SmartNIC, in another network: right answers, whatever becomes of the link or of it."""

import pathlib
import socket
import sys
import time

import pytest

pytest.importorskip("vllm")

from engine import Answer, Engine, random_prompt  # noqa: E402
from processes import CHECKOUT, ENGINES_CORE, alone, shadowserve_command, wait_for  # noqa: E402
from test_fetch import CHUNK, ROUNDING  # noqa: E402

sys.path.insert(0, str(CHECKOUT / "tools" / "smartnic"))

from emulated_nic import AARCH64_COMMAND, STORE_PORT, EmulatedNic  # noqa: E402
from network_namespaces import HOST_ADDRESS, NIC_ADDRESS, STORE_ADDRESS, NamespacesRefused, NetworkNamespaces  # noqa: E402
from packet_count import PacketCount  # noqa: E402

pytestmark = pytest.mark.engine

TOKENS = 1024
PROMPTS = 3
CUT_S = 10
LIMITS = {"lookup_timeout_ms": 2000, "fetch_timeout_ms": 8000, "save_timeout_ms": 30000}
LIMITS_S = 12.0  # a lookup's, a fetch's, and the grace that both ends allow


class Setting:
    """The three networks with everything in them, and prompts that the store knows."""

    def __init__(self, folder: pathlib.Path, model: pathlib.Path):
        self.networks = NetworkNamespaces()
        self.networks.enter(self.networks.host)
        self.count = PacketCount({HOST_ADDRESS}, {NIC_ADDRESS: "nic", STORE_ADDRESS: "store"})
        plane = str(AARCH64_COMMAND) if AARCH64_COMMAND.exists() else shadowserve_command()
        self.nic = EmulatedNic(folder, self.networks, shadowserve_command(), plane)
        self.nic.start_store()
        self.nic.start_plane()
        self.engine = Engine(model, profile="raw", **self.nic.engine_settings(), **LIMITS)
        self.engine.wait_until_connected()
        self.prompts = [random_prompt(TOKENS, 7000 + number) for number in range(PROMPTS)]
        began_s = time.monotonic()
        self.answers = self.engine.compute_and_store(*self.prompts)
        self.computing_s = time.monotonic() - began_s  # with what saving takes

    def close(self) -> None:
        if hasattr(self, "engine"):
            self.engine.stop()
        if hasattr(self, "nic"):
            self.nic.stop()
        self.count.close()
        self.networks.close()

    def ask_all(self) -> int:
        """All prompts at once: right, and in time. Returns how many chunks were fetched."""
        self.engine.forget_prefixes()
        before = self.engine.totals()["fetch_placed"]
        began_s = time.monotonic()
        answers = self.engine.ask(*self.prompts)
        assert time.monotonic() - began_s < LIMITS_S + 4 * self.computing_s + 5
        self._check(answers)
        return self.engine.totals()["fetch_placed"] - before

    def _check(self, answers: list[Answer]) -> None:
        for mine, known in zip(answers, self.answers, strict=True):
            assert mine.agrees_with(known, ROUNDING)
        assert not answers[0].agrees_with(self.answers[1], ROUNDING), "this comparison sees a wrong answer"

    def check_it_is_back(self) -> None:
        """By itself: everything is fetched again."""
        self.engine.wait_until_connected()
        wait_for("all is fetched again", lambda: self.ask_all() == PROMPTS * (TOKENS // CHUNK), 60, every_s=0.5)


@pytest.fixture(scope="module")
def setting(tiny_model, tmp_path_factory):
    with alone(ENGINES_CORE):
        try:
            made = Setting(tmp_path_factory.mktemp("smartnic"), tiny_model)
        except NamespacesRefused as refused:
            pytest.skip(str(refused))
        yield made
        made.close()


def test_everything_is_fetched_and_no_packet_goes_to_the_store(setting):
    assert setting.ask_all() == PROMPTS * (TOKENS // CHUNK)
    assert setting.nic.stats()["funnels"]["fetch"]["ended"]["done"] > 0
    assert setting.count.packets("nic") > 0
    assert (setting.count.packets("store"), setting.count.packets("others"), setting.count.lost()) == (0, 0, 0)
    with socket.socket() as direct:
        direct.settimeout(0.5)
        with pytest.raises(OSError):
            direct.connect((STORE_ADDRESS, STORE_PORT))
    wait_for("the count sees a packet to the store", lambda: setting.count.packets("store") > 0)


def test_a_killed_smartnic_is_done_without_until_it_is_back(setting):
    setting.nic.kill_plane()
    assert setting.ask_all() == 0
    setting.nic.start_plane()
    setting.check_it_is_back()


def test_a_link_that_is_cut_for_ten_seconds(setting):
    setting.networks.cut()
    try:
        since_s = time.monotonic()
        assert setting.ask_all() == 0
        time.sleep(max(0.0, CUT_S - (time.monotonic() - since_s)))
    finally:
        setting.networks.mend()
    setting.check_it_is_back()


def test_a_link_of_one_megabit_a_second_under_load(setting):
    setting.networks.shape(1)
    try:
        for _ in range(2):
            setting.ask_all()
    finally:
        setting.networks.mend()
    setting.check_it_is_back()
