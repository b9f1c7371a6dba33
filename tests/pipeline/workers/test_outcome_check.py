"""What a worker process may say about a job: plain names, the job's own steps and inputs, and texts without hidden characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doubles.jobs import Share
from goldsmith.jobs.job import (
    MAX_STORED_LOOK_BYTES,
    AssetIdentity,
    InputRead,
    Job,
    JobFault,
    JobProgress,
    KnownLook,
    Outcome,
    OutputFile,
    StepResult,
)
from goldsmith.jobs.protocol import ModelsMessage
from goldsmith.pipeline.workers.outcome_check import (
    MAX_SENTENCE_CHARS,
    OutcomeRefused,
    check_outcome,
    check_progress,
    clean_models,
    clean_text,
)

# An escape sequence, a tab, a right-to-left override, an Arabic letter mark, a zero-width space, a tag character and a Hangul filler.
HIDDEN = "a\x1b[2J\tb\u202ec\u061cd\u200be\U000e0041f\u3164g"


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def job(share: Share) -> Job:
    share.put("inbox/hero.png", b"picture")
    share.put("inbox/hero.mask.Gesicht.png", b"mask")
    inputs = [share.job_input("inbox/hero.png"), share.job_input("inbox/hero.mask.Gesicht.png", "mask", "Gesicht")]
    return share.job(("sharpen", {"amount": 1.0}), inputs=inputs, scratch=str(share.root / "scratch/job1"))


def result(job: Job, number: int, tail: str, role: Any = "deliverable") -> OutputFile:
    return OutputFile(role=role, tail=tail, path=f"{job.scratch}/{number:03}", sha256="0" * 64, size=1)


def outcome_of(job: Job, *extra: OutputFile, **fields: Any) -> Outcome:
    """Return an honest outcome, with these results beside the picture and these fields replaced."""
    honest = Outcome(
        job_id=job.id,
        reads=tuple(InputRead(path=each.path, sig=each.sig, sha256="1" * 64) for each in job.inputs),
        outputs=(result(job, 0, ".png", "picture"), *extra),
        steps=(StepResult(op="sharpen", settings={"amount": 1.0}, seed=0, seconds=0.1, findings={}),),
        seconds=0.2,
    )
    return honest.model_copy(update=fields)


def test_an_honest_outcome_is_accepted_as_it_is(job: Job) -> None:
    """Names, facts and texts stay."""
    extras = (result(job, 1, "_web.avif"), result(job, 2, ".mask.Gesicht.png", "mask"), result(job, 3, "_candidate002.png", "archive_only"))
    outcome = outcome_of(job, *extras, facts={"format": "png", "width": 3}, consumed_masks=("Gesicht",))
    assert check_outcome(job, outcome) == outcome


@pytest.mark.parametrize(
    ("name", "is_accepted"), [("png", True), ("heic", True), ("", True), ("pdf", False), ("exe", False), ("../x", False)]
)
def test_the_format_of_an_input_is_one_that_is_read(job: Job, name: str, is_accepted: bool) -> None:
    """The next folder's file gets its suffix from it."""
    reads = tuple(read.model_copy(update={"format": name}) for read in outcome_of(job).reads)
    if is_accepted:
        assert check_outcome(job, outcome_of(job, reads=reads)).reads == reads
    else:
        with pytest.raises(OutcomeRefused, match="a format that is not read"):
            check_outcome(job, outcome_of(job, reads=reads))


@pytest.mark.parametrize(
    "tail",
    [
        *("", "web.avif", "/web.avif", "_a/b.png", ".png/../../x", "_a\0.png", "_a\n.png", "_\u202egnp.avif", "_a\u200b.png", "_.", ".PNG"),
        *(
            "_" + "a" * 80 + ".png",
            ".toml",
            ".TOML",
            "_prompt.txt",
            ".manifest.json",
            "_web.manifest.json",
            ".problem.txt",
            ".png.problem.jpg",
        ),
        *(".png.problem.jpg", ".part", "~", ".png.tmp"),
    ],
)
def test_a_name_that_no_result_has_is_refused(job: Job, tail: str) -> None:
    """It leads out of the folder, is not plain or too long, or means an instruction, a file of the daemon's or a temporary file."""
    with pytest.raises(OutcomeRefused):
        check_outcome(job, outcome_of(job, result(job, 1, tail)))


@pytest.mark.parametrize("name", ["../000", "sub/000", "", ".", "..", "a\0", "a\n", "/etc/passwd"])
def test_a_result_elsewhere_than_directly_in_scratch_is_refused(job: Job, name: str) -> None:
    """No subfolder, and no other folder."""
    stray = result(job, 1, "_web.avif").model_copy(update={"path": name if name.startswith("/") else f"{job.scratch}/{name}"})
    with pytest.raises(OutcomeRefused):
        check_outcome(job, outcome_of(job, stray))


