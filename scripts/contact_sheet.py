# SPDX-License-Identifier: Apache-2.0
"""One static HTML page that shows what a demo made: no script, nothing from the network, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scripts.demo_report import Picture, TaskResult, money, pictures, total_cost

STYLE = """
:root { color-scheme: light dark; --ink: #1d1b20; --soft: #635f6b; --line: #dedae4; --paper: #faf9fb;
  --card: #fff; --accent: #6b3fd4; --warn: #9a4a00; --warn-paper: #fff4e6; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece9f1; --soft: #a49fae; --line: #37333f; --paper: #141217;
  --card: #1d1a22; --accent: #b79cff; --warn: #ffb86b; --warn-paper: #2b2118; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 .4rem; }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .9rem; }
p { margin: 0; color: var(--soft); max-width: 62ch; }
a { color: var(--accent); }
.totals { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: 1.4rem 0 0; padding: 1rem 0;
  border-block: 1px solid var(--line); }
.totals div { display: flex; flex-direction: column-reverse; }
.totals dt { color: var(--soft); font-size: .85rem; }
.totals dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.grid { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  overflow: hidden; display: flex; flex-direction: column; }
figure.wide { grid-column: 1 / -1; }
figure > a { display: block; background: var(--line); }
figure > a:focus-visible { outline: 3px solid var(--accent); outline-offset: -3px; }
img { display: block; width: 100%; height: auto; }
figcaption { padding: .9rem 1rem 1rem; }
figcaption h3 { font-size: .95rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
figcaption p { font-size: .88rem; }
.facts { display: grid; grid-template-columns: auto 1fr; gap: .15rem .8rem; margin: .8rem 0 0; font-size: .82rem; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
code { font: .92em ui-monospace, monospace; }
.missing { background: var(--warn-paper); border: 1px solid var(--line); border-left: 4px solid var(--warn);
  border-radius: 8px; padding: .9rem 1.1rem; margin: 0 0 .8rem; }
.missing h3 { font-size: .95rem; margin: 0 0 .3rem; color: var(--warn); }
.missing p { white-space: pre-line; overflow-wrap: anywhere; color: var(--ink); max-width: none; }
footer { padding-block: 2.5rem; font-size: .85rem; color: var(--soft); }
"""


def write_contact_sheet(page: Path, results: list[TaskResult], *, note: str, now: datetime) -> None:
    """Writes the page beside the pictures; every link is relative to it."""
    made = pictures(results)
    missing = [result for result in results if not result.pictures]
    body = "\n".join(
        [
            _header(results, made, missing, note),
            "<main>",
            *(_section(page, dag_id, made_by) for dag_id, made_by in _by_dag(results).items()),
            _missing(missing),
            "</main>",
            f"<footer>Written {now:%d %B %Y, %H:%M}. {escape(note)} Beside each picture lies its sidecar: "
            "the same facts as JSON, and the mark that a machine made it.</footer>",
        ]
    )
    page.write_text(
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_count(made, missing)} by Runflow and Airflow</title>\n<style>{STYLE}</style>\n"
        f"<body>\n{body}\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _by_dag(results: Iterable[TaskResult]) -> dict[str, list[tuple[str, Picture]]]:
    found: dict[str, list[tuple[str, Picture]]] = {}
    for result in results:
        for picture in result.pictures:
            found.setdefault(result.dag_id, []).append((result.label, picture))
    return found


def _header(results: list[TaskResult], made: list[Picture], missing: list[TaskResult], note: str) -> str:
    size = sum(int(picture.facts["size_bytes"]) for picture in made)
    totals = {
        "pictures made": str(len(made)),
        "not made": str(len(missing)),
        "cost": money(total_cost(results)),
        "bytes": f"{size:,}",
    }
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in totals.items())
    return (
        f"<header><h1>{_count(made, missing)} by Runflow and Airflow</h1>"
        f"<p>Each picture is one task, paid for once and stored as it came. {escape(note)}</p>"
        f'<dl class="totals">{items}</dl></header>'
    )


def _count(made: list[Picture], missing: list[TaskResult]) -> str:
    wanted = len(made) + len(missing)
    some = f"{len(made)} of {wanted}" if missing else str(wanted)
    return f"{some} {'picture' if wanted == 1 else 'pictures'}"


def _section(page: Path, dag_id: str, made: list[tuple[str, Picture]]) -> str:
    figures = "\n".join(_figure(page, name, picture) for name, picture in made)
    return f'<section><h2>{escape(dag_id)}</h2><div class="grid">\n{figures}\n</div></section>'


def _figure(page: Path, name: str, picture: Picture) -> str:
    facts, sidecar = picture.facts, picture.sidecar
    width, height = int(facts["width"]), int(facts["height"])
    link = _relative(page, picture.path)
    wide = ' class="wide"' if width > height * 1.4 else ""
    rows = {
        "File": f'<a href="{link}"><code>{escape(picture.key)}</code></a>',
        "Pixels": f"{width} &times; {height}",
        "Type": f"{escape(str(facts['content_type']))}, {int(facts['size_bytes']):,} bytes",
        "Cost": money(picture.cost),
        "Run": f"<code>{escape(str(sidecar.get('runflow_run_id', 'unknown')))}</code>",
        "SHA-256": f"<code>{escape(str(facts['sha256']))}</code>",
        "Sidecar": f'<a href="{link}.json">JSON</a>' if sidecar else "none",
    }
    items = "".join(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in rows.items())
    return (
        f'<figure{wide}><a href="{link}"><img src="{link}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{escape(_alt(sidecar), quote=True)}"></a>'
        f"<figcaption><h3>{escape(name)}</h3><p>{escape(_words(sidecar, 'prompt'))}</p>"
        f'<dl class="facts">{items}</dl></figcaption></figure>'
    )


def _alt(sidecar: Any) -> str:
    return _words(sidecar, "alt_text") or f"Generated picture: {_words(sidecar, 'prompt') or 'no prompt known'}"


def _words(sidecar: Any, name: str) -> str:
    return str(sidecar.get(name) or "")


def _missing(missing: list[TaskResult]) -> str:
    if not missing:
        return ""
    cards = "\n".join(
        f'<div class="missing"><h3>{escape(result.label)}: {_why(result)}</h3>'
        f"<p>{escape(result.error or 'No error was logged.')}</p></div>"
        for result in missing
    )
    return f"<section><h2>Not made</h2>\n{cards}\n</section>"


def _why(result: TaskResult) -> str:
    return "blocked by content moderation" if result.blocked else escape(result.state)


def _relative(page: Path, target: Path) -> str:
    return quote(Path(os.path.relpath(target, page.parent)).as_posix())
