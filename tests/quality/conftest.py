"""Rows of a measurement as an engine would give them, and the command that runs a data plane."""

import os
import pathlib
import shutil
import sys

import pytest

from shadowserve.quality.comparison import Comparison
from shadowserve.quality.measuring import Plan, Row
from shadowserve.quality.text_pieces import Piece

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def plan() -> Plan:
    return Plan(profiles=["near", "kv4"], calibrated=frozenset({"near"}), peers=["fp8", "turned"], answer_tokens=8)


@pytest.fixture
def rows(plan) -> list[Row]:
    """Two texts; each profile loses half as much on the first as on the second, and nothing as raw."""
    kl_of = {"raw": 0.0, "near": 0.003, "kv4": 0.01, "fp8": 0.002, "turned": 4.0}
    wire_of = {"raw": 1000, "near": 150, "kv4": 210, "fp8": 500, "turned": 1000}
    made = []
    for name in plan.measured:
        for text, share in (("one.txt", 2 / 3), ("two.txt", 4 / 3)):
            kl = kl_of[name] * share
            compared = Comparison([kl * 0.5, kl * 1.5], [True, kl < 1], [1.0 + kl], [1.0])
            piece = Piece(text, 0, tuple(range(10)))
            made.append(Row(name, piece, 256, 1000, wire_of[name], compared, 8 if kl == 0 else 3, 8))
    return made


@pytest.fixture(scope="session")
def shadowserve_command() -> str:
    """$COMMAND_UNDER_TEST, beside this Python, on the path, or the newest built in this checkout."""
    if named := os.environ.get("COMMAND_UNDER_TEST"):
        return named
    beside = pathlib.Path(sys.executable).with_name("shadowserve")
    built = sorted(CHECKOUT.glob("build/*/apps/shadowserve"), key=lambda path: path.stat().st_mtime)
    found = str(beside) if beside.exists() else shutil.which("shadowserve") or (str(built[-1]) if built else None)
    if found is None:
        pytest.skip("the shadowserve command is not built")
    return found
