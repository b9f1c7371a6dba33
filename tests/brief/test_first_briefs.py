"""Briefs as people first write them: every note says what to write instead, and what it says works."""

from __future__ import annotations

import re
import time

import pytest

from goldsmith.brief.brief import read_brief
from goldsmith.brief.parsing import MAX_FILE_BYTES, BriefError, check_size, read_prompt
from goldsmith.brief.pipeline import Pipeline, read_pipeline
from goldsmith.brief.suggestions import fold
from goldsmith.files import resource_path
from goldsmith.ops import catalogue


@pytest.fixture(scope="module")
def shipped() -> Pipeline:
    return read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")


def refusal(text: str | bytes, pipeline: Pipeline, file: str = "hero.toml") -> BriefError:
    with pytest.raises(BriefError) as caught:
        read_brief(text.encode() if isinstance(text, str) else text, file, pipeline)
    return caught.value


ERASE, GRADE, TEXT, EXPORT = (
    '[[edit]]\nop = "erase"\n',
    '[[grade]]\nop = "grade"\n',
    '[[grade]]\nop = "text"\nstring = "SALE"\n',
    ('[[deliver]]\nop = "export"\nname = "web"\nformat = "jpeg"\n'),
)
RESIZE = '[[deliver]]\nop = "resize"\nsize = [800, 600]\n'

