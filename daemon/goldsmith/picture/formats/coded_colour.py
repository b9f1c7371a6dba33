"""Put the meaning of colour codes (ITU-T H.273) into a file's header."""

from __future__ import annotations

from goldsmith.picture.colour_codes import UNSPECIFIED, colour_from_codes
from goldsmith.picture.formats.image_info import ImageHeader


def set_coded_colour(header: ImageHeader, primaries: int, transfer: int) -> bool:
    """Set the header's profile and HDR by colour codes; return False, with ``header.colour_fault`` set, if they have no known meaning."""
    coded = colour_from_codes(primaries, transfer, is_grey=header.channels == 1)
    if coded is None:
        header.colour_fault = f"colour codes without a known meaning (primaries {primaries}, transfer function {transfer})"
        return False
    header.icc, header.hdr = coded.icc, coded.hdr or ""
    header.states_colour = (primaries, transfer) != (UNSPECIFIED, UNSPECIFIED)
    return True
