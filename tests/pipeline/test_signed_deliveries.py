"""Deliveries with content credentials: six formats are signed behind the export, chains hold, and nothing is signed or lost in silence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from doubles.identities import picture_file, sign_file, write_identity
from doubles.metadata_blocks import camera_exif
from doubles.pictures import png
from doubles.studio import Studio, studio_at
from goldsmith.credentials.content_credentials import FileCredentials, read_credentials
from goldsmith.credentials.signing_identity import IDENTITY_FOLDER, IdentityFiles, create_identity, read_identity
from goldsmith.jobs.job import Job, JobFault, JobFaultKind, Outcome
from goldsmith.picture.codec import EncodingOptions, decode, encode, read_metadata
from goldsmith.picture.formats.table import FORMATS, signable_format
from goldsmith.picture.metadata.identity import read_provenance
from goldsmith.picture.metadata.source_type import read_source_type, with_source_type
from goldsmith.picture.picture import Metadata, Picture, freeze
from goldsmith.pipeline.scheduler import scheduler
from goldsmith.service.one_off import run_replay
from goldsmith.service.signing import find_identity

SIX = ("jpeg", "png", "webp", "avif", "tiff", "pdf")
SHARPEN = '[[edit]]\nop = "sharpen"\n'
WEB = '[[deliver]]\nop = "export"\nname = "web"\nformat = "jpeg"\n'
BARE = '[[deliver]]\nop = "export"\nname = "bare"\nmetadata = "none"\n'
PAGE = '[[deliver]]\nop = "export"\nname = "page"\nformat = "pdf"\ntrim = [20, 20]\n'
COMPOSITE = """
[[grade]]
op = "composite"
layers = [{ from = "sun" }, { from = "acme", opacity = 0.5 }]
[[grade]]
op = "grade"
look_from = "spring"
match = { max_drift = 50 }
"""
SMALL = '[[deliver]]\nop = "export"\nname = "small"\nformat = "jpeg"\nmax_kb = 20\n'
SECRETS = (b"client prompt", b"nodes", b"123456", b"L-98765", b"Phone 12", b"a note of the maker")
EXPORTS = "".join(
    f'[[deliver]]\nop = "export"\nname = "{name}"\nformat = "{name}"\n' + ("trim = [20, 15]\n" if name == "pdf" else "") for name in SIX
)


def own_identity(studio: Studio) -> IdentityFiles:
    return create_identity(studio.state_dir / IDENTITY_FOLDER, "Acme")


def credentials_of(studio: Studio, path: str) -> FileCredentials | None:
    row = signable_format(Path(path).suffix)
    assert row is not None
    return read_credentials(studio.read(path), row.media_type, read_identity(own_identity(studio), []).anchors)


def trusted(studio: Studio, path: str) -> FileCredentials:
    """Return the content credentials of a file that is signed by the studio's own identity."""
    credentials = credentials_of(studio, path)
    assert credentials is not None, path
    assert (credentials.state, credentials.organisation, credentials.problems) == ("trusted", "Acme", ()), path
    return credentials


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Return a studio that signs, after it has delivered four pictures."""
    place = tmp_path_factory.mktemp("signed")
    stranger = read_identity(write_identity(place / "stranger"), [])
    signed = sign_file(stranger, picture_file("image/jpeg"), "image/jpeg")
    spoilt = bytearray(signed)
    spoilt[signed.rfind(b"A program")] ^= 1
    with studio_at(place) as studio:
        own_identity(studio)
        studio.put("inbox/hero.toml", SHARPEN + EXPORTS + BARE)
        studio.put("inbox/hero.png", png(1))
        studio.put("inbox/bought.toml", SHARPEN + WEB)
        studio.put("inbox/bought.jpg", signed)
        studio.put("inbox/spoilt.toml", SHARPEN + WEB)
        studio.put("inbox/spoilt.jpg", bytes(spoilt))
        studio.put("inbox/alone.toml", 'prompt = "a chair"\n[[generate]]\nop = "regenerate"\nmodel = "null-generate"\n' + WEB + PAGE)
        studio.put("inbox/leak.toml", SHARPEN + EXPORTS + SMALL + '[[deliver]]\nop = "export"\nname = "all"\nmetadata = "all"\n')
        studio.put("inbox/leak.png", leaking_png())
        studio.put("inbox/comp.toml", COMPOSITE + WEB)
        studio.put("inbox/comp.layer.sun.png", png(11))
        studio.put("library/logos/acme.png", png(12))
        studio.put("library/heroes/spring.png", png(13))
        studio.put("inbox/comp.png", png(14))
        studio.put("inbox/snap.toml", SHARPEN)
        studio.put("inbox/snap.png", photograph(png(9)))
        studio.put("inbox/photo.toml", SHARPEN)
        studio.put("inbox/photo.png", photograph(png(7)))
        studio.until_idle()
        yield studio


def leaking_png() -> bytes:
    """Return a picture with all that a camera and a generator leave in one: place, serial numbers, prompt, workflow."""
    metadata = Metadata(exif=camera_exif(), text_chunks=(("parameters", "client prompt, Steps: 20"), ("workflow", '{"nodes": []}')))
    noise = np.random.default_rng(2).random((240, 320, 3), dtype=np.float32)
    return encode(Picture(freeze(noise), metadata=metadata), EncodingOptions(format="png"))


def photograph(data: bytes) -> bytes:
    """Return a picture that says that a camera took it, and by its id that Goldsmith knows it."""
    picture = decode(data, "photo.png", 10**6)
    return encode(picture.with_metadata(with_source_type(picture.metadata, "digitalCapture")), EncodingOptions(format="png"))


@pytest.mark.parametrize("name", SIX)
def test_each_format_is_signed_behind_the_export(studio: Studio, name: str) -> None:
    """The credentials name the original and the steps, and the manifest has the hash of the signed file."""
    row = next(each for each in studio.manifest("delivered/hero.manifest.json")["deliverables"] if each["name"] == name)
    credentials = trusted(studio, f"delivered/{row['file']}")
    assert (credentials.title, credentials.ingredients) == (row["file"], ("hero.png",))
    assert [action["action"] for action in credentials.actions] == ["c2pa.opened", "c2pa.filtered", "c2pa.converted"]
    data = studio.read(f"delivered/{row['file']}")
    assert (row["sha256"], row["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert row["signed_by"] == "Acme content credentials, Acme"
    assert len(row["unsigned_sha256"]) == 64


def test_an_export_that_says_nothing_is_not_signed(studio: Studio) -> None:
    """``metadata = "none"`` asks for a file without a word, so it gets no content credentials either."""
    assert credentials_of(studio, "delivered/hero_bare.png") is None


def test_layers_and_pictures_that_were_read_are_ingredients(studio: Studio) -> None:
    """The layer beside the picture and the one in the library are parts of it, and the hero was read. Each has the hash of its file."""
    credentials = trusted(studio, "delivered/comp_web.jpg")
    assert credentials.ingredients == ("comp.png",)
    parts = {each["title"]: (each["relationship"], each["sha256"]) for each in credentials.components}
    assert parts == {
        "comp.layer.sun.png": ("componentOf", hashlib.sha256(png(11)).hexdigest()),
        "acme.png": ("componentOf", hashlib.sha256(png(12)).hexdigest()),
        "spring.png": ("inputTo", hashlib.sha256(png(13)).hexdigest()),
    }
    assert [action["action"] for action in credentials.actions] == [
        "c2pa.opened",
        "c2pa.placed",
        "c2pa.color_adjustments",
        "c2pa.converted",
    ]


def test_a_signed_original_is_carried(studio: Studio) -> None:
    """The record says who signed the original, and the deliverable holds the original's manifest beside its own."""
    credentials = trusted(studio, "delivered/bought_web.jpg")
    assert (credentials.manifests, credentials.broken_ingredients) == (2, ())
    facts = studio.manifest("delivered/bought.manifest.json")["stages"][0]["facts"]
    assert (facts["credentials"]["state"], facts["credentials"]["signer"]) == ("valid", "A studio")


