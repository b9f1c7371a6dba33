"""The ids of the files that a job writes, derived from its inputs, its steps and its seed, so that a replay writes the same ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from goldsmith.jobs.job import AssetIdentity, InputRead, Job, StepResult
from goldsmith.picture.formats.table import FORMATS

if TYPE_CHECKING:
    from goldsmith.operation import Operation
    from goldsmith.picture.metadata.source_type import SourceTypeChange
    from goldsmith.picture.picture import Metadata

# A replay may name the model that was the default then. Its pixels are in the hashes of the steps.
_FREE_SETTINGS = {"model"}


class FileIdentities:
    """Gives each file of a job its id, and remembers it by the end of the file's name."""

    def __init__(self, job: Job, reads: Mapping[str, InputRead]) -> None:
        self._job = job
        self._reads = reads
        self._source: Metadata | None = None
        self._operations: Sequence[Operation] = ()
        self._steps: Sequence[StepResult] = ()
        # By tail.
        self._ids: dict[str, str] = {}
        # What the steps so far have made of the picture.
        self._changes: list[SourceTypeChange] = []
        self._is_retouched = job.retouched

    def begin(
        self, operations: Sequence[Operation], steps: Sequence[StepResult], source: Metadata | None, *, is_hand_work: bool = False
    ) -> None:
        """Set the steps of the job, the results of those that have run so far (a list that grows), and the metadata of the picture.

        ``is_hand_work``: a person has changed the picture since the version from which it was made.
        """
        self._operations, self._steps, self._source = operations, steps, source
        self._is_retouched = self._is_retouched or is_hand_work

    def add_change(
        self, operation: Operation, engine: Mapping[str, JsonValue] | None, layer_types: Sequence[str]
    ) -> SourceTypeChange | None:
        """Note that a step has changed the picture, and return what it has made of it; None if the picture stays what it was.

        ``engine``: the record of its engine; ``layer_types``: those of the layers that it laid over the picture.
        """
        from goldsmith.picture.metadata.source_type import change_by_step

        change = change_by_step(operation.source_type, layer_types, has_trained_model=_has_weights(engine))
        if change is not None:
            self._changes.append(change)
        return change

    def id_of(self, tail: str) -> str:
        """Return the id that was written into a file; "" if none was. The id is given before it is known that a file is a large one."""
        stem, dot, suffix = tail.rpartition(".")
        names = [stem + row.suffix for row in FORMATS.values() if row.large_suffix and dot + suffix == row.large_suffix]
        return next((self._ids[name] for name in (tail, *names) if name in self._ids), "")

    def write_into(self, metadata: Metadata, tail: str) -> Metadata:
        """Return the metadata with the id of the file stem + ``tail``, and with what the picture is after the steps so far."""
        from goldsmith.picture.metadata.identity import derive_id, with_identity
        from goldsmith.picture.metadata.source_type import combine_source_types, read_source_type, retouched_type, with_source_type
        from goldsmith.picture.picture import Metadata

        job = self._job
        settings = [operation.model_dump(mode="json", exclude=_FREE_SETTINGS) for operation in self._operations]
        own_id = derive_id(
            [
                *(job.stage, str(job.seed), job.prompt, tail),
                *sorted(read.sha256 for read in self._reads.values()),
                json.dumps([[spec.op for spec in job.steps], settings], sort_keys=True),
                *(step.picture_hash for step in self._steps),
            ]
        )
        self._ids[tail] = own_id
        source_sha256 = "" if self._source is None else self._reads[job.asset.path].sha256
        source = self._source or Metadata()
        before = read_source_type(source)
        metadata = with_source_type(metadata, combine_source_types(retouched_type(before) if self._is_retouched else before, self._changes))
        return with_identity(metadata, own_id, source, source_sha256)


def _has_weights(engine: Mapping[str, JsonValue] | None) -> bool:
    """Return whether an engine of a step's record has weights: it is a trained model, and no algorithm of another kind."""
    others = (engine or {}).get("other_engines")
    records = [engine or {}, *(each for each in (others if isinstance(others, list) else ()) if isinstance(each, dict))]
    return any(record.get("weights") for record in records)


def asset_identity(metadata: Metadata) -> AssetIdentity:
    """Return the ids and the program in the metadata of the picture that a job works on."""
    from goldsmith.picture.metadata.identity import read_identity

    identity = read_identity(metadata)
    return AssetIdentity(ids=identity.ids, program=identity.program)
