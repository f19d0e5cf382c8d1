"""A store of two Redis servers: an engine's chunks lie on both, and a lost server takes its own chunks along and nothing else."""

import pytest

pytest.importorskip("vllm")

from engine import random_prompt  # noqa: E402
from processes import DataPlane, RedisServer  # noqa: E402
from test_fetch import CHUNK, ROUNDING, placed_chunks  # noqa: E402

pytestmark = pytest.mark.engine

TOKENS = 2048
PROMPTS = 3


@pytest.fixture
def servers(engine, plane, tmp_path):
    """The shared engine's data plane makes room for one with two servers."""
    pair = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        pair.append(RedisServer(tmp_path / name))
        pair[-1].start()
    plane.stop()
    spread = DataPlane(plane.folder, "redis://" + ",".join(f"127.0.0.1:{server.port}" for server in pair))
    spread.start()
    engine.wait_until_connected()
    for server in pair:
        server.ask("FLUSHALL")
    yield pair
    spread.stop()
    for server in pair:
        server.stop()
    plane.start()
    engine.wait_until_connected()


def chunks_on(server: RedisServer) -> set[str]:
    """Keys in hexadecimal, of those whose part 0 is there."""
    return {name.split(b":")[1].decode() for name in server.records() if name.endswith(b":0")}


def test_chunks_lie_on_both_and_a_lost_server_takes_only_its_own(engine, servers):
    one, other = servers
    prompts = [random_prompt(TOKENS, 9100 + number) for number in range(PROMPTS)]
    engine.call("probe_report")
    computed, chains = [], []
    for prompt in prompts:
        before = set(engine.call("probe_report")["saved"])
        computed += engine.compute_and_store(prompt)
        chains.append([key for key in engine.call("probe_report")["saved"] if key not in before])
    assert [len(chain) for chain in chains] == [TOKENS // CHUNK] * PROMPTS
    here, there = chunks_on(one), chunks_on(other)
    assert here and there and not here & there
    assert here | there == {key for chain in chains for key in chain}

    placed, fetched = placed_chunks(engine, *prompts)
    assert placed == PROMPTS * TOKENS // CHUNK
    assert all(mine.agrees_with(theirs, ROUNDING) for mine, theirs in zip(fetched, computed, strict=True))

    other.kill()
    engine.forget_prefixes()
    placed, fetched = placed_chunks(engine, *prompts)
    leading = [next((number for number, key in enumerate(chain) if key in there), len(chain)) for chain in chains]
    assert placed == sum(leading), "each prompt as far as the server that is left knows it"
    assert placed < PROMPTS * TOKENS // CHUNK
    assert all(mine.agrees_with(theirs, ROUNDING) for mine, theirs in zip(fetched, computed, strict=True))
