"""`shadowserve plan`: it names a profile and says why, and its mistakes say what to write instead."""

import os
import json
import pathlib
import subprocess
import tempfile
import unittest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = os.environ.get("COMMAND_UNDER_TEST", "shadowserve")


def plan(*arguments):
    done = subprocess.run([COMMAND, "plan", *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def chosen(out):
    return next(line.split()[1] for line in out.splitlines() if line.startswith("> "))


class Plan(unittest.TestCase):
    def test_a_slow_link_wants_the_densest_profile(self):
        code, out, err = plan("--link", "10mbit", "--cores", "2", "--shape", "32x8x128", "--prefill", "9000")
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(chosen(out).startswith("balanced"), out)
        self.assertIn("shadowserve calibrate MODEL", out)
        self.assertIn("the link is the limit", out)
        self.assertIn("Computing is faster here", out)

    def test_lossless_is_lossless(self):
        code, out, _ = plan("--link", "1gbit", "--shape", "16x8x64", "--divergence", "0")
        self.assertEqual(code, 0)
        self.assertTrue(chosen(out).startswith("raw"), out)

    def test_sizes_and_divergences_are_the_measured_ones(self):
        means = json.loads((CHECKOUT / "docs/results/quality/gemma3-270m.json").read_text())["means"]
        measured = {mean["profile"]: (mean["ratio"], mean["kl"]) for mean in means}
        _, out, _ = plan("--link", "1gbit", "--shape", "18x1x256", "--divergence", "1")
        rows = [line.removeprefix(">").split() for line in out.splitlines()]
        told = {row[0]: (float(row[1]), float(row[2])) for row in rows if row and row[0] in measured}
        self.assertEqual(set(told), {"raw", "int8", "kv4", "cachegen", "generic", "near", "balanced", "far"})
        for name, (ratio, divergence) in told.items():
            self.assertAlmostEqual(ratio, measured[name][0], delta=0.006, msg=name)
            self.assertAlmostEqual(divergence, measured[name][1], delta=0.0001, msg=name)

    def test_a_model_folder_gives_the_shape(self):
        with tempfile.TemporaryDirectory() as folder:
            config = {"text_config": {"num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1,
                                      "head_dim": 256}}
            pathlib.Path(folder, "config.json").write_text(json.dumps(config))
            code, out, _ = plan("--link", "10gbit", "--model", folder)
            self.assertEqual(code, 0)
            self.assertIn("18 layers of 1 heads of 256: 18.4 KB of KV a token", out)

    def test_mistakes(self):
        for arguments, sentence in (
            (["--link", "20", "--shape", "1x1x64"], "write 20gbit or 500mbit"),
            (["--link", "20gbit"], "--model FOLDER or --shape"),
            (["--link", "20gbit", "--shape", "32x8"], "Llama-3.1-8B is 32x8x128"),
            (["--link", "20gbit", "--model", "/nowhere"], "no config.json"),
            (["--shape", "32x8x128"], "--link is required"),
        ):
            with self.subTest(arguments):
                code, _, err = plan(*arguments)
                self.assertNotEqual(code, 0)
                self.assertIn(sentence, err)


if __name__ == "__main__":
    unittest.main()
