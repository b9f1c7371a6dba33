"""Write a bill of materials of the default install as CycloneDX 1.6: ``make sbom``.

It lists every run-time pin that is installed, with version, package URL, licence and the hash of the wheel. Licences come from
``docs/licences.md``, hashes from the pinned wheel whose files are installed. Run it like ``audit.py``, outside the environment.
Format: https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from audit import PIN_FILES, Package, check_package, installed_packages
from wheel_pins import WheelPin, normalise, read_constraints, read_wheel_pins

CHECKOUT = Path(__file__).parents[1]
_LICENCE_ROW = re.compile(r"\| ([A-Za-z0-9._-]+) \| ([^|]+) \|")
# Pins of extras, which the default install does not have.
_EXTRAS = {
    "pillow-heif": "BSD-3-Clause AND GPL-2.0-only",
    "apprise": "BSD-2-Clause",
    "markdown": "BSD-3-Clause",
    "oauthlib": "BSD-3-Clause",
    "prometheus-client": "Apache-2.0 AND BSD-2-Clause",
    "requests-oauthlib": "ISC",
    "starlette": "BSD-3-Clause",
    "uvicorn": "BSD-3-Clause",
    "grpcio": "Apache-2.0",
    "jsonschema": "MIT",
    "jsonschema-specifications": "MIT",
    "msgpack": "Apache-2.0",
    "ray": "Apache-2.0",
    "referencing": "MIT",
    "rpds-py": "MIT",
}


def read_licences(page: Path) -> dict[str, str]:
    """Return the SPDX expression of each package in the first table of the page, by normalised name."""
    table = page.read_text(encoding="utf-8").partition("|---|---|\n")[2].partition("\n\n")[0]
    rows = (_LICENCE_ROW.fullmatch(line) for line in table.splitlines())
    return {normalise(row[1]): row[2] for row in rows if row is not None}


def bill_of_materials(packages: Iterable[Package], pins: dict[str, WheelPin], runtime: Iterable[str], site: Path) -> dict[str, Any]:
    """Return the bill as JSON objects. ``runtime``: the normalised names of the run-time pins."""
    licences = read_licences(CHECKOUT / "docs" / "licences.md") | _EXTRAS
    names = set(runtime)
    by_name = {normalise(package.name): package for package in packages}
    components = [
        _component(package, licences.get(name, ""), _wheel_hash(site, package, pins), is_extra=name in _EXTRAS)
        for name, package in sorted(by_name.items())
        if name in names or name.startswith("nvidia-") or name == "triton"
    ]
    own = by_name.get("goldsmith")
    subject = {"type": "application", "bom-ref": "goldsmith", "name": "goldsmith", "licenses": [{"expression": "Apache-2.0"}]}
    if own is not None:
        subject["version"] = own.version
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
        "dependencies": [{"ref": "goldsmith", "dependsOn": [each["bom-ref"] for each in components]}],
    }


def _component(package: Package, licence: str, sha256: str, *, is_extra: bool) -> dict[str, Any]:
    purl = f"pkg:pypi/{normalise(package.name)}@{package.version.replace('+', '%2B')}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "scope": "optional" if is_extra else "required",
    }
    if licence:
        component["licenses"] = [{"expression": licence}]
    if sha256:
        component["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return component


def _wheel_hash(site: Path, package: Package, pins: dict[str, WheelPin]) -> str:
    """Return the sha256 of the pinned wheel that is installed; "" if it is none of them."""
    pin, installed = pins.get(normalise(package.name)), check_package(site, package, pins).remark
    return "" if pin is None else next((wheel.sha256 for wheel in pin.wheels if wheel.file == installed), "")


def main(arguments: list[str]) -> int:
    """Write the bill of an environment to standard output."""
    (environment,) = arguments
    (site,) = Path(environment).glob("lib/python3*/site-packages")
    runtime = read_constraints(CHECKOUT / "constraints.txt")
    bill = bill_of_materials(installed_packages(site), read_wheel_pins(PIN_FILES), runtime, site)
    print(json.dumps(bill, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
