"""Reports of two computers of a cluster that agree, for tests that change one thing."""

from __future__ import annotations

from goldsmith.cluster.node_report import PIXEL_PACKAGES, ModelReport, NodeReport

# What a computer has that agrees with every other one.
ALIKE: dict[str, object] = {
    "user_id": 998,
    "package_version": "1.0.0",
    "package_hash": "12ab" * 16,
    "python": "3.11.7",
    "packages": dict.fromkeys(PIXEL_PACKAGES, "1.2"),
    "root": "/srv/hotfolders",
    "canary_text": "canary",
    "answer_name": "answer-1",
    "answer_text": "answer",
    "started_at": 1000.0,
    "ended_at": 1001.0,
    "models": {"flux": ModelReport(entry="entry", hashes={"flux.safetensors": "12ab" * 16})},
}


def node_report(host: str, **changes: object) -> NodeReport:
    """Return the report of a computer that has everything that it should have, but for the changes."""
    return NodeReport.model_validate({**ALIKE, "host": host, **changes})


def other_packages(**versions: str) -> dict[str, str]:
    """Return the packages of a computer on which some have other versions; "" = not installed."""
    return {**dict.fromkeys(PIXEL_PACKAGES, "1.2"), **versions}
