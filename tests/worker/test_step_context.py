"""A job in a worker: its inputs, its steps, its outputs, and its message in case of a fault."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles.jobs import FAULTY, GENEROUS, Share, left_half, picture, png
from goldsmith.engines.registry import hash_notes
from goldsmith.files import Filesystem, PathAt
from goldsmith.jobs.job import Job, JobProgress, Outcome, OutputFile
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.library.library import Library
from goldsmith.picture.codec import decode, decode_mask
from goldsmith.picture.memory_budget import MemoryBudget
from goldsmith.worker.engine_provider import EngineProvider, to_json
from goldsmith.worker.job_runner import run_job, step_seed
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.step_context import StepRecorder, WorkerLibrary

PROVIDER = EngineProvider(FAULTY, WorkerSpec(queue="cpu"))
Step = tuple[str, dict[str, Any]]


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def run(
    job: Job, *, provider: EngineProvider = PROVIDER, fs: Filesystem | None = None, cancelled: Callable[[], bool] = lambda: False
) -> Outcome:
    return run_job(job, provider, lambda progress: None, cancelled, fs)


def output_of(outcome: Outcome, role: str) -> OutputFile:
    """Return the only output with this role."""
    (output,) = [output for output in outcome.outputs if output.role == role]
    return output


def job_with_mask(share: Share, *steps: Step, mask: Any = None, name: str = "mask", role: str = "mask", **fields: Any) -> Job:
    """Return a job on a picture with one mask."""
    share.put("inbox/hero.png", png(picture()))
    file = "hero.mask.png" if name == "mask" else f"hero.mask.{name}.png"
    share.put(f"inbox/{file}", png(left_half() if mask is None else mask))
    return share.job(*steps, inputs=[share.job_input("inbox/hero.png"), share.job_input(f"inbox/{file}", role, name)], **fields)


def test_a_second_remark_of_a_step_is_added_to_the_first() -> None:
    """Other findings of a name replace those before."""
    recorder = StepRecorder()
    for findings in ({"remark": "soft", "ppi": 90}, {"ppi": 80}, {"remark": "cut"}):
        recorder.add_findings(findings)
    assert recorder.findings == {"remark": "soft; cut", "ppi": 80}


def test_a_job_without_steps_passes_the_file_on_unchanged(share: Share) -> None:
    """The file is hashed and verified, and a byte-for-byte copy is kept for the archive."""
    job = share.job()
    outcome = run(job)
    data = (share.root / "inbox/hero.png").read_bytes()
    assert (outcome.fault, outcome.is_unchanged, outcome.outputs) == (None, True, ())
    assert Path(outcome.original_copy).read_bytes() == data
    assert [(read.sha256, read.sig) for read in outcome.reads] == [(hashlib.sha256(data).hexdigest(), job.asset.sig)]
    assert (outcome.facts["width"], outcome.facts["height"], outcome.facts["format"]) == (12, 8, "png")


def test_a_picture_that_the_daemon_published_is_not_copied_for_the_archive(share: Share) -> None:
    """The original was archived when a person brought the picture."""
    job = share.job()
    known = job.asset.model_copy(update={"sha256": hashlib.sha256((share.root / "inbox/hero.png").read_bytes()).hexdigest()})
    outcome = run(job.model_copy(update={"inputs": (known,)}))
    assert (outcome.is_unchanged, outcome.original_copy, outcome.fault) == (True, "", None)


def test_steps_that_change_nothing_pass_the_file_on_unchanged(share: Share) -> None:
    """The record has the neutral step, and no file is encoded again."""
    outcome = run(share.job(("pass", {"say": "fine"})))
    assert (outcome.is_unchanged, outcome.outputs) == (True, ())
    assert outcome.steps[0].findings == {"said": "fine", "seed": step_seed(0, 1), "number": 0.5, "nothing": None}
    assert outcome.steps[0].settings == {"say": "fine"}


@pytest.mark.parametrize("depth", [8, 16])
def test_a_changed_picture_is_written_at_its_own_depth(share: Share, depth: int) -> None:
    """The output is a PNG with its hash and size, and every code is as computed."""
    share.put("inbox/hero.png", png(picture(depth=depth), depth))
    output = output_of(run(share.job(("invert", {}))), "picture")
    data = Path(output.path).read_bytes()
    decoded = decode(data, "out.png", 10_000)
    assert (output.tail, output.size, output.sha256) == (".png", len(data), hashlib.sha256(data).hexdigest())
    assert (decoded.depth, output.facts["depth"]) == (depth, depth)
    assert np.array_equal(decoded.to_codes(), (2**depth - 1) - np.rint(picture(depth=depth) * (2**depth - 1)).astype(np.uint16))


def test_the_same_job_gives_the_same_bytes(share: Share) -> None:
    """Only seed, step and picture matter; another seed gives other bytes."""
    hashes = [output_of(run(job_with_mask(share, ("fill", {}), seed=seed)), "picture").sha256 for seed in (3, 3, 4)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_every_step_has_a_seed_of_its_own() -> None:
    """Seeds are 31 bits, and neither neighbouring steps nor neighbouring jobs share one."""
    seeds = {step_seed(seed, number) for seed in range(20) for number in range(1, 20)}
    assert len(seeds) == 20 * 19
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_record_has_the_count_of_changes_outside_the_mask(share: Share) -> None:
    """The worker counts the changes, and the mask is consumed."""
    outcome = run(job_with_mask(share, ("fill", {})))
    assert outcome.steps[0].findings == {"outside_pixels": 8 * 6, "outside_changed": 0}
    assert (outcome.consumed_masks, outcome.consumed_files) == (("mask",), ("inbox/hero.mask.png",))
    after = decode(Path(output_of(outcome, "picture").path).read_bytes(), "out.png", 10_000)
    assert np.array_equal(after.to_codes()[:, 6:], decode(png(picture()), "in.png", 10_000).to_codes()[:, 6:])


def test_a_result_with_changes_outside_the_mask_is_discarded(share: Share) -> None:
    """One pixel is enough, and the sentence gives the number."""
    mask = np.zeros((8, 12), np.float32)
    mask[4:, 2:7] = 1.0
    outcome = run(job_with_mask(share, ("fill", {"spill": 3}), mask=mask))
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert outcome.fault.sentence.startswith("edit.1 (fill): It changed 3 pixels of hero.png outside the mask")
    assert outcome.outputs == ()


def test_masks_of_a_name_are_united_and_its_keep_file_is_removed(share: Share) -> None:
    """The region is mask 1 or mask 2, without the white part of the keep file."""
    rows, columns, keep = (np.zeros((8, 12), np.float32) for _ in range(3))
    rows[:2], columns[:, :2], keep[:, 6:] = 1.0, 1.0, 1.0
    share.put("inbox/hero.png", png(picture()))
    inputs = [share.job_input("inbox/hero.png")]
    for name, role, mask in (("hero_mask001.png", "mask", rows), ("hero_mask002.png", "mask", columns), ("hero.keep.png", "keep", keep)):
        share.put(f"inbox/{name}", png(mask))
        inputs.append(share.job_input(f"inbox/{name}", role, "mask"))
    outcome = run(share.job(("fill", {}), inputs=inputs))
    changed = np.maximum(rows, columns) * (1 - keep)
    assert outcome.steps[0].findings["outside_pixels"] == int((changed == 0).sum())
    assert outcome.consumed_files == ("inbox/hero_mask001.png", "inbox/hero_mask002.png", "inbox/hero.keep.png")


def test_a_keep_alone_is_an_inverted_mask(share: Share) -> None:
    """Unlike a mask, it may cover most of the picture."""
    keep = np.ones((8, 12), np.float32)
    keep[2:4, 2:4] = 0.0
    outcome = run(job_with_mask(share, ("fill", {}), mask=keep, role="keep"))
    assert outcome.fault is None
    assert outcome.steps[0].findings["outside_pixels"] == 8 * 12 - 4


def test_an_unused_mask_goes_on_unchanged(share: Share) -> None:
    """The file of the mask moves on, so no mask is written or consumed."""
    outcome = run(job_with_mask(share, ("invert", {})))
    assert [output.role for output in outcome.outputs] == ["picture"]
    assert (outcome.consumed_files, outcome.consumed_masks) == ((), ())


@pytest.mark.parametrize(("name", "tail"), [("mask", ".mask.png"), ("dress", ".mask.dress.png")])
def test_an_unused_mask_is_mapped_when_the_geometry_changes(share: Share, name: str, tail: str) -> None:
    """The mask is written with 16 bits at the new size, and its old file is consumed."""
    job = job_with_mask(share, ("double", {}), name=name)
    outcome = run(job)
    output = output_of(outcome, "mask")
    assert output.tail == tail
    mask = decode_mask(Path(output.path).read_bytes(), "mask.png", 10_000)
    assert np.array_equal(mask, left_half().repeat(2, 0).repeat(2, 1))
    assert (outcome.consumed_files, outcome.consumed_masks) == ((job.inputs[1].path,), ())


def test_a_missing_mask_is_named_in_the_note(share: Share) -> None:
    """The note has the name of the file to paint."""
    outcome = run(share.job(("fill", {"mask": "dress"})))
    assert outcome.fault is not None
    assert "hero.mask.dress.png" in outcome.fault.sentence


def test_a_bad_mask_is_refused_before_any_step_runs(share: Share) -> None:
    """The fault has the path of the mask's file."""
    outcome = run(job_with_mask(share, ("raise", {}), mask=np.zeros((8, 12), np.float32)))
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.path) == ("problem", "inbox/hero.mask.png")


