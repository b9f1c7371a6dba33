"""Every lie of a worker process that was taken over: nothing outside scratch is written or moved, and the daemon goes on."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import pytest

from doubles.commission import NULLS, PIPELINE, SHARPEN
from doubles.hostile_worker import Answer, PretendedWorkers, outcome_message
from doubles.pictures import png
from doubles.studio import Studio, studio_at
from goldsmith.jobs.job import Job, JobFault, JobProgress, Outcome, OutputFile
from goldsmith.jobs.protocol import MessageType, encode_message, frame_message
from goldsmith.pipeline.scheduler import results
from goldsmith.pipeline.workers import outcome_files

pytestmark = pytest.mark.unfenced

SECRET = b"a private file of the service"
# Sets the title of a terminal, and turns the rest of the line round.
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe"
ATTEMPTS = 2


@dataclass
class Place:
    """A studio with pretended workers, and a private file of the service outside the root."""

    studio: Studio
    workers: PretendedWorkers
    secret: Path

    def until(self, done: Callable[[], object], why: str) -> None:
        """Run the daemon and the workers until ``done`` is true."""

        def is_done() -> bool:
            self.workers.work()
            return bool(done())

        self.studio.until(is_done, why)

    def until_event(self, event: str) -> None:
        self.until(lambda: self.studio.events_of(event), event)

    def visible_files(self) -> dict[str, bytes]:
        """Return the bytes of every file in and beside the root, except for scratch files, notes, status files and the journal."""
        above = self.studio.root.parent
        files = {str(path.relative_to(above)): path for path in above.rglob("*") if path.is_file() and not path.is_symlink()}
        return {
            name: path.read_bytes()
            for name, path in files.items()
            if not name.startswith(("state/", "root/.goldsmith/")) and not name.endswith((".problem.txt", "/_status.txt"))
        }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    workers = PretendedWorkers()
    with studio_at(tmp_path) as studio:
        studio.spawn = workers.spawn
        studio.write_pipeline(PIPELINE)
        secret = tmp_path / "secret.png"
        secret.write_bytes(SECRET)
        yield Place(studio, workers, secret)


# ---------------------------------------------------------------------- lies


def with_output(outcome: Outcome, **changes: object) -> Outcome:
    """Return the outcome with some fields of its first output replaced."""
    return outcome.model_copy(update={"outputs": (outcome.outputs[0].model_copy(update=changes), *outcome.outputs[1:])})


def with_deliverable(outcome: Outcome, tail: str) -> Outcome:
    """Return the outcome with a second output of that name."""
    path = Path(outcome.outputs[0].path).with_name("second")
    path.write_bytes(SECRET)
    extra = OutputFile(role="deliverable", tail=tail, path=str(path), sha256=sha256(SECRET).hexdigest(), size=len(SECRET))
    return outcome.model_copy(update={"outputs": (*outcome.outputs, extra)})


def secret_output(outcome: Outcome, path: Path) -> Outcome:
    return with_output(outcome, path=str(path), sha256=sha256(SECRET).hexdigest(), size=len(SECRET))


def replaced_by(make: Callable[[str, Path], object]) -> Callable[[Place, Job, Outcome], Outcome]:
    """Return a lie for which the result is replaced by what ``make`` makes at its path; size and hash are those of the secret."""

    def lie(place: Place, job: Job, outcome: Outcome) -> Outcome:
        path = outcome.outputs[0].path
        os.unlink(path)
        make(path, place.secret)
        return secret_output(outcome, Path(path))

    return lie


def other_scratch(place: Place, job: Job, outcome: Outcome) -> Outcome:
    path = Path(job.scratch).parent / "other" / "000.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(SECRET)
    return secret_output(outcome, path)


def scratch_link(place: Place, job: Job, outcome: Outcome) -> Outcome:
    """Replace the scratch folder by a link to the folder of the secret."""
    os.rename(job.scratch, f"{job.scratch}-old")
    os.symlink(place.secret.parent, job.scratch)
    return secret_output(outcome, Path(job.scratch, place.secret.name))


def others_file(place: Place, job: Job, outcome: Outcome) -> Outcome:
    os.chown(outcome.outputs[0].path, 65534, 65534)
    return outcome


def false_input_hash(place: Place, job: Job, outcome: Outcome) -> Outcome:
    read = outcome.reads[0].model_copy(update={"sha256": "0" * 64})
    return outcome.model_copy(update={"reads": (read, *outcome.reads[1:])})


def extra_read(place: Place, job: Job, outcome: Outcome) -> Outcome:
    read = outcome.reads[0].model_copy(update={"path": "selected/other.png"})
    return outcome.model_copy(update={"reads": (*outcome.reads, read)})


def many_outputs(place: Place, job: Job, outcome: Outcome) -> Outcome:
    output = outcome.outputs[0]
    extra = tuple(output.model_copy(update={"role": "archive_only", "tail": f"_{number}.png"}) for number in range(2000))
    return outcome.model_copy(update={"outputs": (output, *extra)})


def large_facts(place: Place, job: Job, outcome: Outcome) -> Outcome:
    return outcome.model_copy(update={"facts": {"text": "x" * 2**20}})


def failed(job: Job, **fields: str) -> Outcome:
    return Outcome(job_id=job.id, fault=JobFault(**{"kind": "problem", "sentence": "It is black.", **fields}))  # type: ignore[arg-type]


def linked_preview(place: Place, job: Job, outcome: Outcome) -> Outcome:
    path = Path(job.scratch, "shown.jpg")
    path.symlink_to(place.secret)
    return failed(job, preview_path=str(path))


Lie = Callable[[Place, Job, Outcome], Outcome]
LIES: dict[str, Lie] = {
    "tail_with_dots": lambda place, job, outcome: with_deliverable(outcome, "/../../library/recipes/own.toml"),
    "tail_of_a_brief": lambda place, job, outcome: with_deliverable(outcome, ".toml"),
    "tail_of_a_manifest": lambda place, job, outcome: with_deliverable(outcome, ".manifest.json"),
    "tail_with_escapes": lambda place, job, outcome: with_deliverable(outcome, f"_{ESCAPES}.png"),
    "two_equal_tails": lambda place, job, outcome: with_deliverable(outcome, ".PNG"),
    "absolute_path": lambda place, job, outcome: secret_output(outcome, place.secret),
    "relative_path": lambda place, job, outcome: secret_output(outcome, Path(job.scratch, "..", "..", "..", "..", "secret.png")),
    "absolute_original": lambda place, job, outcome: outcome.model_copy(
        update={"is_unchanged": True, "outputs": (), "original_copy": str(place.secret)}
    ),
    "other_scratch": other_scratch,
    "scratch_link": scratch_link,
    "hard_link": replaced_by(lambda path, secret: os.link(secret, path)),
    "symbolic_link": replaced_by(lambda path, secret: os.symlink(secret, path)),
    "fifo": replaced_by(lambda path, secret: os.mkfifo(path)),
    "folder": replaced_by(lambda path, secret: os.mkdir(path)),
    "others_file": others_file,
    "wrong_size": lambda place, job, outcome: with_output(outcome, size=outcome.outputs[0].size + 1),
    "wrong_hash": lambda place, job, outcome: with_output(outcome, sha256="0" * 64),
    "false_input_hash": false_input_hash,
    "missing_read": lambda place, job, outcome: outcome.model_copy(update={"reads": ()}),
    "extra_read": extra_read,
    "read_twice": lambda place, job, outcome: outcome.model_copy(update={"reads": outcome.reads * 2}),
    "large_facts": large_facts,
    "many_outputs": many_outputs,
    "no_outputs": lambda place, job, outcome: outcome.model_copy(update={"outputs": ()}),
    "two_pictures": lambda place, job, outcome: outcome.model_copy(update={"outputs": outcome.outputs * 2}),
    "other_steps": lambda place, job, outcome: outcome.model_copy(update={"steps": outcome.steps * 2}),
    "consumed_stranger": lambda place, job, outcome: outcome.model_copy(update={"consumed_files": ("selected/other.png",)}),
    "unknown_mask": lambda place, job, outcome: outcome.model_copy(update={"consumed_masks": ("face",)}),
    "negative_seconds": lambda place, job, outcome: outcome.model_copy(update={"seconds": -1.0}),
    "endless_seconds": lambda place, job, outcome: outcome.model_copy(update={"seconds": float("inf")}),
    "fault_with_linked_preview": linked_preview,
    "fault_with_absolute_preview": lambda place, job, outcome: failed(job, preview_path=str(place.secret)),
    "changed_without_a_change": lambda place, job, outcome: failed(job, kind="changed", sentence="hero.png was changed."),
    "cancelled_by_nobody": lambda place, job, outcome: failed(job, kind="cancelled", sentence="It was cancelled."),
    "device_on_a_cpu": lambda place, job, outcome: failed(job, kind="device", sentence="cuda:0 has failed."),
    "fault_with_other_path": lambda place, job, outcome: failed(job, path="delivered/other.png"),
}

MESSAGES: dict[str, Answer] = {
    "unknown_job": lambda job, outcome: outcome_message(outcome.model_copy(update={"job_id": "another"})),
    # Only the beginning is sent: the daemon must not wait for the rest.
    "facts_of_60_megabytes": lambda job, outcome: frame_message(MessageType.OUTCOME, b"x" * 60_000_000)[:1000],
    "million_outputs": lambda job, outcome: frame_message(
        MessageType.OUTCOME, b'{"job_id":"x","outputs":[' + b'{"role":"archive_only"},' * 1_000_000 + b"]}"
    )[:1000],
    "deep_facts": lambda job, outcome: frame_message(
        MessageType.OUTCOME, b'{"job_id":"' + job.id.encode() + b'","facts":{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}}"
    ),
    "progress_in_no_step": lambda job, outcome: frame_message(
        MessageType.PROGRESS, encode_message(JobProgress(job_id=job.id, step=7, op="sharpen", fraction=0.5))
    ),
    "progress_that_is_no_number": lambda job, outcome: frame_message(
        MessageType.PROGRESS, encode_message(JobProgress(job_id=job.id, step=1, op="sharpen", fraction=float("nan")))
    ),
    "message_of_the_daemon": lambda job, outcome: frame_message(MessageType.CANCEL, job.id.encode()),
}


def _answers(place: Place, name: str) -> Answer:
    if name in MESSAGES:
        return MESSAGES[name]
    return lambda job, outcome: outcome_message(LIES[name](place, job, outcome))


@pytest.mark.parametrize("name", [*LIES, *MESSAGES])
def test_a_lie_moves_no_file_and_the_daemon_goes_on(place: Place, name: str) -> None:
    """The process is ended, the job is tried again, and then the picture is held with a plain sentence; the next picture is done."""
    if name == "others_file" and os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    place.workers.answer = _answers(place, name)
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    before = place.visible_files()
    place.until_event("held")
    assert place.visible_files() == before
    assert len(place.workers.jobs) == len(place.studio.events_of("started")) == ATTEMPTS
    assert sum(process.status is not None for process in place.workers.processes) == ATTEMPTS
    note = place.studio.note("selected/hero.png")
    assert note.startswith(
        ("A worker process sent a result that Goldsmith does not accept (hero.png): ", "The worker process sent an invalid")
    )
    assert all(line.isprintable() for line in note.splitlines())
    assert {row.outcome for row in place.studio.history()} <= {"problem"}

    place.workers.answer = None
    place.studio.put("selected/next.png", png(1))
    place.studio.put("selected/next.toml", SHARPEN)
    place.until(lambda: place.studio.folder("masked"), "the next picture")
    assert place.studio.folder("masked") == ["next.png", "next.toml"]


# ---------------------------------------------------------------------- claims that would cost no attempt


def test_a_fault_of_the_machine_that_the_daemon_does_not_see_pauses_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is tried again a few times, then each time counts as an attempt; another picture is done meanwhile."""
    monkeypatch.setattr(results, "_DISPUTE_RETRY_SECONDS", 0.1)

    def answer(job: Job, outcome: Outcome) -> bytes:
        lie = failed(job, kind="machine", sentence="The work folder cannot be written to: Disk quota exceeded.")
        return outcome_message(lie if job.stem == "hero" else outcome)

    place.workers.answer = answer
    for name in ("hero", "next"):
        place.studio.put(f"selected/{name}.png", png(len(name)))
        place.studio.put(f"selected/{name}.toml", SHARPEN)
    place.until_event("held")
    assert sum(job.stem == "hero" for job in place.workers.jobs) == results.MAX_DISPUTES + ATTEMPTS
    assert place.studio.events_of("paused") == []
    assert place.studio.note("selected/hero.png").startswith(
        "The work folder cannot be written to: Disk quota exceeded. It was tried 2 times."
    )
    place.until(lambda: place.studio.folder("masked") == ["next.png", "next.toml"], "the other picture")


