"""Masks that a worker process opens, behind its fence."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from goldsmith.errors import HostError
from goldsmith.jobs.job import Outcome
from goldsmith.web.access import PageError
from goldsmith.web.page import Page
from goldsmith.web.painting.mask_jobs import MaskJobs
from goldsmith.web.painting.mask_tiles import read_size
from goldsmith.web.pictures import find_picture


@pytest.fixture
def mask(root: Path) -> Path:
    """Return the mask of a picture in selected/."""
    Image.new("RGB", (600, 40)).save(root / "selected" / "hero.png")
    file = root / "selected" / "hero.mask.png"
    Image.new("L", (600, 40), 77).save(file)
    return file


def test_one_worker_process_opens_masks_and_says_what_is_wrong_with_others(client: TestClient, root: Path, mask: Path) -> None:
    """It opens the mask that is there, refuses one of another size and one that is none, and goes on. Nothing is left in its folder."""
    answer = client.get("/paint-mask/selected/hero.png")
    assert (answer.status_code, read_size(answer.content)) == (200, (600, 40))
    assert answer.content[12:] == b"\0\115\0\115"
    Image.new("L", (300, 20), 255).save(mask)
    refused = client.get("/paint-mask/selected/hero.png")
    sentence = "The mask hero.mask.png is 300 x 20 px; its picture is 600 x 40 px."
    assert (refused.status_code, refused.json()["error"]) == (400, sentence)
    mask.write_bytes(b"<html>" * 40)
    assert "HTML page" in client.get("/paint-mask/selected/hero.png").json()["error"]
    mask.unlink()
    assert client.get("/paint-mask/selected/hero.png").content[12:] == b"\0\0\0\0"
    (root / "selected" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + np.random.default_rng(1).bytes(400))
    assert client.get("/paint-mask/selected/broken.png").status_code == 400


class PoolsDouble:
    """No worker process."""

    def stop(self, timeout: float) -> None:
        """Do nothing."""


def test_a_fault_answers_its_request_and_the_next_one_is_served(
    page: Page, root: Path, mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the disk, a worker process or the program itself is at fault, and also for a browser that has gone."""
    faults: list[Exception] = [RuntimeError("a bug"), OSError(28, "No space left on device"), HostError("No worker starts.")]
    started = threading.Event()

    def wait_for_outcome(_pools: object, _job: object) -> Outcome:
        started.wait()
        raise faults.pop(0)

    monkeypatch.setattr("goldsmith.web.painting.mask_jobs._wait_for_outcome", wait_for_outcome)
    monkeypatch.setattr(MaskJobs, "_start_pools", lambda _self, _work: PoolsDouble())
    picture = find_picture(page, "selected/hero.png")

    async def ask() -> list[object]:
        jobs = MaskJobs(page.setup)
        requests = [asyncio.ensure_future(jobs.open_masks(picture, [])) for _ in range(4)]
        await asyncio.sleep(0)
        requests[1].cancel()
        await asyncio.wait([requests[1]])  # before the thread goes on and takes it
        started.set()
        return await asyncio.gather(*requests, return_exceptions=True)

    bug, cancelled, disk, host = asyncio.run(ask())
    assert (str(bug), type(cancelled), str(host)) == ("a bug", asyncio.CancelledError, "No worker starts.")
    assert str(disk) == (
        "The page cannot prepare a worker process: No space left on device. Check the disk and the mount of the folders, then try again."
    )


def test_too_many_requests_are_refused_at_once(page: Page, mask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would wait for minutes."""
    jobs = MaskJobs(page.setup)
    monkeypatch.setattr(jobs, "_thread", threading.current_thread())
    picture = find_picture(page, "selected/hero.png")

    async def ask() -> list[object]:
        requests = [asyncio.ensure_future(jobs.open_masks(picture, [])) for _ in range(17)]
        await asyncio.sleep(0)
        for request in requests[:16]:
            request.cancel()
        return await asyncio.gather(*requests, return_exceptions=True)

    *waiting, refused = asyncio.run(ask())
    assert {type(answer) for answer in waiting} == {asyncio.CancelledError}
    assert isinstance(refused, PageError)
    assert refused.status == 503
