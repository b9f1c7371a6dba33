"""Compare the packages of an environment with the pinned wheels, file by file: ``make audit``.

For each package the files on the disk are hashed and compared, all together, with the digest of the pinned wheels. Neither the list of
files that the installer left nor anything that runs in the environment is believed. Bytecode is compared with its source, because Python
runs it instead of the source. Run it outside the environment, without its site-packages: ``python3.11 -E -s -S .ci/audit.py .venv``.

What it does not prove: that a wheel did what you want on the day it was pinned; that Python itself, pip, torch with its CUDA libraries,
pyvips (a tool of the tests), or the scripts in ``bin`` are unchanged.
"""

from __future__ import annotations

import base64
import hashlib
import marshal
import re
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wheel_pins import WheelPin, digest_files, is_own_file, normalise, read_wheel_pins, record_rows

PIN_FILES = tuple(Path(__file__).parent / f"wheels{extra}.txt" for extra in ("", "-heif", "-notify", "-web", "-ray", "-dev"))
# Packages that are not compared, and the reason. The build of torch (CPU, CUDA, ROCm) is the user's choice; it brings its own libraries.
_NOT_COMPARED = (
    (re.compile(r"torch|triton(-.*)?|pytorch-triton.*|nvidia-.*|cuda-.*|rocm-.*"), "its build is your choice"),
    (re.compile(r"pip"), "it comes with Python"),
    (re.compile(r"pyvips"), "it has no wheel, so pip built it"),
    (re.compile(r"goldsmith"), "it comes from this checkout"),
)
_BYTECODE = re.compile(r"(?P<module>.+)\.cpython-\d+(\.opt-(?P<level>[12]))?\.pyc")
_TAG = sys.implementation.cache_tag or ""
# How many files one task of a process compares.
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package: its name and version, its ``dist-info`` folder, and its list of files with their hashes."""

    name: str
    version: str
    folder: Path
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one package or file; ``fault`` is "" if it is as it should be."""

    subject: str
    fault: str = ""
    remark: str = ""


def installed_packages(site: Path) -> Iterator[Package]:
    """Yield the packages in a site-packages folder."""
    for folder in sorted(site.glob("*.dist-info")):
        headers = (folder / "METADATA").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
        fields = dict(line.partition(": ")[::2] for line in headers.splitlines() if ": " in line and not line.startswith(" "))
        record = folder / "RECORD"
        yield Package(fields["Name"], fields["Version"], folder, dict(record_rows(record)) if record.is_file() else {})


def check_package(site: Path, package: Package, pins: dict[str, WheelPin]) -> Verdict:
    """Return the verdict on one installed package."""
    subject = f"{package.name} {package.version}"
    hashes, differing = _hash_files(site, package)
    for names, reason in _NOT_COMPARED:
        if names.fullmatch(normalise(package.name)):
            own_list = f"{differing[0]} differs from the package's own list of files" if differing else ""
            return Verdict(subject, own_list, f"not compared: {reason}")
    pin = pins.get(normalise(package.name))
    if pin is None:
        return Verdict(subject, "this package is not pinned")
    if pin.version != package.version:
        return Verdict(subject, f"the pinned version is {pin.version}")
    digest = digest_files(hashes)
    wheel = next((wheel.file for wheel in pin.wheels if wheel.files == digest), "")
    if wheel:
        return Verdict(subject, remark=wheel)
    reason = f"{differing[0]} was changed" if differing else "a file was changed together with the list of files, or this is another build"
    return Verdict(subject, f"its files are those of no pinned wheel: {reason}")


def _hash_files(site: Path, package: Package) -> tuple[dict[str, str], list[str]]:
    """Return the sha256 of each of a package's own files, as it is on the disk, and the files that differ from the package's list."""
    hashes, differing = {}, []
    for path, listed in package.files.items():
        if not is_own_file(path):
            continue
        try:
            with (site / path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError:
            differing.append(path)
            continue
        hashes[path] = digest.hexdigest()
        encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        if listed and listed != f"sha256={encoded}":
            differing.append(path)
    return hashes, differing


def unlisted_files(site: Path, packages: list[Package]) -> Iterator[Verdict]:
    """Yield every file in site-packages that belongs to no package; bytecode of a listed source is checked elsewhere."""
    listed = {path for package in packages for path in package.files}
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        is_folder = path.is_dir() and not path.is_symlink()
        if not is_folder and name not in listed and not (path.parent.name == "__pycache__" and path.suffix == ".pyc"):
            yield Verdict(name, "this file belongs to no installed package")


def check_bytecode(site: Path) -> Iterator[Verdict]:
    """Yield every file of bytecode that Python would run and that its source does not compile to."""
    paths = sorted(path for path in site.rglob("__pycache__/*.pyc") if f".{_TAG}." in path.name)
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ProcessPoolExecutor() as pool:
        for wrong in pool.map(_wrong_bytecode, chunks):
            yield from (Verdict(path.relative_to(site).as_posix(), "this bytecode is not that of its source") for path in wrong)


def _wrong_bytecode(paths: list[Path]) -> list[Path]:
    warnings.simplefilter("ignore")
    return [path for path in paths if not _is_bytecode_of_source(path)]


def _is_bytecode_of_source(path: Path) -> bool:
    name = _BYTECODE.fullmatch(path.name)
    source = path.parent.parent / f"{name['module']}.py" if name is not None else path
    if name is None or not source.is_file():
        return True  # Python does not run it
    content, data = source.read_bytes(), path.read_bytes()
    status = source.stat()
    stamp = int(status.st_mtime).to_bytes(8, "little")[:4] + status.st_size.to_bytes(8, "little")[:4]
    if data[4:8] == bytes(4) and data[8:16] != stamp:
        return True  # it is of another state of the source, and Python compiles the source again
    try:
        compiled = compile(content, str(source), "exec", dont_inherit=True, optimize=int(name["level"] or 0))
        return bool(marshal.loads(data[16:]) == compiled)  # noqa: S302 - Python itself would load it
    except (SyntaxError, ValueError, EOFError, TypeError):
        return False


def audit(site: Path, pins: dict[str, WheelPin]) -> list[Verdict]:
    """Return the verdicts on all packages, on files that belong to none, and on bytecode."""
    packages = list(installed_packages(site))
    verdicts = [check_package(site, package, pins) for package in packages]
    return [*verdicts, *unlisted_files(site, packages), *check_bytecode(site)]


def main(arguments: list[str]) -> int:
    """Print the verdicts and return the exit code: 0 if everything that is compared is as pinned, else 1."""
    (environment,) = arguments
    sites = sorted(Path(environment).glob("lib/python3*/site-packages"))
    if len(sites) != 1:
        print(f"{environment}: this is not an environment of `python -m venv`.", file=sys.stderr)
        return 2
    verdicts = audit(sites[0], read_wheel_pins(PIN_FILES))
    for verdict in verdicts:
        if verdict.fault or verdict.remark.startswith("not compared"):
            print(f"{verdict.subject}: {verdict.fault or verdict.remark}")
    faults = sum(bool(verdict.fault) for verdict in verdicts)
    matching = sum(verdict.remark.endswith(".whl") for verdict in verdicts)
    print(f"{matching} packages are exactly the pinned wheels; {faults} differences.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
