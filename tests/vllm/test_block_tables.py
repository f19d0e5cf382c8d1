"""Block tables from a step: of vLLM that resolves them, and of vLLM before 0.32, which says only what is new."""

from types import SimpleNamespace

import pytest

pytest.importorskip("vllm")

from shadowserve.vllm.block_tables import BlockTables  # noqa: E402

pytestmark = pytest.mark.quick


def step(new=None, cached=None, resumed=(), finished=()):
    """Of vLLM before 0.32. `new` and `cached` map requests to their block ids; None is a step without a new block."""
    new, cached = new or {}, cached or {}
    return SimpleNamespace(
        finished_req_ids=set(finished),
        scheduled_new_reqs=[SimpleNamespace(req_id=name, block_ids=(ids,)) for name, ids in new.items()],
        scheduled_cached_reqs=SimpleNamespace(
            req_ids=list(cached),
            resumed_req_ids=set(resumed),
            new_block_ids=[None if ids is None else (ids,) for ids in cached.values()],
        ),
    )


def resolving_step(tables: dict[str, list[int]]):
    return SimpleNamespace(
        kv_connector_block_state=SimpleNamespace(resolve_block_ids=lambda request_id: (tables[request_id],))
    )


def after(*steps) -> tuple[BlockTables, SimpleNamespace]:
    tables = BlockTables()
    for each in steps:
        tables.note(each)
    return tables, steps[-1]


def test_blocks_are_added_up_over_steps():
    tables, last = after(
        step(new={"a": [3, 1], "b": [7]}),
        step(cached={"a": [4], "b": None}),
        step(cached={"a": [9, 2], "b": [8]}),
    )
    assert tables.of(last, "a") == [3, 1, 4, 9, 2]
    assert tables.of(last, "b") == [7, 8]


def test_a_request_that_is_not_scheduled_in_a_step_keeps_its_blocks():
    tables, last = after(step(new={"a": [3]}), step(new={"b": [5]}), step(cached={"a": [4]}))
    assert tables.of(last, "a") == [3, 4]


def test_a_resumed_request_has_all_its_blocks_anew():
    tables, last = after(step(new={"a": [3, 1]}), step(), step(cached={"a": [6, 7, 8]}, resumed={"a"}))
    assert tables.of(last, "a") == [6, 7, 8]


def test_without_the_word_resumed_the_same_blocks_are_added():
    """Without this the test above would prove nothing."""
    tables, last = after(step(new={"a": [3, 1]}), step(), step(cached={"a": [6, 7, 8]}))
    assert tables.of(last, "a") == [3, 1, 6, 7, 8]


def test_some_model_runners_are_told_of_resumed_requests_as_of_new_ones():
    tables, last = after(step(new={"a": [3, 1]}), step(new={"a": [6, 7]}), step(cached={"a": [9]}))
    assert tables.of(last, "a") == [6, 7, 9]


def test_a_finished_request_is_forgotten_before_its_name_comes_again():
    tables, last = after(step(new={"a": [3], "b": [5]}), step(cached={"b": None}, finished={"a"}))
    with pytest.raises(KeyError):
        tables.of(last, "a")
    assert tables.of(last, "b") == [5]
    again = step(new={"a": [8]}, finished={"a"})
    tables.note(again)
    assert tables.of(again, "a") == [8]


def test_what_vllm_hands_out_is_not_changed():
    handed_out = [3, 1]
    tables, last = after(step(new={"a": handed_out}), step(cached={"a": [4]}))
    assert tables.of(last, "a") == [3, 1, 4]
    assert handed_out == [3, 1]


def test_newer_vllm_is_asked_and_nothing_is_kept():
    current = {"a": [3, 1]}
    tables, last = after(resolving_step(current))
    assert tables.of(last, "a") == [3, 1]
    current["a"] = [6]
    assert tables.of(last, "a") == [6]
    with pytest.raises(KeyError):
        tables.of(step(), "a")
