"""Runs the contract tests behind the fence of a worker process, so that no operation and no engine needs what a worker may not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from doubles.fenced import run_fenced


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the only folder that the engines, and a contract test without ``tmp_path``, may write."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(autouse=True)
def _scratch_for_every_test(scratch: Path) -> Path:
    return scratch


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Call the test function behind the fence, unless it is a test of the daemon, which has none."""
    if pyfuncitem.get_closest_marker("unfenced"):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    scratch = pyfuncitem.funcargs.get("tmp_path", pyfuncitem.funcargs["scratch"])
    run_fenced(lambda: pyfuncitem.obj(**arguments), scratch)
    return True
