"""Which way parts take between host memory and a GPU's pages."""

import pytest

pytest.importorskip("torch")

from shadowserve.vllm.device_pages import DevicePages  # noqa: E402

pytestmark = pytest.mark.quick


def pages(heads: int, page_tokens: int, apart: bool = False, element_bytes: int = 2, head_dim: int = 128) -> DevicePages:
    """[pages, 2, token, head, dim], or `apart`: [pages, 2, head, token, dim]."""
    head, row = head_dim * element_bytes, heads * head_dim * element_bytes
    return DevicePages(
        device=0, pages=10, plane_stride_bytes=page_tokens * row, page_stride_bytes=2 * page_tokens * row,
        token_stride_bytes=head if apart else row, head_stride_bytes=page_tokens * head if apart else head,
        row_bytes=row, page_tokens=page_tokens,
    )  # fmt: skip


@pytest.mark.parametrize(
    "described, piece_bytes, directly",
    [
        (pages(heads=8, page_tokens=16), 32 << 10, True),  # Llama 3.1 8B
        (pages(heads=4, page_tokens=16), 16 << 10, False),  # Qwen 2.5 7B
        (pages(heads=4, page_tokens=32), 32 << 10, True),
        (pages(heads=8, page_tokens=16, element_bytes=1), 16 << 10, False),
        (pages(heads=1, page_tokens=64), 16 << 10, False),
        (pages(heads=8, page_tokens=16, apart=True), None, False),
    ],
)
def test_large_pieces_are_copied_directly(described, piece_bytes, directly):
    assert described.piece_bytes == piece_bytes
    assert described.copied_directly(None, plane_elsewhere=False) == directly


def test_a_plane_elsewhere_sees_no_gpu():
    assert pages(heads=4, page_tokens=16).copied_directly(None, plane_elsewhere=True)
    assert not pages(heads=8, page_tokens=16, apart=True).copied_directly(None, plane_elsewhere=True), "then it is refused at start"


@pytest.mark.parametrize("asked", [True, False])
def test_whoever_asks_gets_it(asked):
    for heads in (4, 8):
        assert pages(heads, page_tokens=16).copied_directly(asked, plane_elsewhere=False) == asked
