"""The check of what a worker process says. A worker decodes strangers' files, so its messages are checked like a stranger's form.

Here the words are checked: names, paths, counts and texts. ``outcome_files`` checks the files that an outcome names.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from goldsmith.files import display_name, fold_name, is_ignored_file
from goldsmith.jobs.job import (
    MAX_STORED_LOOK_BYTES,
    InputRead,
    Job,
    JobFault,
    JobProgress,
    KeptPart,
    Outcome,
    OutputFile,
    StepResult,
)
from goldsmith.jobs.job_faults import MAX_DETAIL_CHARS
from goldsmith.jobs.names import CANDIDATES_SHEET_TAIL, REVIEW_SHEET_TAIL, mask_tail
from goldsmith.jobs.protocol import ModelsMessage
from goldsmith.picture.formats.table import FORMATS

MAX_SENTENCE_CHARS = 2000
MAX_NOTE_CHARS = 300
MAX_OUTPUTS = 1000
MAX_TAIL_BYTES = 80
# Bytes of JSON that findings, facts, engines, settings and environment of one outcome may have together.
MAX_RECORD_BYTES = 2**20
# Names of the daemon's own files: a result with such a name would pass for a record or a note.
DAEMON_SUFFIXES = (".manifest.json", ".problem.txt", ".problem.jpg")
# In a stage's folder a file with such a name is an instruction, and no worker gives instructions.
INSTRUCTION_SUFFIXES = (".toml", ".txt")

_CANDIDATE_TAIL = re.compile(r"_candidate\d{3,4}\.[a-z]+")
_MAX_NAME_CHARS = 200
# A word of IPTC's vocabulary; it becomes part of an address in content credentials.
_SOURCE_TYPE = re.compile("[A-Za-z]{0,60}")
_PART_KEY = re.compile("[0-9a-f]{32}")
_SHA256 = re.compile("[0-9a-f]{64}")
# The ids of a picture file: its instance, its document, and those of the file that it was derived from.
_MAX_IDS = 4
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_MODELS = 100
_TAIL_STARTS = (".", "_", "-")
# Faults whose outcome says which inputs were read; with any other fault, the reads are of no use.
_HEX = re.compile(r"[0-9a-f]*")
_KINDS_WITH_READS = frozenset({"problem", "incomplete"})


class OutcomeRefused(Exception):
    """A worker process sent something that no honest worker sends. ``reason`` completes a sentence; ``detail`` is for the log."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def check_outcome(job: Job, outcome: Outcome) -> Outcome:
    """Return the outcome of this job with clean texts. Raises OutcomeRefused if an honest worker cannot have sent it."""
    _check_numbers(outcome)
    _check_reads(job, outcome)
    _check_identities(outcome)
    if outcome.fault is not None:
        fault = _checked_fault(job, outcome.fault)
        reads = outcome.reads if fault.kind in _KINDS_WITH_READS else ()
        return Outcome(job_id=job.id, fault=fault, reads=reads, seconds=outcome.seconds)
    _check_results(job, outcome)
    _check_looks(job, outcome)
    _check_consumed(job, outcome)
    _check_steps(job, outcome)
    _check_record_size(outcome)
    return outcome.model_copy(
        update={
            "outputs": tuple(output.model_copy(update={"facts": _clean_record(output.facts)}) for output in outcome.outputs),
            "steps": tuple(_clean_step(step) for step in outcome.steps),
            "environment": _clean_record(outcome.environment),
            "facts": _clean_record(outcome.facts),
            "identity": outcome.identity.model_copy(update={"program": clean_text(outcome.identity.program, _MAX_NAME_CHARS)}),
            "verified_sigs": {},
        }
    )


def check_progress(job: Job, progress: JobProgress) -> JobProgress:
    """Return the progress of this job with a clean note. Raises OutcomeRefused if the job has no such step."""
    ops = ("", *(step.op for step in job.steps))
    if not 0 <= progress.step < len(ops) or progress.op not in ("", ops[progress.step]) or not 0.0 <= progress.fraction <= 1.0:
        raise OutcomeRefused("it reports progress in a step that the job does not have", repr(progress)[:MAX_DETAIL_CHARS])
    return progress.model_copy(update={"note": clean_text(progress.note, MAX_NOTE_CHARS)})


