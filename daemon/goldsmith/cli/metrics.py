"""The command ``goldsmith metrics``: figures for Prometheus, and whether the service is healthy."""

from __future__ import annotations

from goldsmith.cli.location import ConfigOption, RootOption, find_root


def metrics(root: RootOption = None, config: ConfigOption = None) -> None:
    """Answer /metrics for Prometheus and /healthz until Ctrl-C or SIGTERM.

    The address is `listen` in the table [metrics] of goldsmith.toml: this computer alone, unless there is a token. The service does not
    depend on it.

    Example: goldsmith metrics --root ~/hotfolders
    """
    from goldsmith.cli.output import configure_logging
    from goldsmith.service.metrics_service import MetricsService, read_token
    from goldsmith.service.setup import load_setup

    setup = load_setup(find_root(root, config), config)
    configure_logging(setup.settings)
    MetricsService(setup, read_token(setup.settings.metrics)).run()
