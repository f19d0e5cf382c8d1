"""The text models are calibrated on when nobody names another: prose, source code, chat, tables, several languages."""

import importlib.resources


def builtin_texts() -> list[str]:
    """In the order of their names; each is long enough for a piece or two of a thousand tokens."""
    folder = importlib.resources.files("shadowserve.calibration") / "texts"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".txt")), key=lambda file: file.name)
    return [file.read_text(encoding="utf-8") for file in files]
