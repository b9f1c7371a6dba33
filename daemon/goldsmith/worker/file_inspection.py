"""Says what a file is and what is in it, for ``goldsmith inspect``. It runs in a worker process, because the file is a stranger's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from typing import TYPE_CHECKING

from goldsmith.errors import InputError
from goldsmith.jobs.job import InputRead, Job
from goldsmith.picture.formats.table import FORMATS, describe_suffix
from goldsmith.worker.inputs import LoadedInput, load_input

if TYPE_CHECKING:
    from goldsmith.picture.picture import Metadata

_PDF = FORMATS["pdf"]
_MM_PER_POINT = 25.4 / 72
_MAX_PAGES = 10_000


def inspect_file(job: Job, reads: dict[str, InputRead], trusted_roots: str) -> dict[str, object]:
    """Return the facts of the job's file: what it is, who made it, what a generator has left in it, and its content credentials.

    Raises InputError if the file is neither a picture that is read here nor a PDF, or if it is a damaged PDF.
    """
    from goldsmith.credentials.content_credentials import read_credentials

    loaded = load_input(job, job.asset)
    reads[job.asset.path] = loaded.read
    row = FORMATS.get(loaded.read.format)
    if row is not None:
        facts = _picture_facts(loaded, job.limits.max_pixels)
    elif _PDF.matches(loaded.data[:16]):
        row, facts = _PDF, _pdf_facts(loaded)
    else:
        suffix = loaded.name[loaded.name.rfind(".") :].lower()
        raise InputError(f"{loaded.name} is {describe_suffix(suffix)} that is not read here.", "Name a picture or a PDF.")
    credentials = read_credentials(loaded.data, row.media_type, trusted_roots) if row.holds_credentials else None
    return facts | ({} if credentials is None else {"credentials": credentials.to_record()})


def _picture_facts(loaded: LoadedInput, max_pixels: int) -> dict[str, object]:
    """Return the properties of a picture and its metadata; of a damaged one the reason, and its metadata as far as they can be read."""
    from goldsmith.picture.codec import read_metadata, verify

    try:
        properties = asdict(verify(loaded.data, loaded.name, max_pixels))
        properties.pop("may_be_incomplete")
        facts: dict[str, object] = {"picture": properties}
    except InputError as damage:
        facts = {"damaged": {"format": loaded.read.format, "sentence": damage.sentence}}
    with suppress(InputError):
        facts |= metadata_facts(read_metadata(loaded.data, loaded.name, max_pixels))
    return facts


def metadata_facts(metadata: Metadata) -> dict[str, object]:
    """Return what a file's metadata say of its makers, and the names of everything in them."""
    from goldsmith.picture.metadata.credits import read_credits
    from goldsmith.picture.metadata.generation_settings import read_generation_settings
    from goldsmith.picture.metadata.identity import read_identity
    from goldsmith.picture.metadata.selection import names_left_out
    from goldsmith.picture.metadata.source_type import read_source_type
    from goldsmith.picture.picture import Metadata

    identity, settings = read_identity(metadata), read_generation_settings(metadata)
    facts: dict[str, object] = {
        "credits": {name: text for name, text in asdict(read_credits(metadata)).items() if text},
        "source_type": read_source_type(metadata),
        "ids": list(identity.ids),
        "program": identity.program,
        "generation": {} if settings is None else settings.to_record(),
        "metadata": names_left_out(metadata, Metadata()),
    }
    return {name: value for name, value in facts.items() if value}


def _pdf_facts(loaded: LoadedInput) -> dict[str, object]:
    """Return the size and the pages of a PDF, and what its metadata say."""
    import pikepdf

    from goldsmith.picture.picture import Metadata

    try:
        with pikepdf.open(BytesIO(loaded.data)) as pdf:
            pages = min(len(pdf.pages), _MAX_PAGES)
            box = [float(side) for side in pdf.pages[0].trimbox]
            xmp = bytes(pdf.Root.Metadata.get_stream_buffer()) if "/Metadata" in pdf.Root else None
            version = str(pdf.pdf_version)
    except (pikepdf.PdfError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{loaded.name} is damaged: it is no PDF with a page.", "Export it again.") from error
    size = [round((box[2] - box[0]) * _MM_PER_POINT, 1), round((box[3] - box[1]) * _MM_PER_POINT, 1)]
    return {"page": {"format": "pdf", "version": version, "pages": pages, "trim_mm": size}, **metadata_facts(Metadata(xmp=xmp))}
