"""Which file a form writes: the brief of a picture, or that of a campaign."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from goldsmith.brief.pipeline import REVIEW_FOLDER, Stage
from goldsmith.files import display_name
from goldsmith.pipeline.intake.bundle import Bundle, group_bundles
from goldsmith.pipeline.intake.file_names import CAMPAIGN_BRIEF, classify
from goldsmith.web import strings
from goldsmith.web.access import PageError
from goldsmith.web.page import Page
from goldsmith.web.pictures import find_picture, is_shown_path


@dataclass(frozen=True, slots=True)
class BriefTarget:
    """The brief that a form is for. ``picture``: the path of its picture; "" for a campaign's brief, which has no ``bundle`` either."""

    path: str
    stage: Stage
    picture: str
    exists: bool
    bundle: Bundle | None = None

    @property
    def name(self) -> str:
        """The file's name in messages."""
        return display_name(posixpath.basename(self.path))


def find_target(page: Page, path: str) -> BriefTarget:
    """Return the brief of the picture or of the campaign folder at a path below the root. Raises PageError if there can be none."""
    folder, _, rest = path.rstrip("/").partition("/")
    stage = page.pipeline.stage_of_folder(folder)
    if stage is None or folder == REVIEW_FOLDER:
        raise PageError(409, strings.no_brief_here(display_name(folder)), strings.no_brief_remedy(_folders_of(page)))
    if classify(posixpath.basename(path)).role == "picture":
        return _picture_target(page, path, stage)
    return _campaign_target(page, path.rstrip("/"), stage, rest)


def _folders_of(page: Page) -> str:
    return ", ".join(f"{stage.folder}/" for stage in page.pipeline.stages)


def _picture_target(page: Page, path: str, stage: Stage) -> BriefTarget:
    picture = find_picture(page, path)
    parent = posixpath.dirname(path)
    folder, _, campaign = parent.partition("/")
    names, _ = page.root.list_names(parent)
    bundles = group_bundles(folder, campaign, names, _campaign_brief(page, parent))
    bundle = next((bundle for bundle in bundles if bundle.picture == path), None)
    if bundle is None:
        raise PageError(404, strings.no_picture(display_name(path)), strings.NO_PICTURE_REMEDY)
    if bundle.brief is not None:
        return BriefTarget(bundle.brief, stage, path, exists=True, bundle=bundle)
    stem = picture.name if bundle.twins else bundle.stem
    return BriefTarget(posixpath.join(parent, f"{stem}.toml"), stage, path, exists=False, bundle=bundle)


def _campaign_brief(page: Page, folder: str) -> str | None:
    """Return the path of the nearest campaign brief in a folder or above it."""
    while folder:
        names, _ = page.root.list_names(folder)
        match = next((name for name in sorted(names) if classify(name).role == "campaign"), None)
        if match is not None:
            return posixpath.join(folder, match)
        folder = posixpath.dirname(folder)
    return None


def _campaign_target(page: Page, path: str, stage: Stage, campaign: str) -> BriefTarget:
    is_folder = is_shown_path(page, f"{path}/{CAMPAIGN_BRIEF}")
    try:
        with page.root.opened_folder(path):
            pass
    except OSError:
        is_folder = False
    if not is_folder:
        raise PageError(404, strings.no_folder(display_name(path)), strings.NO_PICTURE_REMEDY)
    names, _ = page.root.list_names(path)
    match = next((name for name in sorted(names) if classify(name).role == "campaign"), None)
    return BriefTarget(posixpath.join(path, match or CAMPAIGN_BRIEF), stage, "", exists=match is not None)
