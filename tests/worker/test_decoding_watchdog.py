"""The watchdog of decoding, on clocks that move only in tests."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import pytest

from doubles.jobs import Share, picture, png
from goldsmith.jobs.job import Job
from goldsmith.picture import decoding_time
from goldsmith.picture.codec import decode, verify
from goldsmith.picture.decoding_time import BASE_SECONDS, MAX_SECONDS, SECONDS_PER_MEGAPIXEL, Decoding, set_decoding_watch
from goldsmith.worker.decoding_watchdog import DecodingWatchdog


class Yard:
    """A watchdog with its processor time, and the files that it reported."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.reported: list[tuple[str, str]] = []
        self.watchdog = DecodingWatchdog(self._report, lambda: self.seconds)

    def _report(self, job: Job, decoding: Decoding) -> None:
        self.reported.append((job.id, decoding.name))

    def pass_seconds(self, seconds: float) -> None:
        self.seconds += seconds
        self.watchdog.check()


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch) -> Yard:
    yard = Yard()
    monkeypatch.setattr(decoding_time, "_watches", [])
    set_decoding_watch(yard.watchdog.watch)
    return yard


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Share(tmp_path).job()


def test_a_decoding_beyond_its_limit_is_reported_once_with_its_job(yard: Yard, job: Job) -> None:
    """The limit grows when the size of the picture is known; processor time before the decoding does not count."""
    yard.pass_seconds(1000)
    with yard.watchdog.job(job), decoding_time.limited_decoding("hero.jpg") as decoding:
        yard.pass_seconds(BASE_SECONDS)
        assert yard.reported == []
        decoding.allow_pixels(10_000_000)
        yard.pass_seconds(10 * SECONDS_PER_MEGAPIXEL)
        assert yard.reported == []
        yard.pass_seconds(1)
        yard.pass_seconds(1)
    assert yard.reported == [(job.id, "hero.jpg")]


def test_the_largest_picture_may_not_take_longer_than_a_job(yard: Yard) -> None:
    """Otherwise the job would time out first, and a worker would be killed twice."""
    decoding = Decoding("hero.tif", BASE_SECONDS)
    decoding.allow_pixels(10**10)
    assert decoding.max_seconds == MAX_SECONDS < 900


def test_processor_time_after_the_decoding_does_not_count(yard: Yard, job: Job) -> None:
    """A step may take as long as its job."""
    with yard.watchdog.job(job):
        with decoding_time.limited_decoding("hero.jpg"):
            yard.pass_seconds(1)
        yard.pass_seconds(10_000)
    assert yard.reported == []


def test_the_processor_time_of_other_jobs_in_the_process_does_not_count(yard: Yard, job: Job) -> None:
    """While several jobs share a process, only the time of the decoding thread counts."""
    has_begun, may_end = Event(), Event()

    def run_other_job() -> None:
        with yard.watchdog.job(job.model_copy(update={"id": "other"})):
            has_begun.set()
            may_end.wait()

    other = Thread(target=run_other_job)
    with yard.watchdog.job(job), decoding_time.limited_decoding("hero.jpg"):
        other.start()
        has_begun.wait()
        yard.pass_seconds(10_000)
        may_end.set()
        other.join()
        yard.pass_seconds(10_000)
    assert yard.reported == []


def test_a_decoding_outside_a_job_is_not_watched(yard: Yard) -> None:
    """There is nobody to blame."""
    with decoding_time.limited_decoding("hero.jpg"):
        yard.pass_seconds(10_000)
    assert yard.reported == []


@pytest.mark.parametrize("function", [verify, decode])
def test_every_way_to_decode_a_file_is_watched(function: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch knows the name of the file, and how long its pixels may take."""
    watched: list[Decoding] = []

    class Watch:
        def __init__(self, decoding: Decoding) -> None:
            watched.append(decoding)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(decoding_time, "_watches", [])
    set_decoding_watch(Watch)
    function(png(picture()), "hero.png", 1_000_000)  # type: ignore[operator]
    assert [decoding.name for decoding in watched] == ["hero.png"]
    assert watched[0].max_seconds == pytest.approx(BASE_SECONDS + SECONDS_PER_MEGAPIXEL * 96 / 1e6)
