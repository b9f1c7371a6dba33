"""The extra ``ray``: whether it is installed. Ray itself is not imported here."""

from __future__ import annotations

import importlib.util

from goldsmith.brief.settings import Settings
from goldsmith.errors import UsageError

NOT_INSTALLED = "Ray, which runs jobs on the cluster, is not installed."
INSTALL_COMMAND = "pip install 'goldsmith[ray]'"


def is_ray_installed() -> bool:
    """Return whether Ray can be imported, without importing it."""
    return importlib.util.find_spec("ray") is not None


def require_ray_extra(settings: Settings) -> None:
    """Raise UsageError if a queue runs on the cluster and Ray is not installed."""
    queues = [name for name, queue in settings.queues.items() if queue.runner == "ray"]
    if queues and not is_ray_installed():
        raise UsageError(
            f'queues.{queues[0]}.runner is "ray", but Ray is not installed.',
            f'Install it with: {INSTALL_COMMAND}. Or set runner = "local".',
        )
