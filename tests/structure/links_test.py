"""Every relative link in the documents leads to a file that exists."""

import pathlib
import re
import unittest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")


class Links(unittest.TestCase):
    def test_links_lead_somewhere(self):
        pages = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")]
        self.assertTrue(pages)
        dead = []
        for page in pages:
            for target in LINK.findall(page.read_text()):
                if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                    dead.append(f"{page.relative_to(CHECKOUT)}: {target}")
        self.assertEqual(dead, [], "links that lead nowhere:\n" + "\n".join(dead))


if __name__ == "__main__":
    unittest.main()
