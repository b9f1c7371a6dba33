"""``goldsmith`` as the unit runs it: another user with the unit's capability, umask and system-call filters.

``service_user.py UID GIDS UNIT run --root …``: needs root. GIDS are numbers with commas, the first is the main group. The interpreter and
the program may lie in a home that the other user cannot enter; they are then made visible to this process alone, in a mount namespace.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

from doubles import unit_filters

# Values of linux/sched.h and linux/mount.h.
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
# Values of linux/prctl.h and linux/capability.h.
_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES = {"CAP_LEASE": 28}
# A variable with the code that starts the program, instead of ``-m goldsmith``.
START_CODE = "TEST_START_CODE"
_REPOSITORY = Path(__file__).parents[2]


def program(uid: int, gids: tuple[int, ...], unit: Path = unit_filters.UNIT) -> tuple[str, ...]:
    """Return the words that go between the interpreter and ``run``."""
    return __file__, str(uid), ",".join(map(str, gids)), str(unit)


def main() -> None:
    """Become the service's user behind the unit's filters, then the program."""
    uid, gids, unit = int(sys.argv[1]), [int(word) for word in sys.argv[2].split(",")], Path(sys.argv[3])
    unit_text = unit.read_text()
    # Asked before the mounts, which may hide systemd's tools.
    unit_filters.allowed_calls(unit_text)
    _show_to_everybody([Path(sys.base_prefix), Path(sys.prefix), _REPOSITORY])
    os.setgroups(gids)
    os.setresgid(gids[0], gids[0], gids[0])
    _become_user(uid, unit_filters.unit_values(unit_text, "AmbientCapabilities"))
    (mask,) = unit_filters.unit_values(unit_text, "UMask")
    os.umask(int(mask, 8))
    os.chdir("/")
    unit_filters.install(unit_text)
    start = ["-c", code] if (code := os.environ.pop(START_CODE, "")) else ["-m", "goldsmith"]
    os.execv(sys.executable, [sys.executable, "-P", *start, *sys.argv[4:]])  # noqa: S606 - no shell is meant


def _become_user(uid: int, capability_names: list[str]) -> None:
    """Change the user and keep these capabilities, also when another program is executed (capabilities(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    numbers = [_CAPABILITIES[name] for name in capability_names]
    bits = sum(1 << number for number in numbers)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresuid(uid, uid, uid)
    # Version 3: the effective, permitted and inheritable sets, 32 bits each, and again for the capabilities above 31.
    header, sets = struct.pack("<Ii", _CAPABILITY_VERSION, 0), struct.pack("<6I", bits, bits, bits, 0, 0, 0)
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    for number in numbers:
        if libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "ambient capability")


def _show_to_everybody(paths: list[Path]) -> None:
    """Make folders visible that are in a folder which only its owner can enter. Nothing else of that folder is shown."""
    closed = {path: folder for path in paths if (folder := _closed_ancestor(path)) is not None}
    if not closed:
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: str, target: str, kind: bytes | None, flags: int) -> None:
        if libc.mount(os.fsencode(source), os.fsencode(target), kind, ctypes.c_ulong(flags), None) != 0:
            raise OSError(ctypes.get_errno(), "mount", target)

    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    # A descriptor still reaches a folder that another mount hides.
    descriptors = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in closed}
    for folder in set(closed.values()):
        mount("none", str(folder), b"tmpfs", 0)
        folder.chmod(0o755)
    for path, descriptor in descriptors.items():
        path.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", str(path), None, _MS_BIND | _MS_REC)
        os.close(descriptor)


def _closed_ancestor(path: Path) -> Path | None:
    """Return the outermost folder on the way to ``path`` that others cannot enter."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)


if __name__ == "__main__":
    main()
