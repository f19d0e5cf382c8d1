"""The demo: asks an engine about documents, replaces it by a fresh one, asks again, and shows what fetching saved. See ./demo --help."""

import argparse
import json
import pathlib
import secrets
import shutil
import signal
import sys
import tempfile
import time

import demo_report
from demo_documents import CHECKOUT, Document, Tokenizer, choose_documents
from demo_processes import Child, Cores, Engine, Plane, StartFailed
from demo_questions import ANSWER_TOKENS, Answer, ask, equal_tokens, settled_counters
from demo_report import Row, Span
from demo_smartnic import SmartNicPlane

GEMMA = CHECKOUT / ".models/gemma3-270m"
GEMMA_LICENCE = "Gemma, under the Gemma Terms of Use (https://ai.google.dev/gemma/terms)"
LOG_LINES_SHOWN = 25
WARM_UP = "The quick brown fox number {number} jumps over the lazy dog in {engine} for time {time}. "


class Narrator:
    """Tells what happens, and remembers when."""

    def __init__(self):
        self.begin = time.monotonic()
        self.spans: list[Span] = []
        self._terminal = sys.stdout.isatty()
        self._line_open = False

    def say(self, text: str) -> None:
        self._end_progress()
        print(f"[{time.monotonic() - self.begin:5.0f} s] {text}", flush=True)

    def piece(self, text: str) -> None:
        self._end_progress()
        print(text.replace("\n", " "), end="", flush=True)

    def progress(self, text: str) -> None:
        """A line that replaces itself; off a terminal nothing."""
        if self._terminal:
            print(f"\r\x1b[2K          {text[:100]}", end="", flush=True)
            self._line_open = True

    def _end_progress(self) -> None:
        if self._line_open:
            print("\r\x1b[2K", end="", flush=True)
            self._line_open = False

    def span(self, label: str, kind: str, start_s: float) -> None:
        self.spans.append(Span(label, kind, start_s, time.monotonic()))


class Demo:
    def __init__(self, chosen: argparse.Namespace, folder: pathlib.Path):
        self.folder = folder
        self.model = chosen.model.resolve()
        self.profile = chosen.profile
        self.smartnic = chosen.smartnic
        self.store = chosen.store or f"rocksdb:{folder}/store?limit=4GB"
        self.narrator = Narrator()
        self.cores = Cores()
        self.children: list[Child] = []
        # A salt of this run: records of earlier runs in a lasting store are not found, so the first engine computes.
        self.salt = secrets.token_hex(16)
        tokenizer = Tokenizer(self.model)
        self.documents = choose_documents(chosen.files, tokenizer)
        longest = max(document.tokens for document in self.documents)
        self.tokens_max = longest + ANSWER_TOKENS + 128
        self.narrator.say(
            f"{len(self.documents)} documents: "
            + ", ".join(f"{document.name} ({document.tokens:,} tokens)" for document in self.documents)
        )
        self.narrator.say(f"{len(self.cores.all)} cores: {self.cores.describe()}")

    def run(self) -> list[Row]:
        began = time.monotonic()
        plane = SmartNicPlane(self.folder, self.cores) if self.smartnic else Plane(self.store, self.folder, self.cores)
        self.children.append(plane)
        plane.wait_until_ready()
        where = plane.describe() if self.smartnic else f"records go to {_without_password(self.store)}"
        self.narrator.say(f"the data plane runs; {where}")
        self.narrator.span("data plane starts", "other", began)
        # An engine's start is a minute of Python imports on one core: both start at once, the second then stands still.
        first, second = engines = [self._start_engine(number, plane) for number in (1, 2)]
        self.narrator.say("two vLLM engines start side by side; this takes a minute or two")
        for engine in engines:
            self._wait_for(engine)
        self.narrator.span("both engines start", "other", began)
        second.pause()
        self.narrator.say("engine 2 is put on hold; engine 1 is asked, and computes everything")
        computed, _ = self._ask_engine(first, "computed")
        saved = plane.wait_until_saved()
        self.narrator.say(
            f"saved behind the answers: {saved['ended'].get('done', 0)} records, "
            f"{demo_report.megabytes(saved['wire_bytes'])} on the wire for "
            f"{demo_report.megabytes(saved['value_bytes'])} of KV cache"
        )
        self._stop(first)
        second.resume()
        self._warm_up(second, 2)
        self.narrator.say("engine 2 takes its place; it has never seen the documents")
        fetched, costs = self._ask_engine(second, "fetched")
        self._stop(second)
        self.proven = self._prove(plane) if self.smartnic else True
        self.computed, self.fetched = computed, fetched
        return [
            _row(document, computed[document.name], fetched[document.name], cost)
            for document, cost in zip(self.documents, costs)
        ]

    def _prove(self, plane: SmartNicPlane) -> bool:
        text, proven = plane.proof()
        self.narrator.say(text)
        return proven

    def _start_engine(self, number: int, plane: Plane) -> Engine:
        engine = Engine(number, self.model, self.tokens_max, self.profile, plane, self.salt, self.folder, self.cores)
        self.children.append(engine)
        return engine

    def _wait_for(self, engine: Engine) -> None:
        engine.wait_until_ready(lambda s, line: self.narrator.progress(f"{engine.name}, {s:.0f} s: {line}"))
        self._warm_up(engine, 1)
        self.narrator.say(f"{engine.name} is ready")

    def _warm_up(self, engine: Engine, time: int) -> None:
        """The first request of a process that is new, or that stood still, pays for what it does once."""
        text = "".join(WARM_UP.format(number=i, engine=engine.name, time=time) for i in range(20))
        ask(engine.port, text, "", lambda piece: None, answer_tokens=8)

    def _ask_engine(self, engine: Engine, kind: str) -> tuple[dict[str, list[Answer]], list[dict]]:
        answers, costs = {}, []
        for document in self.documents:
            before = settled_counters(engine.port)
            answers[document.name] = [self._ask(engine, document, question, kind) for question in document.questions]
            after = settled_counters(engine.port)
            costs.append({name: after[name] - before.get(name, 0) for name in after})
        return answers, costs

    def _ask(self, engine: Engine, document: Document, question: str, kind: str) -> Answer:
        self.narrator.say(f"{document.name}: {question}")
        self.narrator.piece("          ")
        answer = ask(engine.port, document.prompt(question), question, self.narrator.piece)
        print(flush=True)
        first = question == document.questions[0]
        how = f"{kind} {document.tokens:,} tokens" if first else "document still in the engine's own cache"
        print(f"          first token after {answer.ttft_s:.2f} s ({how})", flush=True)
        self.narrator.span(f"{document.name}, question {document.questions.index(question) + 1}",
                           kind if first else "other", answer.started_s)  # fmt: skip
        return answer

    def _stop(self, child: Child) -> None:
        began = time.monotonic()
        child.stop()
        self.children.remove(child)  # not before: an interrupted stop is repeated at the end
        self.narrator.say(f"{child.name} is stopped")
        self.narrator.span(f"{child.name} stops", "other", began)

    def stop_all(self) -> None:
        while self.children:
            self.children.pop().stop()

    def write_report(self, path: pathlib.Path, rows: list[Row]) -> None:
        answers = [
            (document.name, one.question, one.text, other.text)
            for document in self.documents
            for one, other in zip(self.computed[document.name], self.fetched[document.name])
        ]
        facts = {
            "model": f"{self.model.name}" + (f"; {GEMMA_LICENCE}" if self.model == GEMMA.resolve() else ""),
            "profile": "auto: generic without a calibration of this model" if self.profile == "auto" else self.profile,
            "store": "Redis behind an emulated SmartNIC" if self.smartnic else _without_password(self.store),
            "cores": self.cores.describe(),
        }
        path.write_text(demo_report.page(rows, self.narrator.spans, answers, facts))


