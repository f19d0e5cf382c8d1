"""`shadowserve sim nic`: mistakes are named, and a validation says what it measured, ran and left out."""

import json
import unittest

from command_process import run


def nic(*arguments):
    return run("sim", "nic", *arguments, timeout_s=100)


class SimNic(unittest.TestCase):
    def test_mistakes_are_named(self):
        for arguments, sentence in [
            (("--validate", "--settings", "kv5-memory-1core"), "kv5-memory-1core not in {kv4-memory-1core,"),
            # One right name does not hide a wrong one.
            (("--validate", "--settings", "kv4-memory-1core,kv5-memory-1core"), "kv5-memory-1core not in"),
            (("--settings", "kv4-memory-1core"), "--settings requires --validate"),
            (("--seconds", 1), "--seconds requires --validate"),
            (("--repetitions", 3), "--repetitions requires --validate"),
            (("--parts", 10), "--parts"),
            (("--gpu", "abacus"), "abacus"),
        ]:
            with self.subTest(arguments):
                code, out, err = nic(*arguments)
                self.assertNotEqual(code, 0)
                self.assertEqual(out, "")
                self.assertIn(sentence, err)

    def test_a_validation_takes_no_option_of_the_study(self):
        for option, value in [("--gpu", "h100"), ("--model", "mistral-7b"), ("--prefix-tokens", 4000),
                              ("--fresh-tokens", 1), ("--load", 0.5), ("--interference", 2), ("--gpu-gbit", 20),
                              ("--requests", 100), ("--seed", 2), ("--seeds", 3), ("--parts", 500),
                              ("--plot", "never-written.svg")]:
            with self.subTest(option):
                code, out, err = nic("--validate", "--settings", "kv4-memory-1core", option, value)
                self.assertNotEqual(code, 0)
                self.assertEqual(out, "")
                self.assertIn(option, err)
                self.assertIn("excludes", err)

    def test_a_validation_counts_every_round(self):
        code, out, err = nic("--validate", "--settings", "kv4-memory-1core", "--repetitions", 2, "--seconds", 0.05,
                             "--json", "-")
        self.assertEqual(code, 0, err)
        made = json.loads(out)
        self.assertEqual([point["setting"] for point in made["points"]], ["kv4-memory-1core"])
        (point,) = made["points"]
        # On a busy machine rounds are disturbed, and then nothing is claimed.
        self.assertEqual(len(point["rounds"]) + point["disturbed_rounds"], 2)
        if not point["rounds"]:
            self.assertFalse(point["within_10_percent"])
        for one in point["rounds"]:
            self.assertGreater(one["simulated_gb_s"], 0)
            self.assertGreater(one["measured_gb_s"], 0)
            self.assertGreater(one["by_hand_gb_s"], 0)
        for neighbour in ("client", "spinning"):
            self.assertIn(f"lane_beside_{neighbour}_over_idle", made)


if __name__ == "__main__":
    unittest.main()
