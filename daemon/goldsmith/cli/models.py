"""The commands ``goldsmith models``: list models, and fetch, pin and verify their weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
    from goldsmith.engines.registry.models import Model
    from goldsmith.engines.registry.weights_registry import WeightsRegistry

models = typer.Typer(
    name="models",
    help="The models steps may name: list them, fetch their weights, pin and verify them.\n\nExample: goldsmith models fetch migan",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _load_weights(root: Path | None, config: Path | None) -> WeightsRegistry:
    """Return the weights registry of the root, or, without a root, of the supplied configuration."""
    return _load_models_file(root, config)[0]


def _load_models_file(root: Path | None, config: Path | None) -> tuple[WeightsRegistry, Path]:
    """Return the weights registry, as ``_load_weights``, and the path of its models.toml."""
    import os

    from goldsmith.brief.settings import find_config, read_config, read_settings
    from goldsmith.engines.registry.hash_notes import HashNotes
    from goldsmith.engines.registry.weights_registry import default_models_folder, open_weights_registry
    from goldsmith.journal.location import weights_notes_path

    try:
        folder: Path | None = find_root(root, config)
    except UsageError:
        folder = None
    files = find_config(config, folder)
    file = files.path_of("goldsmith.toml")
    settings = read_settings(read_config(file), str(file), os.environ)
    notes = HashNotes(weights_notes_path(settings.state_dir))
    models_file = files.path_of("models.toml")
    return open_weights_registry(models_file, settings.models_dir or default_models_folder(), notes), models_file


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
    """Show every model: its abilities, licence and size, and whether its weights are present.

    Example: goldsmith models list
    """
    weights = _load_weights(root, config)
    rows = model_rows(weights)
    if as_json:
        rows_as_json = [{**asdict(row), "paths": list(map(str, row.paths))} for row in rows]
        print_json({"folder": str(weights.folder), "names": dict(weights.models.names), "models": rows_as_json})
        return
    print_text(f"The weights are in {weights.folder}.")
    columns = ("model", "does", "licence", "paid", "size", "present", "about")
    column_count = len(columns) if is_wide() else len(columns) - 1
    print_table(columns[:column_count], [_table_row(row)[:column_count] for row in rows])
    for name, model in weights.models.names.items():
        print_text(f"{name} is an alias of {model}.")
    if any(row.commercial != "yes" for row in rows):
        print_text("paid: whether the licence allows paid work. `goldsmith models fetch` prints the terms; models.toml has them too.")
    if weights.models.only_commercial:
        print_text("models.toml has only_commercial = true: only models with paid = yes are used.")
    if any(not row.present for row in rows):
        print_text("To fetch missing weights: goldsmith models fetch NAME")
    unpinned = [row.name for row in rows if row.present and not row.pinned]
    if unpinned:
        print_text(f"Not pinned, so changed files are recorded but not refused: {', '.join(unpinned)}. Run: goldsmith models pin NAME")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One row of ``goldsmith models list``. ``size`` is in bytes, 0 if unknown or if the model has no weights."""

    name: str
    kind: str
    scale: int
    can: tuple[str, ...]
    licence: str
    commercial: str
    terms: str
    size: int
    memory_mb: int
    present: bool
    pinned: bool
    aliases: tuple[str, ...]
    paths: tuple[Path, ...]
    about: str


def model_rows(weights: WeightsRegistry) -> list[ModelRow]:
    """Return a row for every model, in the order of models.toml."""
    return [_model_row(weights, name, model) for name, model in weights.models.models.items()]


def _model_row(weights: WeightsRegistry, name: str, model: Model) -> ModelRow:
    tree = weights.tree_of(name)
    tree_size = 0 if tree is None or tree.first_missing() else sum(tree.path_of(file).stat().st_size for file in tree.file_names())
    return ModelRow(
        name=name,
        kind=model.kind,
        scale=model.scale,
        can=model.diffusion.can if model.diffusion is not None else (),
        licence=model.licence,
        commercial=model.commercial,
        terms=model.terms,
        size=sum(file.size for file in model.files) + tree_size,
        memory_mb=model.diffusion.memory_mb if model.diffusion is not None else 0,
        present=weights.is_available(name),
        pinned=tree is None or (tree.pin is not None and not tree.is_pin_stale()),
        aliases=weights.models.aliases_of(name),
        paths=weights.locations(name),
        about=model.about,
    )


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
    """Return the size of the model's files; if it is not known, the size in memory, which is nearly the same."""
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
    """Fetch the weights of models from the first source that works. Files with a wrong sha256 are rejected.

    Example: goldsmith models fetch migan realesrgan-x2
    """
    from goldsmith.engines.fetching.fetch import fetch as fetch_weights

    weights = _load_weights(root, config)
    _require_known(weights, names)
    for name in dict.fromkeys(names):
        with progress_bars() as advance:
            paths = fetch_weights(weights, name, lambda done, total, note, name=name: advance(name, done / total if total else 0.0, note))  # type: ignore[misc]
        for path in paths:
            print_text(f"{name}: {path} ({format_size(path.stat().st_size)})")
        if not paths:
            print_text(f"{name}: complete and correct." if weights.locations(name) else f"{name}: needs no weights.")
        _print_notes(weights, name)


