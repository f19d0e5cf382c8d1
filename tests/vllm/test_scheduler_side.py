"""The scheduler's half alone, with a store in a dictionary: what is fetched, what is saved, what is kept."""

from types import SimpleNamespace

import pytest
from fake_native import FakeLookup

pytest.importorskip("vllm")

from shadowserve.vllm.scheduler import SchedulerSide  # noqa: E402
from shadowserve.vllm.work import KEY_BYTES, Result  # noqa: E402

pytestmark = pytest.mark.quick

CHUNK = 256
PAGE = 128


class FakeRequest:
    def __init__(self, request_id: str, tokens: list[int], **other):
        self.request_id = request_id
        self.all_token_ids = list(tokens)
        self.prompt_token_ids = list(tokens)
        self.num_prompt_tokens = len(tokens)
        self.num_computed_tokens = 0
        self.num_in_flight_tokens = 0
        self.mm_features = []
        self.lora_request = self.cache_salt = self.prompt_embeds = None
        self.resumable = self.skip_reading_prefix_cache = False
        self.__dict__.update(other)

    @property
    def num_tokens(self) -> int:
        return len(self.all_token_ids)


class FakeBlocks:
    def __init__(self, count: int, first: int = 100):
        self.ids = list(range(first, first + count))

    def get_block_ids(self):
        return (self.ids,)


def prompt(tokens: int, start: int = 0) -> list[int]:
    return [(start + number * 7) % 5000 for number in range(tokens)]


def make_side(lookup: FakeLookup, **changes) -> SchedulerSide:
    options = dict(
        chunk_tokens=CHUNK, page_tokens=PAGE, min_fetch_tokens=CHUNK,
        fetches=True, saves=True, saves_generated=True, shares_pages=True,
    )  # fmt: skip
    return SchedulerSide(lookup, **(options | changes))


def schedule(side: SchedulerSide, scheduled: dict[str, int], blocks: dict[str, FakeBlocks], preempted=()):
    output = SimpleNamespace(
        new_block_ids_to_zero=None,
        kv_cache_block_copies=None,
        preempted_req_ids=set(preempted),
        num_scheduled_tokens=scheduled,
        kv_connector_block_state=SimpleNamespace(resolve_block_ids=lambda name: blocks[name].get_block_ids()),
    )
    return side.step(output)


@pytest.fixture
def lookup() -> FakeLookup:
    return FakeLookup(stored=set(), chunk_tokens=CHUNK)


def keys_of(lookup: FakeLookup, tokens: list[int], extra: bytes = b"") -> list[bytes]:
    keys = lookup.chain(None, tokens, extra)
    return [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]


def answered(side: SchedulerSide, request: FakeRequest, computed: int = 0):
    for _ in range(4):
        answer = side.matched_tokens(request, computed)
        if answer[0] is not None:
            return answer
    raise AssertionError("the lookup never came back")


def test_asks_until_the_lookup_is_back_then_offers_what_is_stored(lookup):
    tokens = prompt(1000)
    lookup.stored = set(keys_of(lookup, tokens)[:3])
    side, request = make_side(lookup), FakeRequest("a", tokens)
    side.track(request)
    assert side.matched_tokens(request, 0) == (None, False)
    assert side.matched_tokens(request, 0) == (768, True)
    assert side.matched_tokens(request, 0) == (768, True), "asking again changes nothing"


def test_a_full_hit_never_exceeds_the_prompt(lookup):
    tokens = prompt(512)
    lookup.stored = set(keys_of(lookup, tokens))
    side, request = make_side(lookup), FakeRequest("a", tokens)
    side.track(request)
    assert answered(side, request) == (512, True)


@pytest.mark.parametrize(
    "computed, offered", [(0, 768), (128, 640), (256, 512), (384, 384), (512, 256), (640, 0), (768, 0), (896, 0)]
)
def test_only_what_the_local_cache_lacks_and_is_worth_fetching(lookup, computed, offered):
    tokens = prompt(1000)
    lookup.stored = set(keys_of(lookup, tokens)[:3])
    side, request = make_side(lookup), FakeRequest("a", tokens)
    side.track(request)
    assert answered(side, request, computed) == (offered, offered > 0)


