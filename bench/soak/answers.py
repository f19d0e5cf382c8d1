"""Computed answers of many prompts that share prefixes, and how a fetched one may differ from them."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
import tempfile

PREFIXES, PREFIX_TOKENS, TAIL_TOKENS = 8, (512, 4096), (16, 700)


@dataclasses.dataclass(frozen=True)
class Computed:
    tokens: list[int]
    gaps: list[float]  # nats between each token and the one that would have come second


def gap_where_it_leaves(tokens: list[int], computed: Computed) -> float | None:
    """Nats by which the computed token was ahead of the second where `tokens` first differ; None: they do not. Behind the first
    difference nothing can be compared."""
    return next((gap for token, expected, gap in zip(tokens, computed.tokens, computed.gaps) if token != expected), None)


class Answers:
    def __init__(self, prompts: list[list[int]], computed: list[Computed]):
        self._prompts = prompts
        self._computed = computed

    def __len__(self) -> int:
        return len(self._prompts)

    def prompt(self, number: int) -> list[int]:
        return self._prompts[number]

    def computed(self, number: int) -> Computed:
        return self._computed[number]

    @classmethod
    def computed_by_another_process(cls, model: str, count: int, tokens: int) -> Answers:
        """By an engine without a connector, one prompt at a time; it is gone before this returns."""
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            subprocess.run([sys.executable, __file__, model, str(count), str(tokens), out.name], check=True)
            read = json.load(out)
        return cls([each["prompt"] for each in read], [Computed(each["tokens"], each["gaps"]) for each in read])


def prompts_of(count: int) -> list[list[int]]:
    """A shared prefix, of which some end earlier, and a tail of its own."""
    source = random.Random(3)
    prefixes = [[source.randrange(10, 500) for _ in range(source.randint(*PREFIX_TOKENS))] for _ in range(PREFIXES)]
    made = []
    for _ in range(count):
        prefix = source.choice(prefixes)
        kept = len(prefix) if source.random() < 0.7 else source.randrange(256, len(prefix))
        made.append(prefix[:kept] + [source.randrange(10, 500) for _ in range(source.randint(*TAIL_TOKENS))])
    return made


def main() -> None:
    from vllm import LLM, SamplingParams

    model, count, tokens, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    llm = LLM(model=model, dtype="bfloat16", max_model_len=8192, kv_cache_memory_bytes=1 << 30, gpu_memory_utilization=0.2,
              enable_prefix_caching=False, seed=0)  # fmt: skip
    answers = []
    for prompt in prompts_of(count):
        sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True, logprobs=2)
        output = llm.generate({"prompt_token_ids": prompt}, sampling, use_tqdm=False)[0].outputs[0]
        gaps = []
        for token, likely in zip(output.token_ids, output.logprobs):
            others = [each.logprob for other, each in likely.items() if other != token]
            gaps.append(likely[token].logprob - max(others))
        answers.append({"prompt": prompt, "tokens": list(output.token_ids), "gaps": gaps})
    with open(out, "w") as file:
        json.dump(answers, file)


if __name__ == "__main__":
    main()
