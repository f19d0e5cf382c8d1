"""What a result has to have fetched before it may be called one of hits."""

SMALLEST_SHARE = 1 / 64  # of the values' bytes: nobody's records are smaller than that


def fetched_too_little(name: str, measured: dict, token_bytes: int) -> bool:
    """`name` of a cell begins with its system and has the prompts' length in it; all prompts that came beside or instead of others
    are stored. A system that fetched next to nothing computed them, whatever it is called."""
    if name.startswith("recompute-"):
        return False
    prompts = len(measured.get("others_ttft_s", measured.get("ttft_s", [])))
    if prompts == 0:
        return False
    tokens = next(int(part) for part in name.split("-") if part.isdigit() and int(part) >= 1024)
    return measured["moved"]["wire_bytes"] < prompts * tokens * token_bytes * SMALLEST_SHARE
