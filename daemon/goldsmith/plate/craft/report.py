"""A preflight report as one HTML file: no scripts, nothing from elsewhere, the same bytes for the same findings."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from goldsmith.plate.craft.preflight import Checked, FileSeen, Result, worst

_VERDICTS: dict[Result, str] = {"pass": "Passed", "warn": "Passed with remarks", "fail": "Not passed"}
_MARKS: dict[Result, str] = {"pass": "✓ as asked", "warn": "! remark", "fail": "✗ fault"}
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; background: #fff; color: #1d1c1a;
  font: 16px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
.verdict { display: inline-block; padding: .15rem .7rem; border-radius: 1rem; font-weight: 600; }
.pass { background: #e3f1e5; color: #17501f; } .warn { background: #fdf0d2; color: #6b4500; } .fail { background: #fbe0dd; color: #86180d; }
.file { border-top: 1px solid #d8d5cf; margin-top: 1.5rem; padding-top: 1.2rem; display: grid; gap: 1.2rem; }
@media (min-width: 44rem) { .file { grid-template-columns: 17rem 1fr; } }
img { display: block; max-width: 100%; max-height: 20rem; border: 1px solid #d8d5cf; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .8rem; margin: .7rem 0 0; font-size: .85rem; }
dt { color: #6a665f; } dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid #ebe8e3; overflow-wrap: anywhere; }
th { color: #6a665f; font-weight: 500; }
td:first-child, td:last-child { white-space: nowrap; }
td span { padding: .05rem .5rem; border-radius: .6rem; font-size: .8rem; font-weight: 600; }
@media print { body { padding: 0; font-size: 11pt; } .file { break-inside: avoid; grid-template-columns: 6cm 1fr; }
  .verdict, td span { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
""".strip()


def page(title: str, files: Sequence[FileSeen]) -> str:
    """The report of ``files``; every text in it is taken as text."""
    result = worst([checked for file in files for checked in file.checks])
    counted = f"{len(files)} file{'s' * (len(files) != 1)} read back from the disk"
    remarks = sum(checked.result == "warn" for file in files for checked in file.checks)
    said = f"{counted}, {remarks} remark{'s' * (remarks != 1)}" if remarks else counted
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
<p><span class="verdict {result}">{_VERDICTS[result]}</span> {escape(said)}.</p>
{"".join(_file(file) for file in files)}</body>
</html>
"""


def _file(file: FileSeen) -> str:
    source = f"data:image/jpeg;base64,{b64encode(file.thumbnail).decode('ascii')}"
    picture = f'<img src="{source}" alt="{escape(file.name)}">\n' if file.thumbnail else ""
    told = "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>\n" for what, value in file.told)
    rows = "".join(_row(checked) for checked in file.checks)
    return f"""<section class="file">
<div>
{picture}<dl>
{told}</dl>
</div>
<div>
<h2>{escape(file.name)}</h2>
<table>
<tr><th>Check</th><th>Asked</th><th>Found</th><th></th></tr>
{rows}</table>
</div>
</section>
"""


def _row(checked: Checked) -> str:
    cells = "".join(f"<td>{escape(text)}</td>" for text in (checked.check, checked.asked, checked.found))
    return f'<tr>{cells}<td><span class="{checked.result}">{_MARKS[checked.result]}</span></td></tr>\n'
