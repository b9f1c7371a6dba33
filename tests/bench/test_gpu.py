"""The benchmark for GPUs, as far as a machine without a GPU can test it: the sizes of its models, its plan and its table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import cast

import pytest

from bench import generating, gpu, sized
from bench.bare import LoopTimes
from bench.generating import DaemonTimes, Plan
from bench.rig import Daemon, cpu_used
from doubles import tiny
from doubles.pretended_gpu import DRIVER, TITLE, TOTAL_MB, Pretended, machine
from doubles.tiny_engines import HEIGHT, WIDTH, opened, request
from goldsmith.engines.registry.models import read_models


@pytest.mark.parametrize("family", gpu.FAMILIES)
def test_the_models_have_the_published_numbers_of_parameters(family: str) -> None:
    """Build each part without memory; the parts without weights are tokenizers and a scheduler."""
    import torch

    with torch.device("meta"):
        parts = {name: sized.components(family)[name]() for name in sized.COUNTS[family]}
    assert {name: sum(each.numel() for each in part.parameters()) for name, part in parts.items()} == sized.COUNTS[family]
    rest = set(sized.components(family)) - set(parts)
    assert rest == {"tokenizer", "tokenizer_2", "scheduler"}


def plan(**overrides: object) -> Plan:
    settings: dict[str, object] = {"bench": "sdxl", "family": "sdxl", "model": Path("/m"), "device": "cuda:0", "precision": "bfloat16"}
    settings |= {"threads": 4, "side": 1024, "steps": 30, "guidance": 5.0, "jobs": 32, "bare_jobs": 16, "batch": 4}
    settings |= {"memory_mb": 7000, "picture_mb": 6000, "edit": (6000, 4000), "other": ("flux", Path("/f"))}
    return Plan(**(settings | overrides))  # type: ignore[arg-type]


def test_the_throughput_goal_of_98_per_cent_applies_to_the_loop_with_batches() -> None:
    """Beside a bare loop of 1 s a picture, 32 jobs in 32.3 s meet the goal and in 33 s miss it; single calls have no goal."""
    loop = LoopTimes(4.0, 1.0, {1: 1.2, 4: 1.0}, cpu=1.0, png=0.1, encode=0.02, fill=1.5)
    for wall, met in ((32.3, True), (33.0, False)):
        rows = generating._throughput(plan(), DaemonTimes(9.0, 1.1, wall, 0.97, 40.0), loop, loop.picture)
        assert [row.met for row in rows[:2]] == [None, met]
        assert rows[2].value == pytest.approx(1000 * (wall / 32 - 1.0 - 0.02))
        assert (rows[2].met, rows[4].value) == (None, 97.0)


def test_the_daemon_s_own_time_has_a_goal_on_the_processor() -> None:
    """The goal is 30 ms a job, without the time of encoding."""
    loop = LoopTimes(4.0, 0.05, {1: 0.05}, cpu=0.05, png=0.01, encode=0.005)
    for wall, met in ((32 * 0.084, True), (32 * 0.086, False)):
        rows = generating._throughput(plan(device="cpu", batch=1), DaemonTimes(9.0, 0.1, wall, 0.5, 2.0), loop, loop.picture)
        assert rows[1].met is met


def test_single_pictures_and_edits_stand_beside_the_bare_loop() -> None:
    """The edit has two rows: with its files, and without them beside the bare crop. A swap has no peer."""
    loop = LoopTimes(4.0, 1.0, {1: 1.2}, fill=1.5)
    rows = generating._single(plan(), DaemonTimes(9.0, 1.3, 30.0, 0.9, 1.0, swap=6.0, back=5.0, edit=3.0, codec=1.2), loop)
    assert [(round(row.value, 6), row.peer) for row in rows] == [(9.0, 5.0), (1.3, 1.2), (6.0, None), (5.0, None), (3.0, None), (1.8, 1.5)]


def test_models_that_make_room_for_each_other_claim_nearly_the_whole_device(tmp_path: Path) -> None:
    """The model of the other measurements keeps its own size, so that as many pictures as usual fit into a batch."""
    (tmp_path / "models.toml").write_text(generating._models(plan(total_mb=143_000)))
    models = read_models(tmp_path / "models.toml").models
    sizes = {name: model.diffusion.memory_mb for name, model in models.items() if model.diffusion is not None}
    assert sizes == {"model": 7000, "one": 134_000, "two": 134_000}
    (tmp_path / "models.toml").write_text(generating._models(plan()))
    assert {each.diffusion.memory_mb for each in read_models(tmp_path / "models.toml").models.values() if each.diffusion} == {7000}


def test_large_models_and_missing_gpus_are_skipped_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 0. Tiny models run on a processor, large models do not."""
    assert gpu.main(["--device", "cpu"]) == 0
    assert "not for a processor" in capsys.readouterr().out
    assert gpu._reason_to_skip(gpu._parse(["--device", "cpu", "--tiny"])) == ""
    assert gpu._reason_to_skip(gpu._parse(["--device", "cuda:99"])) != ""


