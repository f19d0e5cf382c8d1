"""The order of a measurement: every prefix is stored under every profile, then fetched, continued and compared."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from shadowserve.quality.comparison import Comparison, compare, equal_beginning
from shadowserve.quality.measured_engine import CHUNK_TOKENS, MeasuredEngine, Prediction
from shadowserve.quality.page_peers import PEERS
from shadowserve.quality.text_pieces import Piece

REFERENCE = "raw"
DRIFT_STEP = 1024
"""Distance of the places where a long prefix is continued."""
DRIFT_SUFFIX = CHUNK_TOKENS - 1
"""Predicted at each of them: with one token more the next chunk would be complete, and fetched instead of computed."""


@dataclasses.dataclass
class Plan:
    """What to measure."""

    profiles: list[str]
    calibrated: frozenset[str]
    """Those of `profiles` that need the calibration."""
    peers: list[str]
    answer_tokens: int

    @property
    def measured(self) -> list[str]:
        return [REFERENCE, *(name for name in self.profiles if name != REFERENCE), *self.peers]


@dataclasses.dataclass
class Row:
    """One piece under one profile or peer."""

    profile: str
    piece: Piece
    prefix: int
    value_bytes: int
    wire_bytes: int
    comparison: Comparison
    equal_tokens: int
    answer_tokens: int

    @property
    def ratio(self) -> float:
        return self.value_bytes / self.wire_bytes


Progress = Callable[[str], None]
"""Told before each step what it is."""


def steps(plan: Plan, pieces: int, places: int = 1) -> int:
    """How often `progress` will be told."""
    stored = pieces * (1 + len([name for name in plan.profiles if name != REFERENCE]))
    return stored + pieces * places * (1 + len(plan.measured))


def store_all(engine: MeasuredEngine, plan: Plan, pieces: Sequence[Piece], prefix: int, progress: Progress) -> None:
    """The prefixes stay in the engine's own cache meanwhile, so all profiles are given the very same pages."""
    for profile in [REFERENCE, *(name for name in plan.profiles if name != REFERENCE)]:
        engine.open(profile, saves=True, calibrated=profile in plan.calibrated)
        for piece in pieces:
            progress(f"storing {piece.name} as {profile}")
            engine.store(piece.tokens[: prefix + 1])


def opened(engine: MeasuredEngine, plan: Plan) -> Iterator[str]:
    """The names of all that is measured, each while the engine fetches as it says."""
    for name in plan.measured:
        peer = PEERS.get(name) if name in plan.peers else None
        engine.open(REFERENCE if peer else name, saves=False, calibrated=name in plan.calibrated)
        engine.change_pages(peer)
        yield name
        engine.change_pages(None)


def measure(
    engine: MeasuredEngine, plan: Plan, pieces: Sequence[Piece], prefix: int, progress: Progress
) -> list[Row]:
    """One row for each piece and each of plan.measured. Among them the reference once more: how much two equal runs differ."""
    return _measure(engine, plan, pieces, prefix, [(prefix, len(pieces[0].tokens))], plan.answer_tokens, progress)


def measure_drift(
    engine: MeasuredEngine, plan: Plan, pieces: Sequence[Piece], prefix: int, progress: Progress
) -> list[Row]:
    """The same at several places: behind the first 1,024, 2,048 ... tokens of each stored prefix, and behind all."""
    return _measure(engine, plan, pieces, prefix, drift_places(prefix), 1, progress)


def drift_places(prefix: int) -> list[tuple[int, int]]:
    """(tokens fetched, tokens asked about)."""
    return [(place, place + DRIFT_SUFFIX) for place in sorted({*range(DRIFT_STEP, prefix, DRIFT_STEP), prefix})]


def _measure(
    engine: MeasuredEngine, plan: Plan, pieces: Sequence[Piece], prefix: int, places: list[tuple[int, int]],
    answer_tokens: int, progress: Progress,
) -> list[Row]:  # fmt: skip
    store_all(engine, plan, pieces, prefix, progress)
    engine.open(REFERENCE, saves=False)
    references: dict[tuple[Piece, int], Prediction] = {}
    for piece in pieces:
        for begin, end in places:
            progress(f"{piece.name}: the reference")
            references[piece, begin] = engine.predict(piece.tokens[:end], begin, answer_tokens)
    rows = []
    for name in opened(engine, plan):
        for piece in pieces:
            for begin, end in places:
                progress(f"{piece.name} with {name}")
                reference = references[piece, begin]
                got = engine.predict(piece.tokens[:end], begin, answer_tokens)
                compared = compare(engine.log_probs, reference.hidden, got.hidden, piece.tokens[begin:end])
                equal = equal_beginning(reference.answer, got.answer)
                rows.append(Row(name, piece, begin, got.value_bytes, got.wire_bytes, compared, equal, answer_tokens))
    return rows