def test_a_broken_original_is_told_and_carried_as_broken(studio: Studio) -> None:
    """A remark beside the picture says that its signature does not hold. What is signed on top of it holds."""
    credentials = trusted(studio, "delivered/spoilt_web.jpg")
    assert (credentials.manifests, credentials.broken_ingredients) == (2, ("spoilt.jpg",))
    first = studio.manifest("delivered/spoilt.manifest.json")["stages"][0]
    assert first["facts"]["credentials"]["state"] == "invalid"
    (remark,) = [note for note in first["facts"]["notes"] if "credentials" in note]
    assert remark.startswith("its content credentials do not hold")


def test_a_picture_made_from_words_is_created(studio: Studio) -> None:
    """It has no ingredient, and the first action says that a trained model made it. The prompt is not told."""
    credentials = trusted(studio, "delivered/alone_web.jpg")
    first = credentials.actions[0]
    assert (first["action"], first["what"], first["source_type"]) == ("c2pa.created", "regenerate", "trainedAlgorithmicMedia")
    assert credentials.ingredients == ()
    assert b"a chair" not in studio.read("delivered/alone_web.jpg")


@pytest.mark.parametrize("name", SIX)
def test_no_deliverable_tells_prompts_places_or_serial_numbers(studio: Studio, name: str) -> None:
    """Neither the file's own metadata nor its content credentials hold them. An export that asks for all has them."""
    data = studio.read(f"delivered/leak_{name}{FORMATS[name].suffix}")
    assert [secret for secret in SECRETS if secret in data] == []
    assert b"GPS" not in data
    everything = read_metadata(studio.read("delivered/leak_all.png"), "all", 10**6)
    assert [secret for secret in SECRETS if secret in (everything.exif or b"") + repr(everything.text_chunks).encode()] == list(SECRETS)


