"""A tree is fetched file by file and resumed after interruptions; it gets the model's name when it is complete and verified."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.hub import COMMIT, HubDouble, hub_double
from goldsmith.engines.fetching.fetch import FetchFault, fetch
from goldsmith.engines.registry.models import DiffusionSettings, Model, Models
from goldsmith.engines.registry.pins import ModelPin, describe_origin, write_pin
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import HubRepository
from goldsmith.errors import HostError, InputError

BIG = bytes(range(256)) * 8192
FILES = {
    "model_index.json": json.dumps({"_class_name": "XPipeline", "unet": ["diffusers", "UNet"], "vae": ["diffusers", "VAE"]}).encode(),
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": BIG,
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "vae/config.json": b"{}",
    "vae/diffusion_pytorch_model.safetensors": b"vae",
    "README.md": b"read me",
    "whole.safetensors": b"all in one",
    "pipeline.py": b"import os",
}
MODEL_FILES = [*sorted(name for name in FILES if "/" in name and not name.endswith(".bin")), "model_index.json"]
DIFFUSION = DiffusionSettings(family="sdxl", can=("text",), pixels=65536, multiple=8, steps=1, guidance=1, memory_mb=1, picture_mb=1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    with hub_double(FILES, monkeypatch) as double:
        yield double


def _model(revision: str = "main", include: tuple[str, ...] = ("model_index.json", "*/*")) -> Model:
    repository = HubRepository(hub="org/model", revision=revision, include=include)
    return Model(kind="generate", driver="diffusers", licence="MIT", repository=repository, diffusion=DIFFUSION)


def _weights(folder: Path, **source: object) -> WeightsRegistry:
    return WeightsRegistry(Models(models={"one": _model(**source)}), folder, folder / "models.pins.toml")  # type: ignore[arg-type]


def _files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _write_pin(weights: WeightsRegistry, files: dict[str, bytes], commit: str = COMMIT) -> None:
    rows = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    pin = ModelPin.model_validate({"origin": describe_origin(weights.models.models["one"]), "revision": commit, "files": rows})
    assert weights.pins_path is not None
    write_pin(weights.pins_path, "one", pin)


def test_a_fetched_tree_has_only_the_files_of_a_model(tmp_path: Path, hub: HubDouble) -> None:
    """Check that it has weights and configuration, readable by all, and no pickles, code, read-me or second copy."""
    weights = _weights(tmp_path / "models")
    assert not weights.is_available("one")
    new = fetch(weights, "one")
    top = tmp_path / "models" / "one"
    assert sorted(path.relative_to(top).as_posix() for path in new) == sorted(MODEL_FILES)
    assert _files_in(top) == sorted(MODEL_FILES)
    assert (top / "unet/diffusion_pytorch_model.safetensors").read_bytes() == BIG
    assert stat.S_IMODE((top / "unet/diffusion_pytorch_model.safetensors").stat().st_mode) == 0o644
    assert weights.is_available("one")
    assert {name for name, _ in hub.requests} == set(MODEL_FILES)
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"one", ".fetching"}


def test_an_existing_tree_is_not_fetched_again(tmp_path: Path, hub: HubDouble) -> None:
    """Check that a second call sends no request, so that it works offline."""
    weights = _weights(tmp_path)
    fetch(weights, "one")
    hub.refusal = (500, "")
    assert fetch(weights, "one") == []


def test_a_broken_connection_is_retried(tmp_path: Path, hub: HubDouble) -> None:
    """Check that one fetch requests only the rest, if each attempt brings bytes."""
    hub.cut, hub.cuts = 700_000, 2
    fetch(_weights(tmp_path), "one")
    range_headers = [range_header for name, range_header in hub.requests if name == "unet/diffusion_pytorch_model.safetensors"]
    assert range_headers == ["", "bytes=700000-", "bytes=1400000-"]
    assert (tmp_path / "one/unet/diffusion_pytorch_model.safetensors").read_bytes() == BIG


def test_an_interrupted_fetch_is_resumed(tmp_path: Path, hub: HubDouble) -> None:
    """Check Ctrl-C within a file: the model is missing, complete files are kept, and the partial file is continued."""
    weights = _weights(tmp_path)

    def stop(done: int, total: int | None, note: str) -> None:
        if "unet/diffusion" in note and done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(weights, "one", stop)
    assert not (tmp_path / "one").exists()
    assert not weights.is_available("one")
    hub.requests.clear()
    fetch(weights, "one")
    names = [name for name, _ in hub.requests]
    assert "model_index.json" not in names
    assert names[0] == "unet/diffusion_pytorch_model.safetensors"
    (range_header,) = [range_header for name, range_header in hub.requests if name == names[0]]
    assert int(range_header.removeprefix("bytes=").removesuffix("-")) >= 1_000_000
    assert (tmp_path / "one" / names[0]).read_bytes() == BIG


def test_a_hub_without_resumption_starts_the_file_over(tmp_path: Path, hub: HubDouble) -> None:
    """Check that a complete response replaces the kept bytes."""
    hub.ranges = False
    part = tmp_path / f".one.incoming/vae/.diffusion_pytorch_model.safetensors.{COMMIT[:12]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"v")
    fetch(_weights(tmp_path), "one")
    assert (tmp_path / "one/vae/diffusion_pytorch_model.safetensors").read_bytes() == b"vae"


def test_bytes_that_differ_from_the_listing_are_refused(tmp_path: Path, hub: HubDouble) -> None:
    """Check a file of the right size with other content: it is deleted, and the next fetch succeeds."""
    weights = _weights(tmp_path)
    hub.replaced_bytes["vae/diffusion_pytorch_model.safetensors"] = b"eva"
    with pytest.raises(FetchFault, match=r"org/model: returned vae/diffusion_pytorch_model\.safetensors .* refused"):
        fetch(weights, "one")
    assert not weights.is_available("one")
    hub.replaced_bytes.clear()
    fetch(weights, "one")
    assert weights.is_available("one")


def test_a_pinned_tree_is_fetched_at_its_commit_and_every_file_is_verified(tmp_path: Path, hub: HubDouble) -> None:
    """Check that main is not requested, and that a changed config is refused although the hub has no sha256 for it."""
    weights = _weights(tmp_path)
    _write_pin(weights, {name: FILES[name] for name in MODEL_FILES})
    hub.replaced_bytes["unet/config.json"] = b"[]"
    with pytest.raises(FetchFault, match=r"returned unet/config\.json"):
        fetch(weights, "one")
    hub.replaced_bytes.clear()
    fetch(weights, "one")
    assert weights.verified_files("one").revision == COMMIT


def test_every_file_of_a_fetched_tree_with_a_hash_is_noted(tmp_path: Path, hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the first use after a fetch reads no file of weights again."""
    weights = _weights(tmp_path)
    _write_pin(weights, {name: FILES[name] for name in MODEL_FILES})
    fetch(weights, "one")
    monkeypatch.setattr("goldsmith.engines.registry.hash_notes._read_file", lambda path, **_: pytest.fail("read again"))
    assert weights.verified_files("one").revision == COMMIT


