"""GIMP and Krita without a window: a document is opened, painted on and saved. A test is skipped where the program is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_QT_FOR_PYTHON = Path("/usr/lib/python3/dist-packages/PyQt5")
# Seconds; only a hang takes this long.
_DEADLINE = 600
# What a person paints: left, top, width and height in px, on the lowest layer.
PAINTED = (10, 10, 60, 40)
_GIMP = """
(define (lowest image) (car (reverse (vector->list (cadr (gimp-image-get-layers image))))))
(define (paint-and-save source target flat)
  (let* ((image (car (gimp-file-load RUN-NONINTERACTIVE source source))) (copy (car (gimp-image-duplicate image))))
    (file-png-save-defaults RUN-NONINTERACTIVE copy (car (gimp-image-flatten copy)) flat flat)
    (gimp-image-select-rectangle image CHANNEL-OP-REPLACE BOX)
    (gimp-context-set-foreground '(255 0 0))
    (gimp-drawable-edit-fill (lowest image) FILL-FOREGROUND)
    (gimp-selection-none image)
    (file-psd-save RUN-NONINTERACTIVE image (lowest image) target target 0 0)))
""".replace("BOX", " ".join(map(str, PAINTED)))

# Krita's pixels are blue, green, red and alpha. Without a message box, a fault would end in no file and no word.
_KRITA = """
import json, traceback
from krita import InfoObject, Krita

def paint(arguments=None):
    with open("REPORT", "w") as report:
        try:
            Krita.instance().setBatchmode(True)
            for source, target in PAIRS:
                document = Krita.instance().openDocument(source)
                document.setBatchmode(True)
                size = 1 if document.colorDepth() == "U8" else 2
                red = b"\\0" * 2 * size + b"\\xff" * 2 * size
                lowest = document.rootNode().childNodes()[0]
                lowest.setPixelData(red * (WIDTH * HEIGHT), LEFT, TOP, WIDTH, HEIGHT)
                document.refreshProjection()
                document.waitForDone()
                document.exportImage(target, InfoObject())
                document.close()
        except Exception:
            traceback.print_exc(file=report)
"""


def paint_in_gimp(folder: Path, *documents: str) -> None:
    """Open each document of the folder in GIMP, flatten a copy into NAME.flat.png, paint a red box, and save it as NAME.gimp.psd."""
    program = shutil.which("gimp-console")
    if program is None:
        pytest.skip("gimp-console (Debian's gimp) is not installed")
    calls = [f'(paint-and-save "{folder / name}" "{folder / name}.gimp.psd" "{folder / name}.flat.png")' for name in documents]
    command = [program, "-i", "-d", "-f", "-c", "-b", "-"]
    script = "\n".join([_GIMP, *calls, "(gimp-quit 0)"])
    subprocess.run(command, input=script, env=_home(folder), capture_output=True, text=True, timeout=_DEADLINE, check=True)


def paint_in_krita(folder: Path, *documents: str) -> None:
    """Open each document of the folder in Krita, paint a red box on its lowest layer, and save it as krita.NAME."""
    programs = [shutil.which(name) for name in ("xvfb-run", "kritarunner")]
    if None in programs or not _QT_FOR_PYTHON.exists():
        pytest.skip("krita, xvfb-run or PyQt5 (Debian's krita, xvfb and python3-pyqt5) is not installed")
    script, report = folder / "painting.py", folder / "painting.txt"
    left, top, width, height = map(str, PAINTED)
    text = _KRITA.replace("PAIRS", json.dumps([[str(folder / name), str(folder / f"krita.{name}")] for name in documents]))
    for word, value in (("REPORT", str(report)), ("LEFT", left), ("TOP", top), ("WIDTH", width), ("HEIGHT", height)):
        text = text.replace(word, value)
    script.write_text(text)
    command = [str(programs[0]), "-a", str(programs[1]), "-s", script.stem, "-f", "paint"]
    environment = {**_home(folder), "PYTHONPATH": str(folder), "XDG_RUNTIME_DIR": str(folder / "home")}
    # Its own exit status says nothing.
    subprocess.run(command, env=environment, capture_output=True, timeout=_DEADLINE, check=False)
    assert report.read_text() == ""


def save_in_krita(source: Path, target: Path) -> None:
    """Open a document in Krita and save it as another one."""
    programs = [shutil.which(name) for name in ("xvfb-run", "krita")]
    if None in programs:
        pytest.skip("krita or xvfb-run (Debian's krita and xvfb) is not installed")
    command = [str(programs[0]), "-a", str(programs[1]), "--export", "--export-filename", str(target), str(source)]
    subprocess.run(command, env=_home(target.parent), capture_output=True, timeout=_DEADLINE, check=True)


def _home(folder: Path) -> dict[str, str]:
    """Return an environment in which the program has no settings of the user."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_CACHE_HOME": str(home / "cache")}
