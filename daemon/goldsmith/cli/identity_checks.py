"""The check of ``goldsmith doctor`` on the identity that signs the content credentials of deliverables."""

from __future__ import annotations

from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.credentials.signing_identity import WARNING_SECONDS, day_of
from goldsmith.service.setup import Setup
from goldsmith.service.signing import find_identity

_SUBJECT = "signature"


def check_identity(setup: Setup, now: float) -> Finding:
    """Return who signs and until when. ``now`` is in Unix seconds."""
    lookup = find_identity(setup)
    if not lookup.is_wanted:
        return ok(_SUBJECT, "Deliverables get no content credentials: sign = false in [credentials].")
    identity = lookup.identity
    if identity is None:
        sentence, remedy = (
            ("Nobody signs deliverables.", "") if lookup.problem is None else (lookup.problem.sentence, lookup.problem.remedy)
        )
        return note(_SUBJECT, sentence, remedy) if lookup.is_missing else fault(_SUBJECT, sentence, remedy)
    if problem := identity.problem_at(now):
        return fault(_SUBJECT, f"{problem} Deliverables are not signed.", _renewal(setup))
    who = f"{identity.subject} signs deliverables until {day_of(identity.expires_at)} ({identity.files.certificate}, by {identity.issuer})."
    if now >= identity.expires_at - WARNING_SECONDS:
        return note(_SUBJECT, who, _renewal(setup))
    return ok(_SUBJECT, who)


def _renewal(setup: Setup) -> str:
    if setup.settings.credentials.certificate is not None:
        return "Ask its issuer for a new one, and reload the service."
    return "Move certificate.pem and key.pem away, run goldsmith init --identity again, and reload the service."
