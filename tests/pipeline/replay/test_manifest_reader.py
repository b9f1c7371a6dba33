"""A manifest is not trusted: every problem in it is reported before a job runs."""

from __future__ import annotations

import copy
import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import InputError
from goldsmith.ops import catalogue
from goldsmith.pipeline.replay.manifest_reader import MAX_MANIFEST_BYTES, ValidatedManifest, read_manifest
from goldsmith.root_folder import RootFolder

SHA = "ab" * 32
STEP: dict[str, Any] = {
    "op": "sharpen",
    "settings": {},
    "seed": 3,
    "findings": {},
    "engine": None,
    "picture_hash": "0" * 16,
    "seconds": 0.1,
}
STAGE: dict[str, Any] = {
    "stage": "edit",
    "queue": "gpu",
    "stem": "hero",
    "seed": 7,
    "prompt": "",
    "mask_fit": "refuse",
    "mask_from": "files",
    "working": "png",
    "deliver": True,
    "inputs": [
        {"role": "picture", "name": "", "path": "selected/hero.png", "sha256": SHA},
        {"role": "mask", "name": "mask", "path": "selected/hero.mask.png", "sha256": SHA},
        {"role": "brief", "name": "", "path": "selected/hero.toml", "sha256": SHA},
    ],
    "steps": [STEP],
    "outputs": [{"role": "picture", "tail": ".png", "sha256": SHA}],
    "archived": {"selected/hero.png": "archive/2026-11-21/selected/hero.png"},
    "environment": {"numpy": "2.4.6", "threads": 1},
}
CONTENT: dict[str, Any] = {
    "goldsmith": "0.1.0",
    "deliverables": [{"file": "hero.png", "sha256": SHA, "bytes": 100, "width": 4}],
    "stages": [STAGE],
    "brief": "",
}

Edit = Callable[[dict[str, Any]], object]


def read(place: Path, edit: Edit = lambda content: None) -> ValidatedManifest:
    content = copy.deepcopy(CONTENT)
    edit(content)
    path = place / "hero.manifest.json"
    path.write_text(json.dumps(content))
    return read_manifest(RootFolder(path.parent), path, catalogue())


def _stage(**values: object) -> Edit:
    return lambda content: content["stages"][0].update(values)


def _input(number: int = 0, **values: object) -> Edit:
    return lambda content: content["stages"][0]["inputs"][number].update(values)


def _step(**values: object) -> Edit:
    return lambda content: content["stages"][0]["steps"][0].update(values)


def test_a_valid_manifest_is_read(tmp_path: Path) -> None:
    """The worker's inputs are the files that it decodes, without the brief."""
    delivery = read(tmp_path)
    assert [entry.path for entry in delivery.stages[0].worker_inputs] == ["selected/hero.png", "selected/hero.mask.png"]
    assert [step.op for step in delivery.steps[0]] == ["sharpen"]


