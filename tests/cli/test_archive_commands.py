"""``goldsmith prune``, ``verify`` and ``restore`` on a real delivery."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from doubles.commission import PIPELINE
from doubles.deliveries import BRIEF, CAMPAIGN, MANIFEST, PRINT, WARM, WEB, Delivery
from doubles.pictures import mask, png
from doubles.studio import studio_at
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path
from goldsmith.pipeline.commit.root_lock import RootLock

ORIGINAL = png(3, 48, 32)


@pytest.fixture
def delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    """Deliver a picture with a mask, from inbox/ to two deliverables, and leave its journal where the commands look for it."""
    monkeypatch.setenv("GOLDSMITH_THREADS", "1")
    monkeypatch.setenv("GOLDSMITH_CPU_WORKERS", "1")
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("library/looks/warm.cube", WARM)
        studio.put(f"inbox/{CAMPAIGN}/hero.mask.png", mask(48, 32))
        studio.put(f"inbox/{CAMPAIGN}/hero.toml", BRIEF)
        studio.put(f"inbox/{CAMPAIGN}/hero.png", ORIGINAL)
        studio.until_idle()
        assert studio.at(MANIFEST).exists(), studio.report()
    return Delivery(studio.root, MANIFEST)


def _make_older(delivery: Delivery, days: int) -> None:
    """Move the archive, the history and the manifest that many days into the past."""
    (day_folder,) = (delivery.root / "archive").glob("2*")
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400 * days))
    day_folder.rename(day_folder.with_name(day))
    text = delivery.at(MANIFEST).read_text().replace(f"archive/{day_folder.name}/", f"archive/{day}/")
    delivery.at(MANIFEST).write_text(text)
    journal = Journal.open(journal_path(delivery.root, delivery.root.parent / "state"))
    db = journal._db
    db.execute("UPDATE migration SET at = 0")
    db.execute("UPDATE history SET taken_at = taken_at - ?", (86_400 * days,))
    old, new = f"archive/{day_folder.name}/".encode(), f"archive/{day}/".encode()
    db.execute("UPDATE history SET record = replace(record, ?, ?)", (old.decode(), new.decode()))
    db.execute("UPDATE history_file SET path = CAST(replace(CAST(path AS TEXT), ?, ?) AS BLOB)", (old.decode(), new.decode()))
    journal.close()


def _archive(delivery: Delivery) -> list[str]:
    return sorted(str(path.relative_to(delivery.root)) for path in (delivery.root / "archive").glob("2*/**/*") if path.is_file())


# ---------------------------------------------------------------------- prune


def test_prune_keeps_what_a_young_delivery_needs_and_verify_agrees(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """Its sources are 200 days old, but the manifest says that it was delivered today."""
    _make_older(delivery, 200)
    files = _archive(delivery)
    result = goldsmith("prune", "--older", "90d", "-r", delivery.root)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Removed 0 files of the archive")
    assert f"{len(files)} older files stay" in result.out
    assert _archive(delivery) == files
    assert goldsmith("verify", "-r", delivery.root).code == 0


def test_prune_removes_an_old_delivery_s_sources_and_verify_tells_pruned_from_lost(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The dry run gives the same figures and changes nothing; nothing needs to be said twice."""
    _make_older(delivery, 200)
    delivery.edit(lambda content: content.update(delivered_at="2001-01-01T00:00:00+00:00"))
    files = _archive(delivery)
    dry = json.loads(goldsmith("prune", "--older", "90d", "--dry-run", "--json", "-r", delivery.root).out)
    assert (dry["files"], dry["rows"], dry["dry_run"]) == (len(files), 4, True)
    assert _archive(delivery) == files
    done = json.loads(goldsmith("prune", "--older", "90d", "--json", "-r", delivery.root).out)
    assert {**done, "dry_run": True} == dry
    assert _archive(delivery) == []
    assert delivery.at(WEB).exists()
    result = goldsmith("verify", "-r", delivery.root)
    assert (result.code, result.out) == (
        0,
        "0 of 1 deliveries can be made again: every input is in the archive, unchanged. Of 1, inputs were pruned.\n",
    )