def test_a_folder_of_weights_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unfinished folder is built anew and never used as a model."""
    builds = []

    def build(family: str, folder: Path) -> Path:
        builds.append(family)
        folder.mkdir()
        (folder / "model_index.json").write_text(json.dumps({}))
        return folder

    monkeypatch.setattr(tiny, "build", build)
    (tmp_path / "sdxl.part").mkdir()
    assert sized.write_once("sdxl", tmp_path / "sdxl", "") == sized.write_once("sdxl", tmp_path / "sdxl", "") == tmp_path / "sdxl"
    assert builds == ["sdxl"]
    assert not (tmp_path / "sdxl.part").exists()


@pytest.mark.parametrize("family", gpu.FAMILIES)
def test_the_parts_of_the_published_sizes_fit_each_other(family: str) -> None:
    """Pass shapes without data from a prompt to a megapixel; the output of each part is the input of the next."""
    import torch

    parts = sized.components(family)
    with torch.device("meta"), torch.no_grad():
        modules = {name: parts[name]() for name in sized.COUNTS[family]}
        words = torch.zeros((2, 77), dtype=torch.int64)
        pooled = modules["text_encoder"](words).pooler_output
        if family == "sdxl":
            second = modules["text_encoder_2"](words, output_hidden_states=True)
            first = modules["text_encoder"](words, output_hidden_states=True)
            embeddings = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
            added = {"text_embeds": second.text_embeds, "time_ids": torch.zeros((2, 6))}
            latents = modules["unet"](torch.zeros((2, 4, 128, 128)), 1.0, embeddings, added_cond_kwargs=added).sample
        else:
            embeddings = modules["text_encoder_2"](torch.zeros((2, 512), dtype=torch.int64)).last_hidden_state
            ids = {"txt_ids": torch.zeros((512, 3)), "img_ids": torch.zeros((4096, 3))}
            packed = torch.zeros((2, 4096, 64))
            step = {"timestep": torch.zeros(2), "guidance": torch.zeros(2)}
            flat = modules["transformer"](packed, encoder_hidden_states=embeddings, pooled_projections=pooled, **step, **ids).sample
            assert flat.shape == packed.shape
            latents = flat.reshape(2, 16, 128, 128)
        assert modules["vae"].decode(latents).sample.shape == (2, 3, 1024, 1024)


@pytest.mark.parametrize("family", gpu.FAMILIES)
def test_the_engine_opens_written_weights(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny parts take the place of the large ones, so the same lines run that write 7 GB and 34 GB in half precision."""
    parts = tiny._PIPELINES[family][1]()
    builders = {name: _rebuild(part) for name, part in parts.items()}
    monkeypatch.setattr(sized, "components", lambda model_family: builders if model_family == family else {})
    folder = sized.write_once(family, tmp_path / "models" / f"{family}-random", "cpu")
    assert opened(family, folder=folder).generate(request("text")).pictures[0].shape == (HEIGHT, WIDTH, 3)


def _rebuild(part: object) -> Callable[[], object]:
    """Return a function that builds the part anew, on the current device and in the current precision of torch."""
    config = getattr(part, "config", None)
    if not hasattr(part, "parameters"):
        return lambda: part
    return lambda: type(part).from_config(config) if hasattr(type(part), "from_config") else type(part)(config)  # type: ignore[attr-defined,call-arg]


@pytest.fixture
def gpu_double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    return machine(tmp_path / "gpu", monkeypatch)


def test_the_facts_of_the_machine_come_from_its_driver(gpu_double: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check device, memory and driver. A torch that was not built for the GPU is a reason to skip."""
    options = gpu._parse(["--only", "sdxl"])
    assert "not for a GPU" in gpu._reason_to_skip(options)
    monkeypatch.setattr("goldsmith.engines.devices.torch_backend", lambda: "cuda")
    assert gpu._reason_to_skip(options) == ""
    assert gpu._reason_to_skip(gpu._parse(["--device", "cuda:1"])) == "there is no cuda:1 here."
    assert gpu._total_mb("cuda:0") == TOTAL_MB
    facts = gpu._machine_facts(options, tmp_path)
    assert (facts["device"], facts["driver"]) == (f"cuda:0 {TITLE}, {TOTAL_MB} MiB", DRIVER)


def test_the_plan_for_a_gpu_swaps_between_both_families(gpu_double: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only one family is measured, its model is swapped with itself under another name."""
    monkeypatch.setattr(sized, "write_once", lambda family, folder, device: folder)
    planned = gpu._plan("flux", gpu._parse([]), tmp_path)
    assert (planned.model, planned.other) == (tmp_path / "flux-random", ("sdxl", tmp_path / "sdxl-random"))
    assert (planned.total_mb, planned.batch, planned.side, planned.steps, planned.precision) == (TOTAL_MB, 4, 1024, 20, "bfloat16")
    assert gpu._plan("sdxl", gpu._parse(["--only", "sdxl"]), tmp_path).other == ("sdxl", tmp_path / "sdxl-random")


def test_the_load_of_the_device_comes_from_its_driver(gpu_double: Pretended) -> None:
    """Lines that are no number are ignored, and only samples within the given time count."""
    with generating._busy(cast("Daemon", None), plan()) as samples:
        while len(samples.values) < 3:
            Event().wait(0.01)
    assert {share for _, share in samples.values} == {0.87}
    first, last = samples.values[0][0], samples.values[-1][0]
    assert samples.share(first, last) == pytest.approx(0.87)
    assert samples.share(last + 1, last + 2) == 0.0


def test_processor_time_includes_threads_that_have_ended() -> None:
    """Each job on a GPU has a thread of its own."""
    before = cpu_used(os.getpid())
    thread = Thread(target=lambda: sum(number * number for number in range(3_000_000)))
    thread.start()
    thread.join()
    assert cpu_used(os.getpid()) > before + 0.03
