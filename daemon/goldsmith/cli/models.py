"""``goldsmith models``: which weights there are, which lie here, getting them and reading them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.places import AsJson, Config, Root, root_of
from goldsmith.cli.screen import bars, say, say_json, size_of, table, wide
from goldsmith.errors import MachineFault, UsageFault

if TYPE_CHECKING:
    from goldsmith.engines.weights import Weights

models = typer.Typer(
    name="models",
    help="The models steps may name: list them, fetch their weights, verify them.\n\nExample: goldsmith models fetch migan",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _weights(root: Path | None, config: Path | None) -> Weights:
    """The weights of the root that is meant; what travels with the program where there is no root."""
    import os

    from goldsmith.brief.house import find_config, read_config, read_house
    from goldsmith.engines.models import read_models
    from goldsmith.engines.weights import Weights, default_folder

    try:
        place: Path | None = root_of(root, config)
    except UsageFault:
        place = None
    where = find_config(config, place)
    file = where.file("house.toml")
    house = read_house(read_config(file), str(file), os.environ)
    return Weights(read_models(where.file("models.toml")), house.models_dir or default_folder())


def _known(incomplete: str) -> list[str]:
    return [name for name in _weights(None, None).models.models if name.startswith(incomplete)]


def _check(weights: Weights, names: list[str]) -> None:
    from goldsmith.brief.reading import nearest

    for name in names:
        if name not in weights.models.models:
            raise UsageFault(f"There is no model called “{name}” in models.toml{nearest(name, weights.models.models)}")


@models.command("list")
def list_(root: Root = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show every model: what it is for, its licence and size, and whether its weights lie here.

    Example: goldsmith models list
    """
    weights = _weights(root, config)
    if as_json:
        rows = [{**_facts(row), "paths": list(map(str, row.paths)), "about": row.about} for row in weights.rows()]
        say_json({"folder": str(weights.folder), "models": rows})
        return
    say(f"Weights lie in {weights.folder}.")
    told = []
    for row in weights.rows():
        size = size_of(row.size) if row.size else "no weights"
        here = "yes" if row.present else f"goldsmith models fetch {row.name}"
        told.append((row.name, _kind(row.kind, row.scale), row.licence, size, here, row.about))
    columns = ("model", "does", "licence", "size", "here", "about")
    shown = len(columns) if wide() else len(columns) - 1
    table(columns[:shown], [row[:shown] for row in told])


def _facts(row: object) -> dict[str, object]:
    return {key: getattr(row, key) for key in ("name", "kind", "scale", "licence", "size", "present")}


def _kind(kind: str, scale: int) -> str:
    return f"{kind} x{scale}" if scale > 1 else kind


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
    from goldsmith.engines.fetch import fetch as bring

    weights = _weights(root, config)
    _check(weights, names)
    for name in dict.fromkeys(names):
        with bars() as advance:
            new = bring(weights, name, lambda done, total, note, name=name: advance(name, done / total if total else 0.0, note))  # type: ignore[misc]
        for path in new:
            say(f"{name}: {path} ({size_of(path.stat().st_size)})")
        if not new:
            say(f"{name}: all of it is here and right." if weights.models.named(name).files else f"{name}: needs no weights.")


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
        say(f"{verdict.model}: {verdict.sentence or f'{verdict.file} is right'}")
        if verdict.sentence:
            wrong.append(verdict.model)
    if not count:
        say(f"{name}: needs no weights." if name else f"No weights lie in {weights.folder}.")
    if wrong:
        raise MachineFault(
            f"{len(wrong)} of {count} weights files are not what models.toml says.",
            f"Run: goldsmith models fetch {' '.join(dict.fromkeys(wrong))}",
        )
