"""The content credentials of a delivery: what they say, and the job that writes and signs them behind the job that made the files.

The words come from the record alone: the daemon knows which steps ran with which models, and whose hands changed the picture in between.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from goldsmith import __version__
from goldsmith.credentials.signing_identity import SigningIdentity
from goldsmith.files import FileSignature, display_name
from goldsmith.jobs.job import BY_HAND, SIGNING_QUEUE, IngredientSpec, Job, JobFault, JobInput, Outcome, OutputFile, SigningRequest
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import HistoryRow
from goldsmith.ops import catalogue
from goldsmith.picture.formats.table import FORMATS, format_claimed_by, signable_format
from goldsmith.pipeline.scheduler.credential_components import Component, components_of
from goldsmith.pipeline.stage_work import StageWork
from goldsmith.root_folder import RootFolder

_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
# The name of the picture among the ingredients.
_PARENT = "parent"
_MAX_ACTIONS = 200
# How many other pictures are named.
_MAX_COMPONENTS = 40
_FAULT_REASONS = {
    "crash": "the process that signs has crashed",
    "timeout": "signing took too long",
    "memory": "signing took more memory than a job may use",
    "refused": "the process that signs has sent something that is no signed file",
    "lost": "the signed file has disappeared",
    "changed": "the original has changed",
}
_NOT_CARRIED = "its own content credentials could not be carried into the deliverables: {}"
# The end of the id of a second try, which leaves the content credentials of the original out.
_ALONE = "-alone"
# Bytes of a manifest without its certificates and its actions, and of the actions of one stage.
_ESTIMATED_BYTES, _BYTES_OF_ACTION = 5000, 1000
# The roles of results that a client gets.
_DELIVERED_ROLES = ("deliverable", "picture")


@dataclass(frozen=True, slots=True)
class StagePart:
    """What one job, or a person between two jobs, has done to a picture on its way."""

    # The picture that it took: its path then, its hash, and where it is now.
    path: str
    sha256: str
    place: str
    # What the picture's own content credentials said; None if it had none.
    credentials: Mapping[str, JsonValue] | None
    steps: Sequence[Mapping[str, JsonValue]]
    # The program of a person who changed the picture; None for a job.
    hand_program: str | None = None
    has_picture: bool = True
    # The roles of what the job read, by SHA-256.
    roles: Mapping[str, str] = field(default_factory=dict)


class DeliverySigning:
    """Makes the jobs that sign deliverables. ``identity`` is None if nothing is signed; then ``reason`` is the sentence that says why."""

    def __init__(self, identity: SigningIdentity | None, reason: str, journal: Journal, wall_clock: Callable[[], float]) -> None:
        self._identity = identity
        self._reason = reason
        self._journal = journal
        self._wall_clock = wall_clock

    def estimated_bytes(self, asset: JobInput) -> int:
        """Return the bytes that content credentials will take in each deliverable, rather too many; 0 if nobody signs.

        The worker adds those of the picture's own credentials, which it carries: it alone has read them.
        """
        if self._identity is None:
            return 0
        placed = self._journal.placed_file(asset.path) if asset.sha256 else None
        rows = [] if placed is None else self._journal.lineage(placed.job_id)
        carried = next((each.credentials for each in reversed([_part_of_row(row) for row in rows]) if each.credentials is not None), {})
        size = carried.get("store_bytes", 0)
        return len(self._identity.chain) + _ESTIMATED_BYTES + _BYTES_OF_ACTION * len(rows) + (size if isinstance(size, int) else 0)

    def prepare(self, work: StageWork) -> tuple[Job | None, Outcome]:
        """Return the job that signs the deliverables of finished work, and the outcome with what is to be told of it now.

        Without a job, the reason is on record. If the original's own credentials are lost, a remark says so.
        """
        job = self.job_for(work)
        if job is None:
            return None, self._with_reason(work)
        is_carried = any(source.role == "ingredient" for source in job.inputs)
        is_lost = not is_carried and any(_can_be_carried(part) for part in self._way(work))
        return job, with_notes(work.final_outcome, [_NOT_CARRIED.format("the original is no longer in the archive")] if is_lost else [])

    def _with_reason(self, work: StageWork) -> Outcome:
        outcome = work.final_outcome
        if not _signable_outputs(work):
            return outcome
        reason = self._reason if self._identity is None else self._identity.problem_at(self._wall_clock())
        is_lost = any(part.credentials is not None for part in self._way(work))
        outcome = with_notes(outcome, [_NOT_CARRIED.format("nobody signs them")] if is_lost else [])
        return outcome.model_copy(update={"facts": {**outcome.facts, "not_signed": reason}}) if reason else outcome

    def job_for(self, work: StageWork, *, carries: bool = True) -> Job | None:
        """Return the job that signs the deliverables of finished work; None if there is nothing to sign, or nobody who signs.

        ``carries``: the content credentials of the original are carried into the new ones.
        """
        outputs = _signable_outputs(work)
        if self._identity is None or not outputs or self._identity.problem_at(self._wall_clock()):
            return None
        parts = self._way(work)
        original = next((number for number in range(len(parts) - 1, -1, -1) if parts[number].credentials is not None), 0)
        parent = parts[original]
        spec, source = self._ingredient(work, parent, carries=carries)
        actions = build_actions(parts[original:])
        definition: dict[str, JsonValue] = {
            "claim_generator_info": [{"name": "Goldsmith", "version": __version__}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [*actions]}}],
        }
        root = work.job.root.rstrip("/") + "/"
        sigs = work.final_outcome.verified_sigs
        unsigned = [
            JobInput(role="unsigned", name=each.tail, path=each.path.removeprefix(root), sig=sigs[each.path], sha256=each.sha256)
            for each in outputs
        ]
        return Job(
            id=f"{work.job.id}-signing{'' if carries else _ALONE}",
            root=work.job.root,
            stage=work.job.stage,
            queue=SIGNING_QUEUE,
            stem=work.job.stem,
            inputs=(*unsigned, *filter(None, (source,))),
            steps=(),
            deliver=True,
            signing=SigningRequest(
                chain=self._identity.chain,
                algorithm=self._identity.algorithm,
                definition=definition,
                ingredients=(
                    *((spec,) if spec is not None else ()),
                    *(IngredientSpec(description=each.to_description()) for each in _components(parts[original:]).values()),
                ),
            ),
            limits=work.job.limits,
        )

    def with_signed_files(self, outcome: Outcome, signed: Outcome) -> Outcome:
        """Return the outcome with the signed files in place of the unsigned ones, and with what could not be carried as a remark."""
        signer = "" if self._identity is None else self._identity.subject
        by_tail = {output.tail: output for output in signed.outputs}
        outputs = tuple(_signed_output(output, by_tail.get(output.tail), signer) for output in outcome.outputs)
        reasons = [str(output.facts["not_carried"]) for output in signed.outputs if "not_carried" in output.facts]
        sigs = {**outcome.verified_sigs, **signed.verified_sigs}
        merged = outcome.model_copy(update={"outputs": outputs, "verified_sigs": sigs})
        return with_notes(merged, [_NOT_CARRIED.format(reason) for reason in reasons])

    def _way(self, work: StageWork) -> list[StagePart]:
        """Return what was done to the picture of this work, from the original on."""
        rows = self._journal.lineage(work.origin.parent_job_id) if work.origin.parent_job_id else []
        parts = [_part_of_row(row) for row in rows]
        outcome, path = work.final_outcome, work.asset_path
        if work.origin.before is not None:
            before = work.origin.before
            parts.append(StagePart(before.path, before.sha256, before.path, None, (), outcome.identity.program))
        steps = [step.model_dump() for step in outcome.steps]
        credentials = _credentials_in(outcome.facts)
        roles = {work.hashes[each.path]: each.role for each in work.job.inputs if each.path in work.hashes}
        has_picture = not work.bundle.is_lone_brief
        parts.append(StagePart(path, work.hashes[path], path, credentials, steps, has_picture=has_picture, roles=roles))
        return parts

    def _ingredient(self, work: StageWork, parent: StagePart, *, carries: bool) -> tuple[IngredientSpec | None, JobInput | None]:
        """Return the picture from which the deliverables were made, and the input with its content credentials if they are carried."""
        if not parent.has_picture:
            return None, None
        name = os.path.basename(parent.path)
        row = format_claimed_by(os.path.splitext(name)[1].lower()) or FORMATS["png"]
        description: dict[str, JsonValue] = {
            "title": display_name(name),
            "format": row.media_type,
            "instance_id": f"urn:sha256:{parent.sha256}",
            "relationship": "parentOf",
            "label": _PARENT,
        }
        source = None
        if carries and _can_be_carried(parent):
            with contextlib.suppress(OSError):
                sig = FileSignature.from_stat(RootFolder(work.job.root).lstat(parent.place))
                source = JobInput(role="ingredient", path=parent.place, sig=sig, sha256=parent.sha256)
        return IngredientSpec(description=description, path="" if source is None else source.path), source


def build_actions(parts: Sequence[StagePart]) -> list[JsonValue]:
    """Return the actions of a manifest (C2PA, c2pa.actions.v2): first where the picture comes from, last that it was exported."""
    labels = frozenset(_components(parts))
    done = [action for part in parts for action in _actions_of(part, labels)]
    if parts[0].has_picture:
        first: dict[str, JsonValue] = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_PARENT]}}
    else:
        generated = done.pop(0) if done else {}
        first = {"digitalSourceType": f"{_SOURCE_TYPES}trainedAlgorithmicMedia", **generated, "action": "c2pa.created"}
    return [first, *done[:_MAX_ACTIONS], {"action": "c2pa.converted", "description": "export"}]


def with_notes(outcome: Outcome, notes: Sequence[str]) -> Outcome:
    """Return the outcome with further remarks about the picture."""
    known = outcome.facts.get("notes")
    texts = [*(known if isinstance(known, list) else ()), *dict.fromkeys(notes)]
    return outcome.model_copy(update={"facts": {**outcome.facts, "notes": texts}}) if notes else outcome


def not_carried_remark(fault: JobFault) -> str:
    """Return the remark that the content credentials of the original are not in those of the deliverables."""
    return _NOT_CARRIED.format(_reason(fault))


def unsigned_remark(fault: JobFault) -> str:
    """Return the remark that the deliverables could not be signed."""
    return f"the deliverables have no content credentials: {_reason(fault)}"


def _reason(fault: JobFault) -> str:
    return _FAULT_REASONS.get(fault.kind, fault.sentence.rstrip("."))


def _signed_output(output: OutputFile, signed: OutputFile | None, signer: str) -> OutputFile:
    if signed is None:
        return output
    facts = {**output.facts, "unsigned_sha256": output.sha256, "signed_by": signer}
    facts |= {"bytes": signed.size} if "bytes" in facts else {}
    return output.model_copy(update={"path": signed.path, "sha256": signed.sha256, "size": signed.size, "facts": facts})


def _signable_outputs(work: StageWork) -> list[OutputFile]:
    """Return the files of a delivery that can have content credentials; an export without metadata gets none."""
    outcome = work.outcome
    if outcome is None or outcome.fault is not None or not work.job.deliver:
        return []
    return [
        output
        for output in outcome.outputs
        if output.role in _DELIVERED_ROLES
        and output.facts.get("metadata") != "none"
        and signable_format(os.path.splitext(output.tail)[1].lower()) is not None
    ]


def _part_of_row(row: HistoryRow) -> StagePart:
    if row.stage == BY_HAND:
        by_hand = row.record.get("by_hand")
        program = by_hand.get("program") if isinstance(by_hand, dict) else ""
        return StagePart(row.path, row.sha256, row.path, None, (), str(program or ""))
    facts, steps, inputs = (row.record.get(name) for name in ("facts", "steps", "inputs"))
    entries = [entry for entry in (inputs if isinstance(inputs, list) else ()) if isinstance(entry, dict)]
    return StagePart(
        row.path,
        row.sha256,
        row.archived_as(row.path) or row.path,
        _credentials_in(facts if isinstance(facts, dict) else {}),
        [step for step in (steps if isinstance(steps, list) else ()) if isinstance(step, dict)],
        has_picture=[entry.get("role") for entry in entries[:1]] != ["brief"],
        roles={str(entry.get("sha256")): str(entry.get("role")) for entry in entries},
    )


def _can_be_carried(part: StagePart) -> bool:
    """Return whether the picture has content credentials that could be read, whether they hold or not."""
    return part.credentials is not None and part.credentials.get("state") != "unreadable"


def _credentials_in(facts: Mapping[str, JsonValue]) -> Mapping[str, JsonValue] | None:
    credentials = facts.get("credentials")
    return credentials if isinstance(credentials, dict) else None


def _components(parts: Sequence[StagePart]) -> dict[str, Component]:
    """Return the other pictures that went into it, by their labels."""
    components = (each for part in parts for step in part.steps for each in components_of(step, part.roles))
    return dict(list({each.label: each for each in components}.items())[:_MAX_COMPONENTS])


def _actions_of(part: StagePart, labels: frozenset[str]) -> list[dict[str, JsonValue]]:
    if part.hand_program is not None:
        action: dict[str, JsonValue] = {
            "action": "c2pa.edited",
            "description": "changed by hand",
            "digitalSourceType": f"{_SOURCE_TYPES}humanEdits",
        }
        return [action | ({"softwareAgent": {"name": part.hand_program}} if part.hand_program else {})]
    actions = [_action_of(step, [each for each in components_of(step, part.roles) if each.label in labels]) for step in part.steps]
    return [action for action in actions if action is not None]


def _action_of(step: Mapping[str, JsonValue], components: Sequence[Component]) -> dict[str, JsonValue] | None:
    """Return the action of a recorded step; None for one that makes no picture. Settings are not told: prompts are among them."""
    word = str(step.get("op", ""))
    operation = catalogue().get(word)
    name = "c2pa.edited" if operation is None else operation.credential_action
    if not name:
        return None
    if any(each.relationship == "componentOf" for each in components):
        name = "c2pa.placed"
    action: dict[str, JsonValue] = {"action": name, "description": word}
    if components:
        action["parameters"] = {"ingredientIds": [each.label for each in components]}
    engine, source_type = step.get("engine"), step.get("source_type")
    if isinstance(engine, dict) and engine.get("weights"):
        action["softwareAgent"] = {"name": str(engine.get("name", "")), "version": _model_version(engine)}
    return action | ({"digitalSourceType": f"{_SOURCE_TYPES}{source_type}"} if source_type else {})


def _model_version(engine: Mapping[str, JsonValue]) -> str:
    """Return the revision of a model's weights; else the beginning of the hash of its first file."""
    weights = engine.get("weights")
    first = weights[0] if isinstance(weights, list) and weights else None
    return str(engine.get("revision") or (first[1] if isinstance(first, list) and len(first) > 1 else ""))[:40]