# Rows of (the brief without one part, the part as it was written, what the note says to write instead). The brief with it is read.
REPLACED = [
    (GRADE, "saturation = 1,1", "saturation = 1.1"),
    (GRADE, "saturation = .9", "saturation = 0.9"),
    (GRADE, "saturation = 1.", "saturation = 1.0"),
    (GRADE, "Saturation = 1.1", "saturation = 1.1"),
    (GRADE, "colour = 1.1", "saturation = 1.1"),
    (GRADE, 'saturation = "1,1"', "saturation = 1.1"),
    (GRADE, "look strength = 0.5", "look_strength = "),
    (GRADE, "look-strength = 0.5", "look_strength = 0.5"),
    (GRADE, 'preset = "warm"', 'look = "warm"'),
    (GRADE, "contrast = 20", "contrast = { amount = 20 }"),
    (GRADE, "temperature = 20", "white_balance = { temperature = 20 }"),
    (GRADE, 'shadows = { temperature = "-12" }', "temperature = -12"),
    (TEXT, 'color = "red"', 'colour = "red"'),
    (TEXT, "colour = #ff0000", 'colour = "#ff0000"'),
    (TEXT, "opacity = 80", "opacity = 0.8"),
    (TEXT, "shadow = true", "shadow = {}"),
    (TEXT, 'font = ["Arial", "Helvetica"]', 'font = "Arial"'),
    (TEXT, "fit = yes", "fit = true"),
    (TEXT, "fit = False", "fit = false"),
    (TEXT, 'fit = "yes"', "fit = true"),
    (TEXT, "fit = 1", "fit = true"),
    (TEXT, 'align = "Centre"', 'align = "center"'),
    (EXPORT, "width = 1920", "size = [1920, 1080]"),
    (EXPORT, "size = 1920x1080", "size = [1920, 1080]"),
    (EXPORT, "size = 1920 × 1080 px", "size = [1920, 1080]"),
    (EXPORT, 'size = "1920x1080"', "size = [1920, 1080]"),
    (EXPORT, "size = 1920", "size = [1920, 1920]"),
    (EXPORT, "dpi = 300", "ppi = 300"),
    (EXPORT, "max_kb = 400 kB", "max_kb = 400"),
    (EXPORT, "max_kb = 1,500", "1500"),
    (EXPORT, 'max_kb = "400 kB"', "max_kb = 400"),
    (EXPORT, 'quality = "80%"', "quality = 80"),
    (EXPORT, "quality = 080", "quality = 80"),
    (EXPORT, "size = (1920, 1080)", "size = [1920, 1080]"),
    (EXPORT, "size = { width = 1920, height = 1080 }", "size = [1920, 1080]"),
    (GRADE, 'contrast = "+20"', "contrast = { amount = 20 }"),
    (TEXT, 'position = "top"', 'valign = "top"'),
    (ERASE, 'where = "box(0,1, 0,2, 0,3, 0,4)"', "box(0.1, 0.2, 0.3, 0.4)"),
    (ERASE, 'where = "box 0.1 0.2 0.3 0.4"', "box(0.1, 0.2, 0.3, 0.4)"),
    ("", 'EDIT:\nop = "erase"', "[[edit]]"),
    (RESIZE, 'anchor = "Top Left"', 'anchor = "top-left"'),
    (RESIZE, "enlarge = True", "enlarge = true"),
    ('[[deliver]]\nop = "export"\n', 'filename = "out/web.jpg"', 'name = "web"'),
    ('[[deliver]]\nop = "check"\n', "min_ppi = 300", "ppi = 300"),
    ('[[grade]]\nop = "text"\n', 'text = "SALE"', 'string = "SALE"'),
    ('[[grade]]\nop = "composite"\n', 'layer = "logo"', 'layers = [{ from = "logo" }]'),
    ('[[grade]]\nop = "composite"\n', 'layers = ["logo"]', '{ from = "logo" }'),
    ('[[edit]]\nop = "inpaint"\n', 'lora = "style"', 'loras = [{ name = "style" }]'),
    ('[[edit]]\nop = "inpaint"\n', 'negative_prompt = "blur"', 'negative = "blur"'),
    ('[[edit]]\nop = "outpaint"\n', "aspect = 16:9", 'aspect = "16:9"'),
    ('[[edit]]\nop = "outpaint"\n', "aspect = 16/9", 'aspect = "16:9"'),
    ('[[edit]]\nop = "upscale"\n', "factor = 2x", "factor = 2"),
    ('[[edit]]\nop = "upscale"\n', 'factor = "2x"', "factor = 2"),
    (ERASE, "where = mask", 'where = "mask"'),
    (ERASE, 'where = "Background left"', "background & left"),
    (ERASE, 'where = "the upper left corner"', "top & left"),
    (ERASE, 'where = "background and left"', "background & left"),
    (ERASE, 'where = "hands + text"', "hands | text"),
    (ERASE, 'where = "not the face"', "!face"),
    (ERASE, 'where = ["background", "left"]', 'where = "background & left"'),
    ("[[edit]]\n", "op = erase", 'op = "erase"'),
    ("[[edit]]\n", 'op == "erase"', 'op = "erase"'),
    ("[[edit]]\n", 'op => "erase"', 'op = "erase"'),
    ("[[edit]]\n", 'op "erase"', 'op = "erase"'),
    ("[[edit]]\n", 'operation = "Erase"', 'op = "erase"'),
    ("[[edit]]\n", 'op = "remove the lamp"', 'op = "erase"'),
    ("[[edit]]\n", 'op = "Remove background"', 'op = "cutout"'),
    ("[[edit]]\n", 'erase = { where = "mask" }', 'op = "erase"'),
    ("[[grade]]\n", 'op = "color"', 'op = "grade"'),
    ("[[grade]]\n", 'op = "colour grade"', 'op = "grade"'),
    ("[[grade]]\n", 'op = "black and white"', 'op = "grade"'),
    ("[[grade]]\nsaturation = 1.1\n", "", 'op = "grade"'),
    ("[[deliver]]\n", 'op = "save"', 'op = "export"'),
    ("", "title = Spring hero", 'title = "Spring hero"'),
    ("", '[[edit] \nop = "erase"', "[[edit]]"),
    ("", '[edit]]\nop = "erase"', "[[edit]]"),
    ("", '[edit]\nop = "erase"', "[[edit]]"),
    ("", '[[Edit]]\nop = "erase"', "[[edit]]"),
    ("", '(edit)\nop = "erase"', "[[edit]]"),
]


@pytest.mark.parametrize(("rest", "written", "instead"), REPLACED, ids=[written or rest for rest, written, _ in REPLACED])
def test_the_note_says_what_to_write_and_that_is_accepted(rest: str, written: str, instead: str, shipped: Pipeline) -> None:
    """Refuse the brief as it was written; with what the note says in its place, it has no such mistake any more."""
    error = refusal(rest + written + "\n", shipped)
    assert instead in error.sentence
    assert len(error.sentence) < 320
    value = instead if "=" in instead or instead.startswith("[[") else f"{written.partition('=')[0]}= {_quoted(instead)}"
    value = f"shadows = {{ {value} }}" if written.startswith("shadows =") else value
    value = f"{value}0.5" if value.endswith("= ") else f"layers = [{instead}]" if instead.startswith("{") else value
    after = written.partition("\n")[2]
    read_brief(f"{rest}{value}\n{after}\n".encode(), "hero.toml", shipped)


