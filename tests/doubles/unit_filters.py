"""The system-call filters of a systemd unit, for computers on which systemd is not PID 1.

systemd-analyze resolves the groups of system calls, and libseccomp, which systemd itself uses, builds and loads the filters. The rules
are those of ``src/shared/seccomp-util.c`` in systemd, for the settings that can refuse something to a file service: SystemCallFilter,
RestrictSUIDSGID, RestrictAddressFamilies and RestrictNamespaces.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

UNIT = Path(__file__).parents[2] / "systemd" / "goldsmith.service"

# Values of linux/prctl.h and seccomp.h.
_PR_SET_NO_NEW_PRIVS = 38
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EQUAL, _GREATER, _MASKED_EQUAL = 4, 6, 7
_ADDRESS_FAMILIES = {"AF_UNIX": socket.AF_UNIX, "AF_INET": socket.AF_INET, "AF_INET6": socket.AF_INET6}
# Linux has no address family above this number (linux/socket.h).
_LAST_FAMILY = 63
# CLONE_NEW* of linux/sched.h: cgroup, UTS, IPC, user, PID, network and mount namespaces.
_NAMESPACE_FLAGS = (0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000)
# Calls that create a file or change its mode, with the position of the mode, and for open(2) that of the flags.
_MODE_CALLS = (
    *(("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("mkdir", 1), ("mkdirat", 2), ("mknod", 1), ("mknodat", 2)),
    ("creat", 1),
)
_OPEN_CALLS = (("open", 1, 2), ("openat", 2, 3))


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp`` of seccomp.h."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("datum_a", ctypes.c_uint64), ("datum_b", ctypes.c_uint64))


def find_missing_tool() -> str:
    """Return why the filters cannot be built on this computer; "" if they can."""
    if shutil.which("systemd-analyze") is None:
        return "systemd-analyze is not installed"
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return "libseccomp is not installed"
    return ""


def unit_values(unit_text: str, setting: str) -> list[str]:
    """Return the values of a setting, in the order of its lines."""
    return [line.partition("=")[2] for line in unit_text.splitlines() if line.startswith(f"{setting}=")]


def allowed_calls(unit_text: str) -> set[str]:
    """Return the names of the system calls that the unit allows. Its first SystemCallFilter line must be a list of allowed calls."""
    allowed: set[str] = set()
    for value in unit_values(unit_text, "SystemCallFilter"):
        names = _expand(value.removeprefix("~").split())
        allowed = allowed - names if value.startswith("~") else allowed | names
    # systemd always allows these, so that a process can start and end (systemd.exec(5)).
    return allowed | _expand(["@default"])


def _expand(words: Iterable[str]) -> set[str]:
    names: set[str] = set()
    for word in words:
        names |= _expand(_group_members(word)) if word.startswith("@") else {word}
    return names


@functools.cache
def _group_members(group: str) -> tuple[str, ...]:
    listing = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    return tuple(name for line in listing.splitlines()[1:] if (name := line.strip()) and not name.startswith("#"))


def install(unit_text: str) -> None:
    """Install the unit's filters in this process. They also apply to its children and cannot be removed. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    restricts_families = unit_values(unit_text, "RestrictAddressFamilies")
    if unit_values(unit_text, "RestrictSUIDSGID") == ["yes"]:
        _restrict_set_id_modes()
    if unit_values(unit_text, "RestrictNamespaces") == ["yes"]:
        _restrict_namespaces()
    if restricts_families:
        allowed = {_ADDRESS_FAMILIES[name] for line in restricts_families for name in line.split()}
        refused = [_Comparison(0, _EQUAL, family) for family in range(_LAST_FAMILY + 1) if family not in allowed]
        refused.append(_Comparison(0, _GREATER, _LAST_FAMILY))
        _load(_ALLOW, [(errno.EAFNOSUPPORT, "socket", [comparison]) for comparison in refused])
    # Last, because the program may not be allowed to install further filters.
    _load(_ERRNO | errno.EPERM, [(0, name, []) for name in sorted(allowed_calls(unit_text))])


def _restrict_set_id_modes() -> None:
    rules: list[tuple[int, str, Sequence[_Comparison]]] = [(errno.EPERM, "openat2", [])]
    for bit in (stat.S_ISUID, stat.S_ISGID):
        rules += [(errno.EPERM, name, [_Comparison(mode, _MASKED_EQUAL, bit, bit)]) for name, mode in _MODE_CALLS]
        for name, flags, mode in _OPEN_CALLS:
            creates = _Comparison(flags, _MASKED_EQUAL, os.O_CREAT, os.O_CREAT)
            rules.append((errno.EPERM, name, [creates, _Comparison(mode, _MASKED_EQUAL, bit, bit)]))
    _load(_ALLOW, rules)


def _restrict_namespaces() -> None:
    rules: list[tuple[int, str, Sequence[_Comparison]]] = [(errno.EPERM, "setns", []), (errno.ENOSYS, "clone3", [])]
    for flag in _NAMESPACE_FLAGS:
        rules += [(errno.EPERM, name, [_Comparison(0, _MASKED_EQUAL, flag, flag)]) for name in ("clone", "unshare")]
    _load(_ALLOW, rules)


def _load(default_action: int, rules: Iterable[tuple[int, str, Sequence[_Comparison]]]) -> None:
    """Load one filter: system calls with the rules' comparisons fail with the rules' errors, or are allowed if the error is 0."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default_action)))
    try:
        for number, name, comparisons in rules:
            call = library.seccomp_syscall_resolve_name(name.encode())
            # A negative number: this architecture has no such call, or libseccomp does not know it.
            if call < 0:
                continue
            action = ctypes.c_uint32(_ERRNO | number if number else _ALLOW)
            array = (_Comparison * len(comparisons))(*comparisons)
            _check(library.seccomp_rule_add_array(context, action, call, ctypes.c_uint(len(comparisons)), array))
        _check(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