def test_a_brief_without_a_picture_is_an_input_of_the_worker(tmp_path: Path) -> None:
    """The only input of the stage is a brief."""
    brief_only = [{"role": "brief", "name": "", "path": "inbox/hero.toml", "sha256": SHA}]
    assert [entry.role for entry in read(tmp_path, _stage(inputs=brief_only)).stages[0].worker_inputs] == ["brief"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../root/hero.png",
        "selected/../../hero.png",
        "selected//hero.png",
        "selected/./hero.png",
        "selected/he\0ro.png",
        "",
        "hero.png",
        "selected/" + "x" * 300,
        "a/" * 3000 + "b",
        "library/looks/warm.cube",
        "archive/hero.png",
        ".goldsmith/hero.png",
        "selected/\ud800.png",
    ],
)
def test_an_input_must_be_in_a_folder_of_the_pipeline(tmp_path: Path, path: str) -> None:
    """Absolute paths, parent folders, hidden folders and names that no filesystem allows are refused."""
    with pytest.raises(InputError, match=r"stages\.1\.inputs\.1\.path"):
        read(tmp_path, _input(path=path))


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "archive/../config/goldsmith.toml", "selected/hero.png", "archive", "archive/", "Archive/x"]
)
def test_an_original_must_be_in_the_archive(tmp_path: Path, place: str) -> None:
    """Paths outside the archive are refused."""
    with pytest.raises(InputError, match=r"stages\.1\.archived\.selected/hero\.png"):
        read(tmp_path, _stage(archived={"selected/hero.png": place}))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_step(op="compare", settings={"max_pixels": 1}), "no such operation"),
        (_step(op="rm"), "no such operation"),
        (_step(op="sharpen", settings={"amonut": 2}), "amonut"),
        (_step(op="grade", settings={"look": "../../etc/passwd"}), "is a path"),
        (_step(op="grade", settings={"look": "/etc/passwd"}), "is a path"),
        (_step(op="inpaint", settings={"where": "__import__('os')"}), "where"),
        (_step(op="export", settings={"name": "../../web"}), "name"),
        (_step(op="upscale", settings={"factor": 1e9}), "factor"),
        (_step(seed=-1), "seed"),
        (_step(seed=10**30), "seed"),
        (_stage(steps=[STEP] * 65), "steps"),
        (_stage(steps="rm"), "steps"),
        (_stage(stem="../hero"), "stem"),
        (_stage(stem=".."), "stem"),
        (_stage(stage="../edit"), "stages.1.stage"),
        (_stage(working="exe"), "working"),
        (_stage(inputs=[]), "inputs"),
        (_stage(inputs=[STAGE["inputs"][0]] * 2001), "inputs"),
        (_stage(inputs=[STAGE["inputs"][0]] * 2), "has the same input file twice"),
        (_stage(outputs=[{"role": "picture", "tail": "/../x", "sha256": SHA}]), "outputs.1.tail"),
        (_input(role="torch"), "role"),
        (_input(sha256="AB" * 32), "sha256"),
        (_input(sha256="../" + "a" * 61), "sha256"),
        (lambda content: content.update(stages=[]), "stages"),
        (lambda content: content.update(stages=[STAGE] * 65), "stages"),
        (lambda content: content["deliverables"][0].update(file="../hero.png"), "deliverables.1.file"),
        (lambda content: content["deliverables"][0].update(bytes=-1), "deliverables.1.bytes"),
        (lambda content: content.update(deliverables=[]), "deliverables"),
    ],
)
def test_values_that_goldsmith_never_writes_are_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    """The error names the place or the reason, and a remedy."""
    with pytest.raises(InputError) as fault:
        read(tmp_path, edit)
    assert message in fault.value.sentence
    assert fault.value.remedy


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"stages": ' + b"[" * 100_000, b'{"goldsmith": ' + b"9" * 10_000 + b"}", b"\x89PNG\r\n"],
    ids=["empty", "cut off", "a list", "null", "bytes", "deep", "a long number", "a picture"],
)
def test_a_file_that_is_not_a_manifest_is_refused(tmp_path: Path, data: bytes) -> None:
    """The files are empty, cut off, deeply nested or not JSON."""
    path = tmp_path / "hero.manifest.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"hero\.manifest\.json is not a manifest"):
        read_manifest(RootFolder(path.parent), path, catalogue())


def test_a_very_large_manifest_is_not_read(tmp_path: Path) -> None:
    """The file is sparse and has the size of a terabyte."""
    path = tmp_path / "hero.manifest.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=f"larger than any manifest \\({MAX_MANIFEST_BYTES >> 20} MiB\\)"):
        read_manifest(RootFolder(path.parent), path, catalogue())


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    """A pipe does not block."""
    os.mkfifo(tmp_path / "pipe.manifest.json")
    (tmp_path / "link.manifest.json").symlink_to("/etc/passwd")
    for name in ("pipe", "link"):
        with pytest.raises(InputError, match="is not an ordinary file"):
            read_manifest(RootFolder(tmp_path), tmp_path / f"{name}.manifest.json", catalogue())


def test_missing_fields_of_a_manifest_are_listed(tmp_path: Path) -> None:
    """If six fields are missing, five are listed and the sixth is counted."""

    def remove_fields(content: dict[str, Any]) -> None:
        for name in ("stem", "outputs", "environment", "mask_fit", "working", "deliver"):
            del content["stages"][0][name]

    with pytest.raises(InputError) as fault:
        read(tmp_path, remove_fields)
    assert "stages.1.stem is missing." in fault.value.sentence
    assert fault.value.sentence.endswith("and 1 more.")


def test_control_characters_of_a_manifest_are_not_repeated(tmp_path: Path) -> None:
    """A path has an escape sequence."""
    with pytest.raises(InputError) as fault:
        read(tmp_path, _input(path="../\x1b[31mred"))
    assert "\x1b" not in fault.value.sentence


_MANUAL = Path(__file__).parents[3] / "docs" / "operations"


def _examples() -> list[dict[str, Any]]:
    """Return every step in the examples of the manual's pages on operations."""
    blocks = [block for page in sorted(_MANUAL.glob("*.md")) for block in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.M | re.S)]
    tables = [value for block in blocks for value in tomllib.loads(block).values() if isinstance(value, list)]
    return [step for steps in tables for step in steps if isinstance(step, dict) and "op" in step]


@pytest.mark.parametrize("example", _examples(), ids=lambda step: str(step["op"]))
def test_recorded_settings_are_read_back_unchanged(example: dict[str, Any], tmp_path: Path) -> None:
    """The settings of each example are recorded and read by the rules for briefs."""
    op = example["op"]
    first = catalogue()[op].model_validate({name: value for name, value in example.items() if name != "op"})
    recorded = json.loads(json.dumps(first.model_dump(mode="json")))
    delivery = read(tmp_path, _step(op=op, settings=recorded))
    assert delivery.steps[0][0].operation == first