def check_part(job: Job, part: KeptPart) -> None:
    """Raise OutcomeRefused if an honest worker cannot have finished such a part of this job."""
    is_wellformed = _PART_KEY.fullmatch(part.key) and _SHA256.fullmatch(part.sha256) and 0 < part.size <= job.limits.max_memory_bytes
    if not is_wellformed or not job.keeps_parts or len(job.kept) >= MAX_OUTPUTS:
        raise OutcomeRefused("it reports a finished part that the job cannot have", repr(part)[:MAX_DETAIL_CHARS])


def clean_models(models: ModelsMessage) -> ModelsMessage:
    """Return the message with clean names."""
    loaded = tuple(clean_text(name, _MAX_NAME_CHARS) for name in models.loaded[:_MAX_MODELS])
    return ModelsMessage(loaded=loaded, loading=clean_text(models.loading, _MAX_NAME_CHARS))


def clean_text(text: str, max_chars: int) -> str:
    """Return the text as one line that is safe in a note and on a terminal, with at most ``max_chars`` characters."""
    if len(text) > max_chars:
        text = text[: max_chars - 1] + "…"
    return _as_one_line(text)


def scratch_name(job: Job, path: str) -> str:
    """Return the name of a file in the job's scratch folder. Raises OutcomeRefused unless ``path`` is directly in that folder."""
    folder, name = os.path.split(path)
    if folder != job.scratch or name in ("", ".", "..") or not (name.isascii() and name.isprintable()):
        raise OutcomeRefused("it names a file that is not in the job's own scratch folder", repr(path)[:MAX_DETAIL_CHARS])
    return name


# ---------------------------------------------------------------------- the parts of an outcome


def _check_numbers(outcome: Outcome) -> None:
    durations = (outcome.seconds, *(step.seconds for step in outcome.steps))
    if not all(math.isfinite(seconds) and seconds >= 0 for seconds in durations) or any(output.size < 0 for output in outcome.outputs):
        raise OutcomeRefused("it has an impossible time or size")


def _check_reads(job: Job, outcome: Outcome) -> None:
    """Require the reads to be the job's inputs, each once and as the intake saw it; after a fault, some of them."""
    inputs = {source.path: source for source in job.inputs}
    reads = {read.path: read for read in outcome.reads}
    if len(reads) != len(outcome.reads) or not reads.keys() <= inputs.keys():
        raise OutcomeRefused("it claims to have read a file that is no input of the job", _describe_paths(outcome.reads))
    if outcome.fault is None and reads.keys() != inputs.keys():
        raise OutcomeRefused("it has not read every input of the job", _describe_paths(outcome.reads))
    for path, read in reads.items():
        known_hash = inputs[path].sha256
        if read.format and not (read.format in FORMATS and FORMATS[read.format].reader):
            raise OutcomeRefused("it names a format that is not read", repr(read)[:MAX_DETAIL_CHARS])
        if read.sig != inputs[path].sig or (known_hash and read.sha256 != known_hash):
            raise OutcomeRefused(f"it describes the input {display_name(os.path.basename(path))} wrongly", repr(read)[:MAX_DETAIL_CHARS])


def _check_identities(outcome: Outcome) -> None:
    """Require ids that are UUIDs as this program writes them."""
    ids = [*outcome.identity.ids, *(output.document_id for output in outcome.outputs if output.document_id)]
    if len(outcome.identity.ids) > _MAX_IDS or not all(map(_UUID.fullmatch, ids)):
        raise OutcomeRefused("it names an id that is none", repr(ids)[:MAX_DETAIL_CHARS])


def _check_looks(job: Job, outcome: Outcome) -> None:
    """Require looks that the journal can hold, and a likeness to versions about which the job was asked."""
    looks = [output.look for output in outcome.outputs]
    if any(len(look) > 2 * MAX_STORED_LOOK_BYTES or len(look) % 2 or not _HEX.fullmatch(look) for look in looks):
        raise OutcomeRefused("it describes the look of a result in a way that nobody can store")
    if not set(outcome.identity.alike) <= {known.sha256 for known in job.known_looks}:
        raise OutcomeRefused(
            "it finds a likeness to a picture that it was not asked about", repr(outcome.identity.alike)[:MAX_DETAIL_CHARS]
        )


def _describe_paths(reads: Iterable[InputRead]) -> str:
    return repr([read.path for read in reads])[:MAX_DETAIL_CHARS]


def _checked_fault(job: Job, fault: JobFault) -> JobFault:
    if fault.path not in ("", *(source.path for source in job.inputs)):
        raise OutcomeRefused("it blames a file that is no input of the job", repr(fault.path)[:MAX_DETAIL_CHARS])
    if fault.preview_path:
        scratch_name(job, fault.preview_path)
    return fault.model_copy(
        update={
            "sentence": clean_text(fault.sentence, MAX_SENTENCE_CHARS),
            "remedy": clean_text(fault.remedy, MAX_SENTENCE_CHARS),
            "detail": fault.detail[-MAX_DETAIL_CHARS:].encode("utf-8", "replace").decode(),
        }
    )


def _check_results(job: Job, outcome: Outcome) -> None:
    """Require results that a job of this kind has, each with a name and a file of its own."""
    outputs = outcome.outputs
    if len(outputs) > MAX_OUTPUTS:
        raise OutcomeRefused(f"it has {len(outputs)} results, and a job may have {MAX_OUTPUTS}")
    pictures = sum(output.role == "picture" for output in outputs)
    is_delivered = job.deliver and any(output.role == "deliverable" for output in outputs)
    has_candidates = not job.deliver and any(output.role == "candidate" for output in outputs)
    if outcome.is_unchanged:
        is_complete = pictures == 0 and not job.is_lone_brief
    else:
        is_complete = pictures == 1 - has_candidates or (pictures == 0 and is_delivered)
    if not is_complete or (outcome.original_copy and not outcome.is_unchanged):
        raise OutcomeRefused("its results are not those of one picture", f"{pictures} pictures of {len(outputs)} results")
    mask_tails = sorted(output.tail for output in outputs if output.role == "mask")
    if job.finds_masks and (not outcome.is_unchanged or mask_tails != sorted(map(mask_tail, job.finds_masks.values()))):
        raise OutcomeRefused("its masks are not those that it was to find", repr(mask_tails)[:MAX_DETAIL_CHARS])
    for output in outputs:
        _check_tail(job, output)
    if len({fold_name(output.tail) for output in outputs}) != len(outputs):
        raise OutcomeRefused("two of its results have the same name", repr([output.tail for output in outputs])[:MAX_DETAIL_CHARS])
    paths = [output.path for output in outputs] + ([outcome.original_copy] if outcome.original_copy else [])
    if len({scratch_name(job, path) for path in paths}) != len(paths):
        raise OutcomeRefused("two of its results are the same file", repr(paths)[:MAX_DETAIL_CHARS])


def _check_tail(job: Job, output: OutputFile) -> None:
    """Require a plain, short end of a name that means neither an instruction nor a file of the daemon's."""
    tail = output.tail
    folded = tail.casefold()
    reserved = DAEMON_SUFFIXES if job.deliver and output.role == "deliverable" else DAEMON_SUFFIXES + INSTRUCTION_SUFFIXES
    is_plain = tail.startswith(_TAIL_STARTS) and "/" not in tail and "\0" not in tail and tail.rpartition(".")[2] != ""
    if not is_plain or folded.endswith(reserved) or is_ignored_file(f"a{tail}"):
        raise OutcomeRefused("one of its results has a name that no result has", repr(tail)[:MAX_DETAIL_CHARS])
    if (output.role == "review") != (tail in _review_tails(job)):
        raise OutcomeRefused("one of its results has a name that no result has", repr(tail)[:MAX_DETAIL_CHARS])
    if output.role == "review":
        return  # the daemon chose this name
    if output.role == "candidate" and not (_CANDIDATE_TAIL.fullmatch(tail) and tail.endswith(FORMATS[job.working].written_suffixes)):
        raise OutcomeRefused("one of its candidates has a name that no candidate has", repr(tail)[:MAX_DETAIL_CHARS])
    if output.role == "picture" and tail not in FORMATS[job.working].written_suffixes:
        raise OutcomeRefused(f"its picture is no {job.working}", repr(tail)[:MAX_DETAIL_CHARS])
    if output.role == "mask":
        if not (tail == ".mask.png" or (tail.startswith(".mask.") and tail.endswith(".png"))):
            raise OutcomeRefused("one of its masks has a name that no mask has", repr(tail)[:MAX_DETAIL_CHARS])
        if fold_name(tail.removeprefix(".mask.").removesuffix(".png")) in {
            fold_name(name) for name in (*(source.name for source in job.inputs), *job.finds_masks.values())
        }:
            return  # a person chose this name, and it moves on as it is
    if output.role == "layer" and not (tail.startswith(".layer.") and tail.endswith(".png")):
        raise OutcomeRefused("one of its layers has a name that no layer has", repr(tail)[:MAX_DETAIL_CHARS])
    if len(os.fsencode(tail)) > MAX_TAIL_BYTES or display_name(tail) != tail:
        raise OutcomeRefused("one of its results has a name that no result has", repr(tail)[:MAX_DETAIL_CHARS])


def _review_tails(job: Job) -> set[str]:
    """Return the names that the files of a review have."""
    return set() if job.review is None else {REVIEW_SHEET_TAIL, CANDIDATES_SHEET_TAIL, *job.review.values()}


def _check_consumed(job: Job, outcome: Outcome) -> None:
    paths = {source.path for source in job.inputs}
    names = {source.name or "mask" for source in job.inputs if source.role in ("mask", "keep")}
    if not set(outcome.consumed_files) <= paths:
        raise OutcomeRefused("it has used a file that is no input of the job", repr(outcome.consumed_files)[:MAX_DETAIL_CHARS])
    if not set(outcome.consumed_masks) <= names:
        raise OutcomeRefused("it has used a mask that the job does not have", repr(outcome.consumed_masks)[:MAX_DETAIL_CHARS])


def _check_steps(job: Job, outcome: Outcome) -> None:
    if [step.op for step in outcome.steps] != [step.op for step in (() if job.finds_masks else job.steps)]:
        raise OutcomeRefused("it has not run the steps of the job", repr([step.op for step in outcome.steps])[:MAX_DETAIL_CHARS])
    for step in outcome.steps:
        if not _SOURCE_TYPE.fullmatch(step.source_type):
            raise OutcomeRefused("it says of a step that it made what no step makes", repr(step.source_type)[:MAX_DETAIL_CHARS])
    # Settings are recorded as they are, since a replay needs them exactly. So their hidden characters must be those of the brief.
    written = {"\n", "\t"}.union(job.prompt, *(text for step in job.steps for text in _texts(step.settings)))
    for text in (text for step in outcome.steps for text in _texts(step.settings)):
        if not set(text) - set(display_name(text)) <= written:
            raise OutcomeRefused("its settings have hidden characters that the brief does not have", repr(text)[:MAX_DETAIL_CHARS])


def _texts(value: JsonValue) -> Iterator[str]:
    """Yield every text in a value of a record, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield name
            yield from _texts(entry)


def _check_record_size(outcome: Outcome) -> None:
    """Require texts that fit into a record; the manifest repeats them at every stage that follows."""
    steps = [(step.settings, step.findings, step.engine, step.picture_hash) for step in outcome.steps]
    record = [outcome.facts, outcome.environment, outcome.consumed_masks, steps, [output.facts for output in outcome.outputs]]
    try:
        size = len(json.dumps(record, allow_nan=False))
    except ValueError as error:
        raise OutcomeRefused("its facts hold a number that is none", str(error)) from error
    if size > MAX_RECORD_BYTES:
        raise OutcomeRefused(f"its facts have {size / 2**20:.1f} MB, and a record has room for {MAX_RECORD_BYTES / 2**20:.0f} MB")


def _clean_step(step: StepResult) -> StepResult:
    """Return the step with clean texts. The settings stay as they are."""
    engine = None if step.engine is None else _clean_record(step.engine)
    picture_hash = clean_text(step.picture_hash, _MAX_NAME_CHARS)
    return step.model_copy(update={"findings": _clean_record(step.findings), "engine": engine, "picture_hash": picture_hash})


def _clean_record(record: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {clean_text(name, MAX_SENTENCE_CHARS): _clean_value(value) for name, value in record.items()}


def _clean_value(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _as_one_line(value)
    if isinstance(value, list):
        return [_clean_value(entry) for entry in value]
    if isinstance(value, dict):
        return _clean_record(value)
    return value


def _as_one_line(text: str) -> str:
    return display_name(" ".join(text.splitlines()).replace("\t", " "))