def test_a_load_begins_at_the_first_token_that_is_not_local(lookup):
    tokens = prompt(1000)
    keys = keys_of(lookup, tokens)
    lookup.stored = set(keys[:3])
    side, request, blocks = make_side(lookup), FakeRequest("a", tokens), FakeBlocks(6)
    side.track(request)
    assert answered(side, request, 384) == (384, True)
    side.allocated(request, blocks, 384)
    (load,) = schedule(side, {}, {}).loads
    assert (load.first_chunk, load.first_token) == (1, 384)
    assert load.keys == keys[1] + keys[2]
    assert load.page_ids == blocks.ids


def test_saves_each_chunk_once_as_chunked_prefill_completes_it(lookup):
    tokens = prompt(1000)
    keys = keys_of(lookup, tokens)
    side, request, blocks = make_side(lookup), FakeRequest("a", tokens), {"a": FakeBlocks(8)}
    side.track(request)
    assert answered(side, request) == (0, False)
    side.allocated(request, blocks["a"], 0)
    saved = []
    for scheduled in (300, 300, 400, 1, 1):
        saved.append([(save.first_chunk, save.keys) for save in schedule(side, {"a": scheduled}, blocks).saves])
        request.num_computed_tokens += scheduled
    assert saved == [[(0, keys[0])], [(1, keys[1])], [(2, keys[2])], [], []]


def test_does_not_save_what_was_hit_or_what_another_request_saves(lookup):
    tokens = prompt(1024)
    keys = keys_of(lookup, tokens)
    lookup.stored = set(keys[:2])
    lookup.known = {keys[2]}
    side, request, blocks = make_side(lookup), FakeRequest("a", tokens), {"a": FakeBlocks(8)}
    side.track(request)
    assert answered(side, request) == (512, True)
    side.allocated(request, blocks["a"], 512)
    schedule(side, {}, blocks)
    request.num_computed_tokens = 512
    side.allocated(request, blocks["a"], 0)
    (save,) = schedule(side, {"a": 512}, blocks).saves
    assert (save.first_chunk, save.keys) == (3, keys[3])


def test_generated_tokens_are_saved_at_the_end_without_the_last_sampled_one(lookup):
    side, request, blocks = make_side(lookup), FakeRequest("a", prompt(400)), {"a": FakeBlocks(8)}
    side.track(request)
    answered(side, request)
    side.allocated(request, blocks["a"], 0)
    (first,) = schedule(side, {"a": 400}, blocks).saves
    side.ended([Result(first.job, None, 0)], set())
    request.all_token_ids += prompt(113, start=3)  # 513 tokens: KV of 512
    request.num_computed_tokens = 512
    assert side.finished(request, blocks["a"].ids[:4]) is True
    work = schedule(side, {}, blocks)
    (last,) = work.saves
    assert last.first_chunk == 1 and work.finishing == {"a"}
    assert side.frees_pages_soon()
    side.ended([Result(last.job, None, 0)], {"a"})
    assert not side.frees_pages_soon()


def test_one_token_less_is_not_saved_and_nothing_is_kept(lookup):
    side, request, blocks = make_side(lookup), FakeRequest("a", prompt(400)), {"a": FakeBlocks(8)}
    side.track(request)
    answered(side, request)
    side.allocated(request, blocks["a"], 0)
    (first,) = schedule(side, {"a": 400}, blocks).saves
    side.ended([Result(first.job, None, 0)], set())
    request.all_token_ids += prompt(112, start=3)  # 512 tokens: KV of 511
    request.num_computed_tokens = 511
    assert side.finished(request, blocks["a"].ids[:4]) is False


def test_steps_in_flight_do_not_count_as_computed(lookup):
    side, request, blocks = make_side(lookup), FakeRequest("a", prompt(300)), {"a": FakeBlocks(8)}
    side.track(request)
    answered(side, request)
    request.num_computed_tokens, request.num_in_flight_tokens = 300, 300
    assert side.finished(request, blocks["a"].ids) is False


