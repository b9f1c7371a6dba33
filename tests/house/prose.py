"""Checks of docstrings, comments and names against the project's rules of plain English.

``python tests/house/prose.py daemon/goldsmith/picture`` prints what breaks a rule; ``test_prose.py`` holds the rules for the package.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef

# A docstring that begins with one of these words describes a thing; the docstring of a function gives an instruction.
NOT_IMPERATIVE = frozenset(
    [
        "a",
        "all",
        "an",
        "any",
        "as",
        "at",
        "both",
        "by",
        "each",
        "every",
        "false",
        "for",
        "here",
        "how",
        "if",
        "in",
        "it",
        "its",
        "many",
        "more",
        "most",
        "no",
        "none",
        "of",
        "on",
        "one",
        "only",
        "other",
        "some",
        "such",
        "that",
        "the",
        "their",
        "there",
        "these",
        "this",
        "those",
        "to",
        "true",
        "two",
        "what",
        "when",
        "where",
        "whether",
        "which",
        "who",
        "whoever",
        "whose",
        "why",
        "with",
    ]
)
ARRAYS = re.compile(r"\b(Pixels|Mask|NDArray|ndarray|\w+Array|BoolMask|Landmarks|Points|Codes|Plane)\b")
SHAPE = re.compile(r"\((?:[a-z0-9_][\w ./+*-]*)(?:, ?[\w ./+*-]+)*,?\)")
RANGE = re.compile(
    r"\d ?\.\. ?\d|0 or 1|bool|\bpx\b|codes?\b|unbounded|percent|degrees|nits|indices|coordinates|counts?\b|mm\b|nm\b|units?\b|em\b|bytes"
)
# Words of the first version of the code, each replaced by the usual term.
OLD_WORDS = re.compile(r"\b(foreman|slates?|legs?|seats?|shops?|sights?|lanes?|bench|plate|house|houses|shelf|shelves)\b", re.IGNORECASE)
TRUE_USES = re.compile(
    r"printing plates?|plate == ink|for plate in|tests[/.]house|tests[/.]bench|(from|import|make|mark\.|not|-m) bench|library/plates?"
    r"|license plate|face-plate"
)
# The word that names the benchmarks in their own folder.
TRUE_WORDS = {"bench": "bench"}
# These files must spell the old words to find them.
CHECKER = ("prose.py", "test_prose.py")
# As the whole name of a variable, a parameter or a function, these do not say what the value is.
VAGUE_NAMES = frozenset(
    [
        "asked",
        "came",
        "drawn",
        "found",
        "given",
        "gone",
        "heard",
        "here",
        "judged",
        "laid",
        "lies",
        "looked",
        "made",
        "meant",
        "named",
        "one",
        "painted",
        "ran",
        "said",
        "seen",
        "shown",
        "stands",
        "stood",
        "taken",
        "there",
        "thought",
        "told",
        "wanted",
    ]
)


def functions(tree: ast.Module) -> Iterator[tuple[Function, bool]]:
    """Yield every function that is not nested in another, and whether it is public."""
    for node in tree.body:
        if isinstance(node, Function):
            yield node, not node.name.startswith("_")
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function):
                    yield inner, not (inner.name.startswith("_") or node.name.startswith("_"))


def is_property(node: Function) -> bool:
    """Return whether the function is read like an attribute."""
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def not_imperative(tree: ast.Module) -> Iterator[str]:
    """Yield the functions whose docstring does not begin with a verb."""
    for node, _ in functions(tree):
        words = re.findall(r"[\w`']+", ast.get_docstring(node) or "")
        if words and not is_property(node) and words[0].lower() in NOT_IMPERATIVE:
            yield f"{node.lineno} {node.name}: the docstring begins with “{words[0]}”, not with what the function does"


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield every statement below a node, but not what is inside expressions: so classes and functions are found soon."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for each in getattr(node, part, ()) if not isinstance(node, ast.expr) else ():
            if isinstance(each, ast.stmt):
                yield each
            yield from statements(each)


def documented_methods(classes: list[ast.ClassDef]) -> frozenset[str]:
    """Return the names of the methods that a protocol documents, so that an implementation need not repeat it."""
    protocols = [node for node in classes if any(ast.unparse(base).startswith("Protocol") for base in node.bases)]
    methods = [inner for node in protocols for inner in node.body if isinstance(inner, Function)]
    return frozenset(method.name for method in methods if SHAPE.search(ast.get_docstring(method) or ""))


def without_shape(tree: ast.Module, documented: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the public functions that take or return an array and do not give its shape and its range or unit.

    A method without a docstring whose name is in ``documented`` implements a protocol that gives both.
    """
    for node, is_public in functions(tree):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        annotations = [ast.unparse(each) for each in [*(argument.annotation for argument in arguments), node.returns] if each is not None]
        if not is_public or not any(ARRAYS.search(annotation) for annotation in annotations):
            continue
        text = ast.get_docstring(node) or ""
        if not text and node.name in documented:
            continue
        if not SHAPE.search(text):
            yield f"{node.lineno} {node.name}: no shape of its arrays"
        elif not RANGE.search(text):
            yield f"{node.lineno} {node.name}: no range or unit of its arrays"


