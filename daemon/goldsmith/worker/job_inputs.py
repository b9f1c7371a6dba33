"""A job's inputs, read once: their bytes and hashes, the decoded picture with its masks, and what the picture says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from goldsmith.errors import InputError
from goldsmith.jobs.job import AssetIdentity, InputRead, Job
from goldsmith.picture.format_detection import describe_wrong_suffix
from goldsmith.picture.formats.image_info import ImageInfo
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL, MemoryBudget
from goldsmith.picture.picture import Picture
from goldsmith.worker.file_identities import asset_identity
from goldsmith.worker.inputs import LoadedInput, load_input, reading_options
from goldsmith.worker.load_masks import load_masks, mask_from_alpha

if TYPE_CHECKING:
    from goldsmith.picture.codec import PicturePart


class JobInputs:
    """Reads the inputs of a job, and keeps what was found in them.

    job:            the job; its content credentials grow by those that the picture brings.
    current_path:   the input that is being read, for the path of a fault.
    reads:          every input that was read, by its path.
    notes:          about the files beside the picture; ``picture_notes``: about the picture itself.
    identity:       of the picture as it was read, with its sidecars.
    generation:     what the picture's generator says of how it was made.
    credentials:    what its content credentials say; empty if it has none.
    older:          the result of an earlier job that the picture replaces, as another kind of file.
    parts:          the masks and layers in the picture's own file; ``masks_inside``: the names of those masks.
    """

    def __init__(self, job: Job, check_cancelled: Callable[[], None]) -> None:
        self.job = job
        self.current_path = job.asset.path
        self.reads: dict[str, InputRead] = {}
        self.notes: list[str] = []
        self.picture_notes: Sequence[str] = ()
        self.identity = AssetIdentity()
        self.generation: dict[str, object] = {}
        self.credentials: dict[str, object] = {}
        self.older: LoadedInput | None = None
        self.parts: Sequence[PicturePart] = ()
        self.masks_inside: set[str] = set()
        self._check_cancelled = check_cancelled

    def load(self) -> tuple[LoadedInput, list[LoadedInput], list[LoadedInput]]:
        """Read and hash every input; return the picture, the masks and the metadata sidecars with their bytes."""
        pixels, sidecars = [], []
        for source in self.job.inputs:  # a brief without a picture is read here for its hash
            self._check_cancelled()
            self.current_path = source.path
            loaded = load_input(self.job, source)
            self.reads[source.path] = loaded.read
            self._note_wrong_suffix(loaded)
            if source.role == "before" and not self.job.compares_versions:
                self.older = loaded
            elif source is self.job.asset or source.role in ("mask", "keep", "before"):
                pixels.append(loaded)
            elif source.role == "xmp":
                sidecars.append(loaded)
        self.current_path = self.job.asset.path
        return pixels[0], pixels[1:], sidecars

    def require_newer_version(self, picture: LoadedInput) -> None:
        """Raise InputError unless the picture is known by its id or by its look as a newer version of the older file beside it."""
        from goldsmith.picture.codec import read_metadata

        if self.older is None:
            return
        older, newer = (
            asset_identity(read_metadata(each.data, each.name, self.job.limits.max_pixels)).ids for each in (self.older, picture)
        )
        is_known = bool(older) and older[0] in newer
        if not is_known and not self._looks_like(picture, self.older):
            raise InputError(
                f"{picture.name} and {self.older.name} lie beside one brief, nothing in {picture.name} says that it was made from "
                "the other, and it does not look so.",
                f"Call the brief {picture.name}.toml or {self.older.name}.toml, or take away the picture that you do not need.",
            )
        by_look = "" if is_known else " by its look, because it has lost its id,"
        self.notes.append(f"it is{by_look} a newer version of {self.older.name}, which went to the archive")

    def verify(self, picture: LoadedInput) -> ImageInfo:
        """Verify the complete file for a job without steps, and find out what it says of itself."""
        from goldsmith.picture.codec import decode, read_metadata, verify

        info = verify(picture.data, picture.name, self.job.limits.max_pixels, reading_options(self.job))
        self._read_credentials(picture)
        self.identity = asset_identity(read_metadata(picture.data, picture.name, self.job.limits.max_pixels))
        if self.job.known_looks:
            budget = MemoryBudget(self.job.limits.max_memory_bytes, BYTES_PER_PIXEL)
            decoded = decode(picture.data, picture.name, self.job.limits.max_pixels, budget, reading_options(self.job))
            self.identity = self._identify(decoded)
        return info

    def decode(
        self,
        picture: LoadedInput,
        masks: Sequence[LoadedInput],
        sidecars: Sequence[LoadedInput],
        memory_budget: MemoryBudget,
        *,
        needs_unnamed_mask: bool,
    ) -> tuple[Picture, ImageInfo]:
        """Return the picture with its masks and the metadata of its sidecars, and find out what it says of itself.

        ``needs_unnamed_mask``: whether a step uses the mask without a name, which may be the picture's alpha.
        """
        from goldsmith.picture.codec import decode_with_info, open_parts, verify
        from goldsmith.picture.metadata.generation_settings import read_generation_settings

        reading = reading_options(self.job)
        decoded, info = decode_with_info(picture.data, picture.name, self.job.limits.max_pixels, memory_budget, reading)
        if info.frames > 1:
            info = verify(picture.data, picture.name, self.job.limits.max_pixels, reading)  # complete only if its last frame is
        self.picture_notes = info.notes
        self._read_credentials(picture)
        settings = read_generation_settings(decoded.metadata)
        self.generation = {} if settings is None else settings.to_record()
        self.parts = open_parts(picture.data, picture.name, self.job.limits.max_pixels)
        inside = [part for part in self.parts if part.kind == "mask"]
        self.masks_inside = {part.label for part in inside}
        named_masks = load_masks(self.job, masks, decoded, self._begin_reading, self.notes.append, memory_budget, inside)
        self.current_path = self.job.asset.path
        if self.job.mask_from == "alpha" and needs_unnamed_mask:
            named_masks["mask"] = mask_from_alpha(decoded, picture.name, named_masks.get("mask"))
            self.masks_inside.add("mask")
            decoded = decoded.without_alpha()
        decoded = self._merge_sidecars(decoded.with_masks(MappingProxyType(named_masks)), sidecars)
        self.identity = self._identify(decoded)
        return decoded, info

    def _note_wrong_suffix(self, loaded: LoadedInput) -> None:
        """Add a note on a file beside the picture whose suffix stands for another format. The picture's own reading notes its suffix."""
        if loaded.read.format and loaded.source is not self.job.asset:
            note = describe_wrong_suffix(FORMATS[loaded.read.format], loaded.name, f"“{loaded.name}”")
            self.notes += [note] if note else []

    def _looks_like(self, newer: LoadedInput, older: LoadedInput) -> bool:
        """Return whether one picture was made from the other: an editor that wrote no id, such as Krita, has saved it."""
        from goldsmith.picture.codec import decode
        from goldsmith.picture.likeness import SeenPicture, describe_look

        budget, reading = MemoryBudget(self.job.limits.max_memory_bytes, 2 * BYTES_PER_PIXEL), reading_options(self.job)
        pictures = (decode(each.data, each.name, self.job.limits.max_pixels, budget, reading) for each in (older, newer))
        look = describe_look(next(pictures))
        return bool(look) and SeenPicture(next(pictures)).compare(look).is_alike

    def _identify(self, picture: Picture) -> AssetIdentity:
        """Return what the picture says of itself, and which known version it looks like."""
        identity, known = asset_identity(picture.metadata), self.job.known_looks
        if not known or self.reads[self.job.asset.path].sha256 in {each.sha256 for each in known}:
            return identity
        from goldsmith.worker.alike_versions import find_alike_versions

        alike = find_alike_versions(picture, known)
        is_hand_work = len(alike) == 1 or any(each.document_id in identity.ids for each in known)
        return identity.model_copy(update={"alike": alike, "is_hand_work": is_hand_work})

    def _read_credentials(self, picture: LoadedInput) -> None:
        """Put on record what the picture's own content credentials say, and remark it if they are broken."""
        from goldsmith.credentials.content_credentials import read_credentials

        row = FORMATS.get(picture.read.format)
        credentials = None if row is None or not row.holds_credentials else read_credentials(picture.data, row.media_type)
        if credentials is not None:
            self.credentials = credentials.to_record()
            if self.job.credential_bytes:  # they will be carried
                size = self.job.credential_bytes + credentials.store_bytes
                self.job = self.job.model_copy(update={"credential_bytes": size})
            remark = credentials.remark()
            self.notes += [remark] if remark else []

    def _merge_sidecars(self, picture: Picture, sidecars: Sequence[LoadedInput]) -> Picture:
        """Return the picture with the metadata of its XMP sidecars; of two, the last one wins."""
        from goldsmith.picture.metadata.credits import merge_sidecar
        from goldsmith.picture.metadata.xmp_packet import UnreadableXmp

        for sidecar in sidecars:
            self._begin_reading(sidecar)
            try:
                picture = picture.with_metadata(merge_sidecar(picture.metadata, sidecar.data))
            except UnreadableXmp as error:
                raise InputError(f"{sidecar.name} cannot be read: {error}.", "Save it again, or take it away.") from error
        self.current_path = self.job.asset.path
        return picture

    def _begin_reading(self, loaded: LoadedInput) -> None:
        self._check_cancelled()
        self.current_path = loaded.source.path
