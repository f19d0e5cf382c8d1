"""Published times of hits are of hits: their bytes crossed the link."""

import json
import pathlib
import sys
import unittest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "bench" / "headline"))

from hits import fetched_too_little  # noqa: E402
from shapes import SHAPES, token_bytes  # noqa: E402

# Runs from before bytes were counted for every cell; all of ShadowServe itself, and of recomputing.
UNCOUNTED = ("llama-8b-scatter-variants.json", "llama-8b-ttft.json")
RESULTS = CHECKOUT / "docs" / "results" / "headline"


def cells():
    for file in sorted(RESULTS.glob("*.json")):
        shape = next((shape for shape in SHAPES if file.name.startswith(shape)), None)
        for name, cell in json.loads(file.read_text()).items() if shape else ():
            if name != "machine" and ("moved" in cell or file.name not in UNCOUNTED):
                yield f"{file.name}: {name}", name, cell, token_bytes(SHAPES[shape])


class Results(unittest.TestCase):
    def test_hits_were_fetched(self):
        found = [where for where, name, cell, bytes_each in cells() if fetched_too_little(name, cell, bytes_each)]
        self.assertEqual(found, [])
        self.assertGreater(sum(not name.startswith("recompute") for _, name, _, _ in cells()), 100, "there are results to look at")

    def test_a_miss_is_found_out(self):
        """As LMCache 0.5.0 answered: four bytes a request, and a time that is no hit's."""
        missed = {"ttft_s": [0.65, 0.70, 0.67], "moved": {"wire_bytes": 12}}
        self.assertTrue(fetched_too_little("lmcache-ttft-20gbit-8192", missed, token_bytes(SHAPES["llama-8b"])))
        self.assertFalse(fetched_too_little("recompute-ttft-8192", missed, token_bytes(SHAPES["llama-8b"])))


if __name__ == "__main__":
    unittest.main()
