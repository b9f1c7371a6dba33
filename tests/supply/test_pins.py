"""The pins are complete, and each has its hashes and its licence."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sbom import _EXTRAS, read_licences
from wheel_pins import normalise, read_constraints, read_wheel_pins

CHECKOUT = Path(__file__).parents[2]
RUN_TIME = read_constraints(CHECKOUT / "constraints.txt")
DEVELOPMENT = read_constraints(CHECKOUT / "constraints-dev.txt")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
# Words that stand alone in the name of a licence that the default install may not have.
_STRONG_COPYLEFT = re.compile(r"\b(GPL|AGPL|SSPL)")


def _closure(requirements: list[str]) -> set[str]:
    """Return the names of all packages that requirements bring on this computer, from what is installed."""
    names: set[str] = set()
    pending = [(Requirement(each), "") for each in requirements]
    while pending:
        requirement, extra = pending.pop()
        name = normalise(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        if name not in names or requirement.extras:
            extras = requirement.extras or {""}
            pending += [(Requirement(need), each) for need in needs for each in extras if name not in names or each]
            names.add(name)
    return names


def test_everything_that_the_default_install_brings_is_pinned_for_run_time() -> None:
    """Libraries that a build of torch for CUDA brings are left out: they follow from the build."""
    names = {name for name in _closure(PROJECT["dependencies"]) if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert names - set(RUN_TIME) == set()
    assert "torch" in names


def test_run_time_pins_are_those_of_the_default_install_and_its_extra() -> None:
    """No tool of the developers is installed on a server."""
    assert set(RUN_TIME) - _closure(PROJECT["dependencies"]) - set(_EXTRAS) == set()
    assert set(RUN_TIME) & set(DEVELOPMENT) == set()


def test_the_developers_tools_are_pinned_too() -> None:
    """Everything that the extras bring is in one of the files."""
    extras = [requirement for group in PROJECT["optional-dependencies"].values() for requirement in group]
    assert _closure(extras) - set(RUN_TIME) - set(DEVELOPMENT) == set()


@pytest.mark.parametrize(
    ("constraints", "wheels"),
    [
        (RUN_TIME, ["wheels.txt", "wheels-heif.txt", "wheels-notify.txt", "wheels-web.txt", "wheels-ray.txt"]),
        (DEVELOPMENT, ["wheels-dev.txt"]),
    ],
    ids=["run time", "development"],
)
def test_every_pin_with_one_build_has_its_hashes(constraints: dict[str, tuple[str, str]], wheels: list[str]) -> None:
    """After a change of a pin, `make pin-wheels` writes the hashes. pyvips has no wheel."""
    pins = read_wheel_pins(CHECKOUT / ".ci" / each for each in wheels)
    assert {name: pin.version for name, pin in pins.items()} == {
        name: version for name, (_, version) in constraints.items() if name not in ("torch", "pyvips")
    }
    assert all(pin.wheels for pin in pins.values())


def test_the_files_of_an_extra_are_not_those_of_the_default_install() -> None:
    """Somebody who installs the default, notices or metrics with hashes gets no package under the GPL."""
    assert set(read_wheel_pins([CHECKOUT / ".ci" / "wheels.txt"])) & set(_EXTRAS) == set()
    extras = [CHECKOUT / ".ci" / name for name in ("wheels-heif.txt", "wheels-notify.txt", "wheels-web.txt", "wheels-ray.txt")]
    assert set(read_wheel_pins(extras[:1])) == {"pillow-heif"}
    assert set(read_wheel_pins(extras[2:3])) == {"starlette", "uvicorn"}
    assert {"ray", "grpcio"} <= set(read_wheel_pins(extras[3:]))
    assert set(read_wheel_pins(extras)) == set(_EXTRAS)


def test_ray_is_pinned_and_not_among_the_developers_tools() -> None:
    """It has 240 MB, and its tests are skipped without it. `client` is what a head is reached with at ray://."""
    groups = PROJECT["optional-dependencies"]
    (ray,) = (Requirement(each) for each in groups["ray"])
    assert (ray.name, ray.extras) == ("ray", {"client"})
    assert RUN_TIME["ray"][1] in ray.specifier
    assert "2.51.2" not in ray.specifier  # without tokens
    assert "ray" not in {Requirement(each).name for each in groups["dev"]}


def test_every_licence_of_the_default_install_is_listed() -> None:
    """The page has each run-time pin, once, and no package that is not installed."""
    assert set(read_licences(CHECKOUT / "docs" / "licences.md")) == set(RUN_TIME) - set(_EXTRAS)


def test_no_licence_of_the_default_install_is_the_gpl() -> None:
    """Neither the page nor the packages' own data name the GPL or the AGPL; a library's LGPL is another licence."""
    assert _STRONG_COPYLEFT.search("MIT AND GPL-2.0-only")
    assert not _STRONG_COPYLEFT.search("LGPL-2.1-or-later")
    licences = read_licences(CHECKOUT / "docs" / "licences.md")
    assert {name: licence for name, licence in licences.items() if _STRONG_COPYLEFT.search(licence)} == {}
    for name in licences:
        data = distribution(name).metadata
        declared = [
            data.get("License-Expression") or "",
            *(each for each in data.get_all("Classifier") or [] if each.startswith("License")),
        ]
        assert not [each for each in declared if _STRONG_COPYLEFT.search(each) and "Lesser" not in each], name


def test_the_listed_licences_are_those_that_the_packages_declare() -> None:
    """Most packages declare an SPDX expression; the others have only free text."""
    declared = {name: distribution(name).metadata.get("License-Expression") for name in RUN_TIME if name not in _EXTRAS}
    listed = read_licences(CHECKOUT / "docs" / "licences.md")
    expressions = {name: licence for name, licence in declared.items() if licence}
    assert {name: listed[name] for name in expressions} == expressions
    assert len(expressions) > 30


@pytest.mark.parametrize(("page", "has_recipe"), [("README.md", False), ("docs/running.md", True)])
def test_the_documented_commands_install_with_the_run_time_pins(page: str, has_recipe: bool) -> None:
    """Every command that installs the checkout names them. Only one page has the recipe; `make` has the pins in the Makefile."""
    commands = re.findall(r"pip install [^`\n&#]*?(?= *(?:#|&&|`|\n))", (CHECKOUT / page).read_text())
    own = [command for command in commands if re.search(r" \.$", command)]
    assert bool(own) == has_recipe
    assert [command for command in own if "--constraint constraints.txt" not in command and "--no-deps" not in command] == []
