"""What the mixed load's result notices, and that it goes on from what a file holds."""

import copy
import json
import pathlib
import sys
import tempfile
import unittest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "bench" / "soak"))

from soak_result import SoakResult, departures  # noqa: E402

SETTINGS = {"model": "small", "device": "cpu"}


def healthy_run() -> dict:
    return {
        "seconds": 60.0, "sent": 1050, "ended": 1000, "aborted": 50, "preemptions": 9, "moved": {"fetched": 500, "failed": 0},
        "left": departures([0.05] * 20 + [0.2] * 2), "left_control": departures([2.0] * 950), "samples": [{"plane_resident": 400.0}] * 40,
    }  # fmt: skip


def healthy() -> SoakResult:
    result = SoakResult(SETTINGS)
    result.runs = [healthy_run(), healthy_run()]
    result.compared = {"left_without_connector": {"over 0 nats": 0.02, "over 0.1 nats": 0.002, "over 0.3 nats": 0.0}, "ended_without_connector": 2000}
    return result


class Failures(unittest.TestCase):
    def assert_one(self, result: SoakResult, said: str) -> None:
        self.assertEqual(len(result.failures()), 1, result.failures())
        self.assertIn(said, result.failures()[0])

    def test_none_of_a_healthy_run(self):
        self.assertEqual(healthy().failures(), [])

    def test_wrong_tokens(self):
        """Ten of 2,000 answers that leave at clear tokens, in one run of two."""
        result = healthy()
        result.runs[1]["left"]["over 0.3 nats"] += 10
        self.assert_one(result, "over 0.3 nats, without fetching")

    def test_memory_that_grows_in_one_run(self):
        result = healthy()
        result.runs[1]["samples"] = [{"plane_resident": 400.0 + 10 * i} for i in range(40)]
        self.assert_one(result, "plane_resident kept growing in run 2")

    def test_memory_that_settles(self):
        result = healthy()
        result.runs[0]["samples"] = [{"plane_resident": min(800.0, 200.0 + 100 * i)} for i in range(40)]
        self.assertEqual(result.failures(), [])

    def test_memory_that_goes_up_and_down(self):
        result = healthy()
        result.runs[0]["samples"] = [{"plane_resident": 400.0 + 500 * (i % 7 == 0)} for i in range(40)]
        self.assertEqual(result.failures(), [])

    def test_a_comparison_that_sees_nothing(self):
        result = healthy()
        for run in result.runs:
            run["left_control"] = departures([])
        self.assert_one(result, "sees nothing")

    def test_a_load_without_hits(self):
        result = healthy()
        for run in result.runs:
            run["moved"] = {"fetched": 0}
        self.assert_one(result, "nothing was fetched")

    def test_no_answers(self):
        self.assertEqual(SoakResult(SETTINGS).failures(), ["no request ended"])


class Continued(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "soak.json"

    def test_counts_earlier_runs(self):
        healthy().write(self.file)
        went_on = SoakResult.continued(self.file, dict(SETTINGS))
        self.assertEqual(went_on.seconds(), 120)
        went_on.runs.append(healthy_run())
        went_on.write(self.file)
        read = json.loads(self.file.read_text())
        self.assertEqual((read["minutes"], read["ended"], read["moved"]["fetched"]), (3, 3000, 1500))
        self.assertEqual(read["left"]["over 0.1 nats"], 0.002)
        self.assertEqual(read["failures"], [])
        self.assertEqual([file.name for file in self.file.parent.iterdir()], ["soak.json"])

    def test_starts_where_there_is_no_file(self):
        self.assertEqual(SoakResult.continued(self.file, SETTINGS).runs, [])

    def test_refuses_runs_of_something_else(self):
        healthy().write(self.file)
        other = copy.deepcopy(SETTINGS) | {"device": "cuda"}
        with self.assertRaisesRegex(ValueError, "device cpu, not cuda"):
            SoakResult.continued(self.file, other)

    def test_refuses_other_files(self):
        for text in ("", "[]", '{"minutes": 7.5}'):
            self.file.write_text(text)
            with self.assertRaisesRegex(ValueError, "no result of this bench"):
                SoakResult.continued(self.file, SETTINGS)


if __name__ == "__main__":
    unittest.main()