def _quoted(instead: str) -> str:
    return instead if re.fullmatch(r"[\d.]+", instead) else f'"{instead}"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[erase]]\n", 'erase is an operation, not a stage: write [[edit]] and, on the next line, op = "erase".'),
        ("[[colour]]\nsaturation = 1.1\n", 'write [[grade]] (or [[edit]]) and, on the next line, op = "grade"'),
        ('[export]\nformat = "jpeg"\n', 'write [[deliver]] and, on the next line, op = "export"'),
        ('[edit.erase]\nwhere = "mask"\n', 'write [[edit]] and, on the next line, op = "erase"'),
        ('[[selected]]\nop = "erase"\n', "selected is a folder: the steps for what lies in selected/ are written under [[edit]]."),
        (
            '[[delivered]]\nop = "export"\n',
            "is the last folder, where nothing more is done: its files are made under [[deliver]].",
        ),
        (
            'op = "erase"\nwhere = "mask"\n',
            'op stands above the first step: write [[edit]] on a line of its own above op = "erase".',
        ),
        ("saturation = 1.1\n", 'saturation belongs to a step: write [[grade]] (or [[edit]]) and op = "grade" above it.'),
        ("feather = 3\n", "feather belongs to a step: it is a setting of"),
        ('[[steps]]\nop = "upscale"\n', "each step stands under the name of its stage: [[edit]]"),
        ('edit = "remove"\n', '[[edit]] with op = "erase" on the next line.'),
        ('edit = ["erase", "upscale"]\n', 'with op = "erase" on the next line, and so on for each operation.'),
        ('[[edit]]\nop = "export"\n', 'edit.1.op is "export", which is not allowed in this stage: write it under [[deliver]].'),
        ('[[edit]]\nop = "jpg"\n', 'write op = "export" under [[deliver]].'),
        ('[[edit]]\nop = "frobnicate"\n', "there is: correct, cutout,"),
        (
            '[[edit]]\nop = "erase"\nmask = "lamp.png"\n',
            "masks are not named in a brief: lay the mask beside the picture as hero.mask.png.",
        ),
        ('[[edit]]\nop = "grade"\nmask = "lamp.png"\n', 'lay the mask beside the picture as hero.mask.png and write where = "mask".'),
        ('mask = "lamp.png"\n', "masks are not named in a brief: lay the mask beside the picture as hero.mask.png."),
        ('[[edit]]\nop = "upscale"\ninput = "hero.png"\n', "files are not named in a brief: the step works on the picture"),
        ('input = "hero.png"\n', "the brief belongs to the picture beside it, “hero”"),
        ('[[edit]]\nop = "erase"\nwhere = "the lamp"\n', "no region is called so; there is subject, background, face, hands, text, left"),
        ("prompt = 'it's a lamp'\n", "a text in 'quotes' has no ' in it: put it in double quotes"),
        ("[edit]\n[[edit]]\nop = 'erase'\n", "edit was written with one bracket before: write [[edit]] each time"),
        ("[[edit]]\n[[edit]]\nop = 'erase'\n", "edit.1 is empty: write the step's operation in it, or delete it."),
        ('negative_prompt = "blur"\n', "negative_prompt belongs to a step: it is a setting of inpaint, outpaint and regenerate."),
        ('[[deliver]]\nop = "export"\nformat = "gif"\n', "“gif” is not one of png, tiff, webp, avif, jpeg, psd, ora, pdf."),
        ('notes = "for Anna"\n', "write a remark as a line that begins with #"),
        ('description = "a lamp"\n', 'the words for the picture are written as prompt = "…"'),
        ('copyright = "(c) Anna"\n', 'it is written as rights = "…".'),
        ('Author = "Anna"\n', 'it is written as creator = "…".'),
        ('name = "Spring"\n', 'its title is written as title = "…"'),
        ('[[deliver]]\nop = "export"\nquality = "high"\n', "must be a whole number from 1 to 100"),
        ("[[edit]]\nop = “erase”\n", "line 2: the quote “ is curly: write straight ones"),
        ("[[edit]]\nop = «erase»\n", "line 2: the quote « is curly"),
        ('[[edit]]\nop\u00a0= "erase"\n', "line 2: it has a no-break space (U+00A0) in it"),
        ('[[edit]]\nop =\u200b "erase"\n', "line 2: it has an invisible character (U+200B) in it"),
        ('［［edit］］\nop = "erase"\n', "line 1: “［” is not the plain sign: write ["),
        ('[[edit]]\nop = "erase";\n', "line 2: delete the ; at the end of the line"),
        ('[[edit]]\nop = "erase",\nwhere = "mask"\n', "line 2: delete the , at the end of the line"),
        ('[[edit]] op = "erase"\n', "line 1: write [[edit]] alone on its line"),
        ('[[edit op="erase"]]\n', "line 1: write [[edit]] alone on its line"),
        ('[[edit]]\nop = "erase" // the lamp\n', "line 2: a remark begins with #"),
        ('// the lamp\n[[edit]]\nop = "erase"\n', "line 1: a remark begins with #"),
        ('[[edit]]\nop = "erase" please\n', "line 2: delete what stands behind the value, or put # before it"),
        ('[[edit]]\nop = "erase"\n---\n', "line 3: a line of signs means nothing here"),
        ('[[edit]]\nop = "erase", where = "mask"\n', "line 2: write each setting on a line of its own, without commas"),
        ("[[edit]]\nop = 'erase\"\n", "line 2: a text begins and ends with the same quote"),
        ('prompt = "a "vintage" lamp"\n', 'line 1: a text in "quotes" has no quotes in it: put it in single ones'),
        ("[[edit]]\nop =\n", "line 2: the value of op is missing"),
        ('[[edit]]\nop = "inpaint"\nmodel = none\n', "line 3: for no value, leave the line out: delete model = none"),
        ('[[grade]]\nop = "grade"\nshadows = {\n  tint = 3\n}\n', "line 3: a table in braces stands on one line"),
        (b'[[edit]]\rop = "erase"\r', "line 1 has the line ends of an old Mac (CR alone)"),
        ('[[edit]]\nop = "erase"\n'.encode("utf-16"), "is encoded as UTF-16: save it as UTF-8."),
        ('[[edit]]\nop = "erase"\n'.encode("utf-16-le"), "is encoded as UTF-16: save it as UTF-8."),
        ('prompt = "schön"\n'.encode("cp1252"), "line 1 has bytes that are not UTF-8 (the editor saved it as ANSI"),
        ('deliver = [{ op = "text", string = "X", font = "../Arial" }]', 'deliver.1.font is "../Arial": “../Arial” is a path'),
        ('deliver = [{ op = "text", string = "X", font = { family = "Arial" } }]', "deliver.1.font is { family"),
        (
            'deliver = [{ op = "text", string = "X", box = [0.5, 0.5, 0.9, 0.9] }]',
            "deliver.1.box is [0.5, 0.5, 0.9, 0.9]: box is [left,",
        ),
        ('[[deliver]]\nop = "resize"\n', "deliver.1: give exactly one of size, factor and percent"),
    ],
)
def test_a_first_brief_gets_a_sentence_that_helps(text: str | bytes, expected: str, shipped: Pipeline) -> None:
    """Check the sentence about one mistake; there is only that one."""
    error = refusal(text, shipped)
    assert expected in error.sentence
    assert len(error.problems) == 1


