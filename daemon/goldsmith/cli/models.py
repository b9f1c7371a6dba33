"""``goldsmith models``: which weights there are, which lie here, getting them and reading them again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, JsonOption, RootOption, find_root
from goldsmith.cli.output import (
    format_size,
    is_wide,
    print_json,
    print_table,
    print_text,
    progress_bars,
)
from goldsmith.errors import HostError, UsageError

if TYPE_CHECKING:
    from goldsmith.cli.model_rows import ModelRow
    from goldsmith.engines.registry.weights_registry import WeightsRegistry

models = typer.Typer(
    name="models",
    help="The models steps may name: list them, fetch their weights, pin and verify them.\n\nExample: goldsmith models fetch migan",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _load_weights(root: Path | None, config: Path | None) -> WeightsRegistry:
    """The weights of the root that is meant; what travels with the program where there is no root."""
    import os

    from goldsmith.brief.settings import find_config, read_config, read_settings
    from goldsmith.engines.registry.weights_registry import default_models_folder, open_weights_registry

    try:
        place: Path | None = find_root(root, config)
    except UsageError:
        place = None
    where = find_config(config, place)
    file = where.path_of("goldsmith.toml")
    house = read_settings(read_config(file), str(file), os.environ)
    return open_weights_registry(where.path_of("models.toml"), house.models_dir or default_models_folder())


def _complete_model_name(incomplete: str) -> list[str]:
    models = _load_weights(None, None).models
    return [name for name in (*models.models, *models.names) if name.startswith(incomplete)]


def _require_known(weights: WeightsRegistry, names: list[str]) -> None:
    from goldsmith.brief.parsing import did_you_mean

    known = [*weights.models.models, *weights.models.names]
    for name in names:
        if name not in known:
            raise UsageError(f"There is no model called “{name}” in models.toml{did_you_mean(name, known)}")


@models.command("list")
def list_(root: RootOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every model: what it can do, its licence, its size, and whether its weights lie here.

    Example: goldsmith models list
    """
    from goldsmith.cli.model_rows import model_rows

    weights = _load_weights(root, config)
    found = model_rows(weights)
    if as_json:
        told = [{**asdict(row), "paths": list(map(str, row.paths))} for row in found]
        print_json({"folder": str(weights.folder), "names": dict(weights.models.names), "models": told})
        return
    print_text(f"Weights lie in {weights.folder}.")
    columns = ("model", "does", "licence", "paid", "size", "here", "about")
    shown = len(columns) if is_wide() else len(columns) - 1
    print_table(columns[:shown], [_table_row(row)[:shown] for row in found])
    for name, model in weights.models.names.items():
        print_text(f"{name} stands for {model}.")
    if any(row.commercial != "yes" for row in found):
        print_text("paid: whether its licence allows paid work; the terms are told as it is fetched, and stand in models.toml.")
    if any(not row.present for row in found):
        print_text("What is not here is brought by: goldsmith models fetch NAME")
    loose = [row.name for row in found if row.present and not row.pinned]
    if loose:
        print_text(f"Not pinned, so what they are is not on record: {', '.join(loose)}. Run: goldsmith models pin NAME")


def _table_row(row: ModelRow) -> tuple[str, ...]:
    return (
        row.name,
        _capabilities(row),
        row.licence.removeprefix("LicenseRef-"),
        row.commercial,
        _size_text(row),
        "yes" if row.present else "-",
        row.about,
    )


def _capabilities(row: ModelRow) -> str:
    if row.can:
        return " ".join(row.can)
    return f"{row.kind} x{row.scale}" if row.scale > 1 else row.kind


def _size_text(row: ModelRow) -> str:
    """Its files' size; of a model that is not here its memory's, which is nearly the same."""
    if row.size:
        return format_size(row.size)
    return f"~{format_size(row.memory_mb * 1e6)}" if row.memory_mb > 1 else "none"