def _print_notes(weights: WeightsRegistry, name: str) -> None:
    """Print the licence terms of a fetched model, and a hint if it is not pinned."""
    model, tree = weights.models.get(name), weights.tree_of(name)
    if model.terms:
        print_text(f"{name}: {model.terms}.")
    if tree is not None and tree.pin is None:
        print_text(f"{name}: not pinned yet. To record its commit and files: goldsmith models pin {name}")


@models.command()
def pin(
    names: Annotated[
        list[str], typer.Argument(help="Models as `goldsmith models list` names them.", metavar="NAME", autocompletion=_complete_model_name)
    ],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Record the commit and the hash of every file of models that are folders; afterwards only these files are opened.

    The pins are in models.pins.toml beside the models.toml in use. Pinning again records the current state of the hub or folder.

    Example: goldsmith models pin sdxl-inpaint
    """
    from goldsmith.engines.fetching.pin_model import pin_model

    weights = _load_weights(root, config)
    _require_known(weights, names)
    for name in dict.fromkeys(names):
        with progress_bars() as advance:
            pin = pin_model(weights, name, lambda done, total, note, name=name: advance(name, done / total if total else 0.0, note))  # type: ignore[misc]
        total = sum(file.size for file in pin.files.values())
        print_text(
            f"{name}: pinned to {pin.revision[:12]} ({pin.origin}; {len(pin.files)} files, {format_size(total)}), in {weights.pins_path}"
        )
        if not weights.is_available(name):
            print_text(f"{name}: its files here differ or are incomplete. Run: goldsmith models fetch {name}")


@models.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Only this model.", metavar="NAME", autocompletion=_complete_model_name)] = None,
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Read all present weights and compare their hashes. Exit code 4 if a file is wrong.

    Example: goldsmith models verify
    """
    weights = _load_weights(root, config)
    _require_known(weights, [name] if name else [])
    wrong, count = [], 0
    for verdict in weights.verify(name):
        count += 1
        result = "is present, but not pinned, so it cannot be compared" if verdict.file == str(verdict.path) else "is correct"
        print_text(f"{verdict.model}: {verdict.sentence or f'{verdict.file} {result}'}")
        if verdict.sentence:
            wrong.append(verdict.model)
    if not count:
        print_text(f"{name}: needs no weights." if name else f"There are no weights in {weights.folder}.")
    if wrong:
        raise HostError(
            f"{len(wrong)} of {count} weights files differ from models.toml or their pins.",
            _repair_hint(weights, list(dict.fromkeys(wrong))),
        )


def _repair_hint(weights: WeightsRegistry, model_names: list[str]) -> str:
    """Return what to do about models with wrong files: fetch them, or pin the current state of folders on this computer."""
    local = [name for name in model_names if weights.models.models[name].folder or weights.models.models[name].file]
    fetched = [name for name in model_names if name not in local]
    hints = [f"Run: goldsmith models fetch {' '.join(fetched)}"] if fetched else []
    hints += [f"If the change is intended, run: goldsmith models pin {' '.join(local)}"] if local else []
    return "\n".join(hints)


@models.command()
def measure(
    name: Annotated[str, typer.Argument(help="A generating model that is present.", metavar="NAME", autocompletion=_complete_model_name)],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Make one picture with a generating model, and write the memory and the time that it needs into models.toml.

    It uses the first GPU, or else the CPU, so end other programs that need much memory first. Comments in the file are kept.

    Example: goldsmith models measure own-portraits
    """
    from goldsmith.cli.measured_models import measure_model

    weights, models_file = _load_models_file(root, config)
    _require_known(weights, [name])
    with progress_bars() as advance:
        sentences = measure_model(
            weights, models_file, weights.models.resolve_name(name), lambda done: advance(name, done, "drawing one picture")
        )
    for sentence in sentences:
        print_text(sentence)
