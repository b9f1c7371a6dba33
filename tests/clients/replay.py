"""Programs that cannot be installed as packages, replayed call by call from a record. Run as: replay.py PROGRAM WORDS…

They replace people and slow connections, so they may sleep, unlike a test.
"""

from __future__ import annotations

import mmap
import os
import sys
import time

# Seconds between two bursts of writing: longer than the time after which work may start, shorter than the time to settle.
PAUSE = 0.4


def burst(fd: int, data: bytes, pieces: int = 4, pause: float = PAUSE) -> None:
    """Write in pieces, with pauses between them."""
    step = len(data) // pieces + 1
    for at in range(0, len(data), step):
        if at:
            time.sleep(pause)
        os.write(fd, data[at : at + step])


def create(path: str, flags: int = 0) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)


def beside(target: str, name: str) -> str:
    return os.path.join(os.path.dirname(target), name)


def keep_open(data: bytes, target: str, seconds: str) -> None:
    """Write all bytes, and close the file later."""
    fd = create(target)
    os.write(fd, data)
    os.fsync(fd)
    time.sleep(float(seconds))
    os.close(fd)


def photoshop_windows(data: bytes, target: str) -> None:
    """Save like ReplaceFile: write a temporary file, rename the old one away, rename the new one to its name, delete the old one."""
    temporary, old = beside(target, "ps7C1A.tmp"), beside(target, "hero.png~RF1b2c3d.TMP")
    fd = create(temporary)
    burst(fd, data)
    os.close(fd)
    os.rename(target, old)
    time.sleep(PAUSE)
    os.rename(temporary, target)
    os.unlink(old)


def photoshop_mac(data: bytes, target: str) -> None:
    """Save safely: write a file beside the old one, delete the old one, rename the new one."""
    temporary = target + ".sb-4d5e6f7a-XyZabc"
    fd = create(temporary)
    burst(fd, data)
    os.close(fd)
    os.unlink(target)
    time.sleep(PAUSE)
    os.rename(temporary, target)


def krita(data: bytes, target: str) -> None:
    """Save like QSaveFile: write a file without a name, and link it when it is complete. There is no close event for its name."""
    fd = os.open(os.path.dirname(target), os.O_WRONLY | os.O_TMPFILE, 0o644)
    burst(fd, data)
    open_files = os.open("/proc/self/fd", os.O_RDONLY)
    os.link(str(fd), target, src_dir_fd=open_files, follow_symlinks=True)
    os.close(fd)


