"""What the daemon and its bridge to a cluster tell each other, over a pair of Unix sockets that keep the borders of messages.

The bytes between the daemon and a worker process do not travel here: each process has a socket of its own, whose other end the daemon
hands to the bridge with the request ``start``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from goldsmith.jobs.protocol import WorkerSpec

# The largest message. The kernel refuses a larger one than its buffer for sockets, of 208 KiB.
MAX_BRIDGE_MESSAGE_BYTES = 128 * 1024

# Begins the names of the scratch folders in which the bridge and the nodes show each other that they see the same root.
CANARY_PREFIX = "nodes-"


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class BridgeSetup(_Message):
    """The cluster, and what its nodes must see and have. Every path is one on the daemon's host, except ``root_on_nodes``."""

    address: str
    """The address of the cluster, as Ray takes it."""
    head: tuple[str, int] | None = None
    """The host and the port in the address; None for "auto"."""
    root: str
    root_on_nodes: str = ""
    """The path of the root on the nodes; "" = the same."""
    inputs: tuple[str, ...] = ()
    """The paths below the root of the folders with the inputs of jobs."""
    models_file: str = ""
    weights_folder: str = ""
    models: tuple[str, ...] = ()
    """The names of the installed models, whose weights are compared."""
    hash_notes: str = ""
    """The file with the daemon's notes of hashes."""
    max_clock_difference_seconds: float = 2.0


class BridgeRequest(_Message):
    """A message to the bridge.

    setup: the first message · start: start a worker process; its two descriptors are the process's end of its socket and of its stderr ·
    kill: kill a worker process.
    """

    kind: Literal["setup", "start", "kill"]
    number: int = 0
    """The number of the worker process, which the daemon gives."""
    setup: BridgeSetup | None = None
    spec: WorkerSpec | None = None


class BridgeReport(_Message):
    """A message from the bridge.

    connected: it is connected to the cluster · unavailable: it is not any more, and ends; ``sentence`` says why · nodes: which nodes may
    work, and why others may not · started: a worker process runs on ``host`` as ``pid``, with the GPU that it names · resident: it has
    ``resident_bytes`` of memory ·
    ended: it has ended with the exit ``status``, or its host is lost for the reason in ``sentence``.
    """

    kind: Literal["connected", "unavailable", "nodes", "started", "resident", "ended"]
    number: int = 0
    host: str = ""
    pid: int = 0
    device_title: str = ""
    device_memory_mb: int = 0
    resident_bytes: int = 0
    status: int = 0
    sentence: str = ""
    nodes: tuple[str, ...] = ()
    """The names of the nodes that may work."""
    refusals: tuple[str, ...] = ()
    """For each node that may not work, a sentence and its remedy."""
