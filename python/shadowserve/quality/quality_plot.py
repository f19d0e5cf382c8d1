"""The figures as pictures: SVG written by hand, readable on light and on dark pages."""

import html
import math
import statistics
from collections.abc import Callable, Sequence

from shadowserve.quality.measuring import Plan, Row
from shadowserve.quality.summary import Summary, kind_of

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 64, 60
LEAST_KL = 1e-5
STYLE = """<style>
text { font: 13px sans-serif; fill: #222 } .title { font-size: 16px; font-weight: bold }
.grid { stroke: #ddd } .axis { stroke: #666; fill: none } .page { fill: #fff }
.profile { fill: #1f6f8b; stroke: #1f6f8b } .peer { fill: #c4622d; stroke: #c4622d } .control { fill: #888; stroke: #888 }
.line { fill: none; stroke-width: 1.6 } text.profile, text.peer, text.control { stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #ddd } .grid { stroke: #333 } .axis { stroke: #999 } .page { fill: #15181b }
.profile { fill: #6ec3df; stroke: #6ec3df } .peer { fill: #f0955f; stroke: #f0955f } }
</style>"""


class Axis:
    """Maps values to pixels, linearly or by logarithm."""

    def __init__(self, least: float, most: float, begin: float, end: float, logarithmic: bool = False):
        self._scale: Callable[[float], float] = math.log10 if logarithmic else float
        self._least, self._most = self._scale(least), self._scale(most)
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        share = (self._scale(value) - self._least) / (self._most - self._least)
        return self._begin + share * (self._end - self._begin)


def text(x: float, y: float, words: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{html.escape(words)}</text>'


def _decades(least: float, most: float) -> list[float]:
    """Powers of ten around the values: at least one decade."""
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _frame(
    title: str, below: str, x_axis: Axis, x_marks: Sequence[float], decades: Sequence[float], y_axis: Axis
) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        STYLE,
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        text(LEFT, 26, title, 'class="title"'),
        text(LEFT, 46, "KL divergence from the exact cache's predictions, nats a token"),
    ]
    for kl in decades:
        y = y_axis.at(kl)
        made.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        made.append(text(LEFT - 8, y + 4, f"{kl:g}", 'text-anchor="end"'))
    for mark in x_marks:
        x = x_axis.at(mark)
        made.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>')
        made.append(text(x, bottom + 18, f"{mark:g}" if mark < 1000 else f"{mark:,.0f}", 'text-anchor="middle"'))
    made.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    made.append(text((LEFT + right) / 2, HEIGHT - 18, below, 'text-anchor="middle"'))
    return made


def _apart(places: Sequence[tuple[float, float]]) -> list[float]:
    """Heights of labels beside points (x, y), moved until near ones do not lie on each other."""
    heights: list[float] = []
    for number, (x, y) in enumerate(places):
        others = [heights[n] for n in range(number) if abs(places[n][0] - x) < 90]
        shifts = sorted((step * sign for step in range(0, 200, 3) for sign in (1, -1)), key=abs)
        heights.append(next(y + shift for shift in shifts if all(abs(y + shift - other) >= 14 for other in others)))
    return heights


def frontier_svg(summaries: Sequence[Summary], title: str) -> str:
    """A point for each profile and peer: compression to the right, loss upwards. Without those that lose nothing."""
    points = [one for one in summaries if one.kl > 0]
    if not points:
        raise ValueError("nothing to draw: no profile loses anything")
    decades = _decades(
        max(LEAST_KL, min(max(one.kl_low, one.kl / 4) for one in points)), max(one.kl_high for one in points)
    )
    most = max(2.0, math.ceil(max(one.ratio for one in points)) + 1.0)
    x_axis = Axis(0, most, LEFT, WIDTH - RIGHT)
    y_axis = Axis(decades[0], decades[-1], HEIGHT - BOTTOM, TOP, logarithmic=True)
    marks = range(0, int(most) + 1, 1 if most <= 16 else 4)
    made = _frame(title, "raw bytes over bytes on the wire", x_axis, marks, decades, y_axis)
    places = [(x_axis.at(one.ratio), y_axis.at(max(one.kl, decades[0]))) for one in points]
    for one, (x, y), label in zip(points, places, _apart(places)):
        low, high = (y_axis.at(max(kl, decades[0])) for kl in (one.kl_low, one.kl_high))
        made.append(f'<path class="{one.kind}" stroke-width="1.5" d="M{x:.1f} {low:.1f}V{high:.1f}"/>')
        made.append(f'<circle class="{one.kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
        made.append(text(x + 9, label + 4, one.profile, f'class="{one.kind}"'))
    for number, (kind, words) in enumerate((("profile", "ours"), ("peer", "others"), ("control", "controls"))):
        if any(one.kind == kind for one in points):
            made.append(text(WIDTH - RIGHT - 190 + 64 * number, 46, words, f'class="{kind}"'))
    return "\n".join([*made, "</svg>"]) + "\n"


def drift_svg(rows: Sequence[Row], plan: Plan, title: str) -> str:
    """A line for each profile: KL, mean over texts, against the number of fetched tokens before the prediction."""
    places = sorted({row.prefix for row in rows})
    lines = {
        name: [
            statistics.fmean(row.comparison.kl_mean for row in rows if row.profile == name and row.prefix == place)
            for place in places
        ]
        for name in plan.measured
    }
    lines = {name: kls for name, kls in lines.items() if min(kls) > 0}
    if not lines:
        raise ValueError("nothing to draw: no profile loses anything")
    every = [max(kl, LEAST_KL) for kls in lines.values() for kl in kls]
    decades = _decades(min(every), max(every))
    x_axis = Axis(0, places[-1] * 1.12, LEFT, WIDTH - RIGHT)
    y_axis = Axis(decades[0], decades[-1], HEIGHT - BOTTOM, TOP, logarithmic=True)
    made = _frame(title, "tokens fetched before the predicted ones", x_axis, places, decades, y_axis)
    ends = [(x_axis.at(places[-1]), y_axis.at(max(kls[-1], LEAST_KL))) for kls in lines.values()]
    for (name, kls), (x, _), label in zip(lines.items(), ends, _apart(ends)):
        kind = kind_of(name, plan)
        path = "L".join(f"{x_axis.at(place):.1f} {y_axis.at(max(kl, LEAST_KL)):.1f}" for place, kl in zip(places, kls))
        made.append(f'<path class="line {kind}" style="fill: none" d="M{path}"/>')
        made.append(text(x + 9, label + 4, name, f'class="{kind}"'))
    return "\n".join([*made, "</svg>"]) + "\n"