@pytest.mark.parametrize(
    "fields",
    [
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"steps": ()},
        {"reads": ()},
        {"consumed_files": ("inbox/other.png",)},
        {"consumed_masks": ("other",)},
        {"is_unchanged": True},
        {"original_copy": "/etc/passwd"},
        {"facts": {"x": float("inf")}},
        {"environment": {"x": "y" * 2**20}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_field_that_no_honest_worker_sends_is_refused(job: Job, fields: dict[str, Any]) -> None:
    """Each is checked against the job."""
    with pytest.raises(OutcomeRefused):
        check_outcome(job, outcome_of(job, **fields))


@pytest.mark.parametrize(
    ("tails", "fields", "is_accepted"),
    [
        ((".mask.sky.png",), {}, True),
        ((".mask.png",), {}, False),
        ((), {}, False),
        ((".mask.sky.png", ".mask.other.png"), {}, False),
        ((".mask.sky.png",), {"is_unchanged": False}, False),
    ],
)
def test_a_job_that_finds_masks_has_these_masks_and_nothing_else(
    job: Job, tails: tuple[str, ...], fields: dict[str, Any], is_accepted: bool
) -> None:
    """A person approves them: no other mask, and no other picture, comes in their place."""
    job = job.model_copy(update={"finds_masks": {"top": "sky"}})
    masks = tuple(result(job, number, tail, "mask") for number, tail in enumerate(tails))
    outcome = outcome_of(job, **{"outputs": masks, "steps": (), "is_unchanged": True, **fields})
    if is_accepted:
        assert check_outcome(job, outcome) == outcome
    else:
        with pytest.raises(OutcomeRefused):
            check_outcome(job, outcome)


@pytest.mark.parametrize("look", ["xyz", "abc", "AB", "00" * (MAX_STORED_LOOK_BYTES + 1)])
def test_a_look_that_the_journal_cannot_hold_is_refused(job: Job, look: str) -> None:
    """It is at most so many bytes, in hex."""
    picture = result(job, 0, ".png", "picture").model_copy(update={"look": look})
    with pytest.raises(OutcomeRefused, match="look"):
        check_outcome(job, outcome_of(job, outputs=(picture,)))


def test_a_likeness_is_one_of_the_known_versions(job: Job) -> None:
    """A worker cannot join a picture to the chain of any other."""
    job = job.model_copy(update={"known_looks": (KnownLook(group="acme/hero", sha256="a" * 64, look="00"),)})
    assert check_outcome(job, outcome_of(job, identity=AssetIdentity(alike=("a" * 64,)))).identity.alike == ("a" * 64,)
    with pytest.raises(OutcomeRefused, match="likeness"):
        check_outcome(job, outcome_of(job, identity=AssetIdentity(alike=("b" * 64,))))


def test_a_result_has_one_size_and_a_fault_brings_nothing_else(job: Job) -> None:
    """A negative size is refused; what comes beside a fault is dropped."""
    negative = result(job, 1, "_web.avif").model_copy(update={"size": -1})
    with pytest.raises(OutcomeRefused):
        check_outcome(job, outcome_of(job, negative))
    failed = check_outcome(job, outcome_of(job, fault=JobFault(kind="problem", sentence="It is black."), facts={"x": 1}))
    assert (failed.outputs, failed.steps, failed.facts, len(failed.reads)) == ((), (), {}, 2)


def test_what_only_the_daemon_says_is_not_believed(job: Job) -> None:
    """A worker cannot claim that its files are verified."""
    claimed = {f"{job.scratch}/000": job.asset.sig}
    assert check_outcome(job, outcome_of(job, verified_sigs=claimed)).verified_sigs == {}


def test_texts_lose_hidden_characters_and_are_cut(job: Job) -> None:
    """Every text that a note, a record, a log or a terminal shows is cleaned."""
    cleaned = "a�[2J b�c�d�e�f�g"
    assert clean_text(HIDDEN, 100) == cleaned
    fault = JobFault(kind="problem", sentence=HIDDEN + "x" * 5000, remedy=HIDDEN)
    checked = check_outcome(job, outcome_of(job, fault=fault)).fault
    assert checked is not None
    assert (checked.sentence[: len(cleaned)], len(checked.sentence), checked.remedy) == (cleaned, MAX_SENTENCE_CHARS, cleaned)
    facts = check_outcome(job, outcome_of(job, facts={HIDDEN: [HIDDEN, {"x": HIDDEN}]})).facts
    assert facts == {cleaned: [cleaned, {"x": cleaned}]}
    assert clean_models(ModelsMessage(loaded=(HIDDEN,), loading=HIDDEN)) == ModelsMessage(loaded=(cleaned,), loading=cleaned)
    progress = JobProgress(job_id=job.id, step=1, op="sharpen", fraction=0.5, note=HIDDEN)
    assert check_progress(job, progress).note == cleaned


def test_settings_may_have_the_hidden_characters_of_the_brief_only(share: Share) -> None:
    """They are recorded as they are: a replay needs a caption in Arabic exactly as somebody wrote it."""
    share.put("inbox/hero.png", b"picture")
    caption = "\u061cكتاب\ttwo\nlines"
    job = share.job(("sharpen", {"caption": caption}), inputs=[share.job_input("inbox/hero.png")], scratch="/scratch/job1")
    (step,) = outcome_of(job).steps
    honest = outcome_of(job, steps=(step.model_copy(update={"settings": {"caption": caption, "size": [1]}}),))
    assert check_outcome(job, honest) == honest
    for settings in ({"caption": "\u202e"}, {"more": ["\x1b[2J"]}, {"\u200b": 1}):
        with pytest.raises(OutcomeRefused, match="hidden characters"):
            check_outcome(job, outcome_of(job, steps=(step.model_copy(update={"settings": settings}),)))


@pytest.mark.parametrize(
    "fields", [{"step": 2}, {"step": -1}, {"op": "blur"}, {"fraction": 1.1}, {"fraction": float("nan")}], ids=lambda fields: str(fields)
)
def test_progress_that_the_job_cannot_make_is_refused(job: Job, fields: dict[str, Any]) -> None:
    """The step is one of the job's, and the fraction lies between 0 and 1."""
    progress = JobProgress(job_id=job.id, step=1, op="sharpen", fraction=0.5).model_copy(update=fields)
    with pytest.raises(OutcomeRefused):
        check_progress(job, progress)
