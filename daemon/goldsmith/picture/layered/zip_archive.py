"""Read the zip archives that OpenRaster and Krita documents are. Nothing is unpacked to the disk, and every size is asked first."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from goldsmith.errors import InputError
from goldsmith.files import display_name
from goldsmith.picture.formats.image_info import damaged_error, describe_arrival, truncated_error

# A document has a few entries a layer.
_MAX_ENTRIES = 20_000
# Of the list of entries at the archive's end.
_MAX_LIST_BYTES = 8 << 20
_END_SIGNATURE, _END_BYTES, _MAX_COMMENT_BYTES = b"PK\5\6", 22, 65_535
# The same record with wide numbers lies before one that says where it is. ``zipfile`` looks for both at these very places.
_WIDE_END_SIGNATURE, _WIDE_END_BYTES, _WIDE_PLACE_SIGNATURE, _WIDE_PLACE_BYTES = b"PK\6\6", 56, b"PK\6\7", 20
# An entry may have this many bytes however well it is packed, and beyond them this many for each packed byte.
_MIN_BYTES, _MAX_RATIO = 64 << 20, 100
_ENCRYPTED = 1
_MAX_TITLE = 80


class ZipArchive:
    """The entries of an archive, by name."""

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        _check_end(data, name)
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise damaged_error(name, "the list of its parts makes no sense") from error
        _check_count(name, len(self._archive.filelist))
        self._entries = {entry.filename: entry for entry in self._archive.infolist()}

    def __contains__(self, entry_name: str) -> bool:
        return entry_name in self._entries

    def names(self) -> list[str]:
        """Return the names of all entries, in their order."""
        return list(self._entries)

    def size(self, entry_name: str) -> int:
        """Return the unpacked bytes of an entry as the archive announces them; 0 if there is none."""
        return self._entries[entry_name].file_size if entry_name in self._entries else 0

    def read(self, entry_name: str, max_bytes: int) -> bytes:
        """Return an entry. Raises InputError if there is none, or if it has more than ``max_bytes``, whatever the archive announces.

        An entry that is large for its packed bytes has nothing in it that a picture program would write.
        """
        size = self.size(entry_name)
        if entry_name in self._entries:
            max_bytes = min(max_bytes, _MIN_BYTES + _MAX_RATIO * self._entries[entry_name].compress_size)
        content = b"" if size > max_bytes else self.read_start(entry_name, max_bytes + 1)
        if max(size, len(content)) > max_bytes:
            raise InputError(
                f"The part {entry_title(entry_name)} of {self._name} has {max(size, len(content)) / 2**20:,.0f} MiB unpacked; "
                f"the limit is {max_bytes / 2**20:,.0f} MiB.",
                "Save it again in the program that made it.",
            )
        return content

    def read_start(self, entry_name: str, size: int) -> bytes:
        """Return the first ``size`` bytes of an entry, or all of a smaller one. Raises InputError if there is none."""
        entry = self._entries.get(entry_name)
        if entry is None:
            raise damaged_error(self._name, f"its part {entry_title(entry_name)} is missing")
        if entry.flag_bits & _ENCRYPTED:
            raise InputError(f"{self._name} is encrypted.", "Save it without a password.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Python unpacks the others without a limit.
            raise InputError(
                f"The part {entry_title(entry_name)} of {self._name} is packed in a way that no picture program uses "
                f"(method {entry.compress_type}).",
                "Save it again in the program that made it.",
            )
        try:
            with self._archive.open(entry) as stream:
                return stream.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise damaged_error(self._name, f"its part {entry_title(entry_name)} cannot be unpacked") from error


def entry_title(entry_name: str) -> str:
    """Return the name of an entry for use in a sentence."""
    return "".join(letter if letter.isprintable() else "�" for letter in display_name(entry_name[:_MAX_TITLE]))


def _check_end(data: bytes, name: str) -> None:
    """Check the record at the archive's end, which the file lacks while it arrives, before the list of entries is read."""
    start = data.rfind(_END_SIGNATURE, max(0, len(data) - _END_BYTES - _MAX_COMMENT_BYTES))
    if start < 0 or start + _END_BYTES > len(data):
        raise truncated_error(name, describe_arrival(len(data)))
    count, size, offset = struct.unpack_from("<HII", data, start + 10)
    wide = start - _WIDE_PLACE_BYTES - _WIDE_END_BYTES
    if data.startswith(_WIDE_PLACE_SIGNATURE, max(0, start - _WIDE_PLACE_BYTES)) and data.startswith(_WIDE_END_SIGNATURE, max(0, wide)):
        count, size, offset = struct.unpack_from("<3Q", data, wide + 32)
    _check_count(name, count)
    if size > _MAX_LIST_BYTES:
        raise InputError(f"{name} has a very long list of its parts.", "Save it again in the program that made it.")
    if offset + size > start:
        raise damaged_error(name, "the list of its parts makes no sense")


def _check_count(name: str, count: int) -> None:
    if count > _MAX_ENTRIES:
        raise InputError(f"{name} has {count:,} parts; the limit is {_MAX_ENTRIES:,}.", "Save it again in the program that made it.")
