"""Builds a fast tokenizer from a SentencePiece BPE vocabulary as GGUF files list it: pieces, scores and kinds."""

import enum

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

# What SentencePiece writes for a space inside a piece.
SPACE_MARK = "\u2581"


class PieceKind(enum.IntEnum):
    """The kinds that GGUF's tokenizer.ggml.token_type gives."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def derive_merges(pieces: list[str], scores: list[float], kinds: list[int]) -> list[tuple[str, str]]:
    """Returns every way to make a normal piece of two others, best score first: SentencePiece joins the neighbours
    whose union scores best, and BPE joins those whose merge is listed first."""
    normal = {piece: scores[i] for i, piece in enumerate(pieces) if kinds[i] == PieceKind.NORMAL}
    merges: list[tuple[str, str]] = []
    for piece in sorted(normal, key=normal.__getitem__, reverse=True):
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in normal and right in normal:
                merges.append((left, right))
    return merges


def build_tokenizer(pieces: list[str], scores: list[float], kinds: list[int], begin: int, unknown: int) -> Tokenizer:
    """Returns a tokenizer that puts the piece `begin` first. Piece numbers are places in `pieces`."""
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(pieces)},
            merges=derive_merges(pieces, scores, kinds),
            unk_token=pieces[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", SPACE_MARK)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    # Cut out of the text before anything else, as they stand.
    whole = {PieceKind.CONTROL: True, PieceKind.UNKNOWN: True, PieceKind.USER_DEFINED: False}
    tokenizer.add_tokens(
        [
            AddedToken(piece, special=whole[kind], normalized=False)
            for piece, kind in zip(pieces, map(PieceKind, kinds))
            if kind in whole
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{pieces[begin]} $A",
        pair=f"{pieces[begin]} $A {pieces[begin]} $B",
        special_tokens=[(pieces[begin], begin)],
    )
    return tokenizer
