"""The fence round a worker process: what it may read, its own scratch folder as the only place to write, no TCP, no signals to others.

A worker process decodes strangers' files. If one of them takes the process over, the fence keeps the rest of the machine out of its reach,
although it runs as the same user as the daemon. The fence goes up before the process starts a thread or imports a library that does.
"""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress

from goldsmith.errors import HostError
from goldsmith.files import resource_path
from goldsmith.jobs.protocol import WorkerFolders
from goldsmith.worker.landlock import READ, READ_AND_EXECUTE, USE_DEVICE, WRITE, landlock_version, restrict_thread

# Libraries and programs. /nix/store holds everything on NixOS; the drivers of GPUs install themselves below /opt.
_SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store")
_DRIVER_FOLDERS = ("/opt/rocm*", "/opt/amdgpu*", "/opt/cuda*", "/opt/nvidia*", "/opt/intel*")
# What the C library, fonts, TLS and the drivers of a GPU read below /etc. Secrets of other services are there too.
_SYSTEM_SETTINGS = (
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/localtime", "/etc/timezone"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/locale.alias", "/etc/locale.conf", "/etc/mime.types"),
    *("/etc/fonts", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/os-release"),
    *("/etc/OpenCL", "/etc/vulkan", "/etc/glvnd", "/etc/nvidia", "/etc/nvidia-container-runtime"),
)
_KERNEL_FOLDERS = ("/proc", "/sys")
# Fonts and models.toml that ship with the program; in a checkout they are outside the package.
_SHIPPED_FOLDERS = (str(resource_path("samples")), str(resource_path("config")))
# The last pattern of GPUs is that of WSL.
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/dxg")
# Threads and processes of one library share memory through files here.
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the libraries choose the names

# What the record says of a process without a fence.
NO_FENCE = "none"

_OPEN_FLAGS = os.O_PATH | os.O_CLOEXEC


def readable_paths(folders: WorkerFolders) -> list[str]:
    """Return the absolute paths that every worker process may read, whatever is there: a secret must be in none of them."""
    program = (*_SYSTEM_FOLDERS, *_expand(_DRIVER_FOLDERS), *_import_folders(), *_SYSTEM_SETTINGS, *_KERNEL_FOLDERS, *_SHIPPED_FOLDERS)
    return [*program, *folders.models, *folders.inputs, *filter(None, (folders.kept,)), folders.work]


def raise_fence(scratch: str, folders: WorkerFolders) -> str:
    """Put the fence up round this thread and all that it starts from now on. Return what the record says of it: "landlock 7" or "none".

    ``scratch``: absolute path of the existing folder that may be written. Without Landlock in the kernel nothing is done. Raises HostError
    if other threads run already, which would stay outside the fence, or if the kernel refuses a part of it.
    """
    version = landlock_version()
    if not version:
        return NO_FENCE
    if len(os.listdir("/proc/self/task")) > 1:
        raise HostError("The fence round a worker process cannot be raised: the process has started threads already.")
    fence_thread(version, scratch, folders)
    return f"landlock {version}"


def fence_thread(version: int, scratch: str, folders: WorkerFolders) -> None:
    """Put the fence up round this thread, whatever other threads do; ``version`` is Landlock's. Raises HostError if it is refused."""
    rules = _open_rules(scratch, folders)
    try:
        restrict_thread(version, rules)
    except OSError as error:
        place = f" at {error.filename}" if error.filename else ""
        raise HostError(
            f"The fence round a worker process cannot be raised{place}: {error.strerror}.", f"Check that {scratch} is a folder, not a link."
        ) from error
    finally:
        rules.close()


def _open_rules(scratch: str, folders: WorkerFolders) -> Generator[tuple[int, int], None, None]:
    """Yield a descriptor and its rights for each rule. What does not exist, or this user may not reach, needs no rule."""
    for paths, flags, rights in (
        ((*_SYSTEM_FOLDERS, *_expand(_DRIVER_FOLDERS), *_import_folders()), _OPEN_FLAGS, READ_AND_EXECUTE),
        ((*_SYSTEM_SETTINGS, *_KERNEL_FOLDERS, *_SHIPPED_FOLDERS, *folders.models), _OPEN_FLAGS, READ),
        ((*folders.inputs, *filter(None, (folders.kept,))), _OPEN_FLAGS | os.O_NOFOLLOW, READ),
        (_expand(_DEVICES), _OPEN_FLAGS | os.O_NOFOLLOW, USE_DEVICE),
        ((_SHARED_MEMORY,), _OPEN_FLAGS | os.O_NOFOLLOW, WRITE),
    ):
        for path in paths:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError), _opened(path, flags) as fd:
                if not stat.S_ISLNK(os.fstat(fd).st_mode):
                    yield fd, rights
    with _opened(scratch, _OPEN_FLAGS | os.O_NOFOLLOW | os.O_DIRECTORY) as fd:
        yield fd, WRITE


def _import_folders() -> set[str]:
    """Return the folders, and the archives, of the interpreter, of everything that it can import, and of shared libraries."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return {os.path.abspath(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *libraries) if path}


def _expand(patterns: Sequence[str]) -> list[str]:
    return [path for pattern in patterns for path in glob.glob(pattern)]


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)
