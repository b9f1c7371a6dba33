"""Pictures in review/: a picture that was dragged into a tray belongs to the files that it has left behind. Only names are compared.

A result waits in ``review/acme/`` with its brief, its sheet and copies of what it was made from. A person drags the picture alone, or with
some of these files, into ``review/approve/``. The files are joined by the picture's stem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.files import display_name, fold_name
from goldsmith.pipeline.intake.bundle import Bundle, split_tray
from goldsmith.pipeline.intake.file_names import candidate_base


def join_left_behind(bundle: Bundle, others: Sequence[Bundle], beyond: Sequence[str]) -> Bundle:
    """Return a bundle of review/ with the files that its picture has left behind when it was dragged into a tray.

    others: all bundles of review/ with the same stem, or with that of a candidate of the same set; beyond: the pictures with that stem in
    the folders of the stages, for a bundle whose picture has left review/.
    """
    bundle = replace(bundle, campaign_brief=None)
    stem = fold_name(bundle.stem)
    others = _without_picked(others, stem)
    own = [other for other in others if fold_name(other.stem) == stem]
    if candidate_base(stem) != stem and bundle.picture is not None and bundle.brief is None and not _homes(bundle, own):
        return _join_candidate(bundle, others)
    if not bundle.tray:
        return _join_home(bundle, others, beyond) if bundle.is_lone_brief else bundle
    if bundle.picture is None:
        return bundle
    homes = _homes(bundle, own)
    if len(homes) > 1:
        return replace(bundle, ambiguity=_several_homes_sentence(bundle, homes), disputed=_files_of(homes))
    if not homes:
        return bundle
    joined = _join(bundle, homes[0])
    rivals = [other for other in own if other.key != bundle.key and other.tray and other.picture and homes[0] in _homes(other, own)]
    return replace(joined, ambiguity=_rivals_sentence(bundle, rivals), disputed=_files_of(rivals)) if rivals else joined


def _without_picked(others: Sequence[Bundle], stem: str) -> list[Bundle]:
    """Return the bundles without the candidates that were picked and whose own results wait now: they belong to no set any more.

    stem: the folded stem whose own bundles stay.
    """
    homes = {fold_name(other.stem) for other in others if not other.tray and (other.brief or other.reviews)}
    picked_stems = {each for each in homes if candidate_base(each) != each and each != stem}
    return [other for other in others if fold_name(other.stem) not in picked_stems]


def _join_home(bundle: Bundle, others: Sequence[Bundle], beyond: Sequence[str]) -> Bundle:
    """Return the brief whose picture has left, or which never had one, with its candidates and what was taken away of its sheets."""
    candidates = tuple(other.picture for other in others if other.picture and other.key[:2] == bundle.key[:2] and other.key != bundle.key)
    astray = [other for other in others if other.tray and not other.asset and fold_name(other.stem) == fold_name(bundle.stem)]
    return replace(bundle, beyond=tuple(beyond), candidates=candidates, left_behind=_files_of(astray))


def _join_candidate(bundle: Bundle, others: Sequence[Bundle]) -> Bundle:
    """Return a candidate with the brief of its set and the other candidates. ``others``: the bundles of the whole set."""
    base = candidate_base(fold_name(bundle.stem))
    sets = [other for other in others if fold_name(other.stem) == base and other.is_lone_brief]
    homes = _homes(bundle, sets) if bundle.tray else [home for home in sets if home.key[:2] == bundle.key[:2]]
    if not homes:
        return bundle
    if len(homes) > 1:
        return replace(bundle, ambiguity=_several_homes_sentence(bundle, homes), disputed=_files_of(homes))
    pictures = [other for other in others if other.picture and other.key != bundle.key]
    waiting = tuple(other.picture for other in pictures if other.picture and other.key[:2] == homes[0].key[:2])
    rivals = tuple(other.picture for other in pictures if other.picture and bundle.tray and other.key[:2] == bundle.key[:2])
    return replace(_join(bundle, homes[0]), candidates=waiting, rivals=rivals)


def _files_of(bundles: Sequence[Bundle]) -> tuple[str, ...]:
    return tuple(path for bundle in bundles for path in bundle.files)


def _homes(bundle: Bundle, others: Sequence[Bundle]) -> list[Bundle]:
    """Return the bundles that a picture in a tray may have left: first those without a picture, else those that still have theirs."""
    campaign = split_tray(REVIEW_FOLDER, bundle.campaign)[1]
    homes = [other for other in others if not other.tray and (other.brief or other.reviews) and campaign in ("", other.campaign)]
    homes.sort(key=lambda home: home.key)
    return [home for home in homes if home.picture is None] or homes


def _join(bundle: Bundle, home: Bundle) -> Bundle:
    left = (home.picture, home.brief if bundle.brief else None, home.prompt)
    # A mask that was dragged along, or saved into the tray, is used in place of the one of its name that was left behind.
    replaced = tuple(path for name in home.masks.keys() & bundle.masks.keys() for path in home.masks[name])
    return replace(
        bundle,
        masks={**home.masks, **bundle.masks},
        keeps=_united(home.keeps, bundle.keeps),
        layers=_united(home.layers, bundle.layers),
        refs=(*home.refs, *bundle.refs),
        looks=(*home.looks, *bundle.looks),
        xmps=(*home.xmps, *bundle.xmps),
        brief=bundle.brief or home.brief,
        reviews=(*home.reviews, *bundle.reviews),
        ambiguity=bundle.ambiguity or home.ambiguity,
        disputed=(*bundle.disputed, *home.disputed),
        home_campaign=home.campaign,
        left_behind=(*(path for path in left if path is not None), *replaced),
    )


def _united(first: Mapping[str, tuple[str, ...]], second: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name: (*first.get(name, ()), *second.get(name, ())) for name in (*first, *second)}


def _several_homes_sentence(bundle: Bundle, homes: Sequence[Bundle]) -> str:
    name, tray = display_name(bundle.stem), f"{REVIEW_FOLDER}/{bundle.tray}"
    places = " and in ".join(f"{display_name(home.campaign) or REVIEW_FOLDER}/" for home in homes[:4])
    example = display_name(next(home.campaign for home in homes if home.campaign))
    return f"Pictures called “{name}” wait in {places}: put each into a folder of its campaign, for example {tray}/{example}/."


def _rivals_sentence(bundle: Bundle, rivals: Sequence[Bundle]) -> str:
    trays = " and in ".join(f"{REVIEW_FOLDER}/{tray}" for tray in sorted({bundle.tray, *(rival.tray for rival in rivals)}))
    return f"“{display_name(bundle.stem)}” lies in {trays}: leave it in one of them."
