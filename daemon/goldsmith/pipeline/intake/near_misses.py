"""Near misses: file names that are probably meant as something else, each with a question and the name that Goldsmith would take.

Names alone are looked at. Nothing is taken by guess: the question is shown to people, and changes nothing.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from goldsmith.files import display_name, fold_name
from goldsmith.picture.formats.table import describe_suffix, is_mask_suffix
from goldsmith.pipeline.intake.file_names import ParsedName, classify

# The word for a mask in several languages, and its usual misspellings.
_MASK_WORDS = (
    *("masks?", "msk", "maks", "msak", "masken?", "masques?", "maschera", "maschere", "m[aá]scaras?", "masker", "maski", "maska"),
    *("маска", "マスク", "蒙版", "遮罩", "마스크"),
)
_SEPARATORS = r"[\s._()\[\]+-]"
_MASK_WORD = re.compile(rf"(?:^|(?<={_SEPARATORS}))(?:{'|'.join(_MASK_WORDS)})\d*(?=$|{_SEPARATORS})")
_JOINED_WORD = re.compile(r"(?<=.)masks?\d*$")
_MASK_FOLDER = re.compile("|".join(_MASK_WORDS))
# Words between a picture's name and the word for a mask, or before the picture's name, that say nothing about which picture is meant.
_FILLER = re.compile(
    r"(?:of|for|von|f[uü]r|de|du|di|do|copy|copie|copia|kopie|kopia|final|new|neu|alpha|inpaint|paint|bw|erase|edit|v?\d+)", re.IGNORECASE
)
_TRIMMED = " \t._-()[]+"


class NamedFolder(Protocol):
    """The names in a folder, as far as a question needs them."""

    path: str

    def pictures_with_stem(self, stem: str) -> Sequence[str]:
        """Return the names of the pictures with this folded stem."""

    def has_mask(self, stem: str) -> bool:
        """Return whether a picture with this folded stem has an unnamed mask."""

    def some_pictures(self) -> Sequence[str]:
        """Return the names of the pictures that are no near misses themselves, two at most."""


class NameQuestion(NamedTuple):
    """A question about a name, and the picture of the same folder that it concerns ("" = none, or several are possible)."""

    name: str
    picture: str
    sentence: str


@lru_cache(maxsize=1024)
def is_near_miss(name: str) -> bool:
    """Return whether there may be a question about this name. It is cheap, because every name in the folders is asked."""
    role = classify(name).role
    if role in ("other", "litter"):
        return bool(_sentence_about_ignored(name))
    if role == "mask":
        return _without_fillers(fold_name(classify(name).stem)) != fold_name(classify(name).stem)
    return role == "foreign" or (role == "picture" and _says_mask(_folded_base(name)))


def is_mask_folder(path: str) -> bool:
    """Return whether a folder inside a stage's folder is called ``masks``, in any of the languages."""
    return "/" in path and _MASK_FOLDER.fullmatch(fold_name(posixpath.basename(path))) is not None


def ask_about_names(folder: NamedFolder, near_misses: Iterable[str], parent: NamedFolder | None = None) -> list[NameQuestion]:
    """Return the questions about these names of a folder. ``parent``: the folder above a folder of masks."""
    questions = (ask_about_name(folder, name, parent) for name in near_misses)
    return [question for question in questions if question is not None]


def ask_about_name(folder: NamedFolder, name: str, parent: NamedFolder | None = None) -> NameQuestion | None:
    """Return the question about one name of a folder; None if there is none. ``parent``: the folder above a folder of masks."""
    parsed = classify(name)
    if parsed.role in ("other", "litter"):
        sentence = _sentence_about_ignored(name)
        return NameQuestion(name, "", sentence) if sentence else None
    if parent is not None and is_mask_folder(folder.path):
        return _ask_about_mask_folder(parent, folder, name, parsed)
    if parsed.role == "mask" and folder.pictures_with_stem(fold_name(parsed.stem)):
        return None
    if parsed.role in ("picture", "mask") or (parsed.foreign_role == "foreign" and _says_mask(_folded_base(name))):
        question = _ask_about_mask(folder, name)
        if question is not None:
            return question
    return _ask_about_foreign(folder, name, parsed) if parsed.role == "foreign" else None


