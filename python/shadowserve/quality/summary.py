"""What the rows of a measurement are in the mean, as a table and as JSON."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from shadowserve.quality.comparison import bootstrap_interval
from shadowserve.quality.measuring import REFERENCE, Plan, Row
from shadowserve.quality.page_peers import CONTROLS


@dataclasses.dataclass
class Summary:
    """Means over texts (pieces of one text are averaged first); KL in nats a token."""

    profile: str
    kind: str
    """profile, peer or control."""
    ratio: float
    kl: float
    kl_low: float
    kl_high: float
    """95 % of the bootstrap's means over texts; with one text, one standard error over positions."""
    worst: float
    """KL of the text that loses most, over the mean; 0 without any loss."""
    worst_text: str
    top1: float
    perplexity: float
    reference_perplexity: float
    equal_tokens: float
    answer_tokens: int


def kind_of(profile: str, plan: Plan) -> str:
    if profile == REFERENCE or profile in CONTROLS:
        return "control"
    return "peer" if profile in plan.peers else "profile"


def texts_of(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.piece.text for row in rows))


def summarize(rows: Sequence[Row], plan: Plan) -> list[Summary]:
    """In the order of plan.measured."""
    return [_summary([row for row in rows if row.profile == name], plan) for name in plan.measured]


def _summary(rows: Sequence[Row], plan: Plan) -> Summary:
    by_text = [[row for row in rows if row.piece.text == text] for text in texts_of(rows)]

    def over_texts(value) -> list[float]:
        return [statistics.fmean(value(row) for row in text) for text in by_text]

    kls = over_texts(lambda row: row.comparison.kl_mean)
    kl = statistics.fmean(kls)
    error = rows[0].comparison.kl_error
    low, high = bootstrap_interval(kls) or (max(0.0, kl - error), kl + error)
    return Summary(
        profile=rows[0].profile,
        kind=kind_of(rows[0].profile, plan),
        ratio=statistics.fmean(over_texts(lambda row: row.ratio)),
        kl=kl,
        kl_low=low,
        kl_high=high,
        worst=max(kls) / kl if kl else 0.0,
        worst_text=by_text[kls.index(max(kls))][0].piece.text if kl else "",
        top1=statistics.fmean(over_texts(lambda row: row.comparison.top1)),
        perplexity=math.exp(statistics.fmean(over_texts(lambda row: statistics.fmean(row.comparison.loss)))),
        reference_perplexity=math.exp(
            statistics.fmean(over_texts(lambda row: statistics.fmean(row.comparison.reference_loss)))
        ),
        equal_tokens=statistics.fmean(over_texts(lambda row: row.equal_tokens)),
        answer_tokens=rows[0].answer_tokens,
    )


def quality_table(rows: Sequence[Row], plan: Plan) -> str:
    """Markdown that also reads well on a terminal: means first, then the KL of every text."""
    texts = texts_of(rows)
    interval = "95 %" if len(texts) > 1 else "1 s.e."
    means = [["profile", "ratio", "KL", interval, "worst text / mean", "top-1", "perplexity", "over raw", "equal tokens"]]
    for one in summarize(rows, plan):
        means.append([
            one.profile, f"{one.ratio:.2f}", f"{one.kl:.4f}", f"{one.kl_low:.4f}-{one.kl_high:.4f}",
            f"{one.worst:.1f} {one.worst_text}".strip() if one.worst else "", f"{one.top1:.3f}", f"{one.perplexity:.3f}",
            f"{one.perplexity / one.reference_perplexity:.4f}", f"{one.equal_tokens:.0f} of {one.answer_tokens}",
        ])  # fmt: skip
    each = [["KL by text", *texts]]
    for name in plan.measured:
        cells = [[row for row in rows if row.profile == name and row.piece.text == text] for text in texts]
        each.append([name, *map(_cell, cells)])
    return f"{aligned(means)}\n\n{aligned(each)}"


def _cell(rows: Sequence[Row]) -> str:
    kl = statistics.fmean(row.comparison.kl_mean for row in rows)
    error = math.sqrt(sum(row.comparison.kl_error**2 for row in rows)) / len(rows)
    return f"{kl:.4f} ± {error:.4f}"


def drift_table(rows: Sequence[Row], plan: Plan) -> str:
    """KL, mean over texts, for each place; a row for each profile."""
    places = sorted({row.prefix for row in rows})
    lines = [["KL behind so many tokens", *(f"{place:,}" for place in places), "ratio"]]
    for name in plan.measured:
        mine = [row for row in rows if row.profile == name]
        kls = [statistics.fmean(row.comparison.kl_mean for row in mine if row.prefix == place) for place in places]
        last = [row.ratio for row in mine if row.prefix == places[-1]]
        lines.append([name, *(f"{kl:.4f}" for kl in kls), f"{statistics.fmean(last):.2f}"])
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns of even width; the first line is its head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    made = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    made.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(made)


def report(rows: Sequence[Row], plan: Plan, facts: dict) -> dict:
    """Everything, for --json: the means, and every row with its KL at every position."""
    return {
        **facts,
        "means": [dataclasses.asdict(one) for one in summarize(rows, plan)],
        "rows": [_row(row, plan) for row in rows],
    }


def _row(row: Row, plan: Plan) -> dict:
    compared = row.comparison
    return {
        "profile": row.profile, "kind": kind_of(row.profile, plan), "text": row.piece.text, "begin": row.piece.begin,
        "prefix_tokens": row.prefix, "value_bytes": row.value_bytes, "wire_bytes": row.wire_bytes, "ratio": row.ratio,
        "kl": compared.kl_mean, "kl_error": compared.kl_error, "top1": compared.top1,
        "perplexity": math.exp(statistics.fmean(compared.loss)),
        "reference_perplexity": math.exp(statistics.fmean(compared.reference_loss)),
        "equal_tokens": row.equal_tokens, "answer_tokens": row.answer_tokens,
        "kl_by_position": [round(kl, 6) for kl in compared.kl],
    }  # fmt: skip
