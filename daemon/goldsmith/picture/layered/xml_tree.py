"""Read XML of strangers into elements, with limits: no entities, few elements, and few of them inside each other."""

from __future__ import annotations

from typing import NoReturn
from xml.etree.ElementTree import Element
from xml.parsers import expat

from goldsmith.picture.formats.image_info import damaged_error

_MAX_ELEMENTS, _MAX_DEPTH = 20_000, 256
_MAX_TEXT = 1 << 20


class _TreeBuilder:
    def __init__(self, name: str, label: str) -> None:
        self._name, self._label = name, label
        self._open: list[Element] = []
        self._count = self._text_length = 0
        self.root: Element | None = None
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.EntityDeclHandler = self._entity
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _fail(self, detail: str) -> NoReturn:
        raise damaged_error(self._name, f"its {self._label} {detail}")

    def _entity(self, *_: object) -> NoReturn:
        self._fail("defines entities, which no picture program does")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > _MAX_ELEMENTS:
            self._fail(f"has more than {_MAX_ELEMENTS:,} elements")
        if len(self._open) >= _MAX_DEPTH:
            self._fail(f"has more than {_MAX_DEPTH} elements inside each other")
        element = Element(tag.rpartition(" ")[2], {key.rpartition(" ")[2]: value for key, value in attributes.items()})
        if self._open:
            self._open[-1].append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._text_length += len(text)
        if self._text_length > _MAX_TEXT:
            self._fail("has very long texts")
        # Texts behind a child are not read; joined to what is there, they would take time that grows with its square.
        if self._open and not len(self._open[-1]):
            self._open[-1].text = (self._open[-1].text or "") + text


def parse_xml(data: bytes, name: str, label: str) -> Element:
    """Return the root element, with tags and attributes without their namespaces. ``label`` says in a sentence what of ``name`` it is.

    Raises InputError if it is not well-formed, defines entities or is beyond the limits.
    """
    builder = _TreeBuilder(name, label)
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise damaged_error(name, f"its {label} makes no sense") from error
    if builder.root is None:
        raise damaged_error(name, f"its {label} is empty")
    return builder.root


def read_number(element: Element, attribute: str, default: float = 0.0) -> float:
    """Return an attribute as a number; the default if it is missing or no finite number below 2**31."""
    try:
        value = float(element.get(attribute, default))
    except ValueError:
        return default
    return value if abs(value) < 2**31 else default