def _ask_about_mask(folder: NamedFolder, name: str) -> NameQuestion | None:
    stems = _possible_stems(_folded_base(name))
    for stem in stems:
        pictures = [picture for picture in folder.pictures_with_stem(stem) if picture != name]
        if pictures:
            return None if folder.has_mask(stem) else _mask_question(name, pictures)
    if any(map(_without_fillers, stems)):
        return None
    pictures = [picture for picture in folder.some_pictures() if picture != name]
    if len(pictures) == 1:
        return _mask_question(name, pictures)
    suffix = _mask_suffix(name)
    return NameQuestion(name, "", f"Is “{display_name(name)}” a mask? Call it after its picture: “NAME.mask{suffix}”.")


def _mask_question(name: str, pictures: Sequence[str]) -> NameQuestion:
    """Return the question whether a file is the mask of a picture, or of one of several with the same stem."""
    suffix = _mask_suffix(name)
    stems = pictures if len(pictures) > 1 else [os.path.splitext(pictures[0])[0]]
    whose = " or ".join(f"“{display_name(picture)}”" for picture in pictures)
    new_names = " or ".join(f"“{display_name(stem)}.mask{suffix}”" for stem in stems)
    verb = "Call it" if is_mask_suffix(os.path.splitext(name)[1].lower()) else "Save it as"
    sentence = f"Is “{display_name(name)}” the mask of {whose}? {verb} {new_names}."
    return NameQuestion(name, pictures[0] if len(pictures) == 1 else "", sentence)


def _ask_about_mask_folder(parent: NamedFolder, folder: NamedFolder, name: str, parsed: ParsedName) -> NameQuestion | None:
    """Return the question about a file in a folder of masks that is named like a picture in the folder above."""
    if parsed.role not in ("picture", "mask", "foreign"):
        return None
    stems = [fold_name(parsed.stem), *_possible_stems(_folded_base(name))]
    pictures = next(filter(None, map(parent.pictures_with_stem, stems)), ())
    if not pictures:
        return None
    own = display_name(f"{posixpath.basename(folder.path)}/{name}")
    sentence = _mask_question(name, pictures).sentence.replace(f"“{display_name(name)}”", f"“{own}”", 1)
    sentence = f"{sentence} A mask lies beside its picture, so move it to {display_name(parent.path)}/."
    return NameQuestion(name, "", sentence)


def _ask_about_foreign(folder: NamedFolder, name: str, parsed: ParsedName) -> NameQuestion | None:
    """Return a sentence about a picture in a format that is not read; None if a picture of its name is there, which is used instead."""
    if folder.pictures_with_stem(fold_name(parsed.stem)):
        return None
    base, suffix = os.path.splitext(name)
    kind = describe_suffix(suffix.lower())
    new_name = display_name(f"{base}.png")
    return NameQuestion(name, "", f"“{display_name(name)}” is {kind}, which Goldsmith does not read: save it as “{new_name}”.")


def _sentence_about_ignored(name: str) -> str:
    """Return the sentence about a file that would be a picture or a sidecar under a slightly different name; "" if it would not."""
    trimmed = name.rstrip(" .")
    if classify(name).role == "litter":
        return ""
    if trimmed != name and classify(trimmed).role not in ("other", "litter"):
        what = "a space" if name.endswith(" ") else "a full stop"
        return f"“{display_name(name)}” ends in {what}: call it “{display_name(trimmed)}”."
    return ""


def _mask_suffix(name: str) -> str:
    suffix = os.path.splitext(name)[1]
    return suffix if is_mask_suffix(suffix.lower()) else ".png"


@lru_cache(maxsize=1024)
def _possible_stems(base: str) -> tuple[str, ...]:
    """Return the folded stems that a folded name with the word for a mask may refer to, the most likely first; none for the bare word."""
    stems: list[str] = []
    word = _MASK_WORD.search(base)
    if word is None:
        return (_JOINED_WORD.sub("", base),)
    before, after = base[: word.start()].strip(_TRIMMED), base[word.end() :].strip(_TRIMMED)
    for text in filter(None, (before, after)):
        stems += [text, _without_fillers(text)]
    if before and after:
        stems = [stem for stem in stems if stem in (before, _without_fillers(before))]
    return tuple(dict.fromkeys(filter(None, stems)))


def _without_fillers(text: str) -> str:
    """Return the text without filler words at its start and its end."""
    words = re.split(rf"({_SEPARATORS}+)", text)
    while words and (_FILLER.fullmatch(words[0]) or not words[0].strip(_TRIMMED)):
        words.pop(0)
    while words and (_FILLER.fullmatch(words[-1]) or not words[-1].strip(_TRIMMED)):
        words.pop()
    return "".join(words)


def _says_mask(base: str) -> bool:
    return _MASK_WORD.search(base) is not None or _JOINED_WORD.search(base) is not None


def _folded_base(name: str) -> str:
    return fold_name(os.path.splitext(name)[0])
