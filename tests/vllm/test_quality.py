"""`shadowserve quality` with a real engine and a real data plane: known losses come out in their order, a prefix that was
not fetched is an error and no figure, and Ctrl-C leaves nothing running."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import xml.etree.ElementTree as tree

import pytest

pytest.importorskip("vllm")

from device import ON_GPU  # noqa: E402
from engine import random_prompt  # noqa: E402
from processes import ENGINES_CORE, alone, shadowserve_command, wait_for  # noqa: E402

pytestmark = [pytest.mark.engine, pytest.mark.skipif(ON_GPU, reason="measured on a CPU so far")]

SECONDS_MAX = 600


def words_of(model: pathlib.Path, count: int) -> str:
    """The tiny Llama knows made-up words only; any others would all be the same unknown token."""
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    by_number = {number: word for word, number in vocabulary.items()}
    return " ".join(by_number[number] for number in random_prompt(count, seed=1))


def command(model: pathlib.Path, folder: pathlib.Path, *words: str) -> tuple[list[str], dict]:
    """Words and options of a process that measures a few hundred tokens, with its temporary folder in `folder`."""
    (folder / "text.txt").write_text(words_of(model, 4000))
    told = [
        sys.executable, "-m", "shadowserve.quality.quality_command", str(model), "--text", str(folder / "text.txt"),
        "--plane-command", shadowserve_command(), "--prefix-tokens", "512", "--suffix-tokens", "64",
        "--continuation-tokens", "8", *words,
    ]  # fmt: skip
    # What other tests of this process chose for their engines is not for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "OMP_"))}
    options = {"env": environment | {"TMPDIR": str(folder)}, "text": True, "stdin": subprocess.DEVNULL}
    return told, options


def left_running(folder: pathlib.Path) -> list[str]:
    """Command lines of processes that have something to do in a command's temporary folder: its data plane."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/shadowserve-quality-" in words:
            found.append(words)
    return found


@pytest.fixture(scope="module", autouse=True)
def one_at_a_time():
    """Where others judge time nothing else computes on their core."""
    with alone(ENGINES_CORE):
        yield


@pytest.fixture(scope="module")
def measured(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality")
    words, options = command(
        tiny_model, folder, "--profiles", "int8,kv4", "--peers", "last-bit,turned",
        "--json", str(folder / "quality.json"), "--plot", str(folder / "quality.svg"),
    )  # fmt: skip
    done = subprocess.run(words, capture_output=True, timeout=SECONDS_MAX, check=False, **options)
    assert done.returncode == 0, done.stderr
    assert not left_running(folder)
    return done, json.loads((folder / "quality.json").read_text()), (folder / "quality.svg").read_text()


@pytest.fixture
def folder(tmp_path_factory) -> pathlib.Path:
    """Of a short name: the data plane's socket lies in a folder of it, and its path has a limit."""
    return tmp_path_factory.mktemp("q")


def means_of(report: dict) -> dict[str, dict]:
    return {one["profile"]: one for one in report["means"]}


def test_a_lossless_fetch_loses_nothing_at_all(measured):
    raw = means_of(measured[1])["raw"]
    assert raw["kl"] == 0.0 and raw["top1"] == 1.0 and raw["equal_tokens"] == 8
    assert 0.99 < raw["ratio"] <= 1.0


def test_losses_come_out_in_their_order(measured):
    """The control at the end is what damaged pages look like: without it small figures would prove nothing."""
    means = means_of(measured[1])
    assert 0 < means["last-bit"]["kl"] < means["kv4"]["kl"]
    assert 0 < means["int8"]["kl"] < means["kv4"]["kl"] < 0.2 * means["turned"]["kl"]
    assert means["turned"]["kl"] > 0.5 and means["turned"]["top1"] < 0.5


def test_bytes_are_those_on_the_wire(measured):
    means = means_of(measured[1])
    assert 1.5 < means["int8"]["ratio"] < means["kv4"]["ratio"] < 8
    for row in measured[1]["rows"]:
        assert row["value_bytes"] == 512 * 8192  # the tiny model's KV


def test_the_table_is_all_that_goes_to_stdout(measured):
    done, report, plot = measured
    lines = done.stdout.splitlines()
    assert lines[0].endswith("1 texts, 512 tokens fetched, 64 predicted") and lines[2].startswith("| profile ")
    assert all(not line or line.startswith("| ") for line in lines[1:])
    assert {row["profile"] for row in report["rows"]} == {"raw", "int8", "kv4", "last-bit", "turned"}
    assert all(len(row["kl_by_position"]) == 64 for row in report["rows"])
    assert len(tree.fromstring(plot).findall("{http://www.w3.org/2000/svg}circle")) == 4


def test_a_prefix_that_is_not_stored_is_an_error(tiny_model, folder):
    """The store has room for one profile's records, not for two."""
    words, options = command(tiny_model, folder, "--profiles", "int8", "--store", "memory:?limit=5MB")
    done = subprocess.run(words, capture_output=True, timeout=SECONDS_MAX, check=False, **options)
    assert done.returncode == 1
    assert "chunks of a prefix were fetched and placed" in done.stderr
    assert done.stdout == ""
    assert not left_running(folder)


def test_ctrl_c_leaves_nothing_running(tiny_model, folder):
    words, options = command(tiny_model, folder, "--profiles", "int8", "--pieces", "4")
    with open(folder / "said", "w+") as said:
        process = subprocess.Popen(
            words, stdout=said, stderr=said, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options
        )
        try:
            wait_for("it measures", lambda: "storing" in (folder / "said").read_text(), SECONDS_MAX, every_s=0.2)
            assert left_running(folder), "the data plane has to be found before it can be missed"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
            process.wait()
    assert "interrupted" in (folder / "said").read_text()
    assert "Traceback" not in (folder / "said").read_text()
    assert not left_running(folder)
    assert not [path for path in folder.iterdir() if path.name.startswith("shadowserve-quality-")]
