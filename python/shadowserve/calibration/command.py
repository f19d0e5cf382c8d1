"""How the commands of this package end: with a table or a sentence, never with a traceback for what a person can mend."""

import sys
from collections.abc import Callable


def run(name: str, work: Callable[[], str], interrupted: str) -> int:
    """Prints what `work` returns, or the sentence of its ValueError or OSError; returns the process's exit code."""
    try:
        print(work())
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"\n{name}: {error}", file=sys.stderr)
        return 1
    return 0
