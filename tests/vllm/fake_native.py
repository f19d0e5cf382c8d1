"""A store in a dictionary behind the interface of shadowserve._native, to test the connector's logic alone."""

import hashlib

KEY_BYTES = 32


class FakeLookup:
    """Answers at the `patience`-th poll. `stored` is the set of keys in the store."""

    def __init__(self, stored: set[bytes], chunk_tokens: int, patience: int = 2):
        self.stored = stored
        self.known: set[bytes] = set()  # claimed, or seen in the store
        self.ended: list[tuple[str | None, bytes]] = []
        self._chunk_tokens = chunk_tokens
        self._patience = patience
        self.asked: dict[int, tuple[bytes, int]] = {}

    def chain(self, parent: bytes | None, tokens, extra: bytes = b"") -> bytes:
        keys = b""
        last = parent or b"root"
        for first in range(0, len(tokens) - self._chunk_tokens + 1, self._chunk_tokens):
            content = ",".join(map(str, tokens[first : first + self._chunk_tokens])).encode()
            last = hashlib.sha256(last + content + b"|" + extra).digest()
            keys += last
        return keys

    def start(self, number: int, keys: bytes) -> None:
        assert number not in self.asked
        self.asked[number] = (keys, 0)

    def poll(self, number: int) -> int | None:
        keys, polls = self.asked[number]
        self.asked[number] = (keys, polls + 1)
        if polls + 1 < self._patience:
            return None
        hits = 0
        while hits * KEY_BYTES < len(keys) and keys[hits * KEY_BYTES : (hits + 1) * KEY_BYTES] in self.stored:
            hits += 1
        if polls + 1 == self._patience:
            self._learn(keys)  # once: what was found damaged since stays forgotten
        return hits

    def forget(self, number: int) -> None:
        if number in self.asked:
            del self.asked[number]

    def _learn(self, keys: bytes) -> None:
        self.known |= self.stored & {keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)}

    def fetch_ended(self, error: str | None, key: bytes) -> None:
        self.ended.append((error, key))
        if error is not None:
            self.known.discard(key)

    def claim_save(self, key: bytes) -> bool:
        if key in self.known:
            return False
        self.known.add(key)
        return True


class FakeTransfer:
    """Records what it is asked; a test says how jobs end by filling `events`."""

    def __init__(self):
        self.fetched: dict[int, tuple] = {}
        self.saved: dict[int, tuple] = {}
        self.cancelled: list[int] = []
        self.events: list[tuple] = []

    def fetch(self, job, keys, first_chunk, first_token, page_ids) -> None:
        self.fetched[job] = (keys, first_chunk, first_token, page_ids)

    def save(self, job, keys, first_chunk, page_ids) -> None:
        self.saved[job] = (keys, first_chunk, page_ids)

    def cancel(self, job) -> None:
        self.cancelled.append(job)

    def poll(self) -> list[tuple]:
        events, self.events = self.events, []
        return events