@pytest.mark.parametrize(
    ("content", "kind", "remedy"),
    [
        ("Please remove the lamp in the back", "plain words", "call it hero.txt"),
        ("erase", "plain words", "call it hero.txt"),
        ("- remove the lamp\n- make it warmer\n", "plain words", "call it hero.txt"),
        ("From: Anna\nTo: Ben\n\nplease remove the lamp and make it warmer, thanks\n", "plain words", "call it hero.txt"),
        ("# Brief\n\n**Remove** the lamp, please\n", "plain words", "call it hero.txt"),
        ('{\\rtf1\\ansi [[edit]]\\\nop = "erase"}', "an RTF document", "Save it as plain text"),
        ('{ "edit": [ {"op": "erase"} ] }', "JSON", "in place of the JSON"),
        ('[\n {"op": "erase"}\n]', "JSON", "in place of the JSON"),
        ("{'edit': [{'op': 'erase'}]}", "JSON", "in place of the JSON"),
        ("edit:\n  - op: erase\n", "YAML", "in place of the YAML"),
        ("op: erase\nwhere: mask\n", "YAML", "in place of the YAML"),
        ('```toml\n[[edit]]\nop = "erase"\n```\n', "Markdown", "delete the ```"),
        ("<!DOCTYPE html><p>remove the lamp", "an HTML page", "Remove it"),
        (b"PK\x03\x04" + b"\x14\0" * 40, "a Word, Pages or OpenOffice document", "Save it as plain text"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 40, "an old Word or Office document", "Save it as plain text"),
        (b"%PDF-1.4\n1 0 obj", "a PDF", "Remove it"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 300, "a PNG picture", "rename it to hero.png"),
        (b"\xff\xd8\xff\xe0" + b"\1" * 300, "a JPEG picture", "rename it to hero.jpg"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 2 * MAX_FILE_BYTES, "a PNG picture", "rename it to hero.png"),
    ],
)
def test_a_file_that_is_no_brief_is_called_by_its_kind(content: str | bytes, kind: str, remedy: str, shipped: Pipeline) -> None:
    """Name the kind and the way out, and do not ask for a correction."""
    error = refusal(content, shipped)
    assert error.sentence.startswith(f"hero.toml is {kind}")
    assert remedy in error.remedy
    assert "Correct it" not in error.remedy


