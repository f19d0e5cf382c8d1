"""Pieces of texts: where they are cut, how they begin, and what is too short."""

import pytest

from shadowserve.quality.text_pieces import cut, default_texts, load_tokenizer, pieces_of, read_texts

pytestmark = pytest.mark.quick


def test_pieces_come_from_the_whole_text_and_do_not_overlap():
    pieces = cut("text", list(range(1000)), length=100, pieces=4, begins_texts=False)
    assert [piece.begin for piece in pieces] == [0, 300, 600, 900]
    assert all(piece.tokens == tuple(range(piece.begin, piece.begin + 100)) for piece in pieces)


def test_a_text_gives_no_more_pieces_than_it_has():
    assert len(cut("text", list(range(250)), length=100, pieces=9, begins_texts=False)) == 2


def test_every_piece_begins_as_texts_begin():
    pieces = cut("text", [7, *range(100, 400)], length=100, pieces=3, begins_texts=True)
    assert [piece.tokens[0] for piece in pieces] == [7, 7, 7]
    assert cut("text", [7, *range(100, 400)], length=100, pieces=3, begins_texts=False)[1].tokens[0] != 7


def test_pieces_of_one_text_have_names_of_their_own():
    names = [piece.name for piece in cut("text", list(range(1000)), length=100, pieces=3, begins_texts=False)]
    assert len(set(names)) == 3 and names[0] == "text"


def test_a_text_that_is_too_short_is_named():
    with pytest.raises(ValueError, match="short.txt is too short: it has 99 tokens"):
        cut("short.txt", list(range(99)), length=100, pieces=1, begins_texts=False)


def test_texts_that_cannot_be_read_are_named(tmp_path):
    binary = tmp_path / "binary.bin"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="binary.bin is not a text"):
        read_texts([str(binary)])
    with pytest.raises(OSError, match="missing.txt"):
        read_texts([str(tmp_path / "missing.txt")])


def test_default_texts_are_long():
    assert all(len(text) > 20_000 for text in default_texts().values())


class OneLetterTokenizer:
    """Knows capital letters; 0 is the unknown token."""

    unk_token_id, bos_token_id = 0, None

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [max(0, ord(letter) - 64) if letter.isupper() else 0 for letter in text]}


def test_a_text_in_another_language_than_the_model_s_is_refused():
    known = {"text": "ABCDEFGHIJ" * 30}
    assert len(pieces_of(OneLetterTokenizer(), known, 100, 2)) == 2
    with pytest.raises(ValueError, match="text: most of it is unknown"):
        pieces_of(OneLetterTokenizer(), {"text": known["text"].lower()}, 100, 2)


def test_a_folder_without_a_model_is_named(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="no folder with a model"):
        load_tokenizer(str(tmp_path))
