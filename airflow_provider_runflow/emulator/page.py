# SPDX-License-Identifier: Apache-2.0
"""Small HTML pages for a person who follows a link to a run. No script, no file from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from .runs import TERMINAL, Run, money, stamp
from .state import State

SHOWN = 100

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--dim:#667085;--card:#fff;--page:#f3f4f7;--line:#e3e6ec}
@media (prefers-color-scheme:dark){
:root{--ink:#e8ecf3;--dim:#98a2b3;--card:#1b212c;--page:#12161d;--line:#2b3340}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.35rem;margin:.2rem 0 1rem}
p.prompt{font-size:1.1rem;white-space:pre-wrap;overflow-wrap:anywhere}.dim{color:var(--dim);font-size:.9rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.25rem;
margin:0 0 1.25rem}
.status{display:inline-block;border-radius:99px;padding:.1rem .7rem;font-size:.85rem;background:#98a2b333}
.succeeded,.partial_succeeded{background:#12b76a33}.failed,.cancelled{background:#f0443833}
.running,.dispatching{background:#2e90fa33}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.25rem;margin:0}dt{color:var(--dim)}
dd{margin:0;overflow-wrap:anywhere}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr))}
img{display:block;width:100%;height:auto;border-radius:8px}a{color:inherit}
table{width:100%;border-collapse:collapse}td,th{text-align:left;padding:.45rem .6rem .45rem 0;
vertical-align:top;
border-bottom:1px solid var(--line)}th{color:var(--dim);font-weight:500}td.num{white-space:nowrap}
"""


def run_page(run: Run, urls: Sequence[str], now: datetime) -> str:
    """Show one run with its pictures."""
    status = run.status(now)
    completed = run.completed_at(now)
    facts = {
        "Run id": run.id,
        "Model": run.model.slug,
        "Quality": run.model.quality(run.input) or "not a choice",
        "Pictures": f"{run.delivered(now)} of {run.model.images(run.input)}",
        "Cost": f"${money(run.billable)}" if completed else "not known yet",
        "client_ref": run.client_ref or "none",
        "Idempotency-Key": run.idempotency_key or "none",
        "Created": stamp(run.timeline.created_at) or "",
        "Completed": stamp(completed) or "not yet",
    }
    if status == "failed":
        facts["Failure"] = f"{run.outcome.code}: {run.outcome.message}"
    pictures = "".join(
        f'<a href="{escape(url)}"><img src="{escape(url)}" alt="Picture {index + 1} of run {run.number}"></a>'
        for index, url in enumerate(urls)
    )
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    body = (
        f'<p class="dim"><a href="/_emulator">All runs</a></p><h1>Run {run.number} {_badge(status)}</h1>'
        f'<div class="card"><p class="prompt">{escape(run.prompt)}</p><dl>{rows}</dl></div>'
        f'<div class="grid">{pictures}</div>'
    )
    return _page(f"Run {run.number}", body, refresh=status not in TERMINAL)


def index_page(state: State, now: datetime) -> str:
    """Show the latest runs."""
    runs = sorted(state.runs.values(), key=lambda run: run.sort_key, reverse=True)[:SHOWN]
    rows = "".join(
        f'<tr><td class="num"><a href="/_emulator/runs/{run.id}">Run {run.number}</a></td>'
        f"<td>{_badge(run.status(now))}</td><td>{escape(run.prompt[:160])}</td>"
        f'<td class="num">{"$" + money(run.billable) if run.completed_at(now) else ""}</td></tr>'
        for run in runs
    )
    table = f"<table><tr><th>Run<th>Status<th>Prompt<th>Cost</tr>{rows}</table>"
    body = (
        f"<h1>Runflow emulator</h1><p class='dim'>{len(state.runs)} runs. "
        f'<a href="/_emulator/ledger">Ledger</a> · <a href="/_emulator/faults">Faults</a> · '
        f'<a href="/_emulator/config">Switches</a></p>'
        f'<div class="card">{table if runs else "No run yet."}</div>'
    )
    return _page("Runflow emulator", body, refresh=any(run.status(now) not in TERMINAL for run in runs))


def missing_page(run_id: str) -> str:
    """Say that there is no such run."""
    text = f"<h1>No such run</h1><p>{escape(run_id)}: the emulator forgets all runs when it stops.</p>"
    return _page("No such run", text, refresh=False)


def _badge(status: str) -> str:
    return f'<span class="status {status}">{escape(status.replace("_", " "))}</span>'


def _page(title: str, body: str, *, refresh: bool) -> str:
    again = '<meta http-equiv="refresh" content="2">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )
