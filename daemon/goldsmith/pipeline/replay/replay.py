"""Runs a delivery again, stage by stage, in a separate folder. Each stage works on the results of the one before.

The stages' folders and the journal are not changed. Only workers decode files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from goldsmith.brief.steps import Step
from goldsmith.errors import InputError
from goldsmith.files import MACHINE_ERRNOS, FileSignature, display_name
from goldsmith.jobs.job import Job, JobInput, Outcome, RemovalRecord, StepSpec
from goldsmith.picture.formats.table import matching_suffix
from goldsmith.pipeline.replay.comparison import DeliveryComparison
from goldsmith.pipeline.replay.foreground_runner import ForegroundRunner, OnStageProgress
from goldsmith.pipeline.replay.manifest_reader import (
    InputRecord,
    OutputRecord,
    StageRecord,
    StepRecord,
    ValidatedManifest,
    archived_paths,
)
from goldsmith.pipeline.replay.report import ReplayReport, StageRerun, build_report
from goldsmith.pipeline.replay.sources import MissingSource, ReplaySources
from goldsmith.pipeline.scheduler.limits import JobLimits
from goldsmith.pipeline.stage_work import removals_of
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.root_folder import RootFolder


class Replay:
    """The replay of one manifest.

    ``delivery_folder`` holds the manifest and the deliverables. ``workers`` have the operations of
    ``compare_operation.CATALOGUE_ENTRY_POINT``. ``work_folder`` is an empty folder for all new files.
    """

    def __init__(
        self,
        root: Path,
        manifest: ValidatedManifest,
        delivery_folder: Path,
        workers: WorkerPools,
        job_limits: JobLimits,
        work_folder: Path,
        on_progress: OnStageProgress,
    ) -> None:
        self._manifest = manifest
        self._job_limits = job_limits
        self._work_folder = work_folder
        self._runner = ForegroundRunner(workers, on_progress)
        self._comparison = DeliveryComparison(RootFolder(root), delivery_folder, self._runner, job_limits.base, work_folder)
        self._sources = ReplaySources(root, job_limits.base.max_memory_bytes // 2)
        # For each recorded hash, the file that replaces it here: an original, or a file that this run has made.
        self._files_by_hash: dict[str, Path] = {}

    def run(self) -> ReplayReport:
        """Run every stage and compare the deliverables.

        Raises MissingSource with every missing file, InputError if a stage fails, and HostError if a disk or device fails.
        """
        self._collect_sources()
        numbered = list(enumerate(self._manifest.stages, 1))
        reruns = [self._run_stage(number, stage) for number, stage in numbered if stage.by_hand is None]
        delivered = {output.sha256 for output in reruns[-1].recorded.outputs}
        remade_files = {sha256: path for sha256, path in self._files_by_hash.items() if sha256 in delivered}
        compared = [self._comparison.compare(each, remade_files.get(each.sha256)) for each in self._manifest.deliverables]
        return build_report(reruns, compared, [stage for _, stage in numbered if stage.by_hand is not None])

    # ------------------------------------------------------------------ sources

    def _collect_sources(self) -> None:
        """Copy every original from the archive and every library file. Raises MissingSource with all that are missing."""
        places = archived_paths(self._manifest.stages)
        remade_hashes: set[str] = set()
        missing: dict[str, None] = {}
        for number, stage in enumerate(self._manifest.stages, 1):
            if stage.by_hand is not None:  # its result is an original
                continue
            for each in stage.worker_inputs:
                if each.sha256 not in remade_hashes and each.sha256 not in self._files_by_hash:
                    self._files_by_hash[each.sha256] = self._work_folder / "originals" / each.sha256
                    self._collect(missing, lambda each=each: self._copy_original(each, places))  # type: ignore[misc]
            for name in dict.fromkeys(name for step in stage.steps for name in step.references if "/" in name):
                self._collect(missing, lambda name=name, number=number: self._copy_library_file(name, number))  # type: ignore[misc]
            remade_hashes |= {output.sha256 for output in stage.outputs}
        if missing:
            raise MissingSource("\n".join(missing), "Put the original file back in its place.")

    def _collect(self, missing: dict[str, None], copy: Callable[[], None]) -> None:
        try:
            copy()
        except MissingSource as fault:
            missing[fault.sentence] = None

    def _copy_original(self, record: InputRecord, places: Mapping[str, list[str]]) -> None:
        self._sources.copy_original(record.path, record.sha256, places.get(record.sha256, []), self._files_by_hash[record.sha256])

    def _copy_library_file(self, name: str, number: int) -> None:
        self._sources.copy_library_file(name, self._stage_folder(number) / "library" / name)

    # ------------------------------------------------------------------ one stage

    def _stage_folder(self, number: int) -> Path:
        return self._work_folder / f"{number}-{self._manifest.stages[number - 1].stage}"

    def _run_stage(self, number: int, recorded: StageRecord) -> StageRerun:
        folder = self._stage_folder(number)
        inputs = tuple(self._place_input(folder, each) for each in recorded.worker_inputs)
        job = Job(
            id=f"replay-{number}",
            root=str(folder),
            stage=recorded.stage,
            queue=recorded.queue,
            stem=recorded.stem,
            inputs=inputs,
            steps=self._step_specs(number),
            prompt=recorded.prompt,
            title=recorded.title,
            creator=recorded.creator,
            rights=recorded.rights,
            credit=recorded.credit,
            seed=recorded.seed,
            mask_fit=recorded.mask_fit,
            mask_from=recorded.mask_from,
            working=recorded.working,
            hdr=recorded.hdr,
            float_range=recorded.float_range,
            remarks=recorded.remarks,
            removals=self._earlier_removals(number),
            deliver=recorded.deliver,
            limits=self._job_limits.base,
        )
        outcome = self._runner.run(self._job_limits.apply(job, self._manifest.steps[number - 1]), recorded.stage)
        paths_by_output = _stage_outputs(job, outcome)
        for output in recorded.outputs:
            match = _matching_output(output, paths_by_output)
            if match is not None:
                self._files_by_hash[output.sha256] = paths_by_output[match]
        return StageRerun(recorded, outcome, tuple(paths_by_output))

    def _earlier_removals(self, number: int) -> tuple[RemovalRecord, ...]:
        """Return the recorded steps of the stages before this one that removed content."""
        stages = self._manifest.stages[: number - 1]
        return tuple(
            removal for stage in stages for removal in removals_of(stage.stage, ((step.op, step.findings) for step in stage.steps))
        )

    def _step_specs(self, number: int) -> tuple[StepSpec, ...]:
        """Return the recorded steps. A step that would get another model today names the recorded one."""
        stage, steps = self._manifest.stages[number - 1], self._manifest.steps[number - 1]
        pairs = zip(stage.step_specs, stage.steps, steps, strict=True)
        return tuple(_with_model(spec, self._recorded_model(step_record, step)) for spec, step_record, step in pairs)

    def _recorded_model(self, recorded: StepRecord, step: Step) -> str:
        """Return the recorded model if the settings would choose another one now; otherwise "".

        A step that compared several fills keeps its word for that: a model's name would mean that model alone.
        """
        need, name = next(iter(step.operation.needs().engines), None), (recorded.engine or {}).get("name")
        is_choosable = need is not None and isinstance(recorded.settings.get("model", []), str | None) and "fills" not in recorded.findings
        if need is None or not is_choosable or not isinstance(name, str):
            return ""
        try:
            return name if self._job_limits.weights.choose(need).name != name else ""
        except InputError:
            return name

    def _place_input(self, folder: Path, record: InputRecord) -> JobInput:
        """Put an input at its old path in this stage's folder."""
        source, path = self._files_by_hash.get(record.sha256), folder / record.path
        if source is None:
            raise InputError(f"{display_name(record.path)} was made by the previous stage, which does not make it in this replay.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)  # no link: two inputs may have the same bytes, and a link would change the other's times
        except OSError as error:
            if error.errno in MACHINE_ERRNOS:
                raise
            raise InputError(f"{display_name(record.path)} cannot be placed beside the other recorded files: {error.strerror}.") from error
        # No hash: a remade file need not be the recorded one, and a file from the archive has been compared.
        return JobInput(role=record.role, name=record.name, path=record.path, sig=FileSignature.from_stat(os.lstat(path)))

    # ------------------------------------------------------------------ saved outputs

    def save_outputs(self, replay_report: ReplayReport, folder: Path) -> None:
        """Copy the remade deliverables into a folder, under their recorded names."""
        for deliverable in replay_report.deliverables:
            remade_file = self._files_by_hash.get(deliverable.recorded_sha256)
            if deliverable.remade_sha256 and remade_file is not None:
                shutil.copyfile(remade_file, folder / deliverable.file)


def _with_model(spec: StepSpec, name: str) -> StepSpec:
    return spec.model_copy(update={"settings": {**spec.settings, "model": name}}) if name else spec


def _stage_outputs(job: Job, outcome: Outcome) -> dict[OutputRecord, Path]:
    """Return a stage's outputs as records with their files. If no byte was changed, the output is the picture itself."""
    paths_by_output: dict[OutputRecord, Path] = {}
    if outcome.is_unchanged:
        picture = job.asset
        read = next(read for read in outcome.reads if read.path == picture.path)
        tail = matching_suffix(read.format, os.path.splitext(picture.path)[1])
        paths_by_output[OutputRecord(role="picture", tail=tail, sha256=read.sha256)] = Path(job.root, picture.path)
    for output in outcome.outputs:
        paths_by_output[OutputRecord(role=output.role, tail=output.tail, sha256=output.sha256)] = Path(output.path)
    return paths_by_output


def _matching_output(recorded: OutputRecord, outputs: Mapping[OutputRecord, Path]) -> OutputRecord | None:
    """Return the new output that corresponds to a recorded one: the picture that moves on, or the file of the same name."""
    alike = [each for each in outputs if each.role == recorded.role and (each.role == "picture" or each.tail == recorded.tail)]
    return alike[0] if alike else None