def test_prune_says_why_a_young_journal_removes_nothing(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The journal was made a moment ago."""
    result = goldsmith("prune", "--older", "90d", "-r", delivery.root)
    assert result.code == 0
    assert result.out.startswith("Nothing is removed: the journal begins on 20")


def test_prune_is_refused_beside_a_running_service(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The remedy is keep_days; a dry run is allowed."""
    files = _archive(delivery)
    with RootLock.acquire(delivery.root):
        result = goldsmith("prune", "--older", "90d", "-r", delivery.root)
        assert result.code == 5
        assert "Set keep_days = 90 in goldsmith.toml" in result.err
        assert goldsmith("prune", "--older", "90d", "--dry-run", "-r", delivery.root).code == 0
    assert _archive(delivery) == files


def test_prune_without_the_journal_is_refused(goldsmith: Goldsmith, delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new journal would know of no picture in work: another user, or another state folder, must not prune."""
    _make_older(delivery, 200)
    files = _archive(delivery)
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(delivery.root.parent / "other"))
    result = goldsmith("prune", "--older", "90d", "-r", delivery.root)
    assert result.code == 2
    assert "There is no journal at" in result.err
    assert _archive(delivery) == files


@pytest.mark.parametrize(("age", "code"), [("90d", 0), ("12w", 0), ("2y", 0), ("90", 0), ("0d", 2), ("soon", 2), ("-3d", 2), ("1h", 2)])
def test_an_age_has_a_number_and_a_unit(goldsmith: Goldsmith, root: Path, journal: Journal, age: str, code: int) -> None:
    """Anything else is refused with an example."""
    result = goldsmith("prune", f"--older={age}", "--dry-run", "-r", root)
    assert result.code == code
    assert code == 0 or "90d, 12w or 2y" in result.err


def test_the_settings_say_what_is_old(goldsmith: Goldsmith, delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --older and keep_days, nothing is old."""
    result = goldsmith("prune", "--dry-run", "-r", delivery.root)
    assert (result.code, "set keep_days" in result.err) == (2, True)
    monkeypatch.setenv("GOLDSMITH_KEEP_DAYS", "30")
    assert goldsmith("prune", "--dry-run", "-r", delivery.root).code == 0


# ---------------------------------------------------------------------- verify


def test_verify_finds_what_is_missing_and_what_was_changed(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """Each input has a sentence; the exit code is 3. A sound archive has one line."""
    result = goldsmith("verify", "-r", delivery.root)
    assert (result.code, result.out) == (0, "1 of 1 deliveries can be made again: every input is in the archive, unchanged.\n")
    for folder in ("inbox", "selected"):  # the first stage changed no byte, so both are the original
        delivery.archived(f"{folder}/{CAMPAIGN}/hero.png").write_bytes(b"another picture")
    delivery.archived(f"selected/{CAMPAIGN}/hero.mask.png").unlink()
    result = goldsmith("verify", delivery.at(MANIFEST), "-r", delivery.root)
    assert result.code == 3
    lines = result.out.splitlines()
    assert any(f"inbox/{CAMPAIGN}/hero.png" in line and "is now another file" in line for line in lines)
    assert any("hero.mask.png" in line and "there is no file at" in line for line in lines)
    assert "1 of 1 deliveries cannot be made again." in result.err
    check = json.loads(goldsmith("verify", "--json", "-r", delivery.root).out)
    assert (check["manifest"], len(check["problems"]), check["pruned"]) == (MANIFEST, 2, 0)


def test_verify_names_a_manifest_that_cannot_be_read(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The other deliveries are checked all the same."""
    delivery.at("delivered/broken.manifest.json").write_text("no json")
    result = goldsmith("verify", "-r", delivery.root)
    assert result.code == 3
    assert "delivered/broken.manifest.json: broken.manifest.json is not a manifest" in result.out
    assert "1 of 2 deliveries can be made again" in result.out
    assert goldsmith("verify", "delivered/none.manifest.json", "-r", delivery.root).code == 2


# ---------------------------------------------------------------------- restore


def test_an_input_comes_back_from_the_archive_as_a_new_version(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """Each time with the next number; the archive keeps its file, and nothing is overwritten."""
    result = goldsmith("restore", f"inbox/{CAMPAIGN}/hero.png", "-r", delivery.root)
    assert (result.code, result.err) == (0, "")
    assert delivery.at(f"inbox/{CAMPAIGN}/hero_v002.png").read_bytes() == ORIGINAL
    assert f"inbox/{CAMPAIGN}/hero_v002.png: as it was in inbox/{CAMPAIGN}/hero.png, from archive/" in result.out
    goldsmith("restore", f"inbox/{CAMPAIGN}/hero.png", "-r", delivery.root)
    assert delivery.at(f"inbox/{CAMPAIGN}/hero_v003.png").read_bytes() == ORIGINAL
    assert delivery.archived(f"inbox/{CAMPAIGN}/hero.png").read_bytes() == ORIGINAL
    assert sorted(path.name for path in delivery.at(f"inbox/{CAMPAIGN}").iterdir()) == ["hero_v002.png", "hero_v003.png"]


def test_a_campaign_folder_that_is_gone_is_made_again(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """A sidecar keeps its ending behind the version, so that it belongs to the version of its picture. An archive path is a name, too."""
    for folder in (delivery.at(f"selected/{CAMPAIGN}"), delivery.at(f"selected/{CAMPAIGN}").parent):
        if folder.exists():
            folder.rmdir()
    place = delivery.archived(f"selected/{CAMPAIGN}/hero.mask.png")
    result = goldsmith("restore", place.relative_to(delivery.root), "-r", delivery.root)
    assert result.code == 0
    assert delivery.at(f"selected/{CAMPAIGN}/hero_v002.mask.png").read_bytes() == place.read_bytes()


def test_a_result_is_made_again(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """A deliverable that somebody deleted is made from the original, bit for bit, beside its old name."""
    data = delivery.at(WEB).read_bytes()
    delivery.at(WEB).unlink()
    delivery.at(MANIFEST).unlink()
    result = goldsmith("restore", WEB, "-r", delivery.root)
    assert (result.code, result.err) == (0, "")
    assert delivery.at(f"delivered/{CAMPAIGN}/hero_v002_web.jpg").read_bytes() == data
    assert "made again, identical to" in result.out


def test_a_result_that_differs_is_put_down_and_said(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The look has changed since: exit code 6."""
    delivery.at("library/looks/warm.cube").write_text(WARM.replace("0.5", "0.2"))
    result = goldsmith("restore", WEB, "-r", delivery.root)
    assert result.code == 6
    assert "not identical to" in result.out
    assert delivery.at(f"delivered/{CAMPAIGN}/hero_v002_web.jpg").exists()


def test_the_list_shows_what_can_be_had(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """Each input with its place in the archive, each deliverable as made again; a listed path can be given to the command."""
    before = delivery.file_states()
    rows = goldsmith("restore", "--list", WEB, "-r", delivery.root).rows
    files = {row[0]: row[3] for row in rows[1:]}
    assert files[f"inbox/{CAMPAIGN}/hero.png"].startswith("archive/")
    assert files[f"selected/{CAMPAIGN}/hero.png"].startswith("archive/")
    assert files[WEB] == "made again"
    assert files[PRINT] == "made again"
    assert delivery.file_states() == before
    listed = [json.loads(line) for line in goldsmith("restore", "--list", "--json", WEB, "-r", delivery.root).out.splitlines()]
    assert {entry["path"] for entry in listed} == set(files)
    delivery.archived(f"inbox/{CAMPAIGN}/hero.png").unlink()
    rows = goldsmith("restore", "--list", WEB, "-r", delivery.root).rows
    assert [row[3] for row in rows if row[0] == f"inbox/{CAMPAIGN}/hero.png"] == ["no longer in the archive"]


def test_an_original_that_is_gone_or_changed_is_said(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """No half file and no wrong file appears."""
    place = delivery.archived(f"inbox/{CAMPAIGN}/hero.png")
    place.write_bytes(b"another picture")
    result = goldsmith("restore", f"inbox/{CAMPAIGN}/hero.png", "-r", delivery.root)
    assert (result.code, "is now another file" in result.err) == (3, True)
    place.unlink()
    result = goldsmith("restore", f"inbox/{CAMPAIGN}/hero.png", "-r", delivery.root)
    assert (result.code, "no longer in the archive" in result.err) == (3, True)
    assert list(delivery.at(f"inbox/{CAMPAIGN}").iterdir()) == []


def test_without_the_journal_a_file_comes_back_by_its_manifest(
    goldsmith: Goldsmith, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal was lost: an input comes from the archive, and a deliverable is made again."""
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(delivery.root.parent / "other"))
    assert goldsmith("restore", f"inbox/{CAMPAIGN}/hero.png", "-r", delivery.root).code == 0
    assert delivery.at(f"inbox/{CAMPAIGN}/hero_v002.png").read_bytes() == ORIGINAL
    data = delivery.at(WEB).read_bytes()
    result = goldsmith("restore", WEB, "-r", delivery.root)
    assert (result.code, result.err) == (0, "")
    assert delivery.at(f"delivered/{CAMPAIGN}/hero_v002_web.jpg").read_bytes() == data


def test_a_manifest_cannot_name_a_place_outside_the_pipeline_s_folders(
    goldsmith: Goldsmith, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who can write to the share can edit it: nothing is put into config/ or beside the root."""
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(delivery.root.parent / "other"))
    text = delivery.at(MANIFEST).read_text()
    for path in ("config/hero.png", "../hero.png", ".goldsmith/hero.png"):
        delivery.at(MANIFEST).write_text(text.replace(f'"{WEB}"', f'"{path}"').replace(f'"{PRINT}"', f'"{path}"'))
        before = sorted(str(each) for each in delivery.root.parent.rglob("*"))
        assert goldsmith("restore", path, "-r", delivery.root).code in (2, 3)
        assert sorted(str(each) for each in delivery.root.parent.rglob("*")) == before


def test_a_file_that_goldsmith_never_had_is_an_error(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """For the list, too."""
    for words in (("restore", "inbox/none.png"), ("restore", "--list", "inbox/none.png")):
        result = goldsmith(*words, "-r", delivery.root)
        assert (result.code, "never processed inbox/none.png" in result.err) == (2, True)


def test_a_restored_file_has_the_permissions_of_its_folder(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The group may write to it if it may write to the folder."""
    folder = delivery.at(f"inbox/{CAMPAIGN}")
    os.chmod(folder, 0o2770)  # noqa: S103 - a shared folder
    goldsmith("restore", f"inbox/{CAMPAIGN}/hero.png", "-r", delivery.root)
    assert (folder / "hero_v002.png").stat().st_mode & 0o777 == 0o660
    assert hashlib.sha256((folder / "hero_v002.png").read_bytes()).digest() == hashlib.sha256(ORIGINAL).digest()