@pytest.mark.parametrize(("deliver", "roles"), [(True, ["deliverable", "deliverable"]), (False, ["deliverable", "deliverable", "picture"])])
def test_deliverables_replace_the_picture_only_in_the_last_stage(share: Share, deliver: bool, roles: list[str]) -> None:
    """In an earlier stage the picture moves on beside the deliverables."""
    outcome = run(share.job(("invert", {}), ("files", {"names": ["web", "print"]}), deliver=deliver))
    assert [output.role for output in outcome.outputs] == roles
    assert [output.tail for output in outcome.outputs[:2]] == ["_web.txt", "_print.txt"]
    assert Path(outcome.outputs[0].path).read_bytes() == b"web"
    assert outcome.outputs[0].facts == {"width": 12}


def test_two_deliverables_of_the_same_name_are_refused(share: Share) -> None:
    """Names are compared without case, since shares are."""
    outcome = run(share.job(("files", {"names": ["web", "WEB"]}), deliver=True))
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert "_WEB.txt" in outcome.fault.sentence


def test_a_look_beside_the_picture_takes_precedence_over_the_library(share: Share) -> None:
    """The look has the picture's stem as its name and is consumed, and the record has its hash."""
    share.put("library/looks/hero.cube", b"the library's")
    share.put("inbox/hero.png", png(picture()))
    share.put("inbox/hero.cube", b"its own")
    own = [share.job_input("inbox/hero.png"), share.job_input("inbox/hero.cube", "look")]
    outcome = run(share.job(("look", {"name": "hero"}), inputs=own))
    assert outcome.steps[0].findings["text"] == "its own"
    assert outcome.steps[0].findings["references"] == {"hero.cube": hashlib.sha256(b"its own").hexdigest()}
    assert outcome.consumed_files == ("inbox/hero.cube",)
    assert run(share.job(("look", {"name": "hero"}))).steps[0].findings["text"] == "the library's"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "linked", "warn-amber"])