def test_a_damaged_file_is_replaced_and_the_others_are_kept(tmp_path: Path, hub: HubDouble) -> None:
    """Check that only the wrong files of a pinned tree are fetched."""
    weights = _weights(tmp_path)
    _write_pin(weights, {name: FILES[name] for name in MODEL_FILES})
    fetch(weights, "one")
    (tmp_path / "one/vae/diffusion_pytorch_model.safetensors").write_bytes(b"eav")
    hub.requests.clear()
    assert fetch(weights, "one") == [tmp_path / "one/vae/diffusion_pytorch_model.safetensors"]
    assert [name for name, _ in hub.requests] == ["vae/diffusion_pytorch_model.safetensors"]
    assert weights.verified_files("one").files["vae/diffusion_pytorch_model.safetensors"].read_bytes() == b"vae"


def test_another_revision_replaces_the_tree(tmp_path: Path, hub: HubDouble) -> None:
    """Check that a file missing in the new revision is removed, and that equal files are not fetched again."""
    weights = _weights(tmp_path)
    fetch(weights, "one")
    hub.commit = "d0d0" * 10
    del hub.files["vae/config.json"]
    hub.files["vae/diffusion_pytorch_model.safetensors"] = b"new"
    other = _weights(tmp_path, revision=hub.commit)
    assert not other.is_available("one")
    hub.requests.clear()
    fetch(other, "one")
    assert [name for name, _ in hub.requests] == ["vae/diffusion_pytorch_model.safetensors"]
    assert _files_in(tmp_path / "one") == sorted(set(MODEL_FILES) - {"vae/config.json"})


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        (
            (403, "GatedRepo"),
            r"its licence must be accepted first: open http.*/org/model, accept the licence there, then log in with `hf auth login`",
        ),
        ((401, "RepoNotFound"), r"does not exist or is not visible to you: check its spelling; if .* asks for a login, log in"),
        ((401, ""), r"log in with `hf auth login` or set HF_TOKEN"),
        ((403, ""), r"answered 403: log in"),
        ((404, "RevisionNotFound"), r"has no such revision"),
    ],
    ids=["gated", "missing", "401", "403", "revision"],
)
def test_a_refusal_of_the_hub_is_one_sentence_with_a_remedy(tmp_path: Path, hub: HubDouble, says: tuple[int, str], sentence: str) -> None:
    """Check a gate, a login and a wrong name: the text of the library does not appear."""
    hub.refusal = says
    with pytest.raises(FetchFault, match=sentence) as caught:
        fetch(_weights(tmp_path), "one")
    assert len(caught.value.sentence.splitlines()) == 2
    assert "Client Error" not in caught.value.sentence


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ((403, "GatedRepo"), "its licence must be accepted first"),
        ((401, "GatedRepo"), "its licence must be accepted first"),
        ((401, ""), "log in"),
    ],
)
def test_a_gate_on_the_files_alone_is_reported_at_the_first_file(
    tmp_path: Path, hub: HubDouble, says: tuple[int, str], sentence: str
) -> None:
    """Check a repository whose list is public and whose files are not: one request, then the message."""
    hub.refusal_of_files = says
    with pytest.raises(FetchFault, match=sentence) as caught:
        fetch(_weights(tmp_path), "one")
    assert len(caught.value.sentence.splitlines()) == 2
    assert len(hub.requests) == 1


