"""Runs inside the engine's worker: sees the pages that are saved and loaded, and can damage them."""

import hashlib
import logging
import os
import socket
import threading
import time

from shadowserve.vllm.device_pages import kind_axis
from vllm.distributed.kv_transfer import get_kv_transfer_group


LATENT_DAMAGE = 8


class EngineProbe:
    """vLLM mixes it into its worker (worker_extension_cls); tests call it by collective_rpc."""

    def probe_process(self) -> int:
        return os.getpid()

    def probe_install(self) -> None:
        connector = get_kv_transfer_group()
        worker = connector._worker
        self.saved_pages: dict[str, str] = {}
        self.loaded_pages: dict[str, str] = {}
        self.kept_values: dict[str, object] = {}
        self.probe_damages = False
        self.log_lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.log_lines.append(record.getMessage())
        logging.getLogger("vllm.shadowserve").addHandler(handler)
        start_saves, load_ended = worker.start_saves, worker._load_ended

        def watched_start_saves(work):
            saves = list(work.saves)
            start_saves(work)  # first: looking at pages waits for a GPU, which saving has to do by itself
            for save in saves:
                self._note(self.saved_pages, save, keep=True)

        def watched_load_ended(job, error, chunks_placed):
            load = worker._loads[job]
            if error is None:
                self._note(self.loaded_pages, load, keep=False)
                if self.probe_damages:
                    self._damage(load)
            return load_ended(job, error, chunks_placed)

        worker.start_saves, worker._load_ended = watched_start_saves, watched_load_ended

    def _chunk_pages(self, job, index: int):
        connector = get_kv_transfer_group()
        each = connector._settings.chunk_tokens // connector._model.page_tokens
        first = (job.first_chunk + index) * each
        return [self._by_page(layer)[job.page_ids[first : first + each]] for layer in connector._pages]

    def _by_page(self, layer):
        """A layer's pages with the page's number as the first axis. What is read or written through it comes behind all
        that the engine has given a GPU to do, and before what it gives it next: as its own kernels would see it."""
        model = get_kv_transfer_group()._model
        if not layer.is_cuda or model.latent:
            return layer
        return layer.movedim(1 - kind_axis(model, model.layer_names[0], layer), 0)

    def _note(self, notes: dict[str, str], job, keep: bool) -> None:
        import torch

        for index in range(job.chunks):
            key = job.keys[index * 32 : index * 32 + 32].hex()
            pages = torch.stack(self._chunk_pages(job, index)).cpu()
            notes[key] = hashlib.sha256(pages.view(torch.uint8).numpy().tobytes()).hexdigest()
            if keep:
                self.kept_values[key] = pages
            elif key in self.kept_values:
                computed = self.kept_values[key].float()
                difference = (pages.float() - computed).pow(2).mean().sqrt() / computed.pow(2).mean().sqrt()
                self.relative_error = max(getattr(self, "relative_error", 0.0), float(difference))

    def _damage(self, load) -> None:
        """Turns every loaded page around, token by token: same numbers, wrong places. On a GPU only its values, for a
        value that moves together with its key is the same to attention. Latent pages, where it always does: number by
        number, and larger, for the tiny model attends so evenly that places alone hardly count."""
        connector = get_kv_transfer_group()
        page_tokens = connector._model.page_tokens
        for layer in connector._pages:
            pages = self._by_page(layer)
            for number in load.page_ids[load.first_token // page_tokens :]:
                page, axis = (pages[number][1], 0) if layer.is_cuda else (pages[number], -2)
                if connector._model.latent:
                    page, axis = pages[number], -1
                    page.mul_(LATENT_DAMAGE)
                page.copy_(page.flip(axis).clone())

    def probe_report(self) -> dict:
        report = {
            "saved": dict(self.saved_pages),
            "loaded": dict(self.loaded_pages),
            "relative_error": getattr(self, "relative_error", 0.0),
        }
        self.loaded_pages.clear()
        self.relative_error = 0.0
        return report

    def probe_log(self) -> list[str]:
        """Lines logged by the connector since the last call."""
        lines, self.log_lines[:] = list(self.log_lines), []
        return lines

    def probe_damage(self, damages: bool, only_rank: int | None = None) -> None:
        self.probe_damages = damages and only_rank in (None, get_kv_transfer_group()._shard.rank)

    def probe_cut_link(self, rank: int) -> None:
        """That rank's next loads have hardly begun when it loses its link to the data plane; its scheduler keeps its own."""
        connector = get_kv_transfer_group()
        if connector._shard.rank != rank:
            return
        worker = connector._worker
        start_loads = worker.start_loads

        def start_and_cut(work):
            if work.loads:
                worker.start_loads = start_loads
                # Cut once, the link would be back before a job has lost its patience.
                self.probe_cutting = threading.Thread(target=_keep_cutting, args=(connector._settings.socket, 0.8), daemon=True)
                self.probe_cutting.start()
            start_loads(work)

        worker.start_loads = start_and_cut

    def probe_cuts(self) -> bool:
        """The link that probe_cut_link() cuts is still being cut."""
        return (cutting := getattr(self, "probe_cutting", None)) is not None and cutting.is_alive()

    def probe_forget(self) -> None:
        self.kept_values.clear()

    def probe_totals(self) -> dict:
        return get_kv_transfer_group()._transfer.stats()


def _keep_cutting(path: str, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        _cut_connections_to(path)
        time.sleep(0.0005)


def _cut_connections_to(path: str) -> None:
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if not os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(fd)) as copy:
                if copy.family == socket.AF_UNIX and copy.getpeername() == path:
                    copy.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # closed meanwhile, or connected to nobody