def test_a_reference_never_leaves_its_folder(share: Share, name: str) -> None:
    """Relative and absolute paths, and links out of the folder, count as unknown names. For a misspelt name the nearest is given."""
    share.put("library/secret.cube", b"secret")
    share.put("library/looks/warm-amber.cube", b"amber")
    (share.root / "library/looks/linked.cube").symlink_to(share.root / "library/secret.cube")
    outcome = run(share.job(("look", {"name": name})))
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert name != "warn-amber" or "warm-amber" in outcome.fault.remedy


def test_a_job_on_an_overwritten_file_ends_as_changed(share: Share) -> None:
    """The file is no longer the one that the intake saw. The daemon starts a new job, so no picture is at fault."""
    job = share.job()
    share.put("inbox/hero.png", png(picture(seed=9)))
    outcome = run(job)
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.path) == ("changed", "inbox/hero.png")


def test_a_job_on_a_removed_file_ends_as_changed(share: Share) -> None:
    """The same happens if the folder is removed."""
    job = share.job()
    (share.root / "inbox/hero.png").unlink()
    assert getattr(run(job).fault, "kind", "") == "changed"
    (share.root / "inbox").rmdir()
    assert getattr(run(job).fault, "kind", "") == "changed"


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_only_regular_files_are_opened(share: Share, kind: str) -> None:
    """A FIFO would block, and a link would lead elsewhere."""
    job = share.job()
    path = share.root / "inbox/hero.png"
    path.rename(share.root / "elsewhere.png")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(share.root / "elsewhere.png")
    else:
        path.mkdir()
    outcome = run(job)
    assert outcome.fault is not None
    assert outcome.fault.kind in ("problem", "changed")
    assert "hero.png" in outcome.fault.sentence


