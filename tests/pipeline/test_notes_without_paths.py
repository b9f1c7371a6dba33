"""What designers read, the notes and the folders' status files, does not say where files lie on the server, whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doubles.model_entries import generator_entry
from doubles.studio import studio_at

BRIEF = 'prompt = "a chair"\n[[generate]]\nop = "regenerate"\nmodel = "broken"\n'


@pytest.mark.parametrize("damage", ["missing", "no index", "not JSON", "custom code", "no weights"])
def test_the_note_about_a_broken_model_has_no_path_of_the_server(tmp_path: Path, damage: str) -> None:
    """The folder of the weights has a long path of its own, which only the log shows."""
    folder = tmp_path / "secret place" / "weights" / "model"
    with studio_at(tmp_path / "studio") as studio:
        if damage != "missing":
            (folder / "unet").mkdir(parents=True)
            (folder / "unet/config.json").write_text("{")
        if damage in ("not JSON", "custom code", "no weights"):
            index = {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
            (folder / "model_index.json").write_text("{" if damage == "not JSON" else json.dumps(index))
        if damage == "custom code":
            (folder / "unet/module.py").write_text("import os")
        studio.put("config/models.toml", generator_entry("broken", folder=folder))
        studio.put("inbox/hero.toml", BRIEF)
        studio.until_event("held")
        texts = studio.note("inbox/hero.toml") + studio.read("inbox/_status.txt").decode()
        assert "broken" in texts or "model" in texts
        for secret in (str(tmp_path), "secret place", str(studio.root), str(Path(__file__).parents[2])):
            assert secret not in " ".join(texts.split())
