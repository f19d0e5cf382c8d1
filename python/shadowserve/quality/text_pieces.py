"""Which tokens are asked about: pieces of texts, each a prefix that is stored and a suffix that is predicted."""

import argparse as argument_parsing
import dataclasses
import pathlib
from collections.abc import Sequence

UNKNOWN_MOST = 0.2
"""Share of a text's tokens that may be the unknown one."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """`tokens` begins as the tokenizer begins texts, wherever in the text it was cut."""

    text: str
    begin: int
    """Number of its first token in the text."""
    tokens: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.text if self.begin == 0 else f"{self.text} from token {self.begin}"


def cut(text: str, tokens: Sequence[int], length: int, pieces: int, begins_texts: bool) -> list[Piece]:
    """At most `pieces` pieces of `length` tokens, spread evenly and without overlap. `begins_texts`: tokens[0] is what
    the tokenizer puts before any text, so every piece gets it. Raises ValueError for a text that is too short."""
    if len(tokens) < length:
        raise ValueError(
            f"{text} is too short: it has {len(tokens):,} tokens, and a piece takes {length:,} (fewer "
            "--prefix-tokens or --suffix-tokens, or a longer text)"
        )
    count = max(1, min(pieces, len(tokens) // length))
    cut_pieces = []
    for number in range(count):
        begin = number * (len(tokens) - length) // max(1, count - 1)
        part = list(tokens[begin : begin + length])
        if begins_texts:
            part[0] = tokens[0]
        cut_pieces.append(Piece(text, begin, tuple(part)))
    return cut_pieces


def default_texts() -> dict[str, str]:
    """Texts that every Python has and no calibration was made on: a manual's prose, and source code."""
    from pydoc_data import topics

    source = pathlib.Path(argument_parsing.__file__)
    return {
        "Python's reference": "\n\n".join(topics.topics[name] for name in sorted(topics.topics)),
        source.name: source.read_text(encoding="utf-8"),
    }


def read_texts(paths: Sequence[str]) -> dict[str, str]:
    """By name. Raises ValueError or OSError with a sentence."""
    texts = {}
    for path in paths:
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a text in UTF-8") from error
        texts[path if pathlib.Path(path).name in texts else pathlib.Path(path).name] = text
    return texts


def load_tokenizer(model: str):
    """Of a folder or of a name that the Hugging Face libraries know. Raises ValueError with a sentence."""
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ValueError("transformers is missing; it comes with vLLM: run this in vLLM's environment") from error
    if pathlib.Path(model).is_dir() and not (pathlib.Path(model) / "config.json").exists():
        raise ValueError(f"{model} is no folder with a model (config.json, tokenizer, safetensors)")
    try:
        return AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"{model} is no folder with a model, nor a name of one that is here ({first})") from error


def pieces_of(tokenizer, texts: dict[str, str], length: int, pieces: int) -> list[Piece]:
    """Pieces of all texts, in their order. Raises ValueError for a text that is too short."""
    cut_pieces = []
    for name, text in texts.items():
        tokens = tokenizer(text)["input_ids"]
        if tokens.count(tokenizer.unk_token_id) > len(tokens) * UNKNOWN_MOST:
            raise ValueError(f"{name}: most of it is unknown to this model's tokenizer, so there is nothing to predict")
        begins_texts = bool(tokens) and tokens[0] == tokenizer.bos_token_id
        cut_pieces += cut(name, tokens, length, pieces, begins_texts)
    return cut_pieces
