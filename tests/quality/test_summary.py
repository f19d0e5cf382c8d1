"""Means, tables, JSON and pictures of a measurement whose numbers are known."""

import json
import xml.etree.ElementTree as tree

import pytest

from shadowserve.quality.measuring import drift_places, steps
from shadowserve.quality.quality_plot import drift_svg, frontier_svg
from shadowserve.quality.summary import aligned, drift_table, quality_table, report, summarize

pytestmark = pytest.mark.quick

SVG = "{http://www.w3.org/2000/svg}"


def test_means_are_over_texts(rows, plan):
    by_name = {one.profile: one for one in summarize(rows, plan)}
    near = by_name["near"]
    assert near.kl == pytest.approx(0.003) and near.ratio == pytest.approx(1000 / 150)
    assert near.worst == pytest.approx(4 / 3) and near.worst_text == "two.txt"
    assert near.kl_low < near.kl < near.kl_high
    assert (near.equal_tokens, near.answer_tokens) == (3, 8)
    assert by_name["raw"].kl == 0 and by_name["raw"].worst == 0
    assert by_name["turned"].top1 == 0.5


def test_each_kind_is_told_apart(rows, plan):
    kinds = {one.profile: one.kind for one in summarize(rows, plan)}
    assert kinds == {"raw": "control", "near": "profile", "kv4": "profile", "fp8": "peer", "turned": "control"}


def test_pieces_of_a_text_are_one_text(rows, plan):
    """A text that was cut into more pieces does not weigh more."""
    again = [row for row in rows if row.piece.text == "two.txt"]
    assert {one.profile: one.kl for one in summarize(rows + again, plan)} == {
        one.profile: pytest.approx(one.kl) for one in summarize(rows, plan)
    }


def test_the_table_has_every_profile_and_text(rows, plan):
    table = quality_table(rows, plan)
    assert all(name in table for name in (*plan.measured, "one.txt", "two.txt"))
    assert "| 6.67 " in table and "0.0030" in table and "1.3 two.txt" in table
    assert len({len(line) for line in table.split("\n\n")[0].splitlines()}) == 1


def test_json_holds_every_row(rows, plan):
    made = json.loads(json.dumps(report(rows, plan, {"model": "tiny"})))
    assert made["model"] == "tiny" and len(made["rows"]) == len(rows)
    assert {row["profile"] for row in made["rows"]} == set(plan.measured)
    assert made["rows"][2]["kl_by_position"] == [0.001, 0.003]


def test_the_frontier_has_a_point_for_whatever_loses_something(rows, plan):
    summaries = summarize(rows, plan)
    root = tree.fromstring(frontier_svg(summaries, "title <&>"))
    drawn = [one for one in summaries if one.kl > 0]
    circles = root.findall(f"{SVG}circle")
    assert [circle.get("class") for circle in circles] == [one.kind for one in drawn]
    for a, first in zip(circles, drawn):
        for b, second in zip(circles, drawn):
            assert (float(a.get("cx")) < float(b.get("cx"))) == (first.ratio < second.ratio)
            assert (float(a.get("cy")) > float(b.get("cy"))) == (first.kl < second.kl)
    assert "title <&>" in [each.text for each in root.findall(f"{SVG}text")]
    assert "prefers-color-scheme: dark" in root.find(f"{SVG}style").text


def test_labels_do_not_lie_on_each_other(rows, plan):
    same = [one for one in summarize(rows, plan) if one.kl > 0]
    for one in same:
        one.kl = one.kl_low = one.kl_high = 0.01
        one.ratio = 4.0
    root = tree.fromstring(frontier_svg(same, "title"))
    names = {one.profile for one in same}
    heights = sorted(float(each.get("y")) for each in root.findall(f"{SVG}text") if each.text in names)
    assert len(heights) == len(same) and all(b - a >= 13 for a, b in zip(heights, heights[1:]))


def test_nothing_to_draw_is_said(rows, plan):
    with pytest.raises(ValueError, match="nothing to draw"):
        frontier_svg([one for one in summarize(rows, plan) if one.profile == "raw"], "title")


def test_drift_is_shown_by_place(rows, plan):
    for number, row in enumerate(rows):
        row.prefix = 1024 if number % 2 else 2048
    table = drift_table(rows, plan)
    assert "1,024" in table and "2,048" in table and table.count("\n") == 1 + len(plan.measured)
    root = tree.fromstring(drift_svg(rows, plan, "title"))
    lines = [each for each in root.findall(f"{SVG}path") if each.get("class").startswith("line")]
    assert len(lines) == len(plan.measured) - 1


def test_places_behind_a_long_prefix():
    assert [place for place, _ in drift_places(3072)] == [1024, 2048, 3072]
    assert [place for place, _ in drift_places(2560)] == [1024, 2048, 2560]
    # With one token more the next chunk would be complete, fetched, and not predicted.
    assert all(end - place == 255 for place, end in drift_places(5888))


def test_progress_knows_its_end(plan):
    assert steps(plan, pieces=2) == 2 * 3 + 2 * (1 + 5)


def test_columns_are_even():
    assert aligned([["a", "b"], ["long", "c"]]) == "| a    | b |\n| ---- | - |\n| long | c |"