def test_a_picture_that_ends_too_soon_is_incomplete(share: Share) -> None:
    """The picture may still be arriving."""
    share.put("inbox/hero.png", png(picture(64, 64))[:-400])
    outcome = run(share.job())
    assert outcome.fault is not None
    assert (outcome.fault.kind, outcome.fault.path) == ("incomplete", "inbox/hero.png")
    assert len(outcome.reads) == 1


def test_a_file_too_large_for_the_worker_is_not_read(share: Share) -> None:
    """The file is refused before a byte of it is in memory."""
    job = share.job(limits=GENEROUS.model_copy(update={"max_memory_bytes": 500}))
    assert "at most 250 bytes" in getattr(run(job).fault, "sentence", "")


def test_a_worker_validates_all_settings_again(share: Share) -> None:
    """The worker does not trust the queue. Unknown operations and wrong values together are one fault."""
    outcome = run(share.job(("nope", {}), ("fill", {"spill": "many", "x": 1})))
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    assert [line.split(" ")[0] for line in outcome.fault.sentence.splitlines()] == ["edit.1:", "edit.2.spill", "edit.2.x"]


@pytest.mark.parametrize(("role", "name"), [("look", "hero.cube"), ("layer", "hero.layer.sky.png"), ("picture", "hero.png")])
def test_an_input_of_a_terabyte_is_refused_by_its_size(share: Share, role: str, name: str) -> None:
    """It is not read, and the sentence has the file, its size and the limit."""
    share.put("inbox/hero.png", png(picture()))
    os.truncate(share.put(f"inbox/{name}", b""), 1 << 40)
    inputs = [share.job_input("inbox/hero.png"), *([] if role == "picture" else [share.job_input(f"inbox/{name}", role, "sky")])]
    fault = run(share.job(("pass", {}), inputs=inputs)).fault
    assert fault is not None
    assert (fault.kind, fault.path) == ("problem", f"inbox/{name}")
    limit = "64 MiB" if role == "look" else "32,768 MiB"
    assert fault.sentence == f"{name} has 1,048,576 MiB; a file of this kind has at most {limit}."


@pytest.mark.parametrize("folder", ["looks", "plates"])
def test_a_library_file_of_a_terabyte_is_the_pictures_problem(share: Share, folder: str) -> None:
    """No worker dies of it."""
    step: Step = ("look", {"name": "huge"}) if folder == "looks" else ("composite", {"layers": [{"from": "huge"}]})
    provider = PROVIDER if folder == "looks" else EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu"))
    name = "huge.cube" if folder == "looks" else "huge.png"
    os.truncate(share.put(f"library/{folder}/{name}", b""), 1 << 40)
    fault = run(share.job(step), provider=provider).fault
    assert fault is not None
    assert fault.kind == "problem"
    assert f"library/{folder}/{name} has 1,048,576 MiB" in fault.sentence


def test_a_lora_is_read_once_for_all_steps(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step records the same hash; only a changed file is read again. The step gets the file's own path, not a copy."""
    path = share.put("library/loras/brand.safetensors", b"tensors")
    share.put("inbox/hero.png", png(picture()))
    reads: list[object] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hash_notes.hashlib, "file_digest", lambda source, name: reads.append(source) or digest(source, name))

    def recorded_hash() -> str:
        recorder = StepRecorder()
        library = WorkerLibrary(
            job=share.job(),
            library=Library(share.root),
            reads={},
            scratch_folder=ScratchFolder(share.root / "scratch", Filesystem()),
            memory_budget=MemoryBudget(2**30),
            recorder=recorder,
        )
        assert library.file("loras", "brand", (".safetensors",)) == path
        references = recorder.findings["references"]
        assert isinstance(references, dict)
        return str(references["loras/brand.safetensors"])

    assert {recorded_hash() for _ in range(3)} == {hashlib.sha256(b"tensors").hexdigest()}
    assert len(reads) == 1
    path.write_bytes(b"others")
    assert recorded_hash() == hashlib.sha256(b"others").hexdigest()
    assert len(reads) == 2


def test_a_withdrawn_job_stops_at_its_next_report(share: Share) -> None:
    """A step is cancelled when it reports progress."""
    reports: list[JobProgress] = []
    outcome = run_job(share.job(("report", {})), PROVIDER, reports.append, lambda: len(reports) > 5)
    assert outcome.fault is not None
    assert outcome.fault.kind == "cancelled"
    assert len(reports) < 10


