"""The preflight report as one HTML file: no scripts, no external content, and equal bytes for equal findings."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from goldsmith.ops.check.preflight import CheckedFile, CheckResult, PreflightCheck, worst_result
from goldsmith.picture.formats.table import FORMATS

_VERDICTS: dict[CheckResult, str] = {"pass": "Passed", "warn": "Passed with remarks", "fail": "Not passed"}
# Names of the checks for readers who have never seen a brief.
_CHECK_LABELS = {
    "file": "File on disk",
    "size": "Pixel size",
    "ppi": "Resolution in print, ppi",
    "format": "File format",
    "depth": "Bits per channel",
    "profile": "Colour profile",
    "bytes": "File size",
    "alpha": "Transparency",
    "bleed": "Bleed",
    "coverage": "Ink coverage",
    "words": "Word in the picture",
    "thumbnail": "Word in a thumbnail",
    "clipping": "Blown highlights",
    "black": "Pure black",
    "safe": "Safe area",
    "erase": "Removed content",
    "faces": "Faces",
}
_ORDER: dict[CheckResult, int] = {"fail": 0, "warn": 1, "pass": 2}
_RESULT_LABELS: dict[CheckResult, str] = {"pass": "✓ as expected", "warn": "! remark", "fail": "✗ fault"}
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; background: #fff; color: #1d1c1a;
  font: 16px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; grid-column: 1 / -1; }
.verdict { display: inline-block; padding: .15rem .7rem; border-radius: 1rem; font-weight: 600; }
.pass { background: #e3f1e5; color: #17501f; } .warn { background: #fdf0d2; color: #6b4500; } .fail { background: #fbe0dd; color: #86180d; }
.file { border-top: 1px solid #d8d5cf; margin-top: 1.5rem; padding-top: 1.2rem; display: grid; gap: .7rem 1.2rem; }
.file > * { min-width: 0; }
.remarks { border-top: 1px solid #d8d5cf; margin-top: 1.5rem; padding-top: 1.2rem; }
.remarks ul { margin: .5rem 0 0; padding-left: 1.2rem; } .remarks li { overflow-wrap: anywhere; }
@media (min-width: 44rem) { .file { grid-template-columns: 17rem 1fr; } }
img { display: block; max-width: 100%; max-height: 20rem; border: 1px solid #d8d5cf; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .8rem; margin: .7rem 0 0; font-size: .85rem; }
dt { color: #6a665f; } dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid #ebe8e3; overflow-wrap: anywhere; }
th { color: #6a665f; font-weight: 500; }
td:last-child { white-space: nowrap; } td:first-child { width: 26%; } td:last-child { width: 6.5rem; text-align: right; padding-right: 0; }
@media (max-width: 36rem) { tr { display: grid; grid-template-columns: 1fr auto; padding: .45rem 0; border-bottom: 1px solid #ebe8e3; }
  tr:first-child { display: none; } td { border: 0; padding: 0; } td:first-child, td:last-child { width: auto; }
  td:first-child { font-weight: 600; } td:last-child { grid-column: 2; grid-row: 1; }
  td:nth-child(2), td:nth-child(3) { grid-column: 1 / 3; } td[data-is]::before { content: attr(data-is) ": "; color: #6a665f; } }
td span { padding: .05rem .5rem; border-radius: .6rem; font-size: .8rem; font-weight: 600; }
@media print { body { padding: 0; max-width: none; font-size: 9.5pt; }
  .file { grid-template-columns: 5cm 1fr; margin-top: 1rem; padding-top: .8rem; }
  .file > div:first-child, tr { break-inside: avoid; } h2, tr:first-child { break-after: avoid; } th, td { padding: .2rem .5rem .2rem 0; }
  img { max-height: 6cm; }
  .verdict, td span { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
""".strip()


def render_report(title: str, files: Sequence[CheckedFile], picture_remarks: Sequence[str] = ()) -> str:
    """Return the report of ``files`` as HTML, with faults first; all text in it is escaped. ``picture_remarks``: about their picture.

    Checks of steps come as a file without properties. A file is shown under its label: the name that it is delivered under may get a
    version, which is not known yet.
    """
    result = worst_result([checked for file in files for checked in file.checks])
    file_count = sum(bool(file.properties) for file in files)
    count_text = f"{file_count} file{'s' * (file_count != 1)} read back from the disk"
    remarks = sum(checked.result == "warn" for file in files for checked in file.checks)
    summary = f"{count_text}, {remarks} remark{'s' * (remarks != 1)}" if remarks else count_text
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}: {_VERDICTS[result]}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p><span class="verdict {result}">{_VERDICTS[result]}</span> {escape(summary)}.</p>
{_remarks_section(picture_remarks)}{"".join(_file_section(file) for file in files)}</body>
</html>
"""


def _remarks_section(remarks: Sequence[str]) -> str:
    """Return the section about the picture from which the files were made; "" if there is nothing to say."""
    if not remarks:
        return ""
    items = "".join(f"<li>{escape(remark)}</li>\n" for remark in remarks)
    return f"""<section class="remarks">
<h2>About the picture</h2>
<ul>
{items}</ul>
</section>
"""


def _file_section(file: CheckedFile) -> str:
    """Return the section of one file."""
    source = f"data:{FORMATS['jpeg'].media_type};base64,{b64encode(file.thumbnail).decode('ascii')}"
    picture = f'<img src="{source}" alt="{escape(file.label)}">\n' if file.thumbnail else ""
    properties = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in file.properties)
    rows = "".join(_check_row(checked) for checked in sorted(file.checks, key=lambda checked: _ORDER[checked.result]))
    return f"""<section class="file">
<h2>{escape(file.label)}</h2>
<div>
{picture}<dl>
{properties}</dl>
</div>
<div>
<table>
<tr><th>Check</th><th>Expected</th><th>Found</th><th></th></tr>
{rows}</table>
</div>
</section>
"""


def _check_row(check: PreflightCheck) -> str:
    """Return the table row of one check."""
    label, expected, actual = (escape(text) for text in (_CHECK_LABELS.get(check.kind, check.kind), check.expected, check.actual))
    mark = f'<span class="{check.result}">{_RESULT_LABELS[check.result]}</span>'
    return f'<tr><td>{label}</td><td data-is="Expected">{expected}</td><td data-is="Found">{actual}</td><td>{mark}</td></tr>\n'
