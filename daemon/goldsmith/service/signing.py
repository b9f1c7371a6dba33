"""The identity that signs the content credentials of deliverables: that of the settings, else the one that ``goldsmith init`` has made."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from goldsmith.credentials.signing_identity import (
    CERTIFICATE_NAME,
    IDENTITY_FOLDER,
    KEY_NAME,
    IdentityFiles,
    SigningIdentity,
    read_identity,
)
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.jobs.job import SIGNING_QUEUE
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import default_state_dir
from goldsmith.pipeline.scheduler.delivery_signing import DeliverySigning
from goldsmith.service.setup import Setup
from goldsmith.service.worker_setup import worker_folders
from goldsmith.worker.fence import readable_paths

_MAX_ROOTS_BYTES = 4 * 2**20
NOBODY_SIGNS = "Nobody signs the content credentials of deliverables: no certificate was made or named."
IDENTITY_UNUSABLE = "The certificate that signs deliverables, or its key, cannot be used: goldsmith doctor says why."


class IdentityLookup(NamedTuple):
    """The identity, or why there is none. ``is_wanted``: False if the settings switch signing off."""

    identity: SigningIdentity | None
    problem: GoldsmithError | None = None
    is_wanted: bool = True
    # True if nobody has made or named one, which is no fault.
    is_missing: bool = False

    @property
    def reason(self) -> str:
        """Why nothing is signed, as a sentence; "" if something is, or if nobody wants that."""
        return "" if self.problem is None else self.problem.sentence

    @property
    def recorded_reason(self) -> str:
        """The same for manifests, which designers and clients read: without a path of this computer."""
        if self.problem is None:
            return ""
        return NOBODY_SIGNS if self.is_missing else IDENTITY_UNUSABLE

    def for_deliveries(self, journal: Journal, wall_clock: Callable[[], float]) -> DeliverySigning:
        """Return what makes the jobs that sign; without an identity it makes none."""
        return DeliverySigning(self.identity, self.recorded_reason, journal, wall_clock)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``; b"" without an identity."""
        return b"" if self.identity is None else self.identity.sign(data)


def identity_folder(state_dir: Path | None) -> Path:
    """Return the folder of the identity that ``goldsmith init`` makes. Raises UsageError for a user without a home folder."""
    return (state_dir or default_state_dir()) / IDENTITY_FOLDER


def find_identity(setup: Setup) -> IdentityLookup:
    """Return the identity of this installation. Nothing is raised."""
    settings = setup.settings.credentials
    if not settings.sign:
        return IdentityLookup(None, is_wanted=False)
    try:
        if settings.certificate is not None and settings.key is not None:
            files = IdentityFiles(settings.certificate, settings.key)
        else:
            folder = identity_folder(setup.settings.state_dir)
            files = IdentityFiles(folder / CERTIFICATE_NAME, folder / KEY_NAME)
            if not any(map(os.path.lexists, files)):
                sentence = f"Nobody signs the content credentials of deliverables: there is no certificate in {folder}."
                remedy = f"Run: goldsmith init --identity {shlex.quote(str(setup.root))}, or set sign = false in [credentials]."
                return IdentityLookup(None, UsageError(sentence, remedy), is_missing=True)
        readable = [Path(path) for path in readable_paths(worker_folders(setup))]
        return IdentityLookup(read_identity(files, [setup.root, *readable]))
    except GoldsmithError as problem:
        return IdentityLookup(None, problem)


def trusted_roots(setup: Setup, identity: SigningIdentity | None) -> str:
    """Return the roots, as PEM, whose signatures are trusted here. Raises UsageError if the file of the settings cannot be read."""
    own, file = "" if identity is None else identity.anchors, setup.settings.credentials.trusted
    if file is None:
        return own
    try:
        with file.open("rb") as stream:
            return own + stream.read(_MAX_ROOTS_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Check trusted in [credentials].") from error


def signing_specs(identity: SigningIdentity | None) -> list[WorkerSpec]:
    """Return the worker process that signs: it runs no other jobs, so it decodes no picture."""
    return [] if identity is None else [WorkerSpec(queue=SIGNING_QUEUE, process_count=1, threads=1)]