def test_pages_are_kept_while_a_save_may_still_read_them(lookup):
    side, request, blocks = make_side(lookup), FakeRequest("a", prompt(256)), {"a": FakeBlocks(2)}
    side.track(request)
    answered(side, request)
    side.allocated(request, blocks["a"], 0)
    assert len(schedule(side, {"a": 256}, blocks).saves) == 1
    request.num_computed_tokens = 256
    assert side.finished(request, blocks["a"].ids) is True


def test_a_failed_chunk_is_recomputed_saved_again_and_not_fetched_again(lookup):
    tokens = prompt(1024)
    keys = keys_of(lookup, tokens)
    lookup.stored = set(keys)
    side, request, blocks = make_side(lookup), FakeRequest("a", tokens), {"a": FakeBlocks(8)}
    waiting = FakeRequest("b", tokens + prompt(10))
    side.track(request)
    side.track(waiting)
    answered(side, request)
    assert answered(side, waiting) == (1024, True)
    side.allocated(request, blocks["a"], 1024)
    assert side.matched_tokens(waiting, 0) == (None, False), "waits for the pages that are arriving"
    (load,) = schedule(side, {}, blocks).loads
    side.ended([Result(load.job, "record_corrupt", 2)], set())
    assert lookup.ended == [("record_corrupt", keys[2])]
    assert side.matched_tokens(request, 0) == (0, False), "once is enough"
    assert side.matched_tokens(waiting, 0) == (512, True), "others do not run into the same wall"
    request.num_computed_tokens = 512
    side.allocated(request, blocks["a"], 0)
    (save,) = schedule(side, {"a": 512}, blocks).saves
    assert (save.first_chunk, save.keys) == (2, keys[2])


def test_an_abort_during_a_load_is_passed_on_and_keeps_nothing_twice(lookup):
    tokens = prompt(512)
    lookup.stored = set(keys_of(lookup, tokens))
    side, request, blocks = make_side(lookup), FakeRequest("a", tokens), {"a": FakeBlocks(4)}
    side.track(request)
    answered(side, request)
    side.allocated(request, blocks["a"], 512)
    (load,) = schedule(side, {}, blocks).loads
    assert side.finished(request, []) is False
    assert schedule(side, {}, blocks).aborted == {"a"}
    other = FakeRequest("b", tokens)
    side.track(other)
    assert answered_or_waits(side, other) == (None, False)
    side.ended([Result(load.job, "cancelled", 0)], set())
    assert side.matched_tokens(other, 0) == (512, True)


def answered_or_waits(side, request):
    return [side.matched_tokens(request, 0) for _ in range(4)][-1]


def test_preemption_asks_again_with_the_generated_tokens_and_claims_again_what_was_withdrawn(lookup):
    tokens = prompt(500)
    side, request, blocks = make_side(lookup), FakeRequest("a", tokens), {"a": FakeBlocks(8)}
    side.track(request)
    answered(side, request)
    side.allocated(request, blocks["a"], 0)
    (save,) = schedule(side, {"a": 500}, blocks).saves
    request.all_token_ids += prompt(100, start=9)
    request.num_computed_tokens = 0
    assert schedule(side, {}, blocks, preempted=["a"]).preempted == {"a"}
    side.ended([Result(save.job, "cancelled", 0)], set())
    keys = keys_of(lookup, request.all_token_ids)
    lookup.stored = {keys[1]}
    assert answered(side, request) == (0, False)
    side.allocated(request, blocks["a"], 0)
    (again,) = schedule(side, {"a": 600}, blocks).saves
    assert again.keys == keys[0]
    lookup.stored = set(keys)
    schedule(side, {}, blocks, preempted=["a"])
    assert answered(side, request) == (512, True)


