"""The settings in ``config/goldsmith.toml``. Flags override the environment (``GOLDSMITH_QUIET=5``), which overrides the file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from goldsmith.brief.parsing import (
    MAX_FILE_BYTES,
    BriefError,
    BriefProblem,
    ConfigError,
    check_size,
    read_toml,
)
from goldsmith.brief.validation_messages import validation_problems
from goldsmith.brief.web_settings import WebSettings
from goldsmith.errors import HostError, UsageError, unreadable_config
from goldsmith.files import resource_path
from goldsmith.mounts import kind_at

CONFIG_FILES = ("goldsmith.toml", "pipeline.toml", "models.toml")
_PREFIX = "GOLDSMITH_"


def _core_count() -> int:
    return len(os.sched_getaffinity(0))


def _default_cpu_workers() -> int:
    return min(4, max(1, _core_count() - 1))


def _default_threads() -> int:
    return max(1, _core_count() // _default_cpu_workers())


def _default_worker_memory_mb() -> int:
    return max(2048, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 // 2**20)


def _require_absolute(path: Path) -> Path:
    expanded = path.expanduser()
    if not expanded.is_absolute():
        raise ValueError("it must be an absolute path, starting with / or ~")
    return expanded


def _require_gpu_name(name: str) -> str:
    if re.fullmatch(r"cuda:\d{1,2}", name) is None:
        raise ValueError("it must be a GPU by its number, like cuda:0")
    return name


AbsolutePath = Annotated[Path, AfterValidator(_require_absolute)]
DeviceName = Annotated[str, AfterValidator(_require_gpu_name)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class Settings(BaseSettings):
    """The settings of one installation. Each field is a key of config/goldsmith.toml and an environment variable; some are flags too."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=_PREFIX, allow_inf_nan=False, use_attribute_docstrings=True, env_ignore_empty=True
    )

    root: AbsolutePath | None = None
    """The folder that holds inbox/ and the other folders. On the command line: --root."""
    state_dir: AbsolutePath | None = None
    """The journal's folder: on a local disk, outside the share. Left out: the service's state directory, or ~/.local/state/goldsmith."""
    models_dir: AbsolutePath | None = None
    """The folder of the weights. Left out: ~/.local/share/goldsmith/models."""

    quiet: Annotated[float, Field(ge=0.1, le=3600)] = 2.0
    """Seconds for which a file must be unchanged before it counts as complete."""
    breath: Seconds = 0.15
    """Seconds after the last change when a job on a file may begin. Its result still waits for `quiet`."""
    weak_quiet: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    """Like `quiet`, for files of which the system cannot tell whether somebody is writing them (network mounts, other users' files)."""
    gather: Seconds = 2.0
    """Seconds to wait for more sidecars after the last one arrived, if no step says which ones it needs."""
    broken_after: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    """Seconds without a change after which a truncated picture counts as broken."""
    sweep: Annotated[float, Field(ge=5, le=86_400)] = 600.0
    """Seconds between two scans of folders for which events arrive."""
    poll: Annotated[float, Field(ge=0.2, le=3600)] = 2.0
    """Seconds between two scans of a folder for which no events arrive."""

    cpu_workers: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=_default_cpu_workers)
    """How many jobs run on the CPU at once. Left out: the number of cores minus one, at most 4."""
    devices: Literal["auto", "cpu"] | Annotated[tuple[DeviceName, ...], Field(min_length=1)] = "auto"
    """The devices of the queue `gpu`: "auto" = every GPU that torch can use, or else the CPU; "cpu"; or a list such as ["cuda:1"]."""
    together: Annotated[int, Field(ge=1, le=8)] = 4
    """How many similar jobs a GPU runs as one batch. More is faster. With 1, a seed gives the same bytes whatever other jobs wait."""
    threads: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=_default_threads)
    """Threads of each job. Left out: the cores divided by the workers. Another number may change pixels by 1/255; it is recorded."""
    worker_memory_mb: Annotated[int, Field(ge=512, le=2**24)] = Field(default_factory=_default_worker_memory_mb)
    """Memory in MB that one worker may use. Left out: half of the machine's memory."""
    job_seconds: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    """Seconds after which a job is stopped."""
    max_pixels: Annotated[int, Field(ge=1_000_000, le=10_000_000_000)] = 200_000_000
    """The largest picture that is opened, in pixels."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """How often a picture may crash its worker before it gets a problem note."""
    retry_machine: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    """Seconds after which a paused queue tries again (full disk, missing mount, dead device)."""
    drain: Seconds = 20.0
    """Seconds that running jobs get to finish when the service stops."""

    folder_status: bool = True
    """true = each stage's folder has a file _status.txt that says what is at work there and what waits, and for what."""

    keep_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """Days for which archive and journal keep what no younger delivery needs. 0 = for ever; else the service prunes once a day."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """auto = colour on a terminal, JSON elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""

    web: WebSettings = WebSettings()
    """The page that `goldsmith web` serves. Its keys are a table of their own, `[web]`, at the end of this file; docs/page.md has them."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources by precedence: flags, environment, file. ``read_settings`` passes the file's values under a reserved name."""
        flags = dict(init_settings())
        file_values = flags.pop(_FILE_VALUES, {})
        return InitSettingsSource(settings_cls, flags), env_settings, InitSettingsSource(settings_cls, file_values)


