"""The setup of one root: settings, pipeline, models and library.

A program that only looks starts often: models and instructions are read, and what reads them is imported, when a picture needs them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from goldsmith.brief.parsing import BriefProblem, ConfigError, did_you_mean
from goldsmith.brief.pipeline import REVIEW_FOLDER, REVIEW_TRAYS, Pipeline, read_pipeline
from goldsmith.brief.settings import Settings, find_config, read_config, read_settings
from goldsmith.engines.registry.hash_notes import HashNotes
from goldsmith.errors import HostError, UsageError, error_text
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path, weights_notes_path
from goldsmith.library.library import Library
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.pipeline.intake.file_tracker import SettleTimes
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.explain import Explainer
from goldsmith.root_folder import RootFolder

if TYPE_CHECKING:
    from goldsmith.brief.resolve import Resolver
    from goldsmith.engines.registry.weights_registry import WeightsRegistry
    from goldsmith.pipeline.scheduler.readiness import Readiness


@dataclass(frozen=True)
class Setup:
    """One root with its settings, pipeline, models and library, read and checked."""

    root: Path
    settings: Settings
    pipeline: Pipeline
    models_file: Path
    library: Library

    @cached_property
    def weights(self) -> WeightsRegistry:
        """The models and their weights. Raises UsageError with all faults of models.toml and of the pins beside it."""
        from goldsmith.engines.registry.weights_registry import default_models_folder, open_weights_registry

        notes = HashNotes(weights_notes_path(self.settings.state_dir))
        return open_weights_registry(self.models_file, self.settings.models_dir or default_models_folder(), notes)

    @property
    def resolver(self) -> Resolver:
        """The resolver that reads briefs against this pipeline, these models and their weights, and this library."""
        from goldsmith.brief.resolve import Resolver
        from goldsmith.library.availability import build_availability

        return Resolver(self.pipeline, self.library.read_recipe, build_availability(self.weights, self.library))


def load_setup(root: Path, config: Path | None = None, **flags: object) -> Setup:
    """Return the settings, the pipeline and the models of ``root``. ``flags`` override the settings.

    Raises UsageError if ``root`` is missing, ConfigError with every problem of a configuration file, and HostError if a disk fails or the
    root, on which a daemon has worked before, is not mounted.
    """
    setup = _load_setup(root, config, flags, reads_steps=True)
    _ = setup.weights  # read now, so that its faults are told at the start
    return setup


def load_setup_to_look(root: Path, config: Path | None = None) -> Setup:
    """Return the same for a program that only looks at the folders.

    The steps in pipeline.toml and models.toml are read when a picture needs them. Their problems are raised then, as ConfigError and
    UsageError.
    """
    return _load_setup(root, config, {}, reads_steps=False)


def _load_setup(root: Path, config: Path | None, flags: Mapping[str, object], *, reads_steps: bool) -> Setup:
    root = Path(os.path.abspath(root))
    files = find_config(config, root)
    settings_file, pipeline_file, models_file = (files.path_of(name) for name in ("goldsmith.toml", "pipeline.toml", "models.toml"))
    settings = read_settings(read_config(settings_file), str(settings_file), os.environ, **flags)
    require_root(root, settings.state_dir)
    pipeline = read_pipeline(read_config(pipeline_file), str(pipeline_file), reads_steps=reads_steps)
    require_queues(settings, settings_file, pipeline)
    return Setup(root, settings, pipeline, models_file, Library(root))


def require_queues(settings: Settings, file: Path, pipeline: Pipeline) -> None:
    """Raise ConfigError if the settings name a queue that no stage of the pipeline uses."""
    known = {stage.queue for stage in pipeline.stages}
    unknown = [name for name in settings.queues if name not in known]
    if unknown:
        sentence = "is not a queue of a stage in pipeline.toml"
        raise ConfigError(str(file), [BriefProblem(f"queues.{name}", f"{sentence}{did_you_mean(name, known)}") for name in unknown])


def require_root(root: Path, state_dir: Path | None) -> None:
    """Raise UsageError if there is no folder at ``root``; HostError if a daemon has worked on it before, because then its mount is gone."""
    try:
        if stat.S_ISDIR(os.stat(root).st_mode):
            return
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise HostError(f"{root} cannot be opened: {error_text(error)}.", "Check its disk and its permissions.") from error
    if _was_used(root, state_dir):
        raise HostError(f"{root} is not there, and Goldsmith has worked on it before.", "Check that the share is mounted.")
    raise UsageError(f"{root} does not exist.", f"Run: goldsmith init {root}")


def _was_used(root: Path, state_dir: Path | None) -> bool:
    """Return whether a daemon has worked on this root: then it has a journal."""
    try:
        return journal_path(root, state_dir).exists()
    except (OSError, UsageError):
        return False


def build_explainer(setup: Setup, journal: Journal | None, daemon: DaemonState, texts: TextFileCache | None = None) -> Explainer:
    """Return an explainer of a root's files, as of now, for programs beside the daemon.

    ``journal`` is None if it cannot be read. ``texts``: briefs that were read before; None = none were.
    """
    settings = setup.settings

    @cache
    def open_readiness() -> Readiness:
        from goldsmith.pipeline.scheduler.readiness import Readiness

        return Readiness(setup.pipeline, setup.resolver, (texts or TextFileCache(setup.root)).read_bytes, RootFolder(setup.root).lstat)

    settle_times = SettleTimes(settings.quiet, settings.breath, settings.weak_quiet)
    return Explainer(setup.root, setup.pipeline, open_readiness, journal, daemon, settle_times)


def create_folders(setup: Setup) -> None:
    """Create the pipeline's missing folders, for example the folder of a stage that was added to pipeline.toml.

    If none of them exists, ``root`` is probably the wrong folder: raises UsageError; HostError if a daemon has worked on it before, because
    then its mount is probably gone. Also raises HostError if the service's own folder is not its alone, and OSError.
    """
    folders = setup.pipeline.folders
    if not any((setup.root / name).is_dir() for name in folders):
        sentence = f"{setup.root} has none of the pipeline's folders ({', '.join(folders)})."
        if _was_used(setup.root, setup.settings.state_dir):
            raise HostError(sentence, "Check that the share is mounted and that pipeline.toml names its folders.")
        raise UsageError(sentence, f"Run: goldsmith init {setup.root}")
    root = RootFolder(setup.root)
    for name in (*input_folders(setup.pipeline), *(f"{REVIEW_FOLDER}/{tray}" for tray in REVIEW_TRAYS)):
        root.make_folder(name)
    WorkFolder(setup.root).prepare()


def input_folders(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the folders of a root that hold inputs of jobs."""
    return (*pipeline.shared_folders, ARCHIVE_FOLDER, "library")
