"""The command ``goldsmith inspect``: what a file is, who made it, what was done to it, and whether its signature holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldsmith.cli.location import ConfigOption, JsonOption, RootOption, open_location
from goldsmith.cli.output import is_terminal, print_json, print_sentence, progress_bars
from goldsmith.errors import GoldsmithError, UsageError

if TYPE_CHECKING:
    from goldsmith.jobs.job import Outcome
    from goldsmith.journal.journal import Journal
    from goldsmith.journal.records import HistoryRow
    from goldsmith.service.location import Location

_SIGNATURES = {
    "trusted": "The signature holds. It is by {who}, and is trusted here.",
    "valid": "The signature holds. It is by {who}, whom this installation does not know.",
    "invalid": "The signature does not hold: the file was changed after {who} signed it ({problems}).",
    "unreadable": "There are content credentials, but they cannot be read: {problems}.",
}
_SOURCE_TYPES = {
    "trainedAlgorithmicMedia": "made by a trained model",
    "compositeWithTrainedAlgorithmicMedia": "parts of it were made by a trained model",
    "algorithmicallyEnhanced": "enhanced by a trained model",
    "composite": "composed of several pictures",
    "humanEdits": "a photograph that a person has retouched",
    "digitalCapture": "a photograph",
}
_PARTS, _READ = "Parts of it come from {}.", "Steps also read {}."
_GENERATION = ("prompt", "negative", "seed", "steps", "guidance", "sampler", "model", "size", "strength", "loras")
_MAX_WORDS = 300


def inspect(
    file: Annotated[Path, typer.Argument(help="A picture or a PDF, inside the folders or not.", metavar="FILE")],
    root: RootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a file is, who made it, what was done to it by which model and hand, and whether its signature holds.

    A worker process behind its fence decodes a copy of the file. What Goldsmith did to it comes from the journal, which knows it by its
    bytes or by the id in it; anything else comes from the file itself.

    Example: goldsmith inspect delivered/spring/hero_web.avif
    """
    with ExitStack() as opened:
        location = _open_location(opened, root, config, file)
        outcome = _look_into(file, location)
        facts: dict[str, Any] = {"sha256": outcome.reads[0].sha256, **outcome.facts}
        history = {} if location is None or location.journal is None else _find_in_journal(location.journal, facts)
        if as_json:
            print_json({"file": str(file), **facts, **history})
            return
        for line in describe(file.name, facts, history):
            print_sentence(line)


def _open_location(opened: ExitStack, root: Path | None, config: Path | None, file: Path) -> Location | None:
    """Return the root that the file or the options name; None if there is none, which a stranger's file does not need."""
    try:
        return opened.enter_context(open_location(root, config, near=file))
    except UsageError:
        if root is not None or config is not None:
            raise
        return None


def _look_into(file: Path, location: Location | None) -> Outcome:
    """Return what a worker process says of the file."""
    from goldsmith.brief.settings import read_settings
    from goldsmith.service.one_off import run_inspection
    from goldsmith.service.signing import find_identity, trusted_roots

    settings = read_settings(b"", "the defaults") if location is None else location.setup.settings
    roots = "" if location is None else trusted_roots(location.setup, find_identity(location.setup).identity)
    if is_terminal():
        with progress_bars() as advance:
            return run_inspection(settings, file, roots, advance)
    return run_inspection(settings, file, roots, lambda stage, fraction, note: None)


