"""The command line of `shadowserve quality`, checked as far as possible before anything starts."""

import argparse
import difflib
import pathlib

CHUNK_TOKENS = 256
CALIBRATED = ("near", "balanced", "far")
PLAIN = ("raw", "int8", "kv4", "cachegen", "generic")
PEERS = ("kivi4", "kivi2", "int8-plain", "fp8", "fp8-scaled", "last-bit", "turned")
"""Those of page_peers.py, which imports torch; and torch must not be imported before it is known on which cores."""
DESCRIPTION = """\
What each codec profile costs, in bytes and in answers, through the real path: a vLLM engine computes the KV cache of a
text's first tokens, it is saved to a data plane of its own, fetched again into the engine's pages, and the engine
predicts what follows in the text. Compared are the predictions with those behind a lossless fetch (raw).

  ratio         16-bit KV over bytes on the wire, everything counted
  KL            divergence of the predicted probabilities from raw's, nats a token; 0: nothing is lost
  top-1         share of positions whose most likely token is the same
  perplexity    of the text's continuation, and over raw's
  equal tokens  of a greedy answer, before the first that differs"""
EPILOG = """\
examples:
  shadowserve quality models/gemma3-270m
  shadowserve quality models/gemma3-270m --calibration gemma3-270m.cal --json quality.json --plot frontier.svg
  shadowserve quality MODEL --text contracts/*.txt --pieces 4       your own traffic
  shadowserve quality MODEL --profiles kv4 --peers kivi4,fp8,last-bit,turned
  shadowserve quality MODEL --text book.txt --long 6000             does the loss grow behind long prefixes?

peers are applied to pages after a lossless fetch, their bytes as they would be kept: kivi4, kivi2 (groups of 32), int8-plain,
fp8 (plain cast), fp8-scaled. Two are controls: last-bit moves every second value by its last bit (an engine in bfloat16
answers any change with about so much), turned gives each key another token's value.
Needs vLLM. The engine runs in this process, on the CPU or the GPU; on a CPU the last core is the data plane's."""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="shadowserve quality", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a model, or a name, that vLLM can load")
    add("--text", nargs="+", metavar="FILE", help="not those of the calibration (default: Python's own manual and source)")
    add("--pieces", type=int, default=1, metavar="N", help="at most N a text, from several places (default: 1)")
    add("--calibration", metavar="FILE", help="of this model: for near, balanced and far")
    add("--profiles", metavar="A,B", help="default: kv4,cachegen,int8, and near,balanced,far with a calibration")
    add("--peers", default="kivi4,fp8", metavar="A,B", help=f"{', '.join(PEERS)} or none (default: kivi4,fp8)")
    add("--prefix-tokens", type=int, default=1024, metavar="N", help="fetched; whole chunks of 256 (default: 1024)")
    add("--suffix-tokens", type=int, default=384, metavar="N", help="predicted (default: 384)")
    add("--continuation-tokens", type=int, default=64, metavar="N", help="of the greedy answer (default: 64)")
    add("--long", type=int, metavar="N", help="instead: a prefix of N tokens, continued behind 1024, 2048 ... of them")
    add("--json", metavar="FILE", help="also write all results here")
    add("--plot", metavar="FILE.svg", help="also draw: KL against the ratio, or with --long against the position")
    add("--socket", metavar="PATH", help="a data plane that runs already (default: one of its own)")
    add("--store", metavar="URL", help="store of its own data plane (default: in memory)")
    add("--plane-command", metavar="PATH", help="the `shadowserve` to run it with (default: the one beside this Python)")
    add("--verbose", action="store_true", help="show what vLLM says")
    chosen = parser.parse_args(argv)
    try:
        _check(chosen)
    except ValueError as error:
        parser.error(str(error))
    return chosen


def _check(chosen: argparse.Namespace) -> None:
    default = ([*CALIBRATED] if chosen.calibration else []) + ["kv4", "cachegen", "int8"]
    chosen.profiles = _names(chosen.profiles, default)
    chosen.peers = [] if chosen.peers == "none" else _names(chosen.peers, [])
    for profile in chosen.profiles:
        _known(profile.partition("+")[0], (*PLAIN, *CALIBRATED), "profile")
        if profile in CALIBRATED and not chosen.calibration:
            raise ValueError(f"profile {profile} needs --calibration FILE; `shadowserve calibrate {chosen.model}` makes one")
    for peer in chosen.peers:
        _known(peer, PEERS, "peer")
    if chosen.prefix_tokens < CHUNK_TOKENS or chosen.prefix_tokens % CHUNK_TOKENS:
        raise ValueError(f"--prefix-tokens is {chosen.prefix_tokens}; whole chunks of {CHUNK_TOKENS} tokens are fetched")
    if chosen.long is not None and chosen.long < CHUNK_TOKENS:
        raise ValueError(f"--long is {chosen.long}; it takes a chunk of {CHUNK_TOKENS} tokens at least")
    if chosen.suffix_tokens < 16 or chosen.continuation_tokens < 1 or chosen.pieces < 1:
        raise ValueError("at least 16 tokens have to be predicted and 1 continued, of 1 piece a text")
    for option in ("json", "plot"):
        path = getattr(chosen, option)
        if path and not pathlib.Path(path).resolve().parent.is_dir():
            raise ValueError(f"there is no folder for --{option} {path}")
    if chosen.calibration and not pathlib.Path(chosen.calibration).is_file():
        raise ValueError(f"there is no calibration {chosen.calibration}")


def _names(given: str | None, default: list[str]) -> list[str]:
    return default if given is None else list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))


def _known(name: str, names: tuple[str, ...], what: str) -> None:
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known are {', '.join(names)}"
        raise ValueError(f"there is no {what} '{name}'; {hint}")