def gimp(data: bytes, target: str) -> None:
    """Write and close; 50 ms later truncate and write again, with metadata."""
    fd = create(target)
    os.write(fd, data[: len(data) // 2])
    os.write(fd, data[len(data) // 2 : -12])
    os.close(fd)
    time.sleep(0.05)
    fd = create(target, os.O_TRUNC)
    burst(fd, data)
    os.close(fd)


def darktable(data: bytes, target: str) -> None:
    """Close the file three times, each time with more bytes."""
    for part in (3, 2, 1):
        fd = create(target)
        os.lseek(fd, 0, os.SEEK_END)
        os.write(fd, data[os.fstat(fd).st_size : len(data) // part])
        os.close(fd)
        time.sleep(PAUSE)


def explorer(data: bytes, target: str) -> None:
    """Create and close an empty file, wait 1.5 s, then write the data and set the times of the original."""
    os.close(create(target, os.O_EXCL))
    time.sleep(1.5)
    fd = create(target)
    os.ftruncate(fd, len(data))
    burst(fd, data)
    os.utime(fd, (1_500_000_000, 1_500_000_000))
    os.close(fd)


def firefox(data: bytes, target: str) -> None:
    """Reserve the name with an empty file, download into NAME.part, and rename that over it."""
    os.close(create(target, os.O_EXCL))
    fd = create(target + ".part")
    burst(fd, data, 6)
    os.close(fd)
    os.rename(target + ".part", target)


def chromium(data: bytes, target: str) -> None:
    """Download into a file of another name, then reserve the name, then rename."""
    temporary = beside(target, "Unconfirmed 482913.crdownload")
    fd = create(temporary)
    burst(fd, data)
    os.close(fd)
    os.close(create(target, os.O_EXCL))
    os.rename(temporary, target)


def syncthing(data: bytes, target: str) -> None:
    """Write a hidden temporary file, set its time, and rename it."""
    temporary = beside(target, f".syncthing.{os.path.basename(target)}.tmp")
    fd = create(temporary)
    os.ftruncate(fd, len(data))
    burst(fd, data)
    os.close(fd)
    os.utime(temporary, (1_500_000_000, 1_500_000_000))
    os.rename(temporary, target)


def finder(data: bytes, target: str) -> None:
    """Write the companion, then the data, then the companion again, as on a share without streams."""
    companion = beside(target, "._" + os.path.basename(target))
    for path, content in ((companion, b"\0\5\x16\7\0\2\0\0Mac OS X"), (target, data), (companion, b"\0\5\x16\7\0\2\0\0Mac OS X more")):
        fd = create(path)
        burst(fd, content, 3)
        os.close(fd)
    os.close(create(beside(target, ".DS_Store")))


def mmap_writer(data: bytes, target: str) -> None:
    """Set the size at once, then write through a mapping: the kernel reports no event for pages that are dirty already."""
    half = len(data) // 2
    fd = os.open(target, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, len(data))
    with mmap.mmap(fd, len(data)) as mapping:
        os.close(fd)  # the close event comes with the end of the mapping
        mapping[:] = data[:half] + b"\x7f" * (len(data) - half)
        time.sleep(3)
        mapping[half:] = data[half:]
        time.sleep(1)


def through_another_name(data: bytes, target: str, other: str) -> None:
    """Link the file into the folder while it is written under another name: there is a CREATE event and no other.

    A file that another client of an NFSv3 server writes looks the same: the lease is refused, and no close event comes.
    """
    fd = create(other)
    os.ftruncate(fd, len(data))
    os.write(fd, data[: len(data) // 2])
    os.link(other, target)
    time.sleep(3)
    burst(fd, data[len(data) // 2 :])
    time.sleep(3)
    os.close(fd)


def still_growing(data: bytes, target: str, other: str) -> None:
    """Move the file in while it is still being written."""
    fd = create(other)
    os.ftruncate(fd, len(data))
    os.write(fd, data[: len(data) // 2])
    os.rename(other, target)
    time.sleep(2.5)
    burst(fd, data[len(data) // 2 :])
    os.close(fd)


def in_place(data: bytes, target: str) -> None:
    """Overwrite a file from the start, without truncating it."""
    fd = os.open(target, os.O_WRONLY)
    burst(fd, data)
    os.close(fd)


def cut_and_written(data: bytes, target: str) -> None:
    """Truncate a file, close it, and write a moment later."""
    os.close(os.open(target, os.O_WRONLY | os.O_TRUNC))
    time.sleep(PAUSE)
    fd = os.open(target, os.O_WRONLY)
    burst(fd, data)
    os.close(fd)


def times_put_back(data: bytes, target: str) -> None:
    """Overwrite with the same number of bytes and restore the times, like `rsync --inplace --times --checksum`."""
    time.sleep(PAUSE)  # by now the old bytes have been read
    status = os.stat(target)
    fd = os.open(target, os.O_WRONLY)
    os.write(fd, data)
    os.close(fd)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


PROGRAMS = {
    program.__name__: program
    for program in (
        *(keep_open, photoshop_windows, photoshop_mac, krita, gimp, darktable, explorer, firefox, chromium, syncthing, finder, mmap_writer),
        *(through_another_name, still_growing, in_place, cut_and_written, times_put_back),
    )
}

if __name__ == "__main__":
    name, source, *words = sys.argv[1:]
    with open(source, "rb") as file:
        PROGRAMS[name](file.read(), *words)
