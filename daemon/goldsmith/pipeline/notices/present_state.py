"""What is true of a notice at the moment at which it is told: its sentence, and the pictures that go with it."""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import Protocol

from goldsmith.errors import InputError
from goldsmith.files import display_name
from goldsmith.jobs.names import CANDIDATES_SHEET_TAIL, REVIEW_SHEET_TAIL
from goldsmith.journal.journal import Journal
from goldsmith.journal.notice_record import Notice, NoticeRecord
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.notices.message import Telling
from goldsmith.pipeline.previews.preview_maker import PreviewResult
from goldsmith.pipeline.status.explain import Explainer
from goldsmith.root_folder import RootFolder

# The side of a preview, in px, and how many pictures go with a message.
_PREVIEW_SIDE = 1080
_MAX_PICTURES = 3
_MAX_SHEET_BYTES = 8 << 20


class MakePreviews(Protocol):
    """Returns a preview of each of these files, or the reason why there is none."""

    def __call__(self, paths: Sequence[str], side: int) -> dict[str, PreviewResult]: ...


class PresentState:
    """The state of a root while one round of messages goes out."""

    def __init__(self, root: RootFolder, journal: Journal, record: NoticeRecord, explainer: Explainer, make_previews: MakePreviews) -> None:
        self._root = root
        self._journal = journal
        self._record = record
        self._explainer = explainer
        self._make_previews = make_previews

    def check(self, notices: Sequence[Notice]) -> list[Telling]:
        """Return the notices that are still true, each with its sentence. What somebody has seen to meanwhile is left out."""
        return [Telling(notice, sentence) for notice in notices if (sentence := self._sentence(notice))]

    def _sentence(self, notice: Notice) -> str:
        if notice.kind == "review":
            if self._root.is_missing(notice.path):
                return ""
            return self._explainer.explain_file(notice.path).split("\n", 1)[0]
        if notice.kind in ("problem", "machine"):
            return notice.sentence if self._record.is_open(notice.number) else ""
        return notice.sentence

    def pictures(self, tellings: Sequence[Telling]) -> list[tuple[str, bytes]]:
        """Return the pictures of a message, by file name: the sheets of reviews as they were made, and previews of held pictures.

        The sheet of a review lies in a folder of the share. It is sent only if it has the bytes that the worker wrote.
        """
        sheets = [(telling.notice.path, sheet) for telling in tellings if (sheet := self._review_sheet(telling.notice))][:_MAX_PICTURES]
        preview_paths = [telling.notice.path for telling in tellings if _is_shown(telling.notice)][: _MAX_PICTURES - len(sheets)]
        previews = self._make_previews(preview_paths, _PREVIEW_SIDE) if preview_paths else {}
        pictures = [*sheets, *((path, result.jpeg) for path, result in previews.items() if result.jpeg)]
        return [(_file_name(path, number), data) for number, (path, data) in enumerate(pictures, 1)]

    def _review_sheet(self, notice: Notice) -> bytes:
        """Return the bytes of the sheet that was laid into review/ with a result; b"" if it is not there any more or was changed."""
        row = self._journal.committed_row(notice.key.partition(":")[2]) if notice.kind == "review" else None
        for path in _sheets(row.results if row is not None else ()):
            placed = self._journal.placed_file(path)
            with contextlib.suppress(OSError, InputError):
                data = self._root.read_file(path, _MAX_SHEET_BYTES)
                if placed is not None and hashlib.sha256(data).hexdigest() == placed.sha256:
                    return data
        return b""


def _sheets(results: Sequence[str]) -> Iterator[str]:
    return (path for path in results if path.casefold().endswith((REVIEW_SHEET_TAIL, CANDIDATES_SHEET_TAIL)))


def _is_shown(notice: Notice) -> bool:
    """Return whether a preview of the notice's picture is worth the while of a worker."""
    return notice.kind in ("problem", "campaign done") and is_picture_suffix(posixpath.splitext(notice.path)[1].lower())


def _file_name(path: str, number: int) -> str:
    """Return a file name for a picture of a message that every service takes: letters, digits, dashes and underscores."""
    stem = display_name(posixpath.splitext(posixpath.basename(path))[0])
    kept = "".join(character if character.isascii() and (character.isalnum() or character in "-_") else "_" for character in stem)
    return f"{number}-{kept[:60] or 'picture'}.jpg"
