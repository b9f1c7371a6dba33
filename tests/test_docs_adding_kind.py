"""docs/adding-a-kind-of-engine.md is correct: its code, put in the files that it names, works."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytest

from goldsmith.engines import drivers
from goldsmith.engines.engine_loader import open_engine
from goldsmith.engines.kinds import ENGINE_KINDS
from goldsmith.engines.protocols import Device, EngineDescriptor, EngineKind, EngineNeed
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.picture.picture import Mask, Pixels

PAGE = (Path(__file__).parents[1] / "docs" / "adding-a-kind-of-engine.md").read_text()


def _block(first_line: str, language: str = "python") -> str:
    match = re.search(rf"^```{language}\n{re.escape(first_line)}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None, f"the page has no block that begins with {first_line}"
    return match[1]


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineKind[Any]]:
    """Return the page's kind of engine, with its protocol, row and driver in place."""
    names: dict[str, Any] = {
        "Protocol": Protocol, "runtime_checkable": runtime_checkable, "EngineKind": EngineKind,
        "EngineDescriptor": EngineDescriptor, "Pixels": Pixels, "Mask": Mask,
    }  # fmt: skip
    exec(_block("# daemon/goldsmith/engines/vision.py") + _block("# daemon/goldsmith/engines/kinds.py"), names)  # noqa: S102
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "ramp.py").write_text(_block("# daemon/goldsmith/engines/drivers/ramp.py"))
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(tmp_path / "drivers")])
    monkeypatch.setitem(ENGINE_KINDS, "depth", names["DEPTH_ESTIMATOR"])
    yield names["DEPTH_ESTIMATOR"]
    sys.modules.pop(f"{drivers.__name__}.ramp", None)


def test_the_page_s_engine_opens_by_default(tmp_path: Path, kind: EngineKind[Any]) -> None:
    """The page's entry in models.toml is read, and a step that needs the kind gets the page's engine."""
    models = tmp_path / "models.toml"
    models.write_text("[defaults]\n" + _block("[defaults]", "text"))
    engine, choice = open_engine(WeightsRegistry(read_models(models), tmp_path), EngineNeed(kind), Device())
    assert choice.name == "ramp"
    assert isinstance(engine, kind.protocol)
    depth = engine.estimate_depth(np.zeros((3, 2, 3), np.float32))
    assert np.array_equal(depth, np.array([[1, 1], [0.5, 0.5], [0, 0]], np.float32))
