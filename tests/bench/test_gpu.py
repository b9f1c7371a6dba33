"""The bench for GPUs, as far as a machine without one can tell: its models have the published sizes, its table says what it was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import generating, gpu, sized
from bench.bare import Told
from bench.generating import Plan, Served
from goldsmith.engines.registry.models import read_models


@pytest.mark.parametrize("family", gpu.FAMILIES)
def test_the_models_have_the_published_numbers_of_parameters(family: str) -> None:
    """Each part built without memory behind it; the parts without weights are tokenizers and a scheduler."""
    import torch

    with torch.device("meta"):
        made = {name: sized.components(family)[name]() for name in sized.COUNTS[family]}
    assert {name: sum(each.numel() for each in part.parameters()) for name, part in made.items()} == sized.COUNTS[family]
    rest = set(sized.components(family)) - set(made)
    assert rest == {"tokenizer", "tokenizer_2", "scheduler"}


def plan(**more: object) -> Plan:
    given: dict[str, object] = {"bench": "sdxl", "family": "sdxl", "model": Path("/m"), "device": "cuda:0", "precision": "bfloat16"}
    given |= {"threads": 4, "side": 1024, "steps": 30, "guidance": 5.0, "jobs": 32, "bare_jobs": 16, "batch": 4}
    given |= {"memory_mb": 7000, "picture_mb": 6000, "edit": (6000, 4000), "other": ("flux", Path("/f"))}
    return Plan(**(given | more))  # type: ignore[arg-type]


def test_the_goal_of_98_per_cent_is_held_against_the_loop_that_batches() -> None:
    """32 jobs in 32.3 s beside a bare second a picture are within it, in 33 s they are not; beside single calls nothing is judged."""
    told = Told(4.0, 1.0, {1: 1.2, 4: 1.0}, cpu=1.0, png=0.1, encode=0.02, fill=1.5)
    for wall, met in ((32.3, True), (33.0, False)):
        rows = generating._throughput(plan(), Served(9.0, 1.1, wall, 0.97, 40.0), told, told.picture)
        assert [row.met for row in rows[:2]] == [None, met]
        assert rows[2].value == pytest.approx(1000 * (wall / 32 - 1.0 - 0.02))
        assert (rows[2].met, rows[4].value) == (None, 97.0)


def test_on_the_processor_the_daemon_s_own_time_is_judged() -> None:
    """30 ms a job, with what encoding takes left out."""
    told = Told(4.0, 0.05, {1: 0.05}, cpu=0.05, png=0.01, encode=0.005)
    for wall, met in ((32 * 0.084, True), (32 * 0.086, False)):
        rows = generating._throughput(plan(device="cpu", batch=1), Served(9.0, 0.1, wall, 0.5, 2.0), told, told.picture)
        assert rows[1].met is met


def test_single_pictures_swaps_and_edits_stand_beside_what_is_bare() -> None:
    """The edit once as a person waits for it, and once without the files, beside the crop alone."""
    told = Told(4.0, 1.0, {1: 1.2}, fill=1.5)
    rows = generating._single(plan(), Served(9.0, 1.3, 30.0, 0.9, 1.0, swap=6.0, back=5.0, edit=3.0, codec=1.2), told)
    assert [(round(row.value, 6), row.peer) for row in rows] == [(9.0, 5.0), (1.3, 1.2), (6.0, None), (5.0, None), (3.0, None), (1.8, 1.5)]


def test_models_that_make_room_for_each_other_are_written_down_as_nearly_as_large_as_the_device(tmp_path: Path) -> None:
    """The one that is measured otherwise keeps its own size, so that as many as always fit together."""
    (tmp_path / "models.toml").write_text(generating._models(plan(total_mb=143_000)))
    models = read_models(tmp_path / "models.toml").models
    said = {name: model.diffusion.memory_mb for name, model in models.items() if model.diffusion is not None}
    assert said == {"model": 7000, "one": 134_000, "two": 134_000}
    (tmp_path / "models.toml").write_text(generating._models(plan()))
    assert {each.diffusion.memory_mb for each in read_models(tmp_path / "models.toml").models.values() if each.diffusion} == {7000}


def test_a_machine_without_a_gpu_is_told_so_and_what_it_can_run_instead(capsys: pytest.CaptureFixture[str]) -> None:
    """That is no failure; large models on a processor are refused."""
    assert gpu.main(["--device", "cpu"]) == 0
    assert "not for a processor" in capsys.readouterr().out
    assert gpu._lacks(gpu._asked(["--device", "cpu", "--tiny"])) == ""
    assert gpu._lacks(gpu._asked(["--device", "cuda:99"])) != ""


def test_a_folder_of_weights_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was broken off in the middle is begun anew and never taken for a model."""
    times = []

    def build(family: str, folder: Path) -> Path:
        times.append(family)
        folder.mkdir()
        (folder / "model_index.json").write_text(json.dumps({}))
        return folder

    monkeypatch.setattr(sized.tiny, "build", build)
    (tmp_path / "sdxl.part").mkdir()
    assert sized.written("sdxl", tmp_path / "sdxl", "") == sized.written("sdxl", tmp_path / "sdxl", "") == tmp_path / "sdxl"
    assert times == ["sdxl"]
    assert not (tmp_path / "sdxl.part").exists()
