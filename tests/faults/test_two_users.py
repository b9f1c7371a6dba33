"""Results, previews and costly files: the service runs behind its unit's filters, and a designer, or another program, is another user."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.commission import GRADE, NULLS, SHARPEN
from doubles.costly_files import jpeg_with_scans, png_with_texts
from doubles.jobs import png as encode_png
from doubles.mattes import scene
from doubles.other_users import as_user
from doubles.pictures import png
from doubles.shared_studio import (
    DESIGNER,
    SERVICE,
    STUDIO,
    as_designer,
    drop,
    find_obstacle,
    run_command,
    run_service,
    shared_studio,
)
from doubles.studio import Daemon, Studio

pytestmark = pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle() or "two users can be had")

HERO = {"selected/hero.png": png(2), "selected/hero.toml": SHARPEN.encode()}
SECRET = b"a private file of the service"


@pytest.fixture
def studio() -> Iterator[Studio]:
    with shared_studio() as studio:
        yield studio


@pytest.fixture
def daemon(studio: Studio) -> Iterator[Daemon]:
    """Yield the running service with one worker process, which is ready."""
    with run_service(studio) as daemon:
        daemon.until_ready()
        daemon.until(lambda: daemon.worker_pids() and _is_waiting(daemon.worker_pids()[0]), "a worker process that is ready")
        yield daemon


# ------------------------------------------------------------------ a result that lies in scratch


def _stop(process: int) -> None:
    os.kill(process, signal.SIGSTOP)


def _go_on(process: int) -> None:
    os.kill(process, signal.SIGCONT)


def _is_waiting(process: int) -> bool:
    """Return whether every thread of a process sleeps, and whether it holds no file of scratch open."""
    try:
        tasks = [Path(f"/proc/{process}/task/{task}/stat").read_text() for task in os.listdir(f"/proc/{process}/task")]
        states = [text.rpartition(")")[2].split()[0] for text in tasks]
        opened = [os.readlink(f"/proc/{process}/fd/{fd}") for fd in os.listdir(f"/proc/{process}/fd")]
    except FileNotFoundError:
        return False
    return set(states) == {"S"} and not any("/.goldsmith/work/" in path for path in opened)


class StoppedService:
    """Stops the daemon while the result of a job lies in scratch and its outcome is sent, so that no test has to be quick."""

    def __init__(self, studio: Studio, daemon: Daemon) -> None:
        self.studio = studio
        self.daemon = daemon
        self._starts = 0
        (self._worker,) = daemon.worker_pids()
        _stop(self._worker)

    def until_result(self) -> Path:
        """Return the path of the result of the next job. The daemon and the worker process are stopped then."""
        self._starts += 1
        self.daemon.until(lambda: len(self.daemon.events_of("started")) >= self._starts, "the start of the job")
        self._until_quiet(lambda: _is_waiting(self.daemon.pid), "the job is sent")
        _stop(self.daemon.pid)
        os.waitpid(self.daemon.pid, os.WUNTRACED)
        _go_on(self._worker)
        self._until_quiet(lambda: bool(self._results()) and _is_waiting(self._worker), "the result in scratch")
        _stop(self._worker)
        (result,) = self._results()
        return result

    def go_on(self) -> None:
        """Let the daemon go on; the worker process waits for the next call of ``until_result``."""
        _go_on(self.daemon.pid)

    def release(self) -> None:
        """Let both go on to the end."""
        if self._worker in self.daemon.worker_pids():
            _go_on(self._worker)
        _go_on(self.daemon.pid)

    def _until_quiet(self, is_quiet: Callable[[], bool], why: str) -> None:
        """Wait until ``is_quiet`` is true five times in a row: a process may sleep for a moment between two things that it does."""
        checks: list[bool] = []

        def is_long_quiet() -> bool:
            checks.append(is_quiet())
            return len(checks) >= 5 and all(checks[-5:])

        self.daemon.until(is_long_quiet, why)

    def _results(self) -> list[Path]:
        return list(self.studio.at(".goldsmith/work").glob("worker-*/*/000.png"))


@pytest.fixture
def service(studio: Studio, daemon: Daemon) -> Iterator[StoppedService]:
    service = StoppedService(studio, daemon)
    yield service
    service.release()


def _refusals(attempts: list[Callable[[], object]]) -> int:
    """Return how many of the attempts are refused to a designer."""

    def attack() -> int:
        count = 0
        for attempt in attempts:
            try:
                attempt()
            except PermissionError:
                count += 1
        return count

    return as_designer(attack)


def test_a_designer_cannot_touch_a_result_before_its_commit(studio: Studio, service: StoppedService) -> None:
    """Every way to it is closed; the next folder gets the bytes that the worker process has written."""
    drop(studio, HERO)
    result = service.until_result()
    data = result.read_bytes()
    attempts: list[Callable[[], object]] = [
        lambda: result.read_bytes(),
        lambda: result.write_bytes(SECRET),
        lambda: result.unlink(),
        lambda: result.rename(studio.at("selected/mine.png")),
        lambda: os.link(result, studio.at("selected/mine.png")),
        lambda: os.symlink("/etc/passwd", result.with_name("shown.jpg")),
        lambda: os.mkfifo(result.with_name("pipe")),
        lambda: os.listdir(result.parent),
        lambda: os.rename(result.parents[2], studio.at("selected/work")),
    ]
    assert _refusals(attempts) == len(attempts) == 9
    service.release()
    service.daemon.until(lambda: studio.at("masked/hero.png").exists(), "the result in the next folder")
    assert studio.read("masked/hero.png") == data
    assert service.daemon.events_of("fault") == []


def test_a_result_that_is_swapped_is_made_again(studio: Studio, service: StoppedService) -> None:
    """Another program of the service's user can do it. What is delivered is what the manifest says."""
    brief = SHARPEN + GRADE + '[[deliver]]\nop = "export"\nname = "web"\nformat = "png"\n'
    drop(studio, {"selected/hero.png": png(2), "selected/hero.toml": brief.encode()})
    result = service.until_result()

    def swap() -> None:
        result.with_name("swapped").write_bytes(png(3))
        result.with_name("swapped").rename(result)

    as_user(SERVICE, swap)
    service.release()
    service.daemon.until(lambda: studio.at("delivered/hero.manifest.json").exists(), "the delivery")
    (fault,) = service.daemon.events_of("fault")
    assert fault["kind"] == "refused"
    delivered = studio.read("delivered/hero_web.png")
    assert hashlib.sha256(delivered).hexdigest() in studio.read("delivered/hero.manifest.json").decode()


