"""A real vLLM engine with the connector, and how tests ask it things and judge its answers."""

import dataclasses
import os
import pathlib
import random
import time

from device import engine_options
from processes import wait_for
from stopwatch import Stopwatch

# vLLM is imported by whoever starts an engine: collecting the quick tests must not take that long.

ANSWER_TOKENS = 12
LOGPROBS = 5
PROBE_TOKENS = 300  # a chunk and a little: enough for the scheduler to look it up
# A shared machine may stand still for seconds, and what then ends by its deadline is computed: right, and not what most
# tests ask about. Tests of what hangs wait this long.
LIMITS = {"lookup_timeout_ms": 5000, "fetch_timeout_ms": 15000, "save_timeout_ms": 20000}


@dataclasses.dataclass
class Answer:
    """Greedy tokens with the best log probabilities at each position."""

    tokens: list[int]
    logprobs: list[dict[int, float]]

    def agrees_with(self, other: "Answer", tolerance: float) -> bool:
        """The same tokens up to a near tie: where they part, both thought both tokens about equally likely."""
        for mine, yours, my_view, your_view in zip(self.tokens, other.tokens, self.logprobs, other.logprobs):
            lost = float("-inf")
            if abs(my_view[mine] - your_view.get(mine, lost)) > tolerance:
                return False
            if mine != yours:
                return my_view[mine] - my_view.get(yours, lost) <= tolerance
        return True

    def losses(self, retraced: "Answer") -> list[float]:
        """How much less (or more) likely each token became when it was retraced; at least, if it is not named there."""
        return [
            abs(mine[token] - theirs.get(token, min(theirs.values())))
            for token, mine, theirs in zip(self.tokens, self.logprobs, retraced.logprobs, strict=True)
        ]


def summed(totals: list[dict]) -> dict:
    """Adds up the counts of several workers. They are connected when all are."""
    whole = {}
    for name, number in totals[0].items():
        each = [one[name] for one in totals]
        if name == "connected":
            whole[name] = all(each)
        elif isinstance(number, dict):
            whole[name] = {reason: sum(one.get(reason, 0) for one in each) for reason in sorted({r for one in each for r in one})}
        else:
            whole[name] = sum(each)
    return whole


def random_prompt(tokens: int, seed: int) -> list[int]:
    """Of the tiny Llama's vocabulary, without its special tokens."""
    source = random.Random(seed)
    return [source.randrange(4, 8192) for _ in range(tokens)]


class Engine:
    """`changes` are LLM arguments; `settings` go to kv_connector_extra_config."""

    def __init__(self, model: pathlib.Path, socket: str, changes: dict | None = None, **settings):
        from vllm import LLM

        transfer = {
            "kv_connector": "ShadowServeConnector",
            "kv_connector_module_path": "shadowserve.vllm.connector",
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": {"socket": socket, **settings},
        }
        options = dict(
            model=str(model),
            dtype="bfloat16",
            enforce_eager=True,
            max_model_len=12288,
            max_num_batched_tokens=2048,
            max_num_seqs=16,
            seed=0,
            disable_log_stats=False,
            kv_transfer_config=transfer,
            worker_extension_cls="engine_probe.EngineProbe",
        )
        self.llm = LLM(**(options | engine_options() | (changes or {})))
        self.call("probe_install")

    def stop(self) -> None:
        self.llm.llm_engine.engine_core.shutdown()

    def call(self, method: str, *args):
        return self.call_all(method, *args)[0]

    def call_all(self, method: str, *args) -> list:
        """What every rank's worker answers."""
        return self.llm.collective_rpc(method, args=args)

    def ask(self, *prompts: list[int], tokens: int = ANSWER_TOKENS) -> list[Answer]:
        """All prompts at once, greedily."""
        from vllm import SamplingParams

        sampling = SamplingParams(temperature=0, max_tokens=tokens, logprobs=LOGPROBS, ignore_eos=True)
        outputs = self.llm.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts], sampling, use_tqdm=False
        )
        return [
            Answer(
                list(output.outputs[0].token_ids),
                [{token: one.logprob for token, one in position.items()} for position in output.outputs[0].logprobs],
            )
            for output in outputs
        ]

    def retrace(self, prompt: list[int], answer: list[int]) -> Answer:
        """What it would say at each position of an answer when it is told all before."""
        asked = self.ask(*[prompt + answer[:position] for position in range(len(answer))], tokens=1)
        return Answer([one.tokens[0] for one in asked], [one.logprobs[0] for one in asked])

    def timed(self) -> Stopwatch:
        """What its workers take for what is asked meanwhile."""
        return Stopwatch(self.call_all("probe_process"))

    def seconds_to_answer(self, prompt: list[int]) -> tuple[float, Answer]:
        with self.timed() as took:
            (answer,) = self.ask(prompt)
        return took.seconds, answer

    def abort_early(self, prompt: list[int]) -> None:
        """Asks several times and gives up at once, or a few steps later."""
        from vllm import SamplingParams

        core = self.llm.llm_engine
        sampling = SamplingParams(temperature=0, max_tokens=4)
        for steps_before_abort in (0, 1, 2, 5, 20):
            name = core.add_request(f"abort-{steps_before_abort}", {"prompt_token_ids": prompt}, sampling)
            for _ in range(steps_before_abort):
                core.engine_core.abort_requests([])  # gives the engine's process a moment
            core.abort_request([name or f"abort-{steps_before_abort}"], internal=name is not None)

    def totals(self) -> dict:
        """The workers' counts since their start, of all ranks together."""
        return summed(self.call_all("probe_totals"))

    def wait_until_saved(self) -> None:
        def settled() -> bool:
            totals = self.totals()
            return totals["save_asked"] == totals["save_stored"] + sum(totals["save_failed"].values())

        wait_for("all saves ended", settled, timeout_s=60.0)

    def wait_until_connected(self) -> None:
        """Worker and scheduler have a link each; neither knows of the other's."""
        wait_for("the engine's worker is connected to the data plane", lambda: self.totals()["connected"])
        seeds = iter(range(time.monotonic_ns(), 1 << 63))

        def lookups_are_answered() -> bool:
            before = self.metric("chunks_not_found", reason="without_plane")
            self.ask(random_prompt(PROBE_TOKENS, next(seeds)), tokens=2)
            return self.metric("chunks_not_found", reason="without_plane") == before

        wait_for("the engine's scheduler is connected to the data plane", lookups_are_answered, 60.0, every_s=0.3)

    def forget_prefixes(self) -> None:
        """From here on only the store remembers."""
        wait_for("no request holds pages", self._forgets)

    def _forgets(self) -> bool:
        if os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0":
            self.llm.llm_engine.step()  # with the scheduler in this process nobody else notices that pages are gathered
        return self.llm.reset_prefix_cache()

    def compute_and_store(self, *prompts: list[int]) -> list[Answer]:
        """Computes each prompt on its own, waits until it is stored, and forgets it."""
        answers = []
        for prompt in prompts:
            answers += self.ask(prompt)
            self.wait_until_saved()
        self.forget_prefixes()
        return answers

    def metric(self, name: str, **labels: str) -> float:
        """Sum of vllm:shadowserve_<name> over engines, and over the reasons that `labels` do not choose from."""
        return self.vllm_metric(f"shadowserve_{name}", **labels)

    def vllm_metric(self, name: str, **labels: str) -> float:
        return sum(
            metric.value
            for metric in self.llm.get_metrics()
            if metric.name == f"vllm:{name}" and labels.items() <= metric.labels.items()
        )