def test_a_limit_in_kb_is_that_of_the_signed_file(studio: Studio) -> None:
    """The quality is lower than it would be without content credentials."""
    data = studio.read("delivered/leak_small.jpg")
    assert 12_000 < len(data) <= 20_000
    trusted(studio, "delivered/leak_small.jpg")


def test_a_page_has_the_ids_and_the_source_type_of_its_picture(studio: Studio) -> None:
    """A PDF is known again by the id, and says how its picture came to be."""
    with pikepdf.open(studio.at("delivered/alone_page.pdf")) as page:
        provenance = read_provenance(bytes(page.Root.Metadata.get_stream_buffer()))
    versions = studio.journal.versions_by_id(provenance.document_id.removeprefix("xmp.did:"))
    assert [version.path for version in versions] == ["delivered/alone_page.pdf"]
    assert provenance.source_document_id.startswith("xmp.did:")
    assert provenance.source_type.endswith("/trainedAlgorithmicMedia")


def test_a_photograph_that_a_person_has_retouched_says_so(studio: Studio) -> None:
    """Its source type becomes humanEdits, and the credentials tell of the work by hand between two steps. A replay repeats both."""
    saved = decode(studio.read("masked/photo.png"), "photo.png", 10**6)
    retouched_pixels = saved.pixels.copy()
    retouched_pixels[4:8, 4:8] = 1.0
    studio.put("masked/photo.png", encode(saved.with_pixels(freeze(retouched_pixels)), EncodingOptions(format="png")))
    studio.put("masked/photo.toml", '[[grade]]\nop = "grade"\nsaturation = 0.5\n' + WEB)
    studio.until_idle()
    metadata = read_metadata(studio.read("delivered/photo_web.jpg"), "photo", 10**6)
    assert read_source_type(metadata) == "humanEdits"
    actions = [(action["action"], action.get("what", "")) for action in trusted(studio, "delivered/photo_web.jpg").actions]
    assert actions[1:4] == [("c2pa.filtered", "sharpen"), ("c2pa.edited", "changed by hand"), ("c2pa.color_adjustments", "grade")]
    report = run_replay(studio.setup(), studio.at("delivered/photo.manifest.json"), lambda stage, fraction, note: None)
    assert [each.verdict for each in report.deliverables] == ["identical"]


def test_a_retouched_photograph_under_another_name_says_so_in_the_same_stage(studio: Studio) -> None:
    """The last hand worked on it just before the delivery, and called it otherwise. A replay of the delivery writes the same file."""
    saved = decode(studio.read("masked/snap.png"), "snap.png", 10**6)
    lighter = saved.with_pixels(freeze(np.clip(saved.pixels + np.float32(0.1), 0, 1)))
    studio.put("graded/snap lighter.png", encode(lighter, EncodingOptions(format="png")))
    studio.put("graded/snap lighter.toml", WEB)
    studio.put("graded/snap copy.png", studio.read("masked/snap.png"))
    studio.put("graded/snap copy.toml", WEB)
    studio.until_idle()
    types = [read_source_type(read_metadata(studio.read(f"delivered/snap {word}_web.jpg"), "snap", 10**6)) for word in ("lighter", "copy")]
    assert types == ["humanEdits", "digitalCapture"]
    report = run_replay(studio.setup(), studio.at("delivered/snap lighter.manifest.json"), lambda stage, fraction, note: None)
    assert [each.verdict for each in report.deliverables] == ["identical"]