def test_results_that_a_virus_scanner_takes_away_are_not_made_without_end(studio: Studio, service: StoppedService) -> None:
    """It runs as root. After two tries the note names the folder that the scanner must spare."""
    drop(studio, HERO)
    for number in range(2):
        result = service.until_result()
        result.unlink()
        if number == 0:
            service.go_on()
    service.release()
    service.daemon.until(lambda: studio.note("selected/hero.png"), "the note")
    assert "Something takes results out of .goldsmith/work (a virus scanner?)." in studio.note("selected/hero.png")
    assert "Exclude that folder." in studio.note("selected/hero.png")
    assert len(service.daemon.events_of("started")) == 2
    assert service.daemon.events_of("paused") == []


def _foreign_folder(result: Path) -> None:
    """Put a folder of another user where the daemon will write the texts of the commit."""
    folder = result.parents[2] / result.parent.name
    folder.mkdir(mode=0o755)
    os.chown(folder, DESIGNER, STUDIO)


def _foreign_result(result: Path) -> None:
    data = result.read_bytes()
    result.unlink()
    result.write_bytes(data)
    result.chmod(0o600)
    os.chown(result, DESIGNER, STUDIO)


@pytest.mark.parametrize(("put", "sentence"), [(_foreign_folder, "belongs to another user"), (_foreign_result, "")])
def test_a_file_that_the_service_may_not_use_concerns_its_own_job_only(
    studio: Studio, service: StoppedService, put: Callable[[Path], None], sentence: str
) -> None:
    """Root has put it into scratch. Nothing pauses; another picture is delivered."""
    drop(studio, HERO)
    put(service.until_result())
    service.release()
    if sentence:
        service.daemon.until(lambda: studio.note("selected/hero.png"), "the note")
        assert sentence in studio.note("selected/hero.png")
        assert ".goldsmith/work/" in studio.note("selected/hero.png")
    else:
        service.daemon.until(lambda: studio.at("masked/hero.png").exists(), "the result of the second try")
        assert [fault["kind"] for fault in service.daemon.events_of("fault")] == ["refused"]
    drop(studio, {"inbox/next.png": png(1), "inbox/next.toml": NULLS.encode()})
    service.daemon.until(lambda: studio.at("delivered/next.manifest.json").exists(), "the other picture")
    assert service.daemon.events_of("paused") == []


# ------------------------------------------------------------------ what a note shows


