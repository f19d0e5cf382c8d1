"""The demo's documents: which texts, cut to which length, and what is asked about them."""

import dataclasses
import pathlib

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

TOKENS_MIN = 1_500
TOKENS_MAX = 8_000
TOKENS_MIN_OWN = 600
"""A user's file may be shorter, but below two chunks of 256 tokens there is nothing to see."""
DEFAULT_COUNT = 3

GENERIC = ("What is the text above about? Answer in one long sentence.", "Which three points does the text make?")
# The repository's own texts in the order in which they are tried, with questions that suit a small model.
OWN_TEXTS = {
    "ARCHITECTURE.md": ("What does the data plane do, step by step?", "What happens to a chunk that fails?"),
    "LICENSE": ("What does this license allow, and under which conditions?", "Who gives no warranty, and for what?"),
    "docs/formats/record-v1.md": ("What is a record made of?", "How is damage to a record noticed?"),
    "docs/running.md": ("How is the data plane started and stopped?", "What does the setting `cores` do?"),
    "docs/backends.md": ("Which stores can be used, and what for?", "What happens when a store is away?"),
    "docs/formats/link-v1.md": ("How does an engine attach to the data plane?", "What are the rules of a ring?"),
    "CONTRIBUTING.md": ("How are the tests run, and which are there?", "What are the habits of this house?"),
}


@dataclasses.dataclass
class Document:
    name: str
    text: str
    tokens: int
    questions: tuple[str, ...]

    def prompt(self, question: str) -> str:
        """The document first: every question about it then shares the same prefix."""
        return f"{self.text}\n\nQuestion: {question}\nAnswer:"


class Tokenizer:
    """Of the model's folder; the small library when it can read it, else the large one."""

    def __init__(self, model: pathlib.Path):
        if (model / "tokenizer.json").is_file():
            import tokenizers

            self._tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
            self._encode = lambda text: self._tokenizer.encode(text, add_special_tokens=False).ids
        else:
            import transformers

            self._tokenizer = transformers.AutoTokenizer.from_pretrained(model)
            self._encode = lambda text: self._tokenizer.encode(text, add_special_tokens=False)

    def count(self, text: str) -> int:
        return len(self._encode(text))

    def cut(self, text: str, tokens_max: int) -> str:
        """The longest beginning, to a whole line where possible, with at most so many tokens."""
        low, high = 0, len(text)
        if self.count(text) <= tokens_max:
            return text
        while high - low > 64:
            middle = (low + high) // 2
            low, high = (middle, high) if self.count(text[:middle]) <= tokens_max else (low, middle)
        return text[: text.rfind("\n", 0, low) + 1 or low]


def choose_documents(paths: list[str], tokenizer: Tokenizer) -> list[Document]:
    """The user's files, or the repository's own longer texts. Exits with a sentence when one cannot be used."""
    if not paths:
        return _own_documents(tokenizer)
    documents = []
    for path in paths:
        try:
            text = pathlib.Path(path).read_text(errors="replace")
        except OSError as error:
            raise SystemExit(f"demo: cannot read {path}: {error.strerror}") from error
        if "\0" in text:
            raise SystemExit(f"demo: {path} is not a text")
        document = _document(pathlib.Path(path).name, text, GENERIC, tokenizer)
        if document.tokens < TOKENS_MIN_OWN:
            raise SystemExit(f"demo: {path} has {document.tokens} tokens; at least {TOKENS_MIN_OWN} are worth fetching")
        documents.append(document)
    return documents


def _own_documents(tokenizer: Tokenizer) -> list[Document]:
    documents = []
    for name, questions in OWN_TEXTS.items():
        path = CHECKOUT / name
        if path.is_file() and len(documents) < DEFAULT_COUNT:
            document = _document(name, path.read_text(), questions, tokenizer)
            if document.tokens >= TOKENS_MIN:
                documents.append(document)
    if not documents:
        raise SystemExit("demo: this checkout has no text of its own that is long enough; name some FILES")
    return documents


def _document(name: str, text: str, questions: tuple[str, ...], tokenizer: Tokenizer) -> Document:
    text = tokenizer.cut(text, TOKENS_MAX).rstrip()
    return Document(name, text, tokenizer.count(text), questions)