def test_words_in_a_campaign_s_brief_are_not_sent_to_a_prompt_of_one_picture(shipped: Pipeline) -> None:
    """There is no ``brief.txt`` for a campaign."""
    assert 'prompt = "…"' in refusal("Make everything warmer", shipped, "brief.toml").remedy
    assert "NAME.mask.png" in refusal('[[edit]]\nop = "erase"\nmask = "x.png"\n', shipped, "brief.toml").sentence


def test_a_large_file_is_called_by_its_kind_without_being_read() -> None:
    """A picture of 457 KiB that is called .toml is not told to be corrected; a large text is told to be shortened."""
    with pytest.raises(BriefError, match=r"hero\.toml is a PNG picture, not plain text") as caught:
        check_size(457 * 1024, "hero.toml", b"\x89PNG\r\n\x1a\n" + b"\0" * 504)
    assert caught.value.remedy.startswith("If it is the picture, rename it to hero.png")
    with pytest.raises(BriefError, match=r"hero\.toml has 457 KiB; more than 256 KiB is not read") as caught:
        check_size(457 * 1024, "hero.toml", b"a" * 512)
    assert caught.value.remedy == "Shorten it, or remove it if it is no brief."


@pytest.mark.parametrize("content", [b"{\\rtf1 make it warmer}", b"\x89PNG\r\n\x1a\n\0\0\0\0", b"<html><body>warmer"])
def test_a_prompt_that_is_a_document_is_refused(content: bytes) -> None:
    """The codes of a document must not become the prompt."""
    with pytest.raises(BriefError, match="not plain text"):
        read_prompt(content, "hero.txt")


@pytest.mark.parametrize("words", ["make the background warmer", "BM is a brand; ID3 too", "Ogg", "{warm} light", "MZ"])
def test_a_prompt_may_begin_with_any_words(words: str) -> None:
    """Text that only begins like a binary file is text."""
    assert read_prompt(words.encode(), "hero.txt") == words


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("a " * 60_000, id="words"),
        pytest.param("a " * 60_000 + "=", id="a name of many words"),
        pytest.param('"\\"' * 60_000, id="escaped quotes"),
        pytest.param("x = " + " " * 120_000 + ";", id="spaces"),
        pytest.param("x = " + "[" * 10 + '"' * 100_000, id="quotes"),
        pytest.param(("x = 1,1" + " " * 200 + "\n") * 600, id="many mistakes"),
        pytest.param(("- " + "a: " * 100 + "\n") * 400, id="lists"),
        pytest.param(" \n" * 100_000 + "```", id="blank lines"),
        pytest.param("{" + '"a":' * 40_000, id="JSON"),
        pytest.param("[" + "{}," * 40_000, id="a list of tables"),
        pytest.param("".join(f"[[x{number}]]\nop = 'y'\n" for number in range(2000)), id="unknown stages"),
        pytest.param("[[edit]]\n" * 64 + "".join(f"colr{number} = 1\n" for number in range(4000)), id="unknown settings"),
        pytest.param("".join(f"op{number} = 'erase it'\n" for number in range(4000)), id="unknown names"),
    ],
)
def test_a_hostile_brief_is_refused_quickly(line: str, shipped: Pipeline) -> None:
    """The search for what was meant takes little time, whatever stands there."""
    start = time.process_time()
    refusal(line, shipped)
    assert time.process_time() - start < 3


def test_the_other_names_of_operations_lead_to_one_operation() -> None:
    """No two operations claim a word, none claims another's own name, and every renamed setting exists."""
    operations = catalogue()
    words = [(fold(word), name) for name, operation in operations.items() for word in operation.also_called.split()]
    assert [word for word, name in words if word in operations and word != name] == []
    assert [word for word, _ in words if [each for each, _ in words].count(word) > 1] == []
    settings = [(name, key) for name, operation in operations.items() for key in operation.settings_also_called]
    assert [pair for pair in settings if pair[1] not in operations[pair[0]].model_fields] == []
    assert {name for _, name in words} == set(operations)
