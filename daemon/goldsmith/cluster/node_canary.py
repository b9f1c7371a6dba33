"""A file by which the daemon and a node show each other that they see the same root."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from goldsmith.cluster.node_report import NodeReport
from goldsmith.errors import GoldsmithError, error_text
from goldsmith.files import Filesystem
from goldsmith.jobs.bridge_protocol import CANARY_PREFIX
from goldsmith.jobs.names import SCRATCH_FOLDER
from goldsmith.jobs.work_folder import WorkFolder

_MAX_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class CanaryAnswer:
    """The file that a node has written, as the daemon sees it: its text and its owner's user id; ``fault`` says why it cannot be read."""

    text: str = ""
    owner: int | None = None
    fault: str = ""


class NodeCanary:
    """A file in a scratch folder of its own in ``ROOT/.goldsmith/work``. Nodes read it and write their answers beside it."""

    def __init__(self, root: Path) -> None:
        """Write the file. Raises OSError, HostError or ScratchError if the work folder does not take it."""
        self.text = secrets.token_hex(16)
        self._work_folder = WorkFolder(root)
        scratch = f"{CANARY_PREFIX}{secrets.token_hex(4)}"
        self._path, _ = self._work_folder.create_file(Filesystem(), scratch, "canary", self.text.encode("ascii"))
        # For ReportRequest.canary: the path below the root.
        self.relative_path = f"{SCRATCH_FOLDER}/{scratch}/{os.path.basename(self._path)}"

    def read_answer(self, report: NodeReport) -> CanaryAnswer:
        """Return the file that the node says to have written."""
        name = report.answer_name
        if not name.startswith("answer-") or "/" in name:
            return CanaryAnswer(fault="it names no file")
        path = os.path.join(os.path.dirname(self._path), name)
        try:
            owner = os.lstat(path).st_uid
        except OSError as error:
            return CanaryAnswer(fault=error_text(error))
        if owner != os.geteuid():
            return CanaryAnswer(owner=owner)
        try:
            return CanaryAnswer(self._work_folder.read_file(path, _MAX_ANSWER_BYTES).decode("ascii", "replace"), owner)
        except (OSError, GoldsmithError) as error:
            return CanaryAnswer(owner=owner, fault=error_text(error))

    def remove(self) -> None:
        """Remove the file and the answers. What cannot be removed now is removed at the next start."""
        self._work_folder.remove(os.path.dirname(self._path))
