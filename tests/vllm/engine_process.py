"""One engine in a process of its own: `python engine_process.py JSON` answers prompts and prints JSON on its last line."""

import json
import sys


def main() -> None:
    import conftest  # noqa: F401  (sets the environment before vLLM is imported)
    from engine import Engine

    work = json.loads(sys.argv[1])
    engine = Engine(work["model"], work["socket"], work.get("changes"), **work.get("settings", {}))
    engine.wait_until_connected()
    answers = []
    for prompts in work["asks"]:
        answers.append([[answer.tokens, answer.logprobs] for answer in engine.ask(*prompts, tokens=work["tokens"])])
        engine.wait_until_saved()
    report = {
        "answers": answers,
        "totals": engine.totals(),
        "hash": hash("the same in no two processes"),
        "relative_error": engine.call("probe_report")["relative_error"],
        "preemptions": sum(
            metric.value for metric in engine.llm.get_metrics() if metric.name == "vllm:num_preemptions"
        ),
    }
    engine.stop()
    print("\n" + json.dumps(report))


if __name__ == "__main__":
    main()
