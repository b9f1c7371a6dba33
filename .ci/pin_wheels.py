"""Write the hashes beside the pins: ``make pin-wheels``, after a change of a constraints file. Needs the network and some GB of disk.

Each pin's wheel is downloaded with pip for every kind of processor, hashed, and read; nothing of it is installed or run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from wheel_pins import Wheel, WheelPin, digest_wheel, format_wheel_pins, normalise, read_constraints, read_wheel_pins

CHECKOUT = Path(__file__).parents[1]
_FILES = (
    ("constraints.txt", "wheels.txt", "torch is missing, because its build (CPU, CUDA, ROCm) is your choice."),
    ("constraints.txt", "wheels-heif.txt", "They are those of the extra `heic`, which the default install does not have."),
    ("constraints.txt", "wheels-notify.txt", "They are those of the extras `notify` and `metrics`."),
    ("constraints.txt", "wheels-web.txt", "They are those of the extra `web`."),
    ("constraints.txt", "wheels-ray.txt", "They are those of the extra `ray`."),
    ("constraints-dev.txt", "wheels-dev.txt", "pyvips is missing, because it has no wheel: pip builds it."),
)
# The pins of extras, by their file. All others are in the file without an extra.
_EXTRAS = {
    "wheels-heif.txt": ("pillow-heif",),
    "wheels-notify.txt": ("apprise", "markdown", "oauthlib", "prometheus-client", "requests-oauthlib"),
    "wheels-web.txt": ("starlette", "uvicorn"),
    "wheels-ray.txt": ("grpcio", "jsonschema", "jsonschema-specifications", "msgpack", "ray", "referencing", "rpds-py"),
}
_HEADING = (
    "# The wheels of the pins in {constraints}, for Python 3.11 on Linux. `make pin-wheels` writes this file.\n"
    "# Above each pin: its wheels, their hashes, and digests of their files, with which `make audit` compares what is installed.\n"
    "# {remark}\n\n"
)
_PYTHON = "3.11"
_PROCESSORS = ("x86_64", "aarch64")
# The newest C library first: pip takes the first wheel that fits, and these are what pip itself tries on Debian 12.
_GLIBC_VERSIONS = range(36, 4, -1)
# The build of torch is the user's choice; pyvips, a tool of the tests, has no wheel.
_NOT_PINNED = ("torch", "pyvips")


def main() -> int:
    """Write the files of wheels; wheels that are pinned already are not downloaded again."""
    for constraints, wheels, remark in _FILES:
        target = Path(__file__).parent / wheels
        known = read_wheel_pins([target]) if target.exists() else {}
        pins = [
            known[key] if key in known and known[key].version == version else WheelPin(name, version, _fetch(name, version))
            for key, (name, version) in read_constraints(CHECKOUT / constraints).items()
            if key not in _NOT_PINNED and _is_in_file(key, wheels)
        ]
        heading = _HEADING.format(constraints=constraints, remark=remark)
        target.write_text(heading + format_wheel_pins(sorted(pins, key=lambda pin: normalise(pin.name))), encoding="ascii")
        print(f"{target}: {len(pins)} pins")
    return 0


def _is_in_file(key: str, wheels: str) -> bool:
    """Return whether the pin with this normalised name belongs into a file of wheels."""
    return key in _EXTRAS[wheels] if wheels in _EXTRAS else not any(key in pins for pins in _EXTRAS.values())


def _fetch(name: str, version: str) -> tuple[Wheel, ...]:
    wheels: dict[str, Wheel] = {}
    for processor in _PROCESSORS:
        with tempfile.TemporaryDirectory() as folder:
            platforms = [f"manylinux_2_{glibc}_{processor}" for glibc in _GLIBC_VERSIONS]
            platforms += [f"manylinux{year}_{processor}" for year in (2014, 2010, 1)]
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--only-binary", ":all:", "--python-version", _PYTHON, "--implementation", "cp", "--dest", folder]
            command += [word for platform in platforms for word in ("--platform", platform)]
            result = subprocess.run([*command, f"{name}=={version}"], capture_output=True, text=True)
            if result.returncode:
                print(f"{name} {version}: no wheel for {processor}: {result.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            for path in Path(folder).glob("*.whl"):
                wheels[path.name] = digest_wheel(path)
    if not wheels:
        raise SystemExit(f"{name} {version}: no wheel was found.")
    return tuple(wheels.values())


if __name__ == "__main__":
    sys.exit(main())
