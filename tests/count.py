"""Adds up the reports of all runners of ./test: `count.py FAILED REPORTS`, FAILED is yes when one of them ended badly.

What failed was asked once more, alone, into a report NAME-again.xml: it counts as it ended then, and is named.
"""

import pathlib
import sys
import xml.etree.ElementTree as tree


def outcome(case: tree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        return "failed"
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def outcomes(report: pathlib.Path) -> dict[str, list[str]]:
    """Of each test by its name; a test that fails and whose clean-up fails as well is there twice."""
    found: dict[str, list[str]] = {}
    for case in tree.parse(report).iter("testcase"):
        name, where = case.get("name", ""), case.get("classname", "")
        found.setdefault(name if where in ("", name) else f"{where} {name}", []).append(outcome(case))
    return found


def main(ended_badly: bool, folder: pathlib.Path) -> int:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    second_time = []
    for report in sorted(folder.glob("*.xml")):
        if report.stem.endswith("-again"):
            continue
        later = report.with_name(f"{report.stem}-again.xml")
        again = outcomes(later) if later.exists() else {}
        for name, found in outcomes(report).items():
            if "failed" in found and again.get(name) == ["passed"]:
                second_time.append(f"{report.stem}: {name}")
                found = ["passed"]
            for one in found:
                counts[one] += 1
    if ended_badly and counts["failed"] == 0:
        counts["failed"] = 1  # a runner ended badly without saying which test
    for name in second_time:
        print(f"failed among the others, passed alone: {name}")
    print(f"{counts['skipped']} skipped" if counts["skipped"] else "all ran")
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] == "yes", pathlib.Path(sys.argv[2])))
