"""A program that drops files: ``python -m bench.dropper FOLDER COUNT A_SECOND``. It writes every other file in place and renames the rest.

For each file, it prints the name and the monotonic nanosecond at which the file was closed or renamed.
"""

from __future__ import annotations

import os
import sys
import time

from bench.rig import tiny_png


def main(folder: str, count: int, a_second: float) -> None:
    """Drop ``count`` files, evenly spread in time."""
    begin = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + number / a_second - time.monotonic()))
        name = f"drop{number:05d}.png"
        path = os.path.join(folder, name)
        first = path if number % 2 else os.path.join(folder, f".{name}.new")
        with open(first, "wb") as file:
            file.write(tiny_png(number))
        if first != path:
            os.rename(first, path)
        print(name, time.monotonic_ns(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
