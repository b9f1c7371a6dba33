"""Sends a message in a process of its own, which has the address for that moment alone and can be killed when a service hangs."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from goldsmith.jobs.worker_start import IMPORT_FOLDERS
from goldsmith.pipeline.notices.message import Message

# How long one message may take, in seconds, with its pictures.
_TIMEOUT_SECONDS = 120.0
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_KEPT_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY")

# (id of the message, address, message, pictures by file name) -> why it was not taken, as a sentence; "" if it was.
Send = Callable[[str, str, Message, Sequence[tuple[str, bytes]]], str]


class SenderLauncher:
    """Starts the sender's processes. ``answer_file``: an absolute path outside the root, for the answers; None = none is kept.

    ``lock_fd``: the descriptor of the lock of `goldsmith notify`; a process that outlives its parent keeps the lock until it has answered.
    """

    def __init__(self, answer_file: Path | None = None, lock_fd: int | None = None) -> None:
        self._answer_file = answer_file
        self._lock_fd = lock_fd

    def send(self, message_id: str, url: str, message: Message, pictures: Sequence[tuple[str, bytes]]) -> str:
        """Send a message, and return why it was not taken, as a sentence; "" if it was. This takes at most two minutes."""
        request = {
            "id": message_id,
            "answer_file": "" if self._answer_file is None else str(self._answer_file),
            "url": url,
            "title": message.title,
            "body": message.body,
            "pictures": [(name, base64.b64encode(data).decode("ascii")) for name, data in pictures],
        }
        environment = {name: os.environ[name] for name in (*_KEPT_VARIABLES, *_KEPT_PROXIES) if name in os.environ}
        if IMPORT_FOLDERS:
            environment["PYTHONPATH"] = os.pathsep.join(IMPORT_FOLDERS)
        try:
            process = subprocess.run(
                [sys.executable, "-P", "-m", "goldsmith.pipeline.notices.sender"],
                input=json.dumps(request).encode("ascii"),
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
                cwd="/",
                env=environment,
                pass_fds=() if self._lock_fd is None else (self._lock_fd,),
                start_new_session=True,  # Ctrl-C ends the parent alone: a message on its way arrives whole
            )
        except subprocess.TimeoutExpired:
            return f"The service has not answered for {_TIMEOUT_SECONDS:.0f} s."
        except OSError as error:
            return f"The program that sends messages cannot be started: {error.strerror}."
        try:
            return str(json.loads(process.stdout.splitlines()[-1])["failure"])
        except (ValueError, LookupError, TypeError):
            return f"The program that sends messages has failed (exit status {process.returncode})."

    def earlier_answer(self, message_id: str) -> str | None:
        """Return what became of a message whose parent was killed: "" if it was taken, else why not; None if nobody knows."""
        if self._answer_file is None:
            return None
        try:
            answer = json.loads(self._answer_file.read_bytes())
        except (OSError, ValueError):
            return None
        return str(answer.get("failure", "")) if isinstance(answer, dict) and answer.get("id") == message_id else None