@pytest.mark.parametrize(
    "change",
    [
        {"cache_salt": "tenant"},
        {"lora_request": SimpleNamespace(lora_name="poet", lora_path="/adapters/poet")},
        {"mm_features": [SimpleNamespace(identifier="cat", mm_position=SimpleNamespace(offset=300, length=20))]},
        {"mm_features": [SimpleNamespace(identifier="dog", mm_position=SimpleNamespace(offset=300, length=20))]},
        {"mm_features": [SimpleNamespace(identifier="cat", mm_position=SimpleNamespace(offset=301, length=20))]},
    ],
)
def test_whatever_else_decides_the_kv_decides_the_key(lookup, change):
    tokens = prompt(512)
    plain, changed = FakeRequest("a", tokens), FakeRequest("b", tokens, **change)
    side = make_side(lookup)
    side.track(plain)
    side.track(changed)
    (plain_keys, _), (changed_keys, _) = lookup.asked.values()
    assert plain_keys[KEY_BYTES:] != changed_keys[KEY_BYTES:]
    first_differs = plain_keys[:KEY_BYTES] != changed_keys[:KEY_BYTES]
    assert first_differs == ("mm_features" not in change), "media bind from the chunk on that holds them"


def test_requests_that_must_not_read_do_not_ask(lookup):
    side = make_side(lookup)
    request = FakeRequest("a", prompt(512), skip_reading_prefix_cache=True)
    side.track(request)
    assert side.matched_tokens(request, 0) == (0, False)
    for hidden in ({"resumable": True}, {"prompt_embeds": object()}):
        side.track(FakeRequest("b", prompt(512), **hidden))
        assert side.matched_tokens(FakeRequest("b", prompt(512), **hidden), 0) == (0, False)
    assert not lookup.asked


def landed(lookup) -> tuple[SchedulerSide, FakeRequest]:
    """A side with a request that was loaded and waits to be scheduled, and a request that is nobody's yet."""
    tokens = prompt(1000)
    lookup.stored = set(keys_of(lookup, tokens)[:3])
    side, loaded, other = make_side(lookup), FakeRequest("a", tokens), FakeRequest("b", prompt(1000, start=17))
    side.track(loaded)
    assert answered(side, loaded) == (768, True)
    side.allocated(loaded, FakeBlocks(6), 768)
    (load,) = schedule(side, {}, {}).loads
    side.ended([Result(load.job, None, 3)], set())
    side.track(other)
    assert answered(side, other) == (0, False)
    return side, other


def test_who_stands_before_a_loaded_request_is_passed_over_once_that_has_waited(lookup):
    side, other = landed(lookup)
    for _ in range(2):
        schedule(side, {}, {})
        assert side.matched_tokens(other, 0) == (0, False), "most loaded requests are scheduled at once: nobody waits for that"
    schedule(side, {}, {})
    assert side.matched_tokens(other, 0) == (None, False)
    assert side.matched_tokens(FakeRequest("untracked", prompt(10)), 0) == (None, False)
    schedule(side, {"a": 232}, {"a": FakeBlocks(8)})
    assert side.matched_tokens(other, 0) == (0, False)


def test_nobody_waits_for_a_loaded_request_that_is_gone(lookup):
    side, other = landed(lookup)
    for _ in range(4):
        schedule(side, {}, {})
    assert side.matched_tokens(other, 0) == (None, False)
    side.finished(FakeRequest("a", prompt(1000)), [])
    assert side.matched_tokens(other, 0) == (0, False)


def test_nothing_is_left_of_a_request_that_ended(lookup):
    tokens = prompt(512)
    lookup.stored = set(keys_of(lookup, tokens))
    side, request, blocks = make_side(lookup), FakeRequest("a", tokens), {"a": FakeBlocks(4)}
    side.track(request)
    answered(side, request)
    side.allocated(request, blocks["a"], 512)
    (load,) = schedule(side, {}, blocks).loads
    side.ended([Result(load.job, None, 2)], set())
    request.num_computed_tokens = 512
    side.allocated(request, blocks["a"], 0)
    assert side.finished(request, blocks["a"].ids) is False
    left = {name: value for name, value in vars(side).items() if isinstance(value, (dict, set)) and value}
    assert not left and not lookup.asked
