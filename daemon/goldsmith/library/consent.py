"""A person's consent to the use of their face: what stands in ``library/faces/NAME.toml`` beside the picture."""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from goldsmith.brief.parsing import BriefError, BriefProblem, read_toml
from goldsmith.brief.validation_messages import validation_problems
from goldsmith.errors import InputError


def _require_text(value: str) -> str:
    if not value.strip():
        raise ValueError("it says nothing")
    return value.strip()


_ShortText = Annotated[str, Field(max_length=200), AfterValidator(_require_text)]


class Consent(BaseModel):
    """Who agreed to what. Dates are written as TOML has them, 2026-03-14, without quotes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    person: _ShortText
    """Whose face it is."""
    consented_by: _ShortText
    """Who agreed: the person, or who may speak for them."""
    date: datetime.date
    """When."""
    scope: Annotated[str, Field(max_length=2000), AfterValidator(_require_text)]
    """To what: the campaign, the media, the changes that may be made."""
    expires: datetime.date | None = None
    """The last day on which it holds; left out, it holds until it is taken back."""
    document: Annotated[str, Field(max_length=500)] = ""
    """Where the signed paper lies, for people."""


def read_consent(data: bytes, file: str, today: datetime.date) -> Consent:
    """The consent in ``data``, one that holds on that day. ``file`` is what it is called in sentences.

    Raises InputError with everything that is wrong: a piece that is missing or malformed, a date that is yet to come, one that has passed.
    """
    values = read_toml(data, file, allow_dates=True)
    try:
        consent = Consent.model_validate(values)
    except ValidationError as error:
        raise BriefError(file, validation_problems(error, values, "", Consent)) from None
    if consent.date > today:
        raise BriefError(file, [BriefProblem("date", f"is {consent.date}, and that day is yet to come.")])
    if consent.expires is not None and consent.expires < consent.date:
        raise BriefError(
            file, [BriefProblem("expires", f"is {consent.expires}, and that is before the date of the consent, {consent.date}.")]
        )
    if consent.expires is not None and consent.expires < today:
        raise InputError(
            f"{file}: expires is {consent.expires}, so the consent to use this face has ended.",
            f"Ask {consent.consented_by} again and write the new dates, or take the step out.",
        )
    return consent
