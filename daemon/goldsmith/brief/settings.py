"""The settings in ``config/goldsmith.toml``. Flags override the environment (``GOLDSMITH_QUIET=5``), which overrides the file."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from goldsmith.brief.cluster_settings import ClusterSettings, QueueSettings, queue_faults
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


def _require_address(address: str) -> str:
    """Return an address as it is written. Raises ValueError unless it is an IP address with a port."""
    host, separator, port = address.rpartition(":")
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        separator = ""
    if not separator or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("it must be an IP address with a port, like 127.0.0.1:9464 or [::1]:9464")
    return address


def _require_channel_url(url: SecretStr) -> SecretStr:
    if "://" not in url.get_secret_value():
        raise ValueError("it has no ://, so it is no address of Apprise")
    return url


def _require_credential_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) is None:
        raise ValueError("it must be a name of letters, digits, dots, dashes and underscores")
    return name


AbsolutePath = Annotated[Path, AfterValidator(_require_absolute)]
DeviceName = Annotated[str, AfterValidator(_require_gpu_name)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class CredentialSettings(BaseModel):
    """The table [credentials]: who signs the content credentials (C2PA) of deliverables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sign: bool = True
    """true = deliverables get signed content credentials. false = they get none, and nothing says that they lack them."""
    certificate: AbsolutePath | None = None
    """The certificate that signs, in PEM, with those between it and its root behind it. Left out: the one that goldsmith init has made."""
    key: AbsolutePath | None = None
    """The key of the certificate, in PEM, without a password: outside the share, with the mode 0600. Left out: that of goldsmith init."""
    trusted: AbsolutePath | None = None
    """Further roots, in PEM, whose signatures goldsmith inspect trusts. Left out: the root of the own certificate alone."""

    @model_validator(mode="after")
    def _require_both(self) -> CredentialSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: name both, or neither")
        return self


NoticeKind = Literal["review", "problem", "campaign done", "machine"]
NOTICE_KINDS: tuple[NoticeKind, ...] = ("review", "problem", "campaign done", "machine")


class NotifyChannel(BaseModel):
    """One table [[notify]] of goldsmith.toml: a channel on which people are told what waits for them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    url: Annotated[SecretStr, AfterValidator(_require_channel_url)] | None = None
    """Where the notices go, as an address of Apprise. It may hold a password: then let only the service's user read this file."""
    credential: Annotated[str, AfterValidator(_require_credential_name)] = ""
    """Instead of `url`: the name of a systemd credential (LoadCredential=) whose file holds the address."""
    on: Annotated[tuple[NoticeKind, ...], Field(min_length=1)] = NOTICE_KINDS
    """What is told: results that wait for a person, problems, campaigns that are done, and the state of the machine."""
    campaigns: tuple[str, ...] = ()
    """The campaigns of which is told, each with those below it. Empty: all. The state of the machine belongs to no campaign."""
    digest_minutes: Annotated[float, Field(ge=0, le=1440)] = 5.0
    """The shortest time between two messages, in minutes. What happens meanwhile becomes one message."""
    pictures: bool = True
    """true = pictures go with the messages: the sheet of a review, a preview of a held picture. The service that carries them sees them."""

    @model_validator(mode="after")
    def _require_one_address(self) -> NotifyChannel:
        if (self.url is None) == (not self.credential):
            raise ValueError("url or credential must say where the notices go, and not both.")
        return self


