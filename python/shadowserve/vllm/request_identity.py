"""Chunk keys of a vLLM request: its tokens, and whatever else decides their KV."""

import struct
from typing import TYPE_CHECKING

from shadowserve.vllm.work import KEY_BYTES

if TYPE_CHECKING:
    from vllm.v1.request import Request

    from shadowserve._native import Lookup


def chain_request(
    lookup: "Lookup", request: "Request", parent: bytes, chunk_tokens: int, first: int, last: int
) -> bytes:
    """Keys of chunks [first, last) of the request; `parent` is the key before, empty at the prompt's start."""
    if first >= last:
        return b""
    tokens = request.all_token_ids[first * chunk_tokens : last * chunk_tokens]
    extra = _adapter_and_salt(request)
    if not request.mm_features:
        return lookup.chain(parent or None, tokens, extra)
    keys = b""
    for index in range(first, last):
        begin = index * chunk_tokens
        media = _media(request, begin, begin + chunk_tokens)
        chunk = tokens[begin - first * chunk_tokens : begin - first * chunk_tokens + chunk_tokens]
        keys += lookup.chain(keys[-KEY_BYTES:] or parent or None, chunk, extra + media)
    return keys


def _adapter_and_salt(request: "Request") -> bytes:
    """Empty for plain text. An adapter is taken by its name and path: equal ones have to mean equal weights."""
    parts = []
    if request.cache_salt:
        parts.append(_framed(b"salt", request.cache_salt))
    if request.lora_request is not None:
        parts.append(_framed(b"lora", request.lora_request.lora_name, request.lora_request.lora_path))
    return b"".join(parts)


def _media(request: "Request", begin: int, end: int) -> bytes:
    """Binds images and the like whose placeholder tokens lie in [begin, end): the tokens alone say nothing of them."""
    parts = []
    for feature in request.mm_features:
        position = feature.mm_position
        if position.offset < end and position.offset + position.length > begin:
            parts.append(_framed(b"media", feature.identifier, str(position.offset - begin)))
    return b"".join(parts)


def _framed(kind: bytes, *texts: str) -> bytes:
    """Length before content, so that no two different lists give the same bytes."""
    encoded = [kind, *(text.encode() for text in texts)]
    return b"".join(struct.pack("<I", len(field)) + field for field in encoded)