def test_a_replay_compares_what_the_signature_does_not_change(studio: Studio) -> None:
    """All seven files are identical, although a new signature would be another one."""
    report = run_replay(studio.setup(), studio.at("delivered/hero.manifest.json"), lambda stage, fraction, note: None)
    assert {each.verdict for each in report.deliverables} == {"identical"}
    assert len(report.deliverables) == 7


def test_a_delivery_that_comes_back_is_the_parent_of_the_next(studio: Studio) -> None:
    """The new credentials tell what was done since then, and carry the old ones, which tell the rest."""
    studio.put("masked/again.toml", '[[grade]]\nop = "grade"\nsaturation = 0.5\n' + WEB)
    studio.put("masked/again.jpg", studio.read("delivered/bought_web.jpg"))
    studio.until_idle()
    credentials = trusted(studio, "delivered/again_web.jpg")
    assert (credentials.manifests, credentials.ingredients) == (3, ("again.jpg",))
    assert [action["action"] for action in credentials.actions] == ["c2pa.opened", "c2pa.color_adjustments", "c2pa.converted"]


def test_a_daemon_that_ends_while_it_signs_delivers_once(studio: Studio) -> None:
    """End it while the credentials are written, and start it again: the delivery is whole and signed, and there is one of it."""
    studio.put("graded/late.toml", WEB)
    studio.put("graded/late.png", png(5))
    runtime = studio.runtime or studio.start()
    studio.until(lambda: any("-signing" in job for job in runtime.workers.running_jobs()), "a delivery that is being signed")
    studio.restart()
    studio.until_idle()
    assert [name for name in studio.folder("delivered") if name.startswith("late")] == ["late.manifest.json", "late_web.jpg"]
    trusted(studio, "delivered/late_web.jpg")


@pytest.mark.parametrize("loss", ["gone", "another"])
def test_an_original_that_is_lost_meanwhile_is_told(studio: Studio, loss: str) -> None:
    """Its owner may delete it from the archive, or save over it there. The delivery is signed without its credentials."""
    studio.put(f"inbox/{loss}.toml", SHARPEN)
    studio.put(f"inbox/{loss}.jpg", studio.read("delivered/bought_web.jpg"))
    studio.until_idle()
    (original,) = (studio.at("archive") / path for path in studio.folder("archive") if path.endswith(f"{loss}.jpg"))
    original.unlink()
    if loss == "another":
        original.write_bytes(studio.read("delivered/hero_jpeg.jpg"))
    studio.put(f"masked/{loss}.toml", WEB)
    studio.until_idle()
    assert trusted(studio, f"delivered/{loss}_web.jpg").manifests == 1
    notes = studio.manifest(f"delivered/{loss}.manifest.json")["stages"][-1]["facts"]["notes"]
    assert [note.partition(":")[0] for note in notes] == ["its own content credentials could not be carried into the deliverables"]