def strings_as_comments(tree: ast.Module, pydantic: frozenset[str]) -> Iterator[str]:
    """Yield constants and plain attributes that are explained by a string after them instead of a comment."""
    for holder in ast.walk(tree):
        if not isinstance(holder, ast.Module | ast.ClassDef | Function) or getattr(holder, "name", "") in pydantic:
            continue
        for first, second in zip(holder.body, holder.body[1:], strict=False):
            is_text = isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant) and isinstance(second.value.value, str)
            if isinstance(first, ast.Assign | ast.AnnAssign) and is_text:
                yield f"{second.lineno}: a string after a constant; write a comment above it"


# ``name`` anywhere, or "name: meaning" at the start of a line or of a sentence.
FIELD = re.compile(r"``([a-z_]\w*)``|(?:^|[.;] )((?:[a-z_]+, )*[a-z_]+):(?= )", re.MULTILINE)


def unknown_fields(tree: ast.Module, known: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the names that the docstring of a class explains, but that neither the class nor ``known`` has."""
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, ast.ClassDef) else None
        if text is None or not any(isinstance(inner, ast.AnnAssign) for inner in node.body):  # type: ignore[attr-defined]
            continue
        has = set(known)
        for inner in ast.walk(node):
            has |= {getattr(inner, part) for part in ("id", "attr", "arg", "name") if isinstance(getattr(inner, part, None), str)}
        # A role, a kind or a tag of a file format.
        constants = {inner.value for inner in ast.walk(tree) if isinstance(inner, ast.Constant)} if FIELD.search(text) else set()
        has |= {word.decode("latin-1") if isinstance(word, bytes) else str(word) for word in constants}
        explained = {word for quoted, listed in FIELD.findall(text) for word in ([quoted] if quoted else listed.split(", "))}
        yield from (f"{node.lineno}: the docstring of {node.name} explains “{word}”, which it lacks" for word in sorted(explained - has))


def old_words(source: str, path: Path = Path()) -> Iterator[str]:
    """Yield the comments, strings and names that contain a word the project no longer uses, unless the file at ``path`` needs the word."""
    if path.name in CHECKER:
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING, tokenize.NAME) or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            text = token.string.replace("_", " ") if token.type == tokenize.NAME else token.string
            for word in OLD_WORDS.findall(TRUE_USES.sub("", text)):
                if word.lower() == TRUE_WORDS.get(path.parent.name):
                    continue
                yield f"{token.start[0]}: “{word}” in {token.string.strip()[:60]!r}"


def vague_names(tree: ast.Module) -> Iterator[str]:
    """Yield the variables, parameters and functions whose whole name is a bare participle or pronoun."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, Function):
            name = node.name
        else:
            continue
        if name.strip("_") in VAGUE_NAMES:
            yield f"{node.lineno}: “{name}” does not say what it holds; name the thing"


def pydantic_classes(classes: list[ast.ClassDef]) -> frozenset[str]:
    """Return the names of all classes that inherit from a pydantic model, directly or not."""
    bases: dict[str, set[str]] = {}
    for node in classes:
        bases.setdefault(node.name, set()).update(ast.unparse(base).split(".")[-1].split("[")[0] for base in node.bases)
    models = {"BaseModel", "BaseSettings"}
    while more := {name for name, parents in bases.items() if parents & models} - models:
        models |= more
    return frozenset(models)


class Package(NamedTuple):
    """What the rules must know of the whole package to judge one of its modules."""

    pydantic: frozenset[str]
    documented: frozenset[str]
    # The names of all packages, modules, classes and functions.
    defined: frozenset[str]

    @classmethod
    def read(cls, sources: list[Path]) -> Package:
        """Return the facts of these sources."""
        nodes = [node for path in sources for node in statements(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef | Function)]
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        names = {name for path in sources for name in (path.stem, path.parent.name)} | {node.name for node in nodes}
        return cls(pydantic_classes(classes), documented_methods(classes), frozenset(names))


def violations(path: Path, package: Package) -> list[str]:
    """Return every violation in a module of the package; in a test, only those of its words and names."""
    source = path.read_text()
    tree = ast.parse(source)
    word_violations = [*vague_names(tree), *old_words(source, path)]
    if "tests" in path.parts:
        return word_violations
    return [
        *word_violations,
        *not_imperative(tree),
        *without_shape(tree, package.documented),
        *strings_as_comments(tree, package.pydantic),
        *unknown_fields(tree, package.defined),
    ]


def main(arguments: list[str]) -> None:
    """Print every violation in the given files and folders."""
    package = Package.read(sorted((Path(__file__).parents[2] / "daemon").rglob("*.py")))
    for argument in arguments:
        for path in sorted(Path(argument).rglob("*.py")) if Path(argument).is_dir() else [Path(argument)]:
            for violation in violations(path, package):
                print(f"{path}:{violation}")


if __name__ == "__main__":
    main(sys.argv[1:])
