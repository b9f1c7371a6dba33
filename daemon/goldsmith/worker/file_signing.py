"""Writes content credentials into the deliverables of another job. It decodes no picture, and the daemon makes the signatures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from goldsmith.errors import InputError
from goldsmith.files import display_name
from goldsmith.jobs.job import IngredientSpec, InputRead, Job, SigningRequest
from goldsmith.picture.formats.table import FORMATS, signable_format
from goldsmith.worker.inputs import LoadedInput, load_input
from goldsmith.worker.scratch_folder import ScratchFolder

if TYPE_CHECKING:
    from goldsmith.credentials.content_credentials import Ingredient

# Returns the signature of what is signed in a manifest. Raises InputError if there is none.
RequestSignature = Callable[[bytes], bytes]


def refuse_signature(data: bytes) -> bytes:
    """Raise InputError: for jobs that sign nothing."""
    raise InputError(f"Nobody signs the {len(data)} bytes of this job.")


def sign_files(job: Job, request: SigningRequest, reads: dict[str, InputRead], scratch: ScratchFolder, sign: RequestSignature) -> None:
    """Write each unsigned file of the job with its content credentials. Its facts say what was signed, and what could not be carried.

    Raises InputError if a file cannot be signed; the sentence names it.
    """
    loaded = {source.path: load_input(job, source) for source in job.inputs}
    reads.update({path: each.read for path, each in loaded.items()})
    for source in job.inputs:
        if source.role == "unsigned":
            _sign_file(job, loaded[source.path], request, loaded, scratch, sign)
    scratch.sync_folder()


def _sign_file(
    job: Job,
    unsigned: LoadedInput,
    request: SigningRequest,
    loaded: Mapping[str, LoadedInput],
    scratch: ScratchFolder,
    sign: RequestSignature,
) -> None:
    from goldsmith.credentials.content_credentials import CredentialsError, embed_credentials

    tail, name = unsigned.source.name, job.stem + unsigned.source.name
    row = signable_format(os.path.splitext(tail)[1].lower())
    if row is None:
        raise InputError(f"{display_name(name)} has a format without content credentials.")
    definition = {**request.definition, "title": name}
    carried = [_ingredient(spec, loaded.get(spec.path)) for spec in request.ingredients]
    not_carried = ""
    try:
        data = embed_credentials(unsigned.data, row.media_type, definition, carried, request.chain, request.algorithm, sign)
    except CredentialsError as error:
        if not any(each.data for each in carried):
            raise InputError(f"{display_name(name)} could not be signed: {error}.") from error
        not_carried = str(error)
        described = [_ingredient(spec, None) for spec in request.ingredients]
        try:
            data = embed_credentials(unsigned.data, row.media_type, definition, described, request.chain, request.algorithm, sign)
        except CredentialsError as second:
            raise InputError(f"{display_name(name)} could not be signed: {second}.") from second
    facts: dict[str, JsonValue] = {"unsigned_sha256": unsigned.read.sha256}
    scratch.add_output("deliverable", tail, data, facts | ({"not_carried": not_carried} if not_carried else {}))


def _ingredient(spec: IngredientSpec, loaded: LoadedInput | None) -> Ingredient:
    """Return an ingredient; with its own manifest if its file was loaded and has a known format."""
    from goldsmith.credentials.content_credentials import Ingredient

    row = None if loaded is None else FORMATS.get(loaded.read.format)
    return (
        Ingredient(spec.description, row.media_type, loaded.data)
        if row is not None and loaded is not None
        else Ingredient(spec.description)
    )
