"""A calibration survives its file; files that are damaged, cut, foreign or contradictory are refused by name."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from shadowserve.calibration.calibration_file import (
    HEADER,
    CalibrationFileError,
    calibration_hash,
    load_calibration,
    read_calibration,
    write_calibration,
)

pytestmark = pytest.mark.quick


def resealed(data: bytes) -> bytes:
    """As an adversary or a broken writer would: the hash fits."""
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


def test_round_trip(calibration):
    data = write_calibration(calibration)
    again = read_calibration(data, "x")
    for field in dataclasses.fields(calibration):
        before, after = getattr(calibration, field.name), getattr(again, field.name)
        if isinstance(before, np.ndarray):
            assert np.array_equal(before, after) and before.dtype == after.dtype, field.name
        elif isinstance(before, torch.Tensor):
            assert torch.equal(before, after) and before.dtype == after.dtype, field.name
        elif field.name == "points":
            assert [p.name for p in before] == [p.name for p in after]
            assert [p.scalar for p in after] == pytest.approx([p.scalar for p in before], rel=1e-7)
        else:
            assert before == after, field.name
    assert write_calibration(again) == data
    assert calibration_hash(data) == hashlib.sha256(data[:-32]).digest()


def test_every_flipped_byte_is_noticed(calibration):
    data = write_calibration(calibration)
    for at in range(len(data)):
        with pytest.raises(CalibrationFileError, match="^mine.cal: "):
            read_calibration(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :], "mine.cal")


def test_every_cut_is_noticed(calibration):
    data = write_calibration(calibration)
    for length in range(len(data)):
        with pytest.raises(CalibrationFileError, match="^mine.cal: "):
            read_calibration(data[:length], "mine.cal")
    with pytest.raises(CalibrationFileError, match="says it has"):
        read_calibration(data + b"\0", "mine.cal")


def test_foreign_files_are_named(tmp_path):
    for content in (b"", b"SSKVREC\n" + bytes(500), b"{}" * 400):
        path = tmp_path / "foreign"
        path.write_bytes(content)
        with pytest.raises(CalibrationFileError, match="foreign: is no calibration file"):
            load_calibration(str(path))


def test_another_version_is_named(calibration):
    data = bytearray(write_calibration(calibration))
    data[8] = 2
    with pytest.raises(CalibrationFileError, match="version 2; this build reads version 1"):
        read_calibration(resealed(bytes(data)), "x")


def test_a_fitting_hash_does_not_help_nonsense(calibration):
    """Random bytes with the right hash: read or refused, never another exception."""
    data = write_calibration(calibration)
    random = np.random.default_rng(9)
    refused = 0
    for _ in range(2000):
        at = int(random.integers(10, len(data) - 32))
        changed = resealed(data[:at] + bytes([int(random.integers(256))]) + data[at + 1 :])
        try:
            read_calibration(changed, "x")
        except CalibrationFileError:
            refused += 1
    assert 100 < refused < 2000


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (lambda c: c.base_steps.zero_(), "steps of zero"),
        (lambda c: c.base_steps.neg_(), "below zero"),
        (lambda c: c.means.fill_(float("nan")), "mean that is no number"),
        (lambda c: c.classes.fill(16), "class of 16"),
        (lambda c: c.classes.fill(5), "class has no table"),
        (lambda c: c.class_tables.fill(9), "table that is not there"),
        (lambda c: setattr(c, "tables", [dataclasses.replace(c.tables[0], frequencies=(64, 63))] * 2), "sum up to 127"),
        (lambda c: setattr(c, "points", [c.points[0]] * 2), "one name"),
        (lambda c: setattr(c, "points", [dataclasses.replace(c.points[0], scalar=0.0)] * 2), "no finite scalar"),
        (lambda c: setattr(c, "element", 3), "element 3"),
    ],
)
def test_writers_refuse_what_readers_would(calibration, spoil, sentence):
    spoil(calibration)
    with pytest.raises(CalibrationFileError, match=sentence):
        write_calibration(calibration)


def test_the_header_is_as_documented():
    assert HEADER.size == 68
