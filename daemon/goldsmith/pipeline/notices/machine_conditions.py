"""What stops the machine or one of its queues: found in the daemon's state, told once, and told when it is over."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from goldsmith.files import hide_server_paths
from goldsmith.journal.notice_record import Notice, NoticeRecord
from goldsmith.pipeline.status.daemon_state import DaemonState

# What stops for less time than this is not told, in seconds: a device tries again after ten seconds, and an upgrade restarts the service.
GRACE_SECONDS = 60.0
_NOT_RUNNING = "Goldsmith is not running: nothing happens to the pictures until it is started again."
_OVER = "Over: {sentence}"


class MachineConditions:
    """Follows what stops the machine. The sentences have no paths of the server: an outside service carries them."""

    def __init__(self, root: str, grace_seconds: float = GRACE_SECONDS) -> None:
        self._root = root
        self._grace_seconds = grace_seconds
        # By key: the sentence, and when it was first seen, in Unix seconds.
        self._seen: dict[str, tuple[str, float]] = {}

    def look(self, daemon: DaemonState, record: NoticeRecord, now: float) -> tuple[list[Notice], list[str]]:
        """Return the notices about what has lasted long enough and about what is over, and the keys of what is over."""
        present = {_key(sentence): sentence for sentence in self._sentences(daemon)}
        self._seen = {key: (sentence, self._seen.get(key, ("", now))[1]) for key, sentence in present.items()}
        known = record.open_keys("machine")
        notices = [
            Notice(0, key, "machine", "", "", sentence, now)
            for key, (sentence, since) in self._seen.items()
            if key not in known and now - since >= self._grace_seconds
        ]
        over = [key for key in known if key not in present]
        for key in over:
            if record.was_told(key):
                sentence = _OVER.format(sentence=record.sentence(key))
                notices.append(Notice(0, f"over:{key}:{now}", "machine over", "", "", sentence, now))
        return notices, over

    def is_waiting(self, record: NoticeRecord) -> bool:
        """Return whether something that stops the machine has not lasted long enough to be told."""
        return bool(self._seen.keys() - record.open_keys("machine"))

    def _sentences(self, daemon: DaemonState) -> Iterator[str]:
        if not daemon.holder:
            yield _NOT_RUNNING
            return
        reasons = (daemon.pause_reason, *daemon.queue_pauses.values(), *daemon.unavailable_folders.values())
        yield from dict.fromkeys(hide_server_paths(reason, self._root) for reason in reasons if reason)


def _key(sentence: str) -> str:
    """Return a key that stays the same while only the figures of a sentence change, such as the time of the next try."""
    text = re.sub(r"\d[\d.:]*", "", sentence).encode("utf-8", "surrogateescape")
    return f"machine:{hashlib.sha256(text).hexdigest()[:32]}"