@models.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(help="Models as `goldsmith models list` names them.", metavar="NAME", autocompletion=_complete_model_name)
    ],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Get the weights of models from the first source that works; what does not have the promised sha256 is refused.

    Example: goldsmith models fetch migan realesrgan-x2
    """
    from goldsmith.engines.fetching.fetch import fetch as bring

    weights = _load_weights(root, config)
    _require_known(weights, names)
    for name in dict.fromkeys(names):
        with progress_bars() as advance:
            new = bring(weights, name, lambda done, total, note, name=name: advance(name, done / total if total else 0.0, note))  # type: ignore[misc]
        for path in new:
            print_text(f"{name}: {path} ({format_size(path.stat().st_size)})")
        if not new:
            print_text(f"{name}: all of it is here and right." if weights.locations(name) else f"{name}: needs no weights.")
        _print_notes(weights, name)


def _print_notes(weights: WeightsRegistry, name: str) -> None:
    """What is worth knowing of a model that has just come."""
    model, tree = weights.models.get(name), weights.tree_of(name)
    if model.terms:
        print_text(f"{name}: {model.terms}.")
    if tree is not None and tree.pin is None:
        print_text(f"{name}: it is not pinned yet; to write down what it is: goldsmith models pin {name}")


@models.command()
def pin(
    names: Annotated[
        list[str], typer.Argument(help="Models as `goldsmith models list` names them.", metavar="NAME", autocompletion=_complete_model_name)
    ],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Write down the commit and the hash of every file of models that are trees; from then on nothing else is opened as them.

    The pins lie in models.pins.toml beside the models.toml in use. Pinning again takes up what the hub or the folder has by then.

    Example: goldsmith models pin sdxl-inpaint
    """
    from goldsmith.engines.fetching.pin_model import pin_model as write_down

    weights = _load_weights(root, config)
    _require_known(weights, names)
    for name in dict.fromkeys(names):
        with progress_bars() as advance:
            made = write_down(weights, name, lambda done, total, note, name=name: advance(name, done / total if total else 0.0, note))  # type: ignore[misc]
        total = sum(file.size for file in made.files.values())
        print_text(
            f"{name}: pinned to {made.revision[:12]} ({made.origin}; {len(made.files)} files, {format_size(total)}), in {weights.pins_path}"
        )
        if not weights.is_available(name):
            print_text(f"{name}: what lies here is something else or not all of it. Run: goldsmith models fetch {name}")


@models.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Only this one.", metavar="NAME", autocompletion=_complete_model_name)] = None,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Read the weights that lie here again and compare their hashes; exit code 4 where one is not what it should be.

    Example: goldsmith models verify
    """
    weights = _load_weights(root, config)
    _require_known(weights, [name] if name else [])
    wrong, count = [], 0
    for verdict in weights.verify(name):
        count += 1
        loose = "is there; it is not pinned, so nothing can be compared" if verdict.file == str(verdict.path) else "is right"
        print_text(f"{verdict.model}: {verdict.sentence or f'{verdict.file} {loose}'}")
        if verdict.sentence:
            wrong.append(verdict.model)
    if not count:
        print_text(f"{name}: needs no weights." if name else f"No weights lie in {weights.folder}.")
    if wrong:
        raise HostError(
            f"{len(wrong)} of {count} weights files are not what models.toml or their pins say.",
            _repair_hint(weights, list(dict.fromkeys(wrong))),
        )


def _repair_hint(weights: WeightsRegistry, model_names: list[str]) -> str:
    """What to do about models whose files are not right: fetch them, or, of folders of this machine, pin what is meant."""
    ours = [name for name in model_names if weights.models.models[name].folder or weights.models.models[name].file]
    others = [name for name in model_names if name not in ours]
    told = [f"Run: goldsmith models fetch {' '.join(others)}"] if others else []
    told += [f"If it is meant to be so: goldsmith models pin {' '.join(ours)}"] if ours else []
    return "\n".join(told)