def test_a_failing_hub_is_retried_a_few_times(tmp_path: Path, hub: HubDouble) -> None:
    """Check that the message has the response of the hub."""
    hub.refusal_of_files = (503, "")
    with pytest.raises(FetchFault, match="503"):
        fetch(_weights(tmp_path), "one")
    assert 1 < len(hub.requests) <= 4


def test_the_user_s_token_is_sent(tmp_path: Path, hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the token that huggingface_hub finds; Goldsmith stores none."""
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    fetch(_weights(tmp_path), "one")
    assert hub.tokens == {"Bearer hf_mine"}


def test_offline_mode_opens_no_connection(tmp_path: Path, hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the message names the setting that forbids connections."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FetchFault, match=r"set to stay offline \(HF_HUB_OFFLINE\)"):
        fetch(_weights(tmp_path), "one")
    assert not hub.tokens


def test_an_unreachable_hub_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the message has the reason of the network, and that complete files are kept."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(FetchFault, match="refused") as caught:
        fetch(_weights(tmp_path), "one")
    assert "The next fetch continues from the files that are complete" in caught.value.remedy


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"model_index.json": b"{}", "unet/model.bin": b"x"}, "unet/model.bin are a pickle"),
        ({"model_index.json": b"{}", "unet/config.json": b"{}"}, "it contains no safetensors"),
        ({"a/x.safetensors": b"x", "a/../../../etc/cron.json": b"x"}, "is not an allowed file name"),
        ({"a/x.safetensors": b"x", "a/.ssh/config.json": b"x"}, "is not an allowed file name"),
    ],
    ids=["pickle", "none", "outside", "hidden"],
)
def test_a_repository_with_unusable_files_is_refused(tmp_path: Path, hub: HubDouble, files: dict[str, bytes], sentence: str) -> None:
    """Check weights only as pickles, no weights, and names outside the tree: nothing is downloaded."""
    hub.files = files
    with pytest.raises(FetchFault, match=sentence):
        fetch(_weights(tmp_path), "one")
    assert not hub.requests
    assert not (tmp_path / "one").exists()


def test_a_disk_that_is_too_small_is_reported_before_the_download(tmp_path: Path, hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the fetch fails at once and not after hours."""
    usage = os.statvfs(tmp_path)
    monkeypatch.setattr(
        "goldsmith.engines.fetching.fetch_tree.shutil.disk_usage", lambda path: type("U", (), {"free": 1000, "total": usage.f_blocks})()
    )
    with pytest.raises(HostError, match=r"the download needs 0\.0 GB, but only 0\.0 GB are free"):
        fetch(_weights(tmp_path), "one")
    assert not hub.requests


def test_progress_counts_the_whole_tree(tmp_path: Path, hub: HubDouble) -> None:
    """Check that the bytes of all files together never decrease and reach the end."""
    reports: list[tuple[int, int | None]] = []
    fetch(_weights(tmp_path), "one", lambda done, total, note: reports.append((done, total)))
    known = [(done, total) for done, total in reports if total is not None]
    assert [done for done, _ in known] == sorted(done for done, _ in known)
    assert known[-1] == (sum(len(FILES[name]) for name in MODEL_FILES), sum(len(FILES[name]) for name in MODEL_FILES))


def test_only_included_files_are_fetched(tmp_path: Path, hub: HubDouble) -> None:
    """Check that patterns select the files of the repository."""
    fetch(_weights(tmp_path, include=("model_index.json", "vae/*")), "one")
    assert _files_in(tmp_path / "one") == ["model_index.json", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"]


def test_a_local_folder_is_never_fetched(tmp_path: Path) -> None:
    """Check that a missing local folder is an error: it belongs to the administrator."""
    model = Model(kind="generate", driver="diffusers", licence="MIT", folder=tmp_path / "mine", diffusion=DIFFUSION)
    weights = WeightsRegistry(Models(models={"one": model}), tmp_path / "models")
    with pytest.raises(InputError, match=r"are not there: .*/mine does not exist, or may not be entered\. Put them there"):
        fetch(weights, "one")


def test_a_new_process_can_fetch(tmp_path: Path, hub: HubDouble) -> None:
    """Check a process without loaded modules that gets the hub from HF_ENDPOINT."""
    models = tmp_path / "models.toml"
    models.write_text(
        '[models.one]\nkind = "generate"\ndriver = "diffusers"\nlicence = "MIT"\nrepository = { hub = "org/model" }\n'
        '[models.one.diffusion]\nfamily = "sdxl"\ncan = ["text"]\npixels = 65536\nmultiple = 8\nsteps = 1\nguidance = 1\n'
        "memory_mb = 1\npicture_mb = 1\n"
    )
    code = (
        "from pathlib import Path; from goldsmith.engines.registry.weights_registry import open_weights_registry;"
        "from goldsmith.engines.fetching.fetch import fetch; from goldsmith.engines.fetching.pin_model import pin_model;"
        f"weights = open_weights_registry(Path({str(models)!r}), Path({str(tmp_path / 'models')!r}));"
        "pin_model(weights, 'one'); print(len(fetch(weights, 'one')), weights.verified_files('one').revision)"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert process.stdout.split() == [str(len(MODEL_FILES)), COMMIT], process.stderr