def test_a_link_in_place_of_a_preview_is_replaced(studio: Studio, daemon: Daemon) -> None:
    """A designer has put it beside the picture. What it leads to is neither shown nor written."""
    secret = studio.root.parent / "secret"
    secret.write_bytes(SECRET)
    os.chown(secret, SERVICE, SERVICE)
    secret.chmod(0o600)
    cut = scene(240, 320)
    preview = studio.at("selected/hero.png.problem.jpg")
    as_designer(lambda: preview.symlink_to(secret))
    drop(
        studio,
        {
            "selected/hero.png": encode_png(cut.pixels),
            "selected/hero.mask.png": encode_png(cut.coarse),
            "selected/hero.toml": b'[[edit]]\nop = "cutout"\nwhere = "mask"\nmax_holes = 1\nmax_unsure = 0\n',
        },
    )
    daemon.until(lambda: studio.note("selected/hero.png"), "the note")
    assert preview.read_bytes().startswith(b"\xff\xd8\xff")
    assert not preview.is_symlink()
    assert secret.read_bytes() == SECRET
    status = preview.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (SERVICE, STUDIO, 0o660)


# ------------------------------------------------------------------ costly files


def _peak_memory(process: int) -> int:
    """Return the largest resident memory of a process so far, in bytes."""
    rows = dict(row.split(":", 1) for row in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(rows["VmHWM"].split()[0]) * 1024


def test_costly_files_get_a_note_and_hold_up_nobody(studio: Studio, daemon: Daemon) -> None:
    """A progressive JPEG of 4,000 scans, and a PNG with a million texts: neither costs the daemon memory or a worker process."""
    before, workers = _peak_memory(daemon.pid), daemon.worker_pids()
    brief = NULLS.encode()
    drop(studio, {"inbox/slow.jpg": jpeg_with_scans(4000), "inbox/slow.toml": brief})
    drop(studio, {"inbox/wordy.png": png_with_texts(1_000_000), "inbox/wordy.toml": brief})
    drop(studio, {"inbox/next.png": png(1), "inbox/next.toml": brief})
    daemon.until(lambda: studio.at("delivered/next.manifest.json").exists(), "the ordinary picture")
    daemon.until(lambda: studio.note("inbox/slow.jpg") and studio.note("inbox/wordy.png"), "the notes")
    assert "slow.jpg has more than 100 JPEG scans" in studio.note("inbox/slow.jpg")
    assert "wordy.png carries more than 1,000 texts" in studio.note("inbox/wordy.png")
    assert daemon.worker_pids() == workers
    assert _peak_memory(daemon.pid) - before < 30 * 2**20


@pytest.mark.parametrize("kind", ["look", "font"])
def test_a_sparse_file_of_a_terabyte_costs_its_own_picture_a_note(studio: Studio, daemon: Daemon, kind: str) -> None:
    """The note names the file; no worker process is killed for it. The library is open to its maintainers, as the manual says."""
    if kind == "look":
        large, picture = studio.at("masked/hero.cube"), "masked/hero"
        brief = '[[grade]]\nop = "grade"\nlook = "hero"\n'
    else:
        large, picture = studio.at("library/fonts/Huge.ttf"), "graded/hero"
        brief = '[[deliver]]\nop = "text"\nstring = "SALE"\nfont = "Huge"\n'
        os.chown(large.parent, SERVICE, STUDIO)
        large.parent.chmod(0o2775)
    workers = daemon.worker_pids()

    def put() -> None:
        large.touch()
        os.truncate(large, 1 << 40)

    as_designer(put)
    drop(studio, {f"{picture}.png": png(2), f"{picture}.toml": brief.encode()})
    daemon.until(lambda: studio.note(f"{picture}.png"), "the note")
    assert large.name in studio.note(f"{picture}.png")
    assert "1,048,576 MiB" in studio.note(f"{picture}.png")
    assert daemon.worker_pids() == workers


# ------------------------------------------------------------------ names

# Sets the title of a terminal, turns the rest of the line round, and hides: ESC, RLO, ALM, a zero-width space, a tag, C1.
TRICKS = "\x1b]0;mine\x07\u202e\u061c\u200b\U000e0041\x9b31m"
_HIDDEN = ("\x1b]", "\x07", "\u202e", "\u061c", "\u200b", "\U000e0041", "\x9b")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_trick_in_a_name_reaches_the_administrators_terminal(studio: Studio, log_format: str) -> None:
    """Neither by the log, nor by a note, nor by status and why."""
    name = f"hero{TRICKS}"
    studio.flags["log_format"] = log_format
    with run_service(studio) as daemon:
        daemon.until_ready()
        drop(studio, {f"inbox/{name}.png": b"no picture", f"inbox/{name}.toml": NULLS.encode()})
        daemon.until(lambda: studio.note(f"inbox/{name}.png"), "the note")
        status = run_command(studio, "status", "--root", str(studio.root))
        why = run_command(studio, "why", "--root", str(studio.root), f"inbox/{name}.png")
        assert daemon.end() == 0
    texts = (daemon.stderr.decode(), studio.note(f"inbox/{name}.png"), status.stdout + status.stderr, why.stdout + why.stderr)
    for text in texts:
        assert "hero" in text
        assert [trick for trick in _HIDDEN if trick in text] == []
