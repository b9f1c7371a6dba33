"""How often the kernel has ended processes because memory ran out: evidence that a picture is not at fault for its killed process."""

from __future__ import annotations

from pathlib import Path

_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
# The count for the whole machine, for systems without the second version of control groups.
_MACHINE_COUNTS = Path("/proc/vmstat")


def read_memory_kill_count(own_cgroup: Path = _OWN_CGROUP, cgroups: Path = _CGROUPS, machine_counts: Path = _MACHINE_COUNTS) -> int:
    """Return how many processes the kernel has ended in this service's control group, or on this machine, for want of memory.

    Compare two counts; 0 if the kernel tells neither. See memory.events in Documentation/admin-guide/cgroup-v2.rst.
    """
    path = next((line.removeprefix("0::") for line in _read_lines(own_cgroup) if line.startswith("0::")), "")
    for file in (cgroups / path.lstrip("/") / "memory.events", machine_counts):
        for line in _read_lines(file):
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.isdigit():
                return int(count)
    return 0


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