class MetricsSettings(BaseModel):
    """The table [metrics] of goldsmith.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: Annotated[str, AfterValidator(_require_address)] = "127.0.0.1:9464"
    """The address at which `goldsmith metrics` answers. Beyond this computer, it needs a token."""
    token_file: AbsolutePath | None = None
    """The file with the token that a request must bring. Left out: the systemd credential `metrics-token`, if there is one."""


class _Environment(EnvSettingsSource):
    """The variables of the environment. A list or a table is written as JSON; what is none is refused with the words of its setting."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class Settings(BaseSettings):
    """The settings of one installation. Each field is a key of config/goldsmith.toml and an environment variable; some are flags too."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=_PREFIX, allow_inf_nan=False, env_ignore_empty=True)

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

    credentials: CredentialSettings = CredentialSettings()
    """Who signs the content credentials (C2PA) of deliverables: see docs/credentials.md."""

    notify: tuple[NotifyChannel, ...] = ()
    """The channels on which `goldsmith notify` tells people what waits for them. Each is a table of its own."""
    metrics: MetricsSettings = MetricsSettings()
    """The figures for Prometheus, and the state of the service, which `goldsmith metrics` answers with."""

    web: WebSettings = WebSettings()
    """The page that `goldsmith web` serves: see docs/page.md."""

    cluster: ClusterSettings = ClusterSettings()
    """The Ray cluster whose nodes do the jobs of the queues with runner = "ray". It needs the extra `ray`."""
    queues: dict[str, QueueSettings] = {}
    """Where the jobs of a queue run. Write a table for each queue of pipeline.toml that is not to work on this computer."""

    def queue(self, name: str) -> QueueSettings:
        """Return the settings of a queue; the defaults if no table names it."""
        return self.queues.get(name, QueueSettings())

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
        return InitSettingsSource(settings_cls, flags), _Environment(settings_cls), InitSettingsSource(settings_cls, file_values)


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
        raise ConfigError(file, [_without_addresses(problem) for problem in error.problems]) from None
    flag_values = {key: value for key, value in flags.items() if value is not None}
    try:
        settings = Settings(**flag_values, **{_FILE_VALUES: file_values})  # type: ignore[arg-type]
    except ValidationError as error:
        variables = {name: environ[name] for name in (f"{_PREFIX}{field.upper()}" for field in Settings.model_fields) if name in environ}
        values = {**file_values, **{name.removeprefix(_PREFIX).lower(): value for name, value in variables.items()}, **flag_values}
        quotable = _without_secrets(values)
        problems = [_at_origin(problem, flag_values, variables) for problem in validation_problems(error, quotable, "", Settings)]
        raise ConfigError(file, [_without_addresses(problem) for problem in problems]) from None
    if faults := queue_faults(settings.cluster, settings.queues, settings.devices):
        raise ConfigError(file, [BriefProblem(setting, sentence) for setting, sentence in faults])
    return settings


def _without_secrets(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values as a message may quote them: the address of a channel or of a cluster may hold a password."""
    masks = {"notify": _masked_channels, "cluster": _masked_cluster}
    return {name: masks[name.casefold()](value) if name.casefold() in masks else value for name, value in values.items()}


def _masked_cluster(cluster: object) -> object:
    """Return what is written for the cluster with "…" for an address that may hold a password, and for everything that is no table."""
    if not isinstance(cluster, dict):
        return "…"
    return {key: "…" if isinstance(value, str) and re.search("[@?]", value) else value for key, value in cluster.items()}


def _masked_channels(channels: object) -> object:
    """Return what is written for the channels with "…" for each address, and for everything that is no table."""
    if not isinstance(channels, list):
        return "…"
    return [
        {key: "…" if key.casefold() == "url" else value for key, value in each.items()} if isinstance(each, dict) else "…"
        for each in channels
    ]


def _without_addresses(problem: BriefProblem) -> BriefProblem:
    """Return the problem with "…" for what follows the scheme of each address that it quotes, precedes an @ or is an option."""
    sentence = re.sub(r"([a-z][a-z0-9+.-]*://)[^\s\"'“”]+", r"\1…", problem.sentence, flags=re.IGNORECASE)
    sentence = re.sub(r"\?[^\s\"'“”]*=[^\s\"'“”]+", "?…", sentence)
    return replace(problem, sentence=re.sub(r"[^\s\"'“”]+@", "…@", sentence))


def _at_origin(problem: BriefProblem, flags: Mapping[str, object], variables: Mapping[str, str]) -> BriefProblem:
    """Return the problem with its place of origin: a flag, a variable or a key of the file."""
    if problem.location in flags:
        return BriefProblem(f"--{problem.location.replace('_', '-')}", problem.sentence)
    variable = f"{_PREFIX}{problem.location.upper()}"
    return BriefProblem(variable if variable in variables else problem.location, problem.sentence)