def test_an_engine_is_opened_by_its_name_and_recorded(share: Share) -> None:
    """A cold start is announced once. The record has the name, the licence and the threads."""
    models = share.put("models.toml", b'[models.nothing]\nkind = "inpaint"\ndriver = "null"\nlicence = "CC0-1.0"\n')
    provider = EngineProvider(
        WorkerConfig(catalogue=FAULTY.catalogue, models_file=str(models), weights_folder=str(share.root)), WorkerSpec(queue="cpu")
    )
    reports: list[JobProgress] = []
    outcomes = [run_job(share.job(("grab", {"model": "nothing"})), provider, reports.append, lambda: False) for _ in range(2)]
    assert [progress.note for progress in reports if progress.note] == ["loading nothing"]
    engine = outcomes[0].steps[0].engine
    assert engine is not None
    assert (engine["name"], engine["licence"], engine["threads"]) == ("nothing", "CC0-1.0", 1)


def test_an_unknown_model_is_a_fault_of_the_brief(share: Share) -> None:
    """The remedy has the nearest existing name."""
    models = share.put("models.toml", b'[models.nothing]\nkind = "inpaint"\ndriver = "null"\nlicence = "CC0-1.0"\n')
    provider = EngineProvider(
        WorkerConfig(catalogue=FAULTY.catalogue, models_file=str(models), weights_folder=str(share.root)), WorkerSpec(queue="cpu")
    )
    fault = run(share.job(("grab", {"model": "noting"})), provider=provider).fault
    assert fault is not None
    assert (fault.kind, "nothing" in fault.remedy) == ("problem", True)


class FailingFilesystem(Filesystem):
    """A filesystem that fails at the named call."""

    def __init__(self, call: str, number: int) -> None:
        self._call, self._number = call, number

    def _fail(self, call: str) -> None:
        if call == self._call:
            raise OSError(self._number, os.strerror(self._number))

    def create(self, at: PathAt) -> int:
        self._fail("create")
        return super().create(at)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._fail("write")
        return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._fail("fsync")
        super().fsync(fd)

    def fsync_dir(self, folder: int) -> None:
        self._fail("fsync_dir")
        super().fsync_dir(folder)


@pytest.mark.parametrize("call", ["create", "write", "fsync", "fsync_dir"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_cannot_store_the_result_is_a_host_fault(share: Share, call: str, number: int) -> None:
    """The job is not at fault and has no result, whichever call fails."""
    outcome = run(share.job(("invert", {})), fs=FailingFilesystem(call, number))
    assert outcome.fault is not None
    assert outcome.fault.kind == "machine"
    assert os.strerror(number) in outcome.fault.sentence
    assert outcome.outputs == ()


def test_every_result_is_fsynced_and_then_its_folder(share: Share) -> None:
    """The outcome is sent afterwards."""
    calls: list[str] = []

    class RecordingFilesystem(Filesystem):
        def fsync(self, fd: int) -> None:
            calls.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
            super().fsync(fd)

        def fsync_dir(self, folder: int) -> None:
            calls.append("folder")
            super().fsync_dir(folder)

    job = share.job(("invert", {}), ("files", {}))
    outcome = run(job, fs=RecordingFilesystem())
    assert calls == [*(Path(output.path).name for output in outcome.outputs), "folder"]


def test_a_second_attempt_finds_no_files_of_the_first(share: Share) -> None:
    """The scratch folder is created again."""
    job = share.job(("invert", {}))
    leftover = Path(job.scratch) / "deep" / "left.txt"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("half")
    assert run(job).fault is None
    assert sorted(path.name for path in Path(job.scratch).iterdir()) == ["000.png"]


def test_a_picture_whose_name_is_not_unicode_is_processed(share: Share) -> None:
    """Undecodable bytes are surrogates in a name."""
    name = os.fsdecode(b"inbox/h\xff.png")
    share.put(name, png(picture()))
    outcome = run(share.job(("invert", {}), inputs=[share.job_input(name)], stem=os.fsdecode(b"h\xff")))
    assert outcome.fault is None
    assert outcome.reads[0].path == name


def test_findings_become_plain_json() -> None:
    """Numpy's numbers and arrays, tuples and other objects become JSON values, and NaN becomes None."""
    findings = {"a": np.float32(0.5), "b": np.arange(2), "c": (1, float("nan")), "d": {"e": np.bool_(True)}, "f": Path("x")}
    assert to_json(findings) == {"a": 0.5, "b": [0, 1], "c": [1, None], "d": {"e": True}, "f": "x"}
