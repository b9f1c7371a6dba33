"""The bench for GPUs, as far as a machine without one can tell: its models have the published sizes, its table says what it was given."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import cast

import pytest

from bench import generating, gpu, sized
from bench.bare import Told
from bench.generating import Plan, Served
from bench.rig import Daemon, cpu_used
from doubles import tiny
from doubles.pretended_gpu import DRIVER, TITLE, TOTAL_MB, Pretended, machine
from doubles.tiny_engines import HEIGHT, WIDTH, opened, request
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


@pytest.mark.parametrize("family", gpu.FAMILIES)
def test_the_parts_of_the_published_sizes_fit_each_other(family: str) -> None:
    """Words to a megapixel, each part's output being the next one's input: shapes only, nothing is computed."""
    import torch

    parts = sized.components(family)
    with torch.device("meta"), torch.no_grad():
        made = {name: parts[name]() for name in sized.COUNTS[family]}
        words = torch.zeros((2, 77), dtype=torch.int64)
        pooled = made["text_encoder"](words).pooler_output
        if family == "sdxl":
            second = made["text_encoder_2"](words, output_hidden_states=True)
            told = torch.cat([made["text_encoder"](words, output_hidden_states=True).hidden_states[-2], second.hidden_states[-2]], -1)
            added = {"text_embeds": second.text_embeds, "time_ids": torch.zeros((2, 6))}
            drawn = made["unet"](torch.zeros((2, 4, 128, 128)), 1.0, told, added_cond_kwargs=added).sample
        else:
            told = made["text_encoder_2"](torch.zeros((2, 512), dtype=torch.int64)).last_hidden_state
            ids = {"txt_ids": torch.zeros((512, 3)), "img_ids": torch.zeros((4096, 3))}
            packed = torch.zeros((2, 4096, 64))
            step = {"timestep": torch.zeros(2), "guidance": torch.zeros(2)}
            flat = made["transformer"](packed, encoder_hidden_states=told, pooled_projections=pooled, **step, **ids).sample
            assert flat.shape == packed.shape
            drawn = flat.reshape(2, 16, 128, 128)
        assert made["vae"].decode(drawn).sample.shape == (2, 3, 1024, 1024)


@pytest.mark.parametrize("family", gpu.FAMILIES)
def test_weights_are_filled_written_and_opened_again(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the tiny parts in the large ones' place: the very lines that write 7 GB and 34 GB, in half precision; the engine opens them."""
    made = tiny._MADE[family][1]()
    monkeypatch.setattr(sized, "components", lambda asked: {name: _again(part) for name, part in made.items()} if asked == family else {})
    folder = sized.written(family, tmp_path / "models" / f"{family}-random", "cpu")
    assert opened(family, folder=folder).generate(request("text")).pictures[0].shape == (HEIGHT, WIDTH, 3)


def _again(part: object) -> Callable[[], object]:
    """Makes a part anew, on the device and in the precision that torch is set to."""
    config = getattr(part, "config", None)
    if not hasattr(part, "parameters"):
        return lambda: part
    return lambda: type(part).from_config(config) if hasattr(type(part), "from_config") else type(part)(config)  # type: ignore[attr-defined,call-arg]


@pytest.fixture
def pretence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    return machine(tmp_path / "gpu", monkeypatch)


def test_what_is_said_of_the_machine_comes_from_its_driver(pretence: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Device, memory and driver; a torch that was not built for it is why nothing is measured."""
    asked = gpu._asked(["--only", "sdxl"])
    assert "not for a GPU" in gpu._lacks(asked)
    monkeypatch.setattr("goldsmith.engines.devices.torch_backend", lambda: "cuda")
    assert gpu._lacks(asked) == ""
    assert gpu._lacks(gpu._asked(["--device", "cuda:1"])) == "there is no cuda:1 here."
    assert gpu._total_mb("cuda:0") == TOTAL_MB
    facts = gpu._machine(asked, tmp_path)
    assert (facts["device"], facts["driver"]) == (f"cuda:0 {TITLE}, {TOTAL_MB} MiB", DRIVER)


def test_the_plan_for_a_gpu_has_both_families_and_makes_one_leave_room_for_the_other(
    pretence: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each measured beside the other; alone it is swapped with itself under another name."""
    monkeypatch.setattr(sized, "written", lambda family, folder, device: folder)
    planned = gpu._plan("flux", gpu._asked([]), tmp_path)
    assert (planned.model, planned.other) == (tmp_path / "flux-random", ("sdxl", tmp_path / "sdxl-random"))
    assert (planned.total_mb, planned.batch, planned.side, planned.steps, planned.precision) == (TOTAL_MB, 4, 1024, 20, "bfloat16")
    assert gpu._plan("sdxl", gpu._asked(["--only", "sdxl"]), tmp_path).other == ("sdxl", tmp_path / "sdxl-random")


def test_how_busy_the_device_was_is_heard_from_its_driver(pretence: Pretended) -> None:
    """For as long as the queue is worked on; what makes no sense is left out."""
    with generating._busy(cast("Daemon", None), plan()) as samples:
        while len(samples.taken) < 3:
            Event().wait(0.01)
    assert {share for _, share in samples.taken} == {0.87}
    first, last = samples.taken[0][0], samples.taken[-1][0]
    assert samples.share(first, last) == pytest.approx(0.87)
    assert samples.share(last + 1, last + 2) == 0.0


def test_the_processor_s_time_of_threads_that_have_ended_counts() -> None:
    """Jobs on a GPU have a thread each."""
    before = cpu_used(os.getpid())
    thread = Thread(target=lambda: sum(number * number for number in range(3_000_000)))
    thread.start()
    thread.join()
    assert cpu_used(os.getpid()) > before + 0.03
