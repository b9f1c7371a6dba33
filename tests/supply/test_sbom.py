"""The bill of materials names what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from audit import Package
from sbom import bill_of_materials
from wheel_pins import read_constraints, read_wheel_pins

CHECKOUT = Path(__file__).parents[2]


def test_a_component_has_version_url_licence_and_scope(tmp_path: Path) -> None:
    """Check a package, a build of torch, an extra, a tool of the developers and the program itself."""
    names = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "pillow_heif": "1.8.1", "pytest": "9.2.0", "goldsmith": "0.1"}
    packages = [Package(name, version, tmp_path, {}) for name, version in names.items()]
    bill = bill_of_materials(packages, {}, ["numpy", "torch", "pillow-heif"], tmp_path)
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["component"]["version"]) == ("CycloneDX", "1.6", "0.1")
    numpy, heif, torch = bill["components"]
    assert numpy == {
        "type": "library",
        "bom-ref": "pkg:pypi/numpy@2.4.6",
        "name": "numpy",
        "version": "2.4.6",
        "purl": "pkg:pypi/numpy@2.4.6",
        "scope": "required",
        "licenses": [{"expression": "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0"}],
    }
    assert (heif["scope"], heif["licenses"]) == ("optional", [{"expression": "BSD-3-Clause AND GPL-2.0-only"}])
    assert torch["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert bill["dependencies"][0]["dependsOn"] == [each["bom-ref"] for each in bill["components"]]


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="these tests run outside an environment of `python -m venv`")
def test_the_command_writes_the_bill_of_this_environment() -> None:
    """Check that each installed run-time pin has a licence, and that those from a pinned wheel have its hash."""
    command = [sys.executable, "-E", "-s", "-S", str(CHECKOUT / ".ci" / "sbom.py"), sys.prefix]
    bill = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    # The extra `ray` is not among the developers' tools.
    pinned = set(read_constraints(CHECKOUT / "constraints.txt")) - set(read_wheel_pins([CHECKOUT / ".ci" / "wheels-ray.txt"]))
    components = {each["purl"].removeprefix("pkg:pypi/").partition("@")[0]: each for each in bill["components"]}
    assert pinned - set(components) == set()
    assert [name for name in pinned if "licenses" not in components[name]] == []
    assert "hashes" in components["typer"]
    assert "hashes" not in components["torch"]
