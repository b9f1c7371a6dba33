"""``goldsmith models``: which weights there are, which lie here, getting them and reading them again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.places import AsJson, Config, Root, root_of
from goldsmith.cli.screen import (
    bars,
    say,
    say_json,
    size_of,
    table,
    wide,
)
from goldsmith.errors import MachineFault, UsageFault

if TYPE_CHECKING:
    from goldsmith.cli.model_list import ModelRow
    from goldsmith.engines.registry.weights import Weights

models = typer.Typer(
    name="models",
    help="The models steps may name: list them, fetch their weights, pin and verify them.\n\nExample: goldsmith models fetch migan",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _weights(root: Path | None, config: Path | None) -> Weights:
    """The weights of the root that is meant; what travels with the program where there is no root."""
    import os

    from goldsmith.brief.settings import find_config, read_config, read_house
    from goldsmith.engines.registry.weights import default_folder, weights_of

    try:
        place: Path | None = root_of(root, config)
    except UsageFault:
        place = None
    where = find_config(config, place)
    file = where.file("house.toml")
    house = read_house(read_config(file), str(file), os.environ)
    return weights_of(where.file("models.toml"), house.models_dir or default_folder())


def _known(incomplete: str) -> list[str]:
    models = _weights(None, None).models
    return [name for name in (*models.models, *models.names) if name.startswith(incomplete)]


def _check(weights: Weights, names: list[str]) -> None:
    from goldsmith.brief.reading import nearest

    known = [*weights.models.models, *weights.models.names]
    for name in names:
        if name not in known:
            raise UsageFault(f"There is no model called “{name}” in models.toml{nearest(name, known)}")


@models.command("list")
def list_(root: Root = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show every model: what it can do, its licence, its size, and whether its weights lie here.

    Example: goldsmith models list
    """
    from goldsmith.cli.model_list import rows

    weights = _weights(root, config)
    found = rows(weights)
    if as_json:
        told = [{**asdict(row), "paths": list(map(str, row.paths))} for row in found]
        say_json({"folder": str(weights.folder), "names": dict(weights.models.names), "models": told})
        return
    say(f"Weights lie in {weights.folder}.")
    columns = ("model", "does", "licence", "paid", "size", "here", "about")
    shown = len(columns) if wide() else len(columns) - 1
    table(columns[:shown], [_told(row)[:shown] for row in found])
    for name, model in weights.models.names.items():
        say(f"{name} stands for {model}.")
    if any(row.commercial != "yes" for row in found):
        say("paid: whether its licence allows paid work; the terms are told as it is fetched, and stand in models.toml.")
    if any(not row.present for row in found):
        say("What is not here is brought by: goldsmith models fetch NAME")
    loose = [row.name for row in found if row.present and not row.pinned]
    if loose:
        say(f"Not pinned, so what they are is not on record: {', '.join(loose)}. Run: goldsmith models pin NAME")


def _told(row: ModelRow) -> tuple[str, ...]:
    return (
        row.name,
        _does(row),
        row.licence.removeprefix("LicenseRef-"),
        row.commercial,
        _size(row),
        "yes" if row.present else "-",
        row.about,
    )


def _does(row: ModelRow) -> str:
    if row.can:
        return " ".join(row.can)
    return f"{row.kind} x{row.scale}" if row.scale > 1 else row.kind


def _size(row: ModelRow) -> str:
    """Its files' size; of a model that is not here its memory's, which is nearly the same."""
    if row.size:
        return size_of(row.size)
    return f"~{size_of(row.memory_mb * 1e6)}" if row.memory_mb > 1 else "none"


@models.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(help="Models as `goldsmith models list` names them.", metavar="NAME", autocompletion=_known)
    ],
    root: Root = None,
    config: Config = None,
) -> None:
    """Get the weights of models from the first source that works; what does not have the promised sha256 is refused.

    Example: goldsmith models fetch migan realesrgan-x2
    """
    from goldsmith.engines.fetching.fetch import fetch as bring

    weights = _weights(root, config)
    _check(weights, names)
    for name in dict.fromkeys(names):
        with bars() as advance:
            new = bring(weights, name, lambda done, total, note, name=name: advance(name, done / total if total else 0.0, note))  # type: ignore[misc]
        for path in new:
            say(f"{name}: {path} ({size_of(path.stat().st_size)})")
        if not new:
            say(f"{name}: all of it is here and right." if weights.places(name) else f"{name}: needs no weights.")
        _remind(weights, name)


def _remind(weights: Weights, name: str) -> None:
    """What is worth knowing of a model that has just come."""
    model, tree = weights.models.named(name), weights.tree(name)
    if model.terms:
        say(f"{name}: {model.terms}.")
    if tree is not None and tree.pin is None:
        say(f"{name}: it is not pinned yet; to write down what it is: goldsmith models pin {name}")


@models.command()
def pin(
    names: Annotated[
        list[str], typer.Argument(help="Models as `goldsmith models list` names them.", metavar="NAME", autocompletion=_known)
    ],
    root: Root = None,
    config: Config = None,
) -> None:
    """Write down the commit and the hash of every file of models that are trees; from then on nothing else is opened as them.

    The pins lie in models.pins.toml beside the models.toml in use. Pinning again takes up what the hub or the folder has by then.

    Example: goldsmith models pin sdxl-inpaint
    """
    from goldsmith.engines.fetching.pinning import pin as write_down

    weights = _weights(root, config)
    _check(weights, names)
    for name in dict.fromkeys(names):
        with bars() as advance:
            made = write_down(weights, name, lambda done, total, note, name=name: advance(name, done / total if total else 0.0, note))  # type: ignore[misc]
        total = sum(file.size for file in made.files.values())
        say(f"{name}: pinned to {made.revision[:12]} ({made.of}; {len(made.files)} files, {size_of(total)}), in {weights.pins_path}")
        if not weights.available(name):
            say(f"{name}: what lies here is something else or not all of it. Run: goldsmith models fetch {name}")


@models.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Only this one.", metavar="NAME", autocompletion=_known)] = None,
    root: Root = None,
    config: Config = None,
) -> None:
    """Read the weights that lie here again and compare their hashes; exit code 4 where one is not what it should be.

    Example: goldsmith models verify
    """
    weights = _weights(root, config)
    _check(weights, [name] if name else [])
    wrong, count = [], 0
    for verdict in weights.verify(name):
        count += 1
        loose = "is there; it is not pinned, so nothing can be compared" if verdict.file == str(verdict.path) else "is right"
        say(f"{verdict.model}: {verdict.sentence or f'{verdict.file} {loose}'}")
        if verdict.sentence:
            wrong.append(verdict.model)
    if not count:
        say(f"{name}: needs no weights." if name else f"No weights lie in {weights.folder}.")
    if wrong:
        raise MachineFault(
            f"{len(wrong)} of {count} weights files are not what models.toml or their pins say.",
            _mending(weights, list(dict.fromkeys(wrong))),
        )


def _mending(weights: Weights, wrong: list[str]) -> str:
    """What to do about models whose files are not right: fetch them, or, of folders of this machine, pin what is meant."""
    ours = [name for name in wrong if weights.models.models[name].folder or weights.models.models[name].file]
    others = [name for name in wrong if name not in ours]
    told = [f"Run: goldsmith models fetch {' '.join(others)}"] if others else []
    told += [f"If it is meant to be so: goldsmith models pin {' '.join(ours)}"] if ours else []
    return "\n".join(told)
