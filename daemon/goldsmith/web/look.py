"""One picture: before and after, mask, findings, every version, and what was done in words."""

from __future__ import annotations

import asyncio
import os
import posixpath
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.files import fold_name
from goldsmith.jobs.names import CANDIDATES_SHEET_TAIL, REVIEW_SHEET_TAIL
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_names import BEFORE_SUFFIX, candidate_base, classify
from goldsmith.pipeline.scheduler.review_decisions import is_original_picture
from goldsmith.service.location import Location, open_setup, read_with_journal
from goldsmith.web import strings
from goldsmith.web.access import PageError, allowed
from goldsmith.web.asset_board import Board
from goldsmith.web.history_strip import FoundBox, StripEntry, WorkWords, found_boxes, stage_words, strip_entries
from goldsmith.web.page import Page, page_of, render
from goldsmith.web.pictures import PictureFile, find_picture, picture_of
from goldsmith.web.review_masks import names_of_waiting_masks


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Everything that the page shows of one picture."""

    picture: PictureFile
    sentence: str
    before: PictureFile | None = None
    masks: tuple[PictureFile, ...] = ()
    sheet: PictureFile | None = None
    # The result, if this is its sheet.
    result: PictureFile | None = None
    # Whether it waits for a person's decision.
    is_in_review: bool = False
    # Whether it is one of several candidates.
    is_candidate: bool = False
    remarks: tuple[str, ...] = ()
    strip: list[StripEntry] = field(default_factory=list)
    words: list[WorkWords] = field(default_factory=list)
    boxes: list[FoundBox] = field(default_factory=list)
    # The picture, and the names of the masks that can be painted for it while this one waits in review/.
    mask_picture: str = ""
    mask_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """The pictures of a set that still wait for a pick."""

    candidates: tuple[PictureFile, ...]
    sentence: str
    sheet: PictureFile | None
    # The folded stem that all of them share.
    base: str


@allowed("look")
async def show_picture(request: Request) -> Response:
    """Show one picture."""
    page = page_of(request)
    picture = picture_of(request, "/look/")
    view = await asyncio.to_thread(_read, page, picture)
    previous_path, next_path = _neighbours(await page.board.current(), picture.path) if view.is_in_review else ("", "")
    takes_work = page.pipeline.stage_of_folder(picture.path.partition("/")[0]) in page.pipeline.stages
    return render(request, "look.html", seen=view, previous_path=previous_path, next_path=next_path, takes_work=takes_work)


def _read(page: Page, picture: PictureFile) -> LookedAt:
    with open_setup(page.setup) as opened:
        return read_with_journal(opened, lambda location: _look(page, location, picture))[1]


def _look(page: Page, location: Location, picture: PictureFile) -> LookedAt:
    explainer = location.explain()
    bundle = explainer.bundle_containing(picture.path) if picture.path.partition("/")[0] in page.pipeline.watched_folders else None
    rows = list(location.journal.related_rows([picture.path])) if location.journal is not None else []
    maker = next((row for row in reversed(rows) if picture.path in row.results), None)
    before_path = (_before_in_review(bundle) if bundle is not None else "") or (maker.archived_as(maker.path) if maker is not None else "")
    mask_paths = _masks(bundle, maker)
    is_in_review = bundle is not None and bundle.folder == REVIEW_FOLDER and not bundle.tray and bundle.picture == picture.path
    stem = fold_name(os.path.splitext(picture.name)[0])
    # The sentence about a file would repeat the remarks, which have a place of their own.
    is_own = bundle is not None and bundle.picture == picture.path
    sentence = explainer.explain_bundle(bundle).sentence if bundle is not None and is_own else explainer.explain_file(picture.path)
    remarks = location.journal.remarks(picture.path) if location.journal is not None else []
    mask_picture, mask_names = names_of_waiting_masks(bundle) if bundle is not None and is_in_review else ("", [])
    sheet_path = _sheet(bundle) if bundle is not None else ""
    # A sheet shows what a result was made from; laid over the sheet itself, it would mean nothing.
    is_sheet = picture.path == sheet_path
    return LookedAt(
        picture=picture,
        sentence=sentence,
        before=_picture_at(page, before_path) if before_path != picture.path and not is_sheet else None,
        masks=() if is_sheet else tuple(filter(None, (_picture_at(page, path) for path in mask_paths))),
        sheet=None if is_sheet else _picture_at(page, sheet_path),
        result=_picture_at(page, bundle.picture or "") if bundle is not None and is_sheet else None,
        is_in_review=is_in_review,
        is_candidate=is_in_review and candidate_base(stem) != stem,
        # The sentence about a file that nothing more happens to has them.
        remarks=tuple(remark for remark in remarks if remark not in sentence),
        strip=strip_entries(rows, page.root),
        words=stage_words(rows),
        boxes=[] if is_sheet else found_boxes(maker),
        mask_picture=mask_picture,
        mask_names=tuple(mask_names),
    )


def _before_in_review(bundle: Bundle) -> str:
    """Return the copy of what a result in review/ was made from; "" if there is none."""
    return next((path for path in bundle.reviews if is_original_picture(path)), "")


def _masks(bundle: Bundle | None, maker: HistoryRow | None) -> list[str]:
    """Return the masks beside the picture; else those with which it was made."""
    if bundle is not None:
        own = [path for paths in bundle.masks.values() for path in paths]
        copied = [path for path in bundle.reviews if ".mask" in classify(posixpath.basename(path)).label.casefold()]
        if own or copied:
            return own or copied
    if maker is None:
        return []
    inputs = maker.record.get("inputs")
    entries = [entry for entry in (inputs if isinstance(inputs, list) else ()) if isinstance(entry, dict)]
    return [maker.archived_as(str(entry.get("path"))) for entry in entries if entry.get("role") == "mask"]


def _sheet(bundle: Bundle) -> str:
    tails = (REVIEW_SHEET_TAIL, CANDIDATES_SHEET_TAIL)
    return next((path for path in bundle.reviews if path.casefold().endswith(tails) and BEFORE_SUFFIX not in path), "")


def _picture_at(page: Page, path: str) -> PictureFile | None:
    """Return the picture at a path if there is one."""
    try:
        return find_picture(page, path) if path else None
    except PageError:
        return None


def _neighbours(board: Board, path: str) -> tuple[str, str]:
    """Return the pictures before and after this one among those that wait for a decision."""
    paths = [asset.picture for asset in board.assets if asset.state == "review" and asset.picture]
    if path not in paths:
        return "", next((other for other in paths), "")
    place = paths.index(path)
    return (paths[place - 1] if place else ""), (paths[place + 1] if place + 1 < len(paths) else "")


@allowed("look")
async def show_candidates(request: Request) -> Response:
    """Show the candidates of a set side by side, to pick among them."""
    page = page_of(request)
    picture = picture_of(request, "/pick/")
    view = await asyncio.to_thread(_read_set, page, picture)
    return render(request, "pick.html", seen=view)


def _read_set(page: Page, picture: PictureFile) -> CandidateSet:
    with open_setup(page.setup) as opened:
        return read_with_journal(opened, lambda location: _look_at_set(page, location, picture))[1]


def _look_at_set(page: Page, location: Location, picture: PictureFile) -> CandidateSet:
    explainer = location.explain()
    bundle = explainer.bundle_containing(picture.path)
    if bundle is None or bundle.folder != REVIEW_FOLDER or bundle.tray:
        raise PageError(404, strings.NOTHING_TO_PICK, strings.NO_PICTURE_REMEDY)
    paths = sorted({path for path in (bundle.picture, *bundle.candidates) if path})
    candidates = [candidate for candidate in (_picture_at(page, path) for path in paths) if candidate is not None]
    sentence = explainer.explain_bundle(bundle).sentence
    return CandidateSet(tuple(candidates), sentence, _picture_at(page, _sheet(bundle)), candidate_base(fold_name(bundle.stem)))


ROUTES = [
    Route("/look/{path:path}", show_picture, methods=["GET"]),
    Route("/pick/{path:path}", show_candidates, methods=["GET"]),
]
