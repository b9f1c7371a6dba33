"""How the program of a worker process is started, on this host or on a node of a cluster: its command, its environment, its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from goldsmith.jobs.protocol import WorkerSpec

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# The only variables of the daemon's environment that its worker processes get: others may hold passwords and keys.
_KEPT_VARIABLES = frozenset({"PATH", "HOME", "USER", "LANG", "TZ", "LD_LIBRARY_PATH", "TMPDIR"})
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_", "GOLDSMITH_")
# The addresses of channels, which hold passwords. No worker process needs a channel.
_WITHHELD_VARIABLES = frozenset({"GOLDSMITH_NOTIFY"})
# Hash seeds affect the order of sets; cuda:1 shall be the device that nvidia-smi calls 1; libraries shall not report to their makers. The
# threads of numpy's OpenBLAS wait by spinning, which costs more than they gain: pixels are worked on by threads of our own.
_SET_VARIABLES = {
    "PYTHONHASHSEED": "0",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def _package_folders() -> tuple[str, ...]:
    """Return the folder of this package if Python does not find it by itself: in a checkout that is not installed."""
    folder = str(Path(__file__).resolve().parents[2])
    return () if folder in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")) else (folder,)


# Where worker processes find modules before they look where Python itself does. PYTHONPATH is not theirs to inherit.
IMPORT_FOLDERS = _package_folders()


def spawn_worker(spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> subprocess.Popen[bytes]:
    """Start a worker process and return it. It starts with SIGINT blocked, so that Ctrl-C cannot end it before it ignores Ctrl-C."""
    # -P: the current folder may be a share, and no json.py there may be imported.
    command = [sys.executable, "-P", "-m", "goldsmith.worker", str(socket_fd), str(os.getpid())]
    environment = worker_environment(os.environ, spec.threads)
    old_signal_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stderr_fd, stderr=stderr_fd, pass_fds=(socket_fd,), cwd="/", env=environment
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_signal_mask)


def worker_environment(inherited: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment of a worker process: what is known to be harmless, and what this program sets."""
    kept = [name for name in inherited if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)]
    environment = {name: inherited[name] for name in kept if name not in _WITHHELD_VARIABLES}
    environment |= dict.fromkeys(_THREAD_VARIABLES, str(threads)) | _SET_VARIABLES
    return environment | ({"PYTHONPATH": os.pathsep.join(IMPORT_FOLDERS)} if IMPORT_FOLDERS else {})


def read_resident_bytes(pid: int, device: str) -> int:
    """Return the resident memory of a process in bytes; 0 if it is gone.

    On a GPU without file pages: weights are mapped, and only pass through.
    """
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            resident, file_pages = map(int, file.read().split()[1:3])
            return (resident if device == "cpu" else resident - file_pages) * _PAGE_BYTES
    except (OSError, ValueError):
        return 0
