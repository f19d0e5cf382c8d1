"""The command as a person uses it: on a tiny model's folder, with mistakes, and interrupted."""

import pytest
import torch
from tiny_models import VOCABULARY, tiny_llama

from shadowserve.calibration import __main__ as command
from shadowserve.calibration import sensitivity
from shadowserve.calibration.calibration_file import load_calibration

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama that reads words of one letter."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_llama().to(torch.bfloat16).save_pretrained(folder)
    words = {chr(32 + number): number for number in range(VOCABULARY - 1)} | {"?": VOCABULARY - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    return folder


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("it was a bright cold day, and the clocks were being repaired; nobody knew what time it was. " * 9)
    return path


def test_a_model_gets_its_calibration(folder, text, tmp_path, capsys):
    out = tmp_path / "tiny.cal"
    assert command.main([str(folder), "--text", str(text), "--out", str(out), "--prefix-tokens", "300"]) == 0
    said = capsys.readouterr()
    assert "tiny.cal" in said.out and "hash" in said.out
    assert "1 of" in said.err
    calibration = load_calibration(str(out))
    assert (calibration.layers, calibration.channels) == (2, 32)
    assert [path.name for path in tmp_path.iterdir() if "cal" in path.name] == ["tiny.cal"]


def test_the_same_text_gives_the_same_file(folder, text, tmp_path):
    for name in ("a", "b"):
        command.main([str(folder), "--text", str(text), "--out", str(tmp_path / name), "--prefix-tokens", "256"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"model": "/no/model"}, "/no/model is no folder with a model"),
        ({"--text": "/no/text"}, "/no/text"),
        ({"--out": "/no/folder/x.cal"}, "there is no folder /no/folder"),
        ({"--prefix-tokens": "2000"}, "text is too short"),
    ],
)
def test_mistakes_are_named(folder, text, tmp_path, capsys, change, sentence):
    if "--prefix-tokens" in change:
        text.write_text("short")
    options = {"--text": str(text), "--out": str(tmp_path / "x.cal"), **change}
    model = options.pop("model", str(folder))
    assert command.main([model, *(word for pair in options.items() for word in pair)]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "x.cal").exists()


def test_interrupted_writes_nothing(folder, text, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sensitivity, "measure", interrupted)
    assert command.main([str(folder), "--text", str(text), "--out", str(tmp_path / "x.cal")]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "examples:" in said and "gradient" in said and "--text" in said
