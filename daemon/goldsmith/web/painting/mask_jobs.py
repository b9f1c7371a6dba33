"""Jobs of the page that make a mask from files of the share. They run in one worker process, behind its fence and with its limits."""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import shutil
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, Full, Queue
from time import monotonic
from typing import NamedTuple

from pydantic import JsonValue

from goldsmith.errors import GoldsmithError, HostError, InputError
from goldsmith.files import open_input
from goldsmith.jobs.job import Job, JobFault, JobInput, Outcome, ResourceLimits, StepSpec
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.root_folder import read_start
from goldsmith.service.setup import Setup
from goldsmith.service.worker_setup import worker_config, worker_folders
from goldsmith.web import strings
from goldsmith.web.access import PageError
from goldsmith.web.painting.mask_operation import (
    CATALOGUE_ENTRY_POINT,
    OPEN_MASKS,
    PROPOSE_MASK,
    PROPOSE_OBJECT,
    TILES_TAIL,
    ProposedRegion,
)
from goldsmith.web.painting.mask_tiles import max_bytes_of_pixels, read_size
from goldsmith.web.pictures import PictureFile

_QUEUE = "cpu"
# Jobs that may wait; more people than this at once are asked to try again.
_MAX_WAITING = 16
# A worker process without a job for this long ends, and with it its loaded models.
_IDLE_SECONDS = 180.0
_TIMEOUT_SECONDS = 300.0
_HOST_FAULTS = frozenset({"machine", "disputed", "device", "lost"})


class _Request(NamedTuple):
    job: Job
    result: Future[bytes]


class MaskJobs:
    """Opens and proposes masks of the pictures of one root. The worker process starts with the first job."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._requests: Queue[_Request] = Queue(_MAX_WAITING)
        self._thread: threading.Thread | None = None

    async def open_masks(self, picture: PictureFile, masks: Sequence[PictureFile]) -> bytes:
        """Return the union of the mask files of a picture as tiles of its size; without files all is black. Raises InputError."""
        names = [f"mask-{number}" for number in range(len(masks))]
        inputs = [JobInput(role="layer", name=name, path=mask.path, sig=mask.signature) for name, mask in zip(names, masks, strict=True)]
        settings: dict[str, JsonValue] = {"layers": [*names], "max_pixels": self._setup.settings.max_pixels}
        return await self._run(picture, inputs, StepSpec(op=OPEN_MASKS, settings=settings))

    async def propose_mask(self, picture: PictureFile, region: ProposedRegion) -> bytes:
        """Return a detected region of a picture as tiles. Raises InputError if the picture has none, or no engine is here."""
        return await self._run(picture, [], StepSpec(op=PROPOSE_MASK, settings={"region": region}))

    async def propose_object(self, picture: PictureFile, x: int, y: int) -> bytes:
        """Return the object at a px of a picture as tiles. Raises InputError if nothing stands out there, or no engine is here."""
        return await self._run(picture, [], StepSpec(op=PROPOSE_OBJECT, settings={"x": x, "y": y}))

    async def _run(self, picture: PictureFile, inputs: Sequence[JobInput], step: StepSpec) -> bytes:
        settings = self._setup.settings
        job = Job(
            id=f"mask-{secrets.token_hex(8)}",
            root=str(self._setup.root),
            stage="mask",
            queue=_QUEUE,
            stem=os.path.splitext(picture.name)[0],
            inputs=(JobInput(role="picture", path=picture.path, sig=picture.signature), *inputs),
            steps=(step,),
            hdr="tonemap",
            limits=ResourceLimits(
                timeout_seconds=min(_TIMEOUT_SECONDS, settings.job_seconds),
                max_memory_bytes=settings.worker_memory_mb * 2**20,
                max_pixels=settings.max_pixels,
            ),
        )
        request = _Request(job, Future())
        try:
            self._requests.put_nowait(request)
        except Full:
            raise PageError(503, strings.BUSY, strings.BUSY_REMEDY) from None
        if self._thread is None or not self._thread.is_alive():
            # One lasting thread: worker processes end with the thread that has started them.
            self._thread = threading.Thread(target=self._serve, name="mask-jobs", daemon=True)
            self._thread.start()
        return await asyncio.wrap_future(request.result)

    def _serve(self) -> None:
        """Run the requests one after the other; without one for a while, end the worker process."""
        while True:
            first = self._requests.get()
            try:
                with tempfile.TemporaryDirectory(prefix="goldsmith-web-") as work:
                    pools = self._start_pools(work)
                    try:
                        self._serve_with(pools, first)
                    finally:
                        pools.stop(0.0)
            except Exception as error:  # noqa: BLE001 - the person would wait for ever, and so would everybody after
                if not first.result.done():
                    first.result.set_exception(error)

    def _start_pools(self, work: str) -> WorkerPools:
        # On a disk of the server, not in the share: nothing of it is ever put into a folder by a rename.
        folders = worker_folders(self._setup).model_copy(update={"work": os.path.join(work, "work"), "kept": ""})
        config = worker_config(self._setup).model_copy(update={"catalogue": CATALOGUE_ENTRY_POINT})
        return WorkerPools([WorkerSpec(queue=_QUEUE, threads=self._setup.settings.threads)], config, folders, monotonic)

    def _serve_with(self, pools: WorkerPools, first: _Request) -> None:
        request = first
        while True:
            # A browser that has gone needs no answer.
            if request.result.set_running_or_notify_cancel():
                try:
                    request.result.set_result(_tiles_of(request.job, _wait_for_outcome(pools, request.job)))
                except OSError as error:
                    request.result.set_exception(HostError(strings.work_failed(error.strerror or str(error)), strings.DISK_REMEDY))
                except Exception as error:  # noqa: BLE001 - the person would wait for ever, and so would everybody after
                    request.result.set_exception(error)
            try:
                request = self._requests.get(timeout=_IDLE_SECONDS)
            except Empty:
                return


def _wait_for_outcome(pools: WorkerPools, job: Job) -> Outcome:
    """Run a job and return its outcome. Raises HostError if no worker process can start."""
    pools.submit(job)
    while True:
        for event in pools.collect(monotonic()):
            if isinstance(event, Outcome) and event.job_id == job.id:
                return event
        paused = pools.pause_reason(_QUEUE)
        if paused:
            pools.cancel(job.id)
            raise HostError(paused, strings.TRY_AGAIN)
        wait = pools.seconds_until_due(monotonic())
        select.select(pools.readable_fds(), [], [], 1.0 if wait is None else min(wait, 1.0))


def _tiles_of(job: Job, outcome: Outcome) -> bytes:
    """Return the file that the step has written, and remove it. Raises the fault of the job."""
    if outcome.fault is not None:
        raise _as_error(job, outcome.fault)
    output = next(output for output in outcome.outputs if output.tail == TILES_TAIL)
    fd = open_input(output.path)
    try:
        tiles = read_start(fd, min(output.size, max_bytes_of_pixels(job.limits.max_pixels)))
    finally:
        os.close(fd)
        shutil.rmtree(os.path.dirname(output.path), ignore_errors=True)
    # A worker process may have been taken over by a file: what comes from it is checked.
    read_size(tiles)
    return tiles


def _as_error(job: Job, fault: JobFault) -> GoldsmithError:
    # The step is the page's own, and nothing that a person has written.
    sentence = fault.sentence.removeprefix(f"{job.stage}.1 ({job.steps[0].op}): ")
    if fault.kind == "changed":
        return PageError(409, sentence, strings.LOOK_AGAIN_REMEDY)
    return (HostError if fault.kind in _HOST_FAULTS else InputError)(sentence, fault.remedy)