_FILE_VALUES = "_written"


@dataclass(frozen=True, slots=True)
class ConfigDir:
    """The folder of the configuration. For a file that ``folder`` lacks, the shipped one is used."""

    folder: Path | None

    def path_of(self, name: str) -> Path:
        """Return the path of ``goldsmith.toml``, ``pipeline.toml`` or ``models.toml``."""
        own = None if self.folder is None else self.folder / name
        return own if own is not None and _is_there(own) else resource_path("config", name)


def find_config(explicit: Path | None = None, root: Path | None = None, environ: Mapping[str, str] = os.environ) -> ConfigDir:
    """Return the folder of the configuration: --config, or else GOLDSMITH_CONFIG, ROOT/config, the shipped files.

    Raises UsageError if the given folder does not exist, or if other users can change ROOT/config: people who may drop pictures there
    could then decide what runs on this machine.
    """
    config_folder = explicit or (Path(environ[f"{_PREFIX}CONFIG"]) if environ.get(f"{_PREFIX}CONFIG") else None)
    if config_folder is not None:
        folder = config_folder.expanduser().absolute()
        if not folder.is_dir():
            raise UsageError(
                f"The configuration folder {config_folder} does not exist.", "Name the folder that holds goldsmith.toml and pipeline.toml."
            )
        return ConfigDir(folder)
    if root is None or not _is_there(root / "config"):
        return ConfigDir(None)
    folder = root / "config"
    for path in (folder, *(folder / name for name in CONFIG_FILES)):
        _require_trusted_owner(path)
    return ConfigDir(folder)


def _is_there(path: Path) -> bool:
    """Return whether there is a file, a folder or a link at ``path``.

    Raises HostError if the system refuses to look: a configuration that cannot be seen must not be replaced by the shipped one.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise HostError(f"{path} cannot be looked at: {error.strerror}.", "Check its disk and its permissions.") from error
    return True


def _require_trusted_owner(path: Path) -> None:
    """Raise UsageError if users other than this one and root may write to ``path``. A missing path is accepted."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        reason = "is a link"
    elif status.st_uid not in (0, os.geteuid()):
        reason = "belongs to another user"
    elif status.st_mode & 0o022:
        reason = "can be changed by others"
    else:
        return
    raise UsageError(
        f"{path} {reason}, and it is on the share: anybody who drops pictures there could change what runs.",
        f"{kind_at(path).mode_remedy(f'Run chmod go-w {path} as its owner')}, or keep the configuration elsewhere and name its folder "
        "with --config.",
    )


def read_config(path: Path) -> bytes:
    """Return the bytes of a configuration file. Raises UsageError if it is missing or too large, and HostError if the system refuses it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
            check_size(os.fstat(file.fileno()).st_size, str(path))
    except BriefError as error:
        raise ConfigError(str(path), error.problems) from None
    except OSError as error:
        raise unreadable_config(path, error) from None
    return data


def read_settings(data: bytes, file: str, environ: Mapping[str, str] = os.environ, **flags: object) -> Settings:
    """Return the settings from a TOML file called ``file``, the environment and flags (None = not given).

    Raises ConfigError with every problem, each with its file, variable or flag.
    """
    try:
        file_values = read_toml(data, file)
    except BriefError as error:
        raise ConfigError(file, error.problems) from None
    flag_values = {key: value for key, value in flags.items() if value is not None}
    try:
        return Settings(**flag_values, **{_FILE_VALUES: file_values})  # type: ignore[arg-type]
    except ValidationError as error:
        variables = {name: environ[name] for name in (f"{_PREFIX}{field.upper()}" for field in Settings.model_fields) if name in environ}
        values = {**file_values, **{name.removeprefix(_PREFIX).lower(): value for name, value in variables.items()}, **flag_values}
        problems = [_at_origin(problem, flag_values, variables) for problem in validation_problems(error, values, "", Settings)]
        raise ConfigError(file, problems) from None


def _at_origin(problem: BriefProblem, flags: Mapping[str, object], variables: Mapping[str, str]) -> BriefProblem:
    """Return the problem with its place of origin: a flag, a variable or a key of the file."""
    if problem.location in flags:
        return BriefProblem(f"--{problem.location.replace('_', '-')}", problem.sentence)
    variable = f"{_PREFIX}{problem.location.upper()}"
    return BriefProblem(variable if variable in variables else problem.location, problem.sentence)
