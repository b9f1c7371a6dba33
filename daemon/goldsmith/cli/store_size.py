"""The size of the archive as ``status`` and ``doctor`` show it. The count is bounded, however many files there are."""

from __future__ import annotations

from goldsmith.cli.output import format_size
from goldsmith.pipeline.archive.archived_files import ArchiveSize

# The count stops after so many files, or after this time: a slow mount may need milliseconds for each.
MAX_COUNTED_FILES = 50_000
MAX_COUNT_SECONDS = 1.0


def archive_sentence(size: ArchiveSize) -> str:
    """Return the size of the archive as a sentence."""
    if not size.first_day:
        return "The archive is empty."
    amount = f"{format_size(size.bytes)} in {size.files} files, since {size.first_day}"
    return f"The archive has {amount}." if size.is_complete else f"The archive has more than {amount} (its newest files were counted)."
