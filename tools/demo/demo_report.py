"""What the demo found: the table on the terminal, and a page with plots that needs no other file."""

import dataclasses
import html
import time

COMPUTED, FETCHED, OTHER = "#c4622d", "#2d6cc4", "#b9b9b0"


@dataclasses.dataclass
class Row:
    """One document. Times are of the first question in each engine: later ones hit the engine's own cache."""

    document: str
    tokens: int
    computed_s: float
    fetched_s: float
    raw_bytes: float
    wire_bytes: float
    equal_tokens: int
    answer_tokens: int
    chunks_placed: int
    chunks_failed: int

    @property
    def ratio(self) -> float:
        return self.computed_s / max(self.fetched_s, 1e-6)


@dataclasses.dataclass
class Span:
    """Something that took its time, for the timeline."""

    label: str
    kind: str  # "computed", "fetched", "other"
    start_s: float
    end_s: float


def megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"


def table(rows: list[Row]) -> str:
    width = max(12, *(len(row.document) for row in rows))
    lines = [
        f"{'document':<{width}}  tokens  TTFT computed  TTFT fetched  ratio     KV raw  on the wire  equal tokens",
    ]
    for row in rows:
        lines.append(
            f"{row.document:<{width}}  {row.tokens:>6,}  {row.computed_s:>11.2f} s  {row.fetched_s:>10.2f} s"
            f"  {row.ratio:>4.0f}x  {megabytes(row.raw_bytes):>9}  {megabytes(row.wire_bytes):>11}"
            f"  {row.equal_tokens:>6} of {row.answer_tokens}"
        )
    return "\n".join(lines)


def bars(rows: list[Row]) -> str:
    """TTFT computed above TTFT fetched, a pair for each document, on one scale."""
    left, wide, high = 190, 520, 58
    longest = max(max(row.computed_s, row.fetched_s) for row in rows)
    parts = []
    for index, row in enumerate(rows):
        y = index * high + 10
        parts.append(f'<text x="{left - 10}" y="{y + 26}" text-anchor="end">{html.escape(row.document)}</text>')
        pairs = ((row.computed_s, COMPUTED, ""), (row.fetched_s, FETCHED, f"  ({row.ratio:.0f}x)"))
        for line, (seconds, colour, note) in enumerate(pairs):
            length = max(1.5, wide * seconds / longest)
            top = y + line * 21
            parts.append(f'<rect x="{left}" y="{top}" width="{length:.1f}" height="18" rx="2" fill="{colour}"/>')
            parts.append(f'<text x="{left + length + 6:.1f}" y="{top + 14}">{seconds:.2f} s{note}</text>')
    return _svg(left + wide + 130, len(rows) * high + 10, parts)


def timeline(spans: list[Span]) -> str:
    """Everything that happened, on one axis."""
    begin = min(span.start_s for span in spans)
    total = max(span.end_s for span in spans) - begin
    left, wide, high = 250, 520, 20
    parts = []
    for index, span in enumerate(spans):
        y = index * high + 4
        x = left + wide * (span.start_s - begin) / total
        length = max(1.5, wide * (span.end_s - span.start_s) / total)
        colour = {"computed": COMPUTED, "fetched": FETCHED}.get(span.kind, OTHER)
        parts.append(f'<text x="{left - 10}" y="{y + 13}" text-anchor="end">{html.escape(span.label)}</text>')
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{high - 4}" rx="2" fill="{colour}"/>')
        parts.append(f'<text x="{x + length + 5:.1f}" y="{y + 13}">{span.end_s - span.start_s:.1f} s</text>')
    return _svg(left + wide + 70, len(spans) * high + 10, parts)


def _svg(width: int, height: int, parts: list[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def page(rows: list[Row], spans: list[Span], answers: list[tuple], facts: dict[str, str]) -> str:
    """`answers`: (document, question, computed text, fetched text)."""
    cells = "".join(
        f"<tr><td>{html.escape(row.document)}<td>{row.tokens:,}<td>{row.computed_s:.2f} s<td>{row.fetched_s:.2f} s"
        f"<td>{row.ratio:.0f}x<td>{megabytes(row.raw_bytes)}<td>{megabytes(row.wire_bytes)}"
        f"<td>{row.equal_tokens} of {row.answer_tokens}<td>{row.chunks_placed} placed, {row.chunks_failed} failed</tr>"
        for row in rows
    )
    said = "".join(
        f"<tr><td>{html.escape(document)}<td>{html.escape(question)}<td>{html.escape(one)}<td>{html.escape(other)}</tr>"
        for document, question, one, other in answers
    )
    told = "".join(f"<dt>{html.escape(name)}<dd>{html.escape(value)}" for name, value in facts.items())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ShadowServe: computed once, fetched afterwards</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
svg {{ width: 100%; font: 12px system-ui, sans-serif; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #ddd; }}
dt {{ float: left; clear: left; width: 9rem; color: #666; }} dd {{ margin-left: 10rem; }}
.computed {{ color: {COMPUTED}; }} .fetched {{ color: {FETCHED}; }}
</style>
<h1>Computed once, fetched afterwards</h1>
<p>Two vLLM servers, one after the other, were asked the same questions. The first had to
<b class="computed">compute</b> every document. The second had never seen one: it
<b class="fetched">fetched</b> their KV cache from the store through ShadowServe's data plane.</p>
<h2>Time to the first token of the first question</h2>
{bars(rows)}
<table><tr><th>document<th>tokens<th>computed<th>fetched<th>ratio<th>KV raw<th>on the wire<th>equal tokens<th>chunks</tr>
{cells}</table>
<p>"Equal tokens": how far the answers of both engines agree token by token, from their beginnings, all questions of
a document together. A lossy profile may choose differently where two tokens are almost equally likely.</p>
<h2>What happened when</h2>
{timeline(spans)}
<h2>The answers</h2>
<p>They come from a small model; the point is not that they are good but that both engines read the same document.</p>
<table><tr><th>document<th>question<th>engine 1, computed<th>engine 2, fetched</tr>{said}</table>
<h2>This run</h2>
<dl>{told}<dt>made<dd>{time.strftime("%Y-%m-%d %H:%M")}</dl>
</html>
"""