@pytest.fixture
def signing_fails(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets the next signing jobs end with faults of these kinds, without a worker process."""
    runtime = studio.runtime or studio.start()
    submit, kinds = runtime.workers.submit, list[JobFaultKind]()

    def submit_or_fail(job: Job) -> None:
        if job.signing is None or not kinds:
            submit(job)
            return
        fault = JobFault(kind=kinds.pop(0), sentence="The test wants it so.")
        runtime.workers._events.append(Outcome(job_id=job.id, fault=fault))

    monkeypatch.setattr(runtime.workers, "submit", submit_or_fail)
    return lambda *faults: kinds.extend(faults)


@pytest.mark.parametrize(("kinds", "manifests"), [(("crash",), 1), (("crash", "crash"), 0), (("refused", "timeout"), 0)])
def test_an_original_that_harms_the_process_that_signs_is_left_out(
    studio: Studio, signing_fails: Callable[..., None], kinds: tuple[JobFaultKind, ...], manifests: int
) -> None:
    """The second try signs without the original's credentials. If that fails too, the delivery goes on unsigned. Each loss has a remark."""
    stem = "-".join(kinds)
    signing_fails(*kinds)
    studio.put(f"graded/{stem}.toml", WEB)
    studio.put(f"graded/{stem}.jpg", studio.read("delivered/bought_web.jpg"))
    studio.until_idle()
    credentials = credentials_of(studio, f"delivered/{stem}_web.jpg")
    assert (0 if credentials is None else credentials.manifests) == manifests
    notes = studio.manifest(f"delivered/{stem}.manifest.json")["stages"][-1]["facts"]["notes"]
    assert len([note for note in notes if "credentials" in note]) == len(kinds)


def test_a_fault_of_the_machine_while_it_signs_costs_nothing(studio: Studio, signing_fails: Callable[..., None]) -> None:
    """The work pauses and begins again, and the delivery is signed."""
    signing_fails("machine")
    studio.put("graded/paused.toml", WEB)
    studio.put("graded/paused.png", png(8))
    studio.until_idle()
    assert trusted(studio, "delivered/paused_web.jpg").manifests == 1
    assert studio.manifest("delivered/paused.manifest.json")["stages"][-1]["facts"]["notes"] == []
    assert len(studio.events_of("paused")) == 1


def test_a_certificate_that_c2pa_refuses_costs_the_signature_and_says_so(tmp_path: Path) -> None:
    """The certificate is for time stamps, too. The delivery goes on, and a remark beside the picture has the reason."""
    purposes = (ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.TIME_STAMPING)
    files = write_identity(tmp_path / "keys", purposes=purposes)
    with studio_at(tmp_path, credentials={"certificate": files.certificate, "key": files.key}) as studio:
        studio.put("graded/hero.toml", WEB)
        studio.put("graded/hero.png", png(1))
        studio.until_idle()
        assert credentials_of(studio, "delivered/hero_web.jpg") is None
        (remark,) = studio.manifest("delivered/hero.manifest.json")["stages"][-1]["facts"]["notes"]
        assert remark.startswith("the deliverables have no content credentials: hero_web.jpg could not be signed")
        assert len(studio.events_of("not signed")) == 1


@pytest.mark.parametrize("sign", [True, False])
def test_without_an_identity_the_record_says_why(tmp_path: Path, sign: bool) -> None:
    """Nothing waits for a signature. With ``sign = false`` nobody expects one. That the original was signed is remarked all the same."""
    signed = sign_file(read_identity(write_identity(tmp_path / "keys"), []), picture_file("image/png"), "image/png")
    with studio_at(tmp_path, credentials={"sign": sign}) as studio:
        studio.put("graded/hero.toml", WEB)
        studio.put("graded/hero.png", png(1))
        studio.put("graded/bought.toml", WEB)
        studio.put("graded/bought.png", signed)
        studio.until_idle()
        facts, of_bought = (studio.manifest(f"delivered/{stem}.manifest.json")["stages"][-1]["facts"] for stem in ("hero", "bought"))
        assert facts.get("not_signed", "").startswith("Nobody signs") is sign
        assert ("not_signed" in facts) is sign
        assert (facts["notes"], len(of_bought["notes"])) == ([], 1)
        assert of_bought["notes"][0].startswith("its own content credentials could not be carried into the deliverables")


@pytest.mark.parametrize("place", ["root/library", "root/config", "models"])
def test_a_key_that_a_worker_process_can_read_signs_nothing(tmp_path: Path, place: str) -> None:
    """Worker processes read the share, the configuration and the folder of the weights."""
    files = write_identity(tmp_path / place / "keys")
    with studio_at(tmp_path, models_dir=str(tmp_path / "models"), credentials=files._asdict()) as studio:
        lookup = find_identity(studio.setup())
    assert lookup.identity is None
    assert "can read it" in lookup.reason


def test_results_that_are_being_signed_do_not_stop_the_workers_that_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No job starts while too many results wait for their commit; these wait for a job."""
    monkeypatch.setattr(scheduler, "MAX_UNCOMMITTED", 1)
    with studio_at(tmp_path) as studio:
        own_identity(studio)
        for number in range(3):
            studio.put(f"graded/p{number}.toml", WEB)
            studio.put(f"graded/p{number}.png", png(number))
        studio.until_idle()
        for number in range(3):
            trusted(studio, f"delivered/p{number}_web.jpg")