def _row(document: Document, computed: list[Answer], fetched: list[Answer], cost: dict) -> Row:
    return Row(
        document.name, document.tokens, computed[0].ttft_s, fetched[0].ttft_s,
        cost.get("fetch_value_bytes", 0), cost.get("fetch_wire_bytes", 0),
        sum(equal_tokens(one, other) for one, other in zip(computed, fetched)),
        sum(len(one.tokens) for one in computed),
        int(cost.get("chunks_placed", 0)), int(cost.get("chunks_failed", 0)),
    )  # fmt: skip


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else url


def _show_logs(folder: pathlib.Path, log: pathlib.Path | None) -> None:
    if log is not None and log.is_file():
        print(f"the end of {log}:", file=sys.stderr)
        print("\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]), file=sys.stderr)
    print(f"all logs: {folder}", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(prog="./demo", description=__doc__)
    arguments.add_argument("files", nargs="*", metavar="FILES")
    arguments.add_argument("--model", type=pathlib.Path, default=GEMMA, metavar="PATH")
    arguments.add_argument("--store", metavar="URL")
    arguments.add_argument("--profile", default="auto", metavar="NAME")
    arguments.add_argument("--report", type=pathlib.Path, default=CHECKOUT / "report.html", metavar="FILE")
    arguments.add_argument("--smartnic", action="store_true")
    arguments.add_argument("--keep", action="store_true")
    chosen = arguments.parse_args()
    if chosen.smartnic and chosen.store:
        arguments.error("--smartnic brings a store of its own: leave --store out")
    if not (chosen.model / "config.json").is_file():
        arguments.error(f"{chosen.model} is not a model's folder (it has no config.json)")
    return chosen


def _terminate(number, frame):
    raise KeyboardInterrupt


def main() -> int:
    chosen = _arguments()
    signal.signal(signal.SIGTERM, _terminate)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="shadowserve-demo-"))
    demo, keep = None, chosen.keep
    try:
        demo = Demo(chosen, folder)
        rows = demo.run()
        demo.write_report(chosen.report, rows)
        (folder / "rows.json").write_text(json.dumps([vars(row) for row in rows]))
        print(f"\n{demo_report.table(rows)}\n\nplots: {chosen.report}")
        return _verdict(rows, demo.proven)
    except KeyboardInterrupt:
        print("\ndemo: stopping everything", file=sys.stderr)
        return 130
    except StartFailed as failure:
        keep = True
        print(f"\ndemo: {failure}", file=sys.stderr)
        _show_logs(folder, failure.log)
        return 1
    except Exception as error:  # whatever it is, the logs tell more
        keep = True
        print(f"\ndemo: {type(error).__name__}: {error}", file=sys.stderr)
        _show_logs(folder, demo.children[-1].log if demo and demo.children else None)
        return 1
    finally:
        # A second Ctrl-C must not leave anything behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if demo is not None:
            demo.stop_all()
        if keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _verdict(rows: list[Row], proven: bool) -> int:
    """A demo that fetched nothing has not shown what it promises."""
    empty = [row.document for row in rows if row.chunks_placed == 0]
    if empty:
        print(f"demo: nothing was fetched for {', '.join(empty)}: see --keep and the logs", file=sys.stderr)
    if not proven:
        print("demo: the engine's network was not kept apart from the store as promised: see above", file=sys.stderr)
    return 1 if empty or not proven else 0


if __name__ == "__main__":
    sys.exit(main())