@pytest.mark.parametrize("sign", ["writing", "reading", "room"])
def test_a_fault_of_the_machine_that_the_daemon_sees_too_pauses_the_work(place: Place, monkeypatch: pytest.MonkeyPatch, sign: str) -> None:
    """No attempt is counted, however often it happens, and the picture is done once the machine works."""

    def fail(*arguments: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        if sign == "writing":
            broken.setattr(outcome_files.Filesystem, "create", fail)
        elif sign == "reading":
            broken.setattr(outcome_files, "_open_below", fail)
        else:
            broken.setattr(outcome_files, "_MIN_FREE_BYTES", 1 << 60)
        place.workers.answer = lambda job, outcome: outcome_message(failed(job, kind="machine", sentence="The disk failed."))
        place.studio.put("selected/hero.png", png())
        place.studio.put("selected/hero.toml", SHARPEN)
        place.until(lambda: len(place.workers.jobs) > results.MAX_DISPUTES + ATTEMPTS, "the tries")
        assert place.studio.events_of("paused")[0]["sentence"].startswith("The disk failed.")
        assert place.studio.events_of("held") == []
    place.workers.answer = None
    place.until(lambda: place.studio.folder("masked") == ["hero.png", "hero.toml"], "the result")


def test_a_change_that_the_daemon_sees_too_costs_no_attempt(place: Place) -> None:
    """The work begins again with the file as it is now."""
    changes: list[str] = []

    def answer(job: Job, outcome: Outcome) -> bytes:
        if len(changes) > ATTEMPTS:
            return outcome_message(outcome)
        changes.append(job.id)
        place.studio.put("selected/hero.png", png(len(changes)))
        return outcome_message(failed(job, kind="changed", sentence="hero.png was changed.", path="selected/hero.png"))

    place.workers.answer = answer
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    place.until(lambda: place.studio.folder("masked") == ["hero.png", "hero.toml"], "the result")
    assert place.studio.events_of("held") == []


# ---------------------------------------------------------------------- what is cleaned, not refused


def test_escape_sequences_in_a_sentence_do_not_reach_the_note(place: Place) -> None:
    """The note has one line for the sentence and one for the remedy, without control characters and of a limited length."""
    place.workers.answer = lambda job, outcome: outcome_message(
        failed(job, sentence=f"It is {ESCAPES}\nCall this number" + "!" * 100_000, remedy=ESCAPES)
    )
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    place.until_event("held")
    note = place.studio.note("selected/hero.png")
    assert all(line.isprintable() for line in note.splitlines())
    assert note.splitlines()[0].startswith("It is �]0;owned�")
    assert len(note) < 3000
    held = place.studio.events_of("held")[0]
    assert held["sentence"].isprintable()
    assert held["remedy"].isprintable()


def test_escape_sequences_in_progress_and_findings_do_not_reach_the_journal(place: Place) -> None:
    """The picture is done; its record and the note of its progress are plain text."""
    notes: list[str] = []

    def answer(job: Job, outcome: Outcome) -> bytes:
        progress = JobProgress(job_id=job.id, step=1, op="sharpen", fraction=0.5, note=ESCAPES * 1000)
        step = outcome.steps[0].model_copy(update={"findings": {"text": ESCAPES, ESCAPES: [ESCAPES]}})
        lie = outcome.model_copy(update={"steps": (step,), "facts": {"software": ESCAPES}, "environment": {ESCAPES: "x"}})
        return frame_message(MessageType.PROGRESS, encode_message(progress)) + outcome_message(lie)

    def remember(job_id: str, step: int, op: str, fraction: float, note: str, until: float) -> None:
        notes.append(note)

    place.workers.answer = answer
    place.studio.start()
    place.studio.journal.record_progress = remember  # type: ignore[method-assign]
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    place.until_event("committed")
    assert [(len(note), note.isprintable()) for note in notes] == [(300, True)]
    record = place.studio.history()[0].record
    texts = json.dumps([record["facts"], record["environment"], record["steps"]], ensure_ascii=False)
    assert texts.isprintable()
    assert "�]0;owned�" in texts


def test_a_second_outcome_of_a_job_changes_nothing(place: Place) -> None:
    """The first outcome counts; the process is replaced, and no other picture pays for it."""
    place.workers.answer = lambda job, outcome: outcome_message(outcome) + outcome_message(failed(job, sentence="It changed its mind."))
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    place.until_event("committed")
    assert place.studio.folder("masked") == ["hero.png", "hero.toml"]
    place.workers.answer = None
    place.studio.put("selected/next.png", png(1))
    place.studio.put("selected/next.toml", SHARPEN)
    place.until(lambda: len(place.studio.events_of("committed")) == 2, "the next picture")
    assert not place.studio.events_of("held")


# ---------------------------------------------------------------------- results that do not stay as they were


def _meddle(place: Place, stem: str, meddle: Callable[[Path], object]) -> None:
    """Let ``meddle`` touch each result after its outcome was accepted and before it is published."""
    works = place.studio.start()
    commit = works.scheduler._plan_executor.commit

    def meddle_and_commit(plans):  # type: ignore[no-untyped-def]
        for plan in plans:
            if plan.stem == stem:
                meddle(Path(plan.publishes[0].source))
        return commit(plans)

    works.scheduler._plan_executor.commit = meddle_and_commit  # type: ignore[method-assign]


def _swap(path: Path) -> None:
    path.with_name("swapped").write_bytes(SECRET)
    path.with_name("swapped").rename(path)


def _overwrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _keep_open(path: Path, descriptors: list[int]) -> None:
    descriptors.append(os.open(path, os.O_WRONLY))


def _link(path: Path) -> None:
    os.link(path, path.with_name("second-name"))


@pytest.mark.parametrize("meddle", [_swap, _overwrite, _link], ids=["swapped", "overwritten", "linked"])
def test_a_result_that_is_not_the_file_that_was_hashed_is_not_published(place: Place, meddle: Callable[[Path], object]) -> None:
    """The work is done again, and after the last attempt the picture is held; its files stay where they are."""
    _meddle(place, "hero", meddle)
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    before = place.visible_files()
    place.until_event("held")
    assert place.visible_files() == before
    assert len(place.workers.jobs) == ATTEMPTS
    assert "A result of hero.png was changed in .goldsmith/work before it was published." in place.studio.note("selected/hero.png")
    place.studio.put("selected/next.png", png(1))
    place.studio.put("selected/next.toml", SHARPEN)
    place.until(lambda: place.studio.folder("masked") == ["next.png", "next.toml"], "the next picture")


def test_a_result_that_a_program_can_still_write_to_is_not_published(place: Place) -> None:
    """A worker that keeps its result open could change it after the hash and after the rename."""
    descriptors: list[int] = []
    _meddle(place, "hero", lambda path: _keep_open(path, descriptors))
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    place.until_event("held")
    for descriptor in descriptors:
        os.close(descriptor)
    assert place.studio.folder("masked") == []


@pytest.mark.parametrize("moment", ["before_the_check", "before_the_commit"])
def test_a_program_that_takes_results_away_is_named_after_the_last_attempt(place: Place, moment: str) -> None:
    """The picture is not made again without end."""

    def take(job: Job, outcome: Outcome) -> bytes:
        os.unlink(outcome.outputs[0].path)
        return outcome_message(outcome)

    if moment == "before_the_check":
        place.workers.answer = take
    else:
        _meddle(place, "hero", os.unlink)
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    place.until_event("held")
    assert len(place.workers.jobs) == len(place.studio.events_of("started")) == ATTEMPTS
    note = place.studio.note("selected/hero.png")
    assert "Something takes results out of .goldsmith/work (a virus scanner?)." in note
    assert "Exclude that folder." in note
    assert place.studio.folder("selected") == ["hero.png", "hero.png.problem.txt", "hero.toml"]


def test_a_preview_that_disappears_before_the_note_is_written_leaves_the_note(place: Place) -> None:
    """A virus scanner, or the worker itself, can take it away while the inputs settle."""
    previews: list[Path] = []

    def answer(job: Job, outcome: Outcome) -> bytes:
        previews.append(Path(job.scratch, "shown.jpg"))
        previews[0].write_bytes(b"\xff\xd8\xff\xe0 a picture")
        return outcome_message(failed(job, preview_path=str(previews[0])))

    place.workers.answer = answer
    place.studio.react("fault", lambda: previews[0].unlink())
    place.studio.put("selected/hero.png", png())
    place.studio.put("selected/hero.toml", SHARPEN)
    place.until_event("held")
    assert not previews[0].exists()
    assert place.studio.note("selected/hero.png").startswith("It is black.")
    assert place.studio.folder("selected") == ["hero.png", "hero.png.problem.txt", "hero.toml"]


def test_an_unchanged_picture_needs_the_copy_of_its_own_bytes(place: Place) -> None:
    """The archive must not get another file under the name of the original."""

    def answer(job: Job, outcome: Outcome) -> bytes:
        Path(outcome.original_copy).write_bytes(bytes(job.asset.sig.size))
        return outcome_message(outcome)

    place.workers.answer = answer
    place.studio.put("inbox/hero.png", png())
    place.studio.put("inbox/hero.toml", NULLS)
    place.until_event("held")
    assert place.studio.archived() == []
    assert "does not accept" in place.studio.note("inbox/hero.png")
