"""The tables ``[cluster]`` and ``[queues.NAME]`` of goldsmith.toml: which queues work on other computers, and how they are reached."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Runner = Literal["local", "ray"]

_HOST_AND_PORT = re.compile(
    r"(?:ray://)?(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}))):(?P<port>[0-9]{1,5})"
)


def _require_cluster_address(address: str) -> str:
    """Return an address as it is written. Raises ValueError unless Ray could connect to it, or if it holds a password."""
    if "@" in address or "?" in address:
        raise ValueError("it holds a password or options; Ray takes its token from RAY_AUTH_TOKEN_PATH, never from the address")
    match = _HOST_AND_PORT.fullmatch(address)
    if address != "auto" and (match is None or not 0 < int(match["port"]) < 65_536):
        raise ValueError('it must be "auto", or the host and port of the head like 10.0.0.5:6379, with ray:// before it for Ray Client')
    return address


def _require_path_on_nodes(path: Path) -> Path:
    # "~" would be the home folder of this user on this computer, which says nothing about the nodes.
    if not path.is_absolute():
        raise ValueError("it must be an absolute path on the nodes, starting with /")
    return Path(os.path.normpath(path))


def read_head(address: str) -> tuple[str, int] | None:
    """Return the host and the port in an address of Ray; None if it has none."""
    match = _HOST_AND_PORT.fullmatch(address)
    return None if match is None else (match["ipv6"] or match["name"], int(match["port"]))


class ClusterSettings(BaseModel):
    """The table ``[cluster]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    address: Annotated[str, AfterValidator(_require_cluster_address)] = ""
    """The head of the Ray cluster: "auto" = the one that this computer belongs to; "HOST:6379"; "ray://HOST:10001" from outside of it."""
    root_on_nodes: Annotated[Path, AfterValidator(_require_path_on_nodes)] | None = None
    """The path of the root on the nodes. Left out: the same path as here."""
    max_clock_difference_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 2.0
    """Seconds by which the clock of a node may differ from this computer's. A node that differs more gets no jobs."""

    @property
    def head(self) -> tuple[str, int] | None:
        """The host and the port of the head; None for "auto" and for no cluster."""
        return read_head(self.address)


class QueueSettings(BaseModel):
    """A table ``[queues.NAME]``, for the queue of that name in pipeline.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runner: Runner = "local"
    """"local" = worker processes on this computer, as many as cpu_workers and devices say; "ray" = workers on the cluster."""
    workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """How many workers the queue has on the cluster. Each of the queue `gpu` takes a GPU of its node, unless devices = "cpu"."""


def queue_faults(cluster: ClusterSettings, queues: dict[str, QueueSettings], devices: object) -> list[tuple[str, str]]:
    """Return what contradicts itself in the tables of queues: for each fault its setting and the end of a sentence that begins with it."""
    faults = []
    for name, queue in queues.items():
        if queue.runner == "ray" and not cluster.address:
            faults.append((f"queues.{name}.runner", 'is "ray", but [cluster] has no address: set it to the head of your Ray cluster.'))
        if queue.runner == "local" and queue.workers > 1:
            sentence = f'is {queue.workers}, but the queue works on this computer: set runner = "ray", or use cpu_workers or devices.'
            faults.append((f"queues.{name}.workers", sentence))
        if queue.runner == "ray" and name == "gpu" and not isinstance(devices, str):
            faults.append(("devices", 'names GPUs of this computer, but the queue gpu works on the cluster: set "auto" or "cpu".'))
    return faults