def _find_in_journal(journal: Journal, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of the file: by its bytes, else by the ids in it. Empty if the journal does not know it, or cannot be read."""
    try:
        versions = [each for each in journal.versions_by_hash(facts["sha256"]) if each.is_result]
        known_by = "bytes"
        if not versions:
            known_by = "id"
            versions = next(filter(None, (journal.versions_by_id(each) for each in facts.get("ids", ()))), [])
        rows = journal.lineage(versions[0].job_id) if versions else []
    except GoldsmithError:
        return {}
    return {"known_by": known_by, "record": [_stage_facts(row) for row in rows]} if rows else {}


def _stage_facts(row: HistoryRow) -> dict[str, Any]:
    record: dict[str, Any] = row.record
    steps = [
        {
            "op": step["op"],
            **({"model": step["engine"]["name"]} if step.get("engine") else {}),
            "seed": step.get("seed"),
            **({"source_type": step["source_type"]} if step.get("source_type") else {}),
        }
        for step in record.get("steps", ())
    ]
    by_hand = {"program": record["by_hand"].get("program", "")} if "by_hand" in record else {}
    return {"stage": row.stage, "picture": row.path, "taken_at": row.taken_at, "results": list(row.results), "steps": steps, **by_hand}


# ---------------------------------------------------------------------- words


def describe(name: str, facts: Mapping[str, Any], history: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is known of a file, as sentences."""
    yield f"{name}: {_kind(facts)}."
    if words := facts.get("credits"):
        yield f"It says of itself: {', '.join(f'{word} “{text}”' for word, text in words.items())}."
    if source_type := facts.get("source_type"):
        yield f"Its source type is {source_type} ({_SOURCE_TYPES.get(source_type, 'a word of IPTC')})."
    if program := facts.get("program"):
        yield f"It was saved by {program}."
    yield from _signature(facts.get("credentials"))
    yield from _record(history)
    yield from _generation(facts.get("generation", {}))
    if names := facts.get("metadata"):
        yield f"Its metadata hold: {', '.join(names)}."


def _kind(facts: Mapping[str, Any]) -> str:
    if "page" in facts:
        page = facts["page"]
        wide, high = page["trim_mm"]
        pages = "1 page" if page["pages"] == 1 else f"{page['pages']} pages"
        return f"PDF {page['version']}, {pages} of {wide:g} x {high:g} mm"
    if "damaged" in facts:
        return f"{facts['damaged']['format'].upper()}, damaged: {facts['damaged']['sentence'].rstrip('.')}"
    picture = facts["picture"]
    colours = {1: "grey", 3: "RGB", 4: "CMYK"}.get(picture["channels"], f"{picture['channels']} channels")
    ppi = picture.get("ppi")
    parts = [
        picture["format"].upper(),
        f"{picture['width']} x {picture['height']} px",
        f"{picture['depth']} bits",
        f"{colours}{' with transparency' if picture['alpha'] else ''}",
        f"profile {picture['icc']}" if picture.get("icc") else "no profile",
        f"{ppi[0]:g} ppi" if ppi else "no resolution",
        *([f"{picture['frames']} frames"] if picture.get("frames", 1) > 1 else []),
    ]
    return ", ".join(parts)


def _signature(credentials: Mapping[str, Any] | None) -> Iterator[str]:
    if credentials is None:
        yield "It has no content credentials: nothing in it is signed."
        return
    who = " of ".join(dict.fromkeys(filter(None, (credentials.get("signer"), credentials.get("organisation"))))) or "somebody"
    problems = ", ".join(credentials.get("problems", ())) or "no reason is given"
    yield _SIGNATURES[credentials["state"]].format(who=who, problems=problems)
    if generator := credentials.get("generator"):
        count = credentials.get("manifests", 1)
        yield f"Written by {generator}{f', with {count - 1} earlier manifests' if count > 1 else ''}."
    if ingredients := credentials.get("ingredients"):
        yield f"Made from {', '.join(ingredients)}."
    for sentence, are_parts in ((_PARTS, True), (_READ, False)):
        others = [each for each in credentials.get("components", ()) if (each.get("relationship") == "componentOf") == are_parts]
        if others:
            yield sentence.format(", ".join(map(_component, others)))
    if broken := credentials.get("broken_ingredients"):
        yield f"The content credentials of {', '.join(broken)} did not hold."
    for number, action in enumerate(credentials.get("actions", ()), 1):
        yield f"- {number}. {_action(action)}"


def _component(component: Mapping[str, str]) -> str:
    sha256 = component.get("sha256", "")
    return f"{component['title'] or 'a picture without a title'}{f' (SHA-256 {sha256[:16]}…)' if sha256 else ''}"


def _action(action: Mapping[str, str]) -> str:
    what = " ".join(filter(None, (action.get("action", "").removeprefix("c2pa."), f"({action['what']})" if "what" in action else "")))
    return f"{what}{' by ' + action['by'] if 'by' in action else ''}{': ' + action['source_type'] if 'source_type' in action else ''}"


def _record(history: Mapping[str, Any]) -> Iterator[str]:
    if not history:
        return
    yield f"Goldsmith knows it by its {history['known_by']}, and did this:"
    for stage in history["record"]:
        if "program" in stage:
            yield f"- {stage['picture']} was changed by hand in {stage['program'] or 'a program that does not say its name'}."
            continue
        steps = ", ".join(_step(step) for step in stage["steps"]) or "nothing"
        yield f"- {stage['stage']} on {stage['picture']}: {steps}."


def _step(step: Mapping[str, Any]) -> str:
    return f"{step['op']}{' with ' + step['model'] if 'model' in step else ''} (seed {step['seed']})"


def _generation(settings: Mapping[str, Any]) -> Iterator[str]:
    if not settings:
        return
    yield f"{settings['tool']} has left in it how it was made:"
    for name in _GENERATION:
        if name in settings:
            yield f"- {name}: {_value(settings[name])}"


def _value(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_value(each) if not isinstance(each, list) else " ".join(map(str, each)) for each in value)
    return str(value)[:_MAX_WORDS]
