"""The contract tests run behind the fence of a worker process."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.worker.landlock import landlock_version


@pytest.fixture
def private_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file in a folder that no test behind the fence may read."""
    file = tmp_path_factory.mktemp("private") / "file"
    file.write_bytes(b"")
    return file


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_a_contract_test_writes_in_its_own_folder_only(tmp_path: Path, private_file: Path) -> None:
    """So no operation and no engine needs more than that."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PermissionError):
        private_file.write_bytes(b"")
    with pytest.raises(PermissionError):
        private_file.read_bytes()
