"""The environment of the service, ``/etc/default/goldsmith``, for the commands that a person calls beside it."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from goldsmith.cli.output import print_warning
from goldsmith.errors import UsageError

ENVIRONMENT_FILE = Path("/etc/default/goldsmith")
# Other variables of that file are for the service alone: PATH and LD_PRELOAD of somebody else's shell are not changed.
_PREFIXES = ("GOLDSMITH_", "CUDA_", "HIP_", "ROCR_", "HSA_")
_QUOTES = ("'", '"')


def read_environment_file(file: Path, environment: MutableMapping[str, str]) -> None:
    """Add the variables of the file that are not set in ``environment`` yet. A missing file is no error.

    The format is that of EnvironmentFile in systemd.exec(5), without line continuation. Raises UsageError for a variable of this program
    in a line that systemd would not read either.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        print_warning(f"{file} cannot be read ({reason}), so its settings do not apply here.")
        return
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line.startswith(_PREFIXES):
            continue
        name, equals, value = line.partition("=")
        if not equals or name != name.rstrip():
            raise UsageError(f"{file}, line {number}: {line!r} is no setting.", "Write NAME=value, without a space before the =.")
        environment.setdefault(name, _without_quotes(value.strip()))


def apply_environment_file() -> None:
    """Add the service's variables to those of this process. Those that are set already win."""
    read_environment_file(ENVIRONMENT_FILE, os.environ)


def _without_quotes(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES else value
