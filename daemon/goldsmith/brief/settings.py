"""``config/goldsmith.toml``: how this house works. Flags override the environment (``GOLDSMITH_QUIET=5``), which overrides the file."""

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
from goldsmith.errors import UsageError
from goldsmith.files import resource_path

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
    whole = path.expanduser()
    if not whole.is_absolute():
        raise ValueError("it must be a whole path, starting with / or ~")
    return whole


def _require_gpu_name(name: str) -> str:
    if re.fullmatch(r"cuda:\d{1,2}", name) is None:
        raise ValueError("it must be a GPU by its number, like cuda:0")
    return name


AbsolutePath = Annotated[Path, AfterValidator(_require_absolute)]
DeviceName = Annotated[str, AfterValidator(_require_gpu_name)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class Settings(BaseSettings):
    """How this house works. Every field is a line of config/goldsmith.toml and an environment variable; some are flags too."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=_PREFIX, allow_inf_nan=False, use_attribute_docstrings=True, env_ignore_empty=True
    )

    root: AbsolutePath | None = None
    """The folder that holds inbox/ and the others; --root says it on the command line."""
    state_dir: AbsolutePath | None = None
    """Where the journal lies: a local disk, outside the share. Left out: the service's state directory, or ~/.local/state/goldsmith."""
    models_dir: AbsolutePath | None = None
    """Where weights lie. Left out: ~/.local/share/goldsmith/models."""

    quiet: Annotated[float, Field(ge=0.1, le=3600)] = 2.0
    """Seconds a file must have been unchanged before it counts as complete."""
    breath: Seconds = 0.15
    """Seconds after the last sign of writing when work on a file may begin; its result still waits for `quiet`."""
    weak_quiet: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    """The same as `quiet` where it cannot be asked whether somebody is writing (network mounts, other users' files)."""
    gather: Seconds = 2.0
    """Seconds to wait for more sidecars after the last one came, where no step says what it needs."""
    broken_after: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    """Seconds of silence after which a picture that ends too soon is called broken."""
    sweep: Annotated[float, Field(ge=5, le=86_400)] = 600.0
    """Seconds between two readings of the folders where events arrive."""
    poll: Annotated[float, Field(ge=0.2, le=3600)] = 2.0
    """Seconds between two readings of a folder from which no events arrive."""

    cpu_workers: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=_default_cpu_workers)
    """How many jobs run at once on the CPU. Left out: one less than the cores, at most 4."""
    devices: Literal["auto", "cpu"] | Annotated[tuple[DeviceName, ...], Field(min_length=1)] = "auto"
    """What the lane `gpu` works on: "auto" = every GPU that torch can use, else the CPU; "cpu"; or a list such as ["cuda:1"]."""
    together: Annotated[int, Field(ge=1, le=8)] = 4
    """How many jobs that are alike a GPU works on at once. More is faster; with 1 a seed gives the same bytes whatever else waits."""
    threads: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=_default_threads)
    """Threads of each job. Left out: the cores divided among the lanes. Another number may change pixels by 1/255; it is recorded."""
    worker_memory_mb: Annotated[int, Field(ge=512, le=2**24)] = Field(default_factory=_default_worker_memory_mb)
    """Memory one lane may use. Left out: half of the machine's."""
    job_seconds: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    """Seconds after which a job is stopped."""
    max_pixels: Annotated[int, Field(ge=1_000_000, le=10_000_000_000)] = 200_000_000
    """The largest picture that is opened, in pixels."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """How often a picture may bring its lane down before it gets a problem note."""
    retry_machine: Annotated[float, Field(ge=0.5, le=3600)] = 10.0
    """Seconds after which a lane that paused for the machine (full disk, missing mount, dead device) tries again."""
    drain: Seconds = 20.0
    """Seconds that running jobs get to finish when the service is stopped."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """auto = colour on a terminal, JSON elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged at least."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file, which ``read_settings`` hands in under a name of its own."""
        given = dict(init_settings())
        written = given.pop(_FILE_VALUES, {})
        return InitSettingsSource(settings_cls, given), env_settings, InitSettingsSource(settings_cls, written)


