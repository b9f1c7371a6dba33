"""The program that sends one message: ``python -m goldsmith.pipeline.notices.sender``.

The message comes on stdin, the answer goes to stdout and to a file, both as JSON. The file is for a parent that was killed meanwhile.
The address is in no argument and in no answer. What the service says is not passed on, because its words may repeat the address: only
what kind of failure it was.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldsmith.files import Filesystem, write_atomically

if TYPE_CHECKING:
    from apprise import Apprise

# What this program answers if Apprise is not installed or does not know the address; there is no use in another try.
NOT_INSTALLED = "The program that sends notices, Apprise, is not installed: pip install 'goldsmith[notify]'."
UNKNOWN_ADDRESS = "Its address is none that Apprise knows."
_HTTP_STATUS = re.compile(r"\berror[= ]*(\d{3})\b")
_PICTURE_LEFT_OUT = "(The picture is left out: the channel did not take it.)"


def main() -> None:
    """Send the message on stdin, and print what became of it."""
    request = json.load(sys.stdin.buffer)
    pictures = [(name, base64.b64decode(data)) for name, data in request["pictures"]]
    answer = json.dumps({"id": request["id"], "failure": send(request["url"], request["title"], request["body"], pictures)})
    if request["answer_file"]:
        write_atomically(Filesystem(), Path(request["answer_file"]), answer.encode("ascii"), replace=True)
    print(answer)


def send(url: str, title: str, body: str, pictures: Sequence[tuple[str, bytes]]) -> str:
    """Send a message, and return why it was not taken, as a sentence; "" if it was. Pictures that a channel refuses are left out."""
    try:
        import apprise
    except ImportError:
        return NOT_INSTALLED
    log = _FailureLog()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [log], False
    logger.setLevel(logging.WARNING)
    channel = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Goldsmith", app_desc="Goldsmith", app_url="", secure_logging=True))
    if not channel.add(url):
        return UNKNOWN_ADDRESS
    with tempfile.TemporaryDirectory(prefix="goldsmith-notice-") as folder:
        files = []
        for name, data in pictures:
            files.append(Path(folder, name))
            files[-1].write_bytes(data)
        if _notify(channel, title, body, [str(file) for file in files]):
            return ""
        if files and _notify(channel, title, f"{body}\n\n{_PICTURE_LEFT_OUT}", []):
            return ""
    return log.sentence()


def _notify(channel: Apprise, title: str, body: str, files: list[str]) -> bool:
    result: Any = channel.notify(body=body, title=title, body_format="text", attach=files or None)
    return bool(result)


class _FailureLog(logging.Handler):
    """Remembers what kind of failure Apprise has logged, and none of its words."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._status = ""
        self._is_unreachable = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        match = _HTTP_STATUS.search(text)
        if match is not None:
            self._status = match[1]
        self._is_unreachable = self._is_unreachable or "connection" in text.lower() or "timed out" in text.lower()

    def sentence(self) -> str:
        """Return why the message was not taken."""
        if self._status:
            meaning = {"401": ", the password or key is wrong", "403": ", it is not allowed", "404": ", there is no such place"}
            return f"The service refused the message (HTTP {self._status}{meaning.get(self._status, '')})."
        return "The service cannot be reached." if self._is_unreachable else "The service did not take the message."


if __name__ == "__main__":
    main()
