"""The program of a template: it has imported what worker processes import, and forks one for each message (``doubles.forked_workers``).

Arguments: the descriptor of the socket, and what to import: "operations", or "diffusion" for torch and diffusers as well.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import random
import signal
import socket
import sys
from typing import NoReturn

_MAX_MESSAGE_BYTES = 65536
# Of the families of generating models that most tests use.
_PIPELINES = (
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
    "QwenImageEditPlusPipeline",
)


def _module_folders() -> list[str]:
    return [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


def _serve(control: socket.socket) -> None:
    """Fork a worker process for each message, until the other end is closed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked safely"
    while True:
        message, fds, _, _ = socket.recv_fds(control, _MAX_MESSAGE_BYTES, 2)
        if not message:
            return
        starter, environment = json.loads(message)
        reader, writer = os.pipe()
        between = os.fork()
        if not between:
            worker = os.fork()
            if worker:
                os.write(writer, str(worker).encode())
                os._exit(0)
            control.close()
            os.close(reader)
            os.close(writer)
            _become_worker(starter, environment, *fds)
        os.waitpid(between, 0)
        # Only now is the starter the worker's parent.
        control.send(os.read(reader, 32))
        for descriptor in (reader, writer, *fds):
            os.close(descriptor)


def _become_worker(starter: int, environment: dict[str, str], socket_fd: int, stderr_fd: int) -> NoReturn:
    """Run a worker process, as ``python -m goldsmith.worker`` does, until it ends."""
    from goldsmith.worker.main import main

    try:
        while os.getppid() != starter:
            os.sched_yield()
        for number in (1, 2):
            os.dup2(stderr_fd, number)
        os.close(stderr_fd)
        earlier = _module_folders()
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = [*_module_folders(), *(folder for folder in sys.path if folder not in earlier)]
        random.seed()
        main([str(socket_fd), str(starter)])
    finally:
        sys.stderr.flush()
        os._exit(1)


def _import_program() -> None:
    """Import what a worker process imports before it sends READY, and for the jobs of most tests."""
    import cv2  # noqa: F401
    import imagecodecs
    import PIL.Image
    import PyOpenColorIO  # noqa: F401

    import goldsmith.credentials
    import goldsmith.picture
    import goldsmith.stitching
    import goldsmith.worker
    from goldsmith.ops import catalogue

    for word in catalogue():
        catalogue()[word]
    for package in (goldsmith.credentials, goldsmith.picture, goldsmith.stitching, goldsmith.worker):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    # Their modules are imported with the first use of a name.
    for name in ("png_encode", "png_decode", "jpeg_encode", "jpeg_decode"):
        getattr(imagecodecs, name)
    PIL.Image.init()


def _import_diffusion() -> None:
    """Import what a worker process imports for jobs with the generating models of most tests."""
    import diffusers

    import goldsmith.engines.diffusion

    for module in pkgutil.walk_packages(goldsmith.engines.diffusion.__path__, "goldsmith.engines.diffusion."):
        importlib.import_module(module.name)
    for name in _PIPELINES:
        getattr(diffusers, name)


if __name__ == "__main__":
    _import_program()
    if sys.argv[2] == "diffusion":
        _import_diffusion()
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
