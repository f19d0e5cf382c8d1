"""What runs of mixed load have shown so far: counted over all of them, kept in one file, judged.

A file holds settings, runs and what follows from them; each run has its own engine and data plane, so memory is compared within a run. The
file is replaced after each sample: what was shown stays when a machine is taken away.
"""

from __future__ import annotations

import collections
import json
import math
import os
import pathlib

GAPS = (0, 0.1, 0.3)  # nats
COUNTED = ("seconds", "sent", "ended", "aborted", "preemptions")


def departures(gaps: list[float]) -> dict[str, int]:
    """How many answers left the computed ones at tokens ahead by more than so many nats."""
    return {f"over {least:g} nats": sum(gap > least for gap in gaps) for least in GAPS}


def grew(samples: list[dict[str, float]]) -> list[str]:
    """What was larger in all of the last quarter of a run than ever in the second, by more than 64 (MiB) and 2 %."""
    quarter = max(1, len(samples) // 4)
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    if not before:
        return []
    return [name for name in samples[0] if min(each[name] for each in after) > max(each[name] for each in before) * 1.02 + 64]


class SoakResult:
    """One thread. `settings` are what runs have to share to be counted together."""

    def __init__(self, settings: dict):
        self.settings = settings
        self.runs: list[dict] = []  # COUNTED, `left` and `left_control` (answers), `moved` (chunks, bytes), `samples` (MiB)
        self.compared: dict | None = None  # left_without_connector (shares), ended_without_connector

    @classmethod
    def continued(cls, file: pathlib.Path, settings: dict) -> SoakResult:
        """With what `file` holds, if there is one. ValueError: it is of something else."""
        result = cls(settings)
        if not file.exists():
            return result
        try:
            read = json.loads(file.read_text())
            earlier, result.runs, result.compared = read["settings"], read["runs"], read["compared"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is no result of this bench ({error!r}): name another --out") from error
        if different := sorted(name for name in settings.keys() | earlier.keys() if settings.get(name) != earlier.get(name)):
            said = ", ".join(f"{name} {earlier.get(name)}, not {settings.get(name)}" for name in different)
            raise ValueError(f"{file} is of runs with {said}: go on with those, or name another --out")
        return result

    def seconds(self) -> float:
        return self._total("seconds")

    def as_json(self) -> dict:
        left, control, moved = (self._sum(name) for name in ("left", "left_control", "moved"))
        ended = max(1, self._total("ended"))
        return {
            "settings": self.settings, "minutes": round(self.seconds() / 60, 2), **{name: self._total(name) for name in COUNTED[1:]},
            "moved": moved, "left": {name: count / ended for name, count in left.items()},
            "left_control": {name: count / ended for name, count in control.items()}, **(self.compared or {}),
            "memory": [{"minutes": round(run["seconds"] / 60, 2), "first": run["samples"][0], "last": run["samples"][-1]} for run in self.runs],
            "failures": self.failures(), "compared": self.compared, "runs": self.runs,
        }  # fmt: skip

    def write(self, file: pathlib.Path) -> None:
        beside = file.with_name(file.name + ".part")
        beside.write_text(json.dumps(self.as_json()))
        os.replace(beside, file)

    def failures(self) -> list[str]:
        """What must not be. A share may differ by three times its own noise."""
        found = [f"{name} kept growing in run {number}" for number, run in enumerate(self.runs, 1) for name in grew(run["samples"])]
        ended = self._total("ended")
        if not ended:
            return [*found, "no request ended"]
        if self.compared:
            found += self._more_than_compared(ended)
        if (control := self._sum("left_control")[f"over {GAPS[0]:g} nats"] / ended) < 0.9:
            found.append(f"only {control:.2f} of another prompt's answers leave the computed ones: the comparison sees nothing")
        if not self._sum("moved").get("fetched"):
            found.append("nothing was fetched: the KV cache holds all prompts (--pages-mib, or more --prompts)")
        return found

    def _more_than_compared(self, ended: int) -> list[str]:
        found = []
        others = max(1, self.compared["ended_without_connector"])
        for name, count in self._sum("left").items():
            share, other = count / ended, self.compared["left_without_connector"][name]
            if share > other + 3 * math.sqrt(max(other, 1 / others) / min(ended, others)):
                found.append(f"{share:.3f} of the answers left the computed ones {name}, without fetching {other:.3f}")
        return found

    def _total(self, name: str) -> float:
        return sum(run[name] for run in self.runs)

    def _sum(self, name: str) -> dict:
        total = collections.Counter()
        for run in self.runs:
            total.update(run[name])
        return dict(total)
