"""The command line: one module per command."""

from __future__ import annotations

import gc
import os
import sys

from goldsmith.errors import GoldsmithError, HostError


def main() -> None:
    """Run a command. Print an error that the user can fix as two plain sentences, without a traceback, and exit with its code."""
    # A command that only looks ends before the collector finds anything, and pydantic asks every installed package for plugins of its own.
    gc.set_threshold(10_000)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from goldsmith.cli.app import COMMAND_LINE_ERROR, build_app
    from goldsmith.cli.output import print_command_line_error, print_error

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # for a file name that the terminal cannot encode
    try:
        sys.exit(build_app(sys.argv[1:])(standalone_mode=False))
    except COMMAND_LINE_ERROR as error:
        print_command_line_error(error)
        sys.exit(error.exit_code)
    except GoldsmithError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        # Usually a folder that this user may not enter, which needs no traceback either.
        host_error = HostError(
            f"{error.filename or 'This computer'}: {error.strerror or error}.",
            "Run this as a user who may read the folder, or check the disk.",
        )
        print_error(host_error)
        sys.exit(host_error.exit_code)
