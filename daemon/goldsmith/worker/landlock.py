"""Landlock: a thread gives up every access to files that no rule allows, all TCP connections, and signals to processes outside.

The kernel's documentation is Documentation/userspace-api/landlock.rst. A restriction cannot be lifted again. It holds for the thread that
asks for it and for the threads and processes that this thread starts afterwards, so a process asks before it starts any.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

# The system calls, which have the same numbers on every architecture (asm-generic/unistd.h).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

# The access rights of linux/landlock.h. REFER came with version 2 of the interface, TRUNCATE with 3, IOCTL_DEV with 5.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
# How many of the rights each version knows; a ruleset with an unknown right is refused.
_RIGHT_COUNTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_RIGHT_COUNT = 16
# The versions from which TCP, and signals and abstract sockets, can be refused.
TCP_VERSION, SCOPE_VERSION = 4, 6
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
# The rights that make sense on a file. The kernel refuses the others there.
_RIGHTS_ON_FILES = _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV

# What a rule may allow below a folder, or for a file. Links, pipes, sockets and device nodes can be made nowhere.
READ = _READ_FILE | _READ_DIR
READ_AND_EXECUTE = READ | _EXECUTE
WRITE = READ | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER
USE_DEVICE = READ | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Return the version of the interface that the kernel offers; 0 if it has no Landlock or has it switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))))


def restrict_thread(version: int, rules: Iterable[tuple[int, int]]) -> None:
    """Restrict this thread, and all that it starts from now on, to what the rules allow.

    ``version`` is what ``landlock_version`` returned, at least 1. A rule is the descriptor of a folder or a file, and ``READ``,
    ``READ_AND_EXECUTE``, ``WRITE`` or ``USE_DEVICE``. From version 4 on, TCP is refused, and from 6 on, signals to processes outside.
    Raises OSError if the kernel refuses a rule or the restriction; the thread is then not restricted.
    """
    handled = (1 << _RIGHT_COUNTS.get(version, _NEWEST_RIGHT_COUNT)) - 1
    ruleset = _create_ruleset(version, handled)
    try:
        for fd, rights in rules:
            _add_rule(ruleset, fd, rights & handled)
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _create_ruleset(version: int, handled: int) -> int:
    fields = [handled]
    if version >= TCP_VERSION:
        fields.append(_BIND_TCP | _CONNECT_TCP)
    if version >= SCOPE_VERSION:
        fields.append(_SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    return _check(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def _add_rule(ruleset: int, fd: int, rights: int) -> None:
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        rights &= _RIGHTS_ON_FILES
    _check(_libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
