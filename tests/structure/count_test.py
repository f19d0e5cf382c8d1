"""The count at the end of ./test: what failed twice has failed, whatever a second time says about others."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import count  # noqa: E402

PASSED, FAILED = "", '<failure message="no"/>'


def report(**cases: str) -> str:
    return "<testsuite>" + "".join(f'<testcase name="{name}">{inner}</testcase>' for name, inner in cases.items()) + "</testsuite>"


class Count(unittest.TestCase):
    def counted(self, ended_badly: bool = False, **reports: str) -> tuple[int, list[str]]:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in reports.items():
                (pathlib.Path(folder) / f"{name.replace('_', '-')}.xml").write_text(text)
            with contextlib.redirect_stdout(io.StringIO()) as said:
                code = count.main(ended_badly, pathlib.Path(folder))
        return code, said.getvalue().splitlines()

    def test_all_runners_are_added_up(self):
        one, two = report(a=PASSED, b="<skipped/>"), report(a=PASSED)
        self.assertEqual(self.counted(one=one, two=two), (0, ["1 skipped", "2 passed, 0 failed"]))

    def test_a_failure_is_one(self):
        self.assertEqual(self.counted(True, one=report(a=PASSED, b=FAILED)), (1, ["all ran", "1 passed, 1 failed"]))

    def test_what_passes_the_second_time_is_named(self):
        code, said = self.counted(one=report(a=PASSED, b=FAILED), one_again=report(b=PASSED))
        self.assertEqual((code, said), (0, ["failed among the others, passed alone: one: b", "all ran", "2 passed, 0 failed"]))

    def test_what_fails_twice_has_failed(self):
        self.assertEqual(self.counted(True, one=report(b=FAILED), one_again=report(b=FAILED))[0], 1)

    def test_another_runners_second_time_says_nothing(self):
        self.assertEqual(self.counted(True, one=report(b=FAILED), two=report(b=PASSED), two_again=report(b=PASSED))[0], 1)

    def test_neither_does_a_test_that_was_left_out(self):
        self.assertEqual(self.counted(True, one=report(b=FAILED), one_again=report(b="<skipped/>"))[0], 1)
        self.assertEqual(self.counted(True, one=report(b=FAILED), one_again=report())[0], 1)

    def test_a_runner_that_ended_badly_without_a_word_is_a_failure(self):
        self.assertEqual(self.counted(True, one=report(a=PASSED)), (1, ["all ran", "1 passed, 1 failed"]))


if __name__ == "__main__":
    unittest.main()
