"""Pictures for a cluster, and what must hold when all of them are done, whatever has happened to its nodes."""

from __future__ import annotations

from doubles.commission import Asset, FileDigests, visible_files
from doubles.pictures import png
from doubles.studio import Studio
from goldsmith.jobs.names import SCRATCH_FOLDER

SHARPEN = b'[[edit]]\nop = "sharpen"\n'


def assets(count: int) -> list[Asset]:
    """Return pictures that one job each sharpens."""
    names = [f"picture{number}" for number in range(count)]
    return [
        Asset("selected", name, ((f"selected/{name}.toml", SHARPEN), (f"selected/{name}.png", png(number, 160, 120))))
        for number, name in enumerate(names)
    ]


def require_each_done_once(studio: Studio, reference: FileDigests, count: int) -> None:
    """No picture is lost, half, doubled or different, no attempt was counted, and no scratch folder is left."""
    committed = [facts["picture"] for facts in studio.events_of("committed", stage="edit")]
    assert sorted(committed) == sorted(f"selected/picture{number}.png" for number in range(count))
    assert studio.events_of("fault") == []
    assert visible_files(studio.root) == reference
    studio.stop()
    assert [path for path in studio.at(SCRATCH_FOLDER).rglob("*") if path.is_file()] == []
