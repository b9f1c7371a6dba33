"""The messages of a worker process as its node sees them: the paths below the root, and the signatures of the inputs.

The number of a mount's device differs from host to host, and so may the times that it keeps. A job names each input with the signature
that the daemon has seen, and the worker compares it with its own. So the node puts its own signature in the place of the daemon's if size
and time of the last change agree, and the daemon's back into the outcome. The daemon hashes each input again before it commits.
"""

from __future__ import annotations

import os

from goldsmith.errors import InputError
from goldsmith.files import FileSignature
from goldsmith.jobs.job import Job, JobInput, Outcome
from goldsmith.jobs.protocol import (
    BatchMessage,
    HelloMessage,
    MessageType,
    WorkerConfig,
    WorkerFolders,
    decode_message,
    encode_message,
)
from goldsmith.mounts import kind_of_device
from goldsmith.root_folder import RootFolder

# Filesystems on a server keep the time of a change at least as finely as this.
_MIN_TIME_STEP_NS = 1000

_Signatures = dict[str, tuple[FileSignature, FileSignature]]


class NodeView:
    """Translates the messages of one worker process. ``root``: the path of the root on the daemon's host."""

    def __init__(self, root: str, root_on_node: str) -> None:
        self._root = root
        self._root_on_node = root_on_node or root
        # The path of the process's scratch folder on the node; "" until the message HELLO names it.
        self.scratch = ""
        # By job, by path: the daemon's signature and the node's.
        self._signatures: dict[str, _Signatures] = {}

    def to_node(self, kind: MessageType, payload: bytes) -> bytes:
        """Return the payload of a message for the worker. Raises ProtocolError if it is invalid."""
        if kind is MessageType.HELLO:
            return encode_message(self._hello(decode_message(HelloMessage, payload)))
        if kind is MessageType.JOB:
            return encode_message(self._job(decode_message(Job, payload)))
        if kind is MessageType.BATCH:
            return encode_message(BatchMessage(jobs=tuple(map(self._job, decode_message(BatchMessage, payload).jobs))))
        return payload

    def to_daemon(self, kind: MessageType, payload: bytes) -> bytes:
        """Return the payload of a message for the daemon. Raises ProtocolError if it is invalid."""
        return encode_message(self._outcome(decode_message(Outcome, payload))) if kind is MessageType.OUTCOME else payload

    def _hello(self, hello: HelloMessage) -> HelloMessage:
        folders, config = hello.folders, hello.config
        self.scratch = self._node_path(hello.scratch)
        return hello.model_copy(
            update={
                "scratch": self.scratch,
                "folders": WorkerFolders(
                    work=self._node_path(folders.work),
                    inputs=tuple(map(self._node_path, folders.inputs)),
                    models=tuple(map(self._node_path, folders.models)),
                    kept=self._node_path(folders.kept),
                ),
                "config": WorkerConfig(
                    **{
                        **dict(config),
                        "models_file": self._node_path(config.models_file),
                        "weights_folder": self._node_path(config.weights_folder),
                    }
                ),
            }
        )

    def _job(self, job: Job) -> Job:
        root = RootFolder(self._node_path(job.root))
        signatures = self._signatures[job.id] = {}
        inputs = tuple(self._input(source, root, signatures) for source in job.inputs)
        return job.model_copy(update={"root": self._node_path(job.root), "scratch": self._node_path(job.scratch), "inputs": inputs})

    def _input(self, source: JobInput, root: RootFolder, signatures: _Signatures) -> JobInput:
        """Return an input with the node's own signature; with the daemon's if another file, or none, is there."""
        try:
            # A file that is opened is asked for at the server; what a mount has cached of it may be old.
            fd = root.open_file(source.path)
            try:
                own = FileSignature.from_stat(os.fstat(fd))
            finally:
                os.close(fd)
        except (OSError, InputError):
            return source
        step = max(_MIN_TIME_STEP_NS, kind_of_device(own.dev).mtime_step_ns)
        if own.size != source.sig.size or abs(own.mtime_ns - source.sig.mtime_ns) > step:
            return source
        signatures[source.path] = source.sig, own
        return source.model_copy(update={"sig": own})

    def _outcome(self, outcome: Outcome) -> Outcome:
        signatures = self._signatures.pop(outcome.job_id, {})
        reads = []
        for read in outcome.reads:
            daemons, own = signatures.get(read.path, (read.sig, read.sig))
            reads.append(read.model_copy(update={"sig": daemons}) if read.sig == own else read)
        fault = outcome.fault
        if fault is not None:
            fault = fault.model_copy(update={"preview_path": self._daemon_path(fault.preview_path)})
        outputs = tuple(output.model_copy(update={"path": self._daemon_path(output.path)}) for output in outcome.outputs)
        update = {"reads": tuple(reads), "fault": fault, "outputs": outputs, "original_copy": self._daemon_path(outcome.original_copy)}
        return outcome.model_copy(update=update)

    def _node_path(self, path: str) -> str:
        return _moved(path, self._root, self._root_on_node)

    def _daemon_path(self, path: str) -> str:
        return _moved(path, self._root_on_node, self._root)


def _moved(path: str, old: str, new: str) -> str:
    """Return a path with its beginning ``old`` replaced; unchanged if it is not below ``old``."""
    if old == new or (path != old and not path.startswith(f"{old.rstrip('/')}/")):
        return path
    return new.rstrip("/") + path.removeprefix(old.rstrip("/"))