_FILE_VALUES = "_written"


@dataclass(frozen=True, slots=True)
class ConfigDir:
    """Where the configuration is read from; a file that is not in ``folder`` is the one that travels with the program."""

    folder: Path | None

    def path_of(self, name: str) -> Path:
        """The path of ``goldsmith.toml``, ``pipeline.toml`` or ``models.toml``."""
        own = None if self.folder is None else self.folder / name
        return own if own is not None and own.exists() else resource_path("config", name)


def find_config(explicit: Path | None = None, root: Path | None = None, environ: Mapping[str, str] = os.environ) -> ConfigDir:
    """--config, else GOLDSMITH_CONFIG, else ROOT/config, else what travels with the program.

    Raises UsageError where the folder that was named is none, and where ROOT/config could be changed by those who only drop
    pictures: it says what is run on this machine.
    """
    named = explicit or (Path(environ[f"{_PREFIX}CONFIG"]) if environ.get(f"{_PREFIX}CONFIG") else None)
    if named is not None:
        folder = named.expanduser().absolute()
        if not folder.is_dir():
            raise UsageError(
                f"{named} is no folder to read the configuration from.", "Name the folder that holds goldsmith.toml and pipeline.toml."
            )
        return ConfigDir(folder)
    if root is None or not os.path.lexists(root / "config"):
        return ConfigDir(None)
    folder = root / "config"
    for path in (folder, *(folder / name for name in CONFIG_FILES)):
        _require_trusted_owner(path)
    return ConfigDir(folder)


def _require_trusted_owner(path: Path) -> None:
    """Raise UsageError where others than this user and root may write to ``path``; nothing there is fine."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        why = "is a link"
    elif status.st_uid not in (0, os.geteuid()):
        why = "belongs to another user"
    elif status.st_mode & 0o022:
        why = "can be changed by others"
    else:
        return
    raise UsageError(
        f"{path} {why}, and it lies on the share: whoever drops pictures there could change what is run.",
        f"chmod go-w {path} as its owner, or keep the configuration elsewhere and name it with --config.",
    )


def read_config(path: Path) -> bytes:
    """The bytes of a configuration file. Raises UsageError where it cannot be read or is no configuration file by its size."""
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
            check_size(os.fstat(opened.fileno()).st_size, str(path))
    except BriefError as fault:
        raise ConfigError(str(path), fault.problems) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "The service's user must be able to read it.") from None
    return data


def read_settings(data: bytes, file: str, environ: Mapping[str, str] = os.environ, **flags: object) -> Settings:
    """The house in a TOML file called ``file``, the environment and flags (None = not given).

    Raises ConfigError with everything that is wrong, each with the file, variable or flag it stands in.
    """
    try:
        written = read_toml(data, file)
    except BriefError as fault:
        raise ConfigError(file, fault.problems) from None
    given = {key: value for key, value in flags.items() if value is not None}
    try:
        return Settings(**given, **{_FILE_VALUES: written})  # type: ignore[arg-type]
    except ValidationError as error:
        variables = {name: environ[name] for name in (f"{_PREFIX}{field.upper()}" for field in Settings.model_fields) if name in environ}
        said = {**written, **{name.removeprefix(_PREFIX).lower(): value for name, value in variables.items()}, **given}
        faults = [_at_origin(fault, given, variables) for fault in validation_problems(error, said, "", Settings)]
        raise ConfigError(file, faults) from None


def _at_origin(problem: BriefProblem, flags: Mapping[str, object], variables: Mapping[str, str]) -> BriefProblem:
    """The fault with the place a person wrote it at: a flag, a variable or the file's own key."""
    if problem.location in flags:
        return BriefProblem(f"--{problem.location.replace('_', '-')}", problem.sentence)
    variable = f"{_PREFIX}{problem.location.upper()}"
    return BriefProblem(variable if variable in variables else problem.location, problem.sentence)
