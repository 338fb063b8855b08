# SPDX-License-Identifier: Apache-2.0
"""The console script `runflow-emulator`: a local Runflow without an account, a key or a bill."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

from .clock import Clock, SystemClock, VirtualClock
from .config import SPELLINGS, EmulatorConfig
from .core import Emulator
from .faults import Fault

MISSING_EXTRA = "runflow-emulator needs: pip install 'airflow-provider-runflow[emulator]'"
DEFAULT_PORT = 8600

# One accepted key that neither the process list nor the output shows.
KEY_VARIABLE = "RUNFLOW_EMULATOR_API_KEY"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the emulator until it is told to stop."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        emulator = Emulator(_config(options), faults=[_rule(text) for text in options.fault])
    except ValueError as exc:
        parser.error(str(exc))
    if not _has_extra():
        print(MISSING_EXTRA, file=sys.stderr)
        return 2
    return _serve(emulator, options)


def _has_extra() -> bool:
    try:
        import PIL
        import uvicorn
    except ImportError:
        return False
    return bool(PIL and uvicorn)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runflow-emulator",
        description="A local Runflow: the HTTP API, pictures and a ledger, without an account or a bill.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=DEFAULT_PORT, help="port; 0 takes a free one (%(default)s)")
    add("--time-scale", type=float, default=1.0, metavar="N", help="runs finish N times faster (%(default)s)")
    add("--virtual-clock", action="store_true", help="time moves only by POST /_emulator/clock")
    add("--seed", type=int, default=0, help="for durations, run ids, pictures and faults (%(default)s)")
    add("--max-images", type=int, metavar="N", help="images a request may ask for (4; some sources say 10)")
    add("--cancelled-spelling", choices=SPELLINGS, default=SPELLINGS[0], help="%(default)s")
    add("--rate-limit-headers", action="store_true", help="send X-RateLimit-* and Retry-After")
    add("--balance", default="100", metavar="USD", help="what an organisation starts with (%(default)s)")
    add(
        "--api-key",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY",
        help=f"accept only these keys (or ${KEY_VARIABLE})",
    )
    add("--url-ttl", type=float, default=86400.0, metavar="SECONDS", help="life of a URL (%(default)s)")
    add(
        "--fault",
        nargs="+",
        action="extend",
        default=[],
        metavar="JSON",
        help='such as {"route": "create", "effect": "status", "status": 503, "times": 2}',
    )
    add("--ready-file", type=Path, metavar="PATH", help="write the base URL here when requests are answered")
    add("--quiet", action="store_true", help="no line per request")
    return parser


def _config(options: argparse.Namespace) -> EmulatorConfig:
    return EmulatorConfig().changed(
        {
            "time_scale": options.time_scale,
            "seed": options.seed,
            "max_images": options.max_images,
            "cancelled_spelling": options.cancelled_spelling,
            "rate_limit_headers": options.rate_limit_headers,
            "balance": options.balance,
            "api_keys": options.api_key or [key for key in [os.environ.get(KEY_VARIABLE)] if key],
            "url_ttl": options.url_ttl,
        }
    )


def _rule(text: str) -> Fault:
    try:
        rule = json.loads(text)
    except ValueError as exc:
        raise ValueError(f"--fault is not JSON: {text}") from exc
    if not isinstance(rule, dict):
        raise ValueError(f"--fault is not a JSON object: {text}")
    return Fault.from_dict(rule)


def _serve(emulator: Emulator, options: argparse.Namespace) -> int:
    from .asgi import create_app
    from .courier import Courier
    from .server import base_url, bind, uvicorn_server

    try:
        sock = bind(options.host, options.port)
    except OSError as exc:
        print(f"runflow-emulator: cannot listen on {options.host}:{options.port}: {exc}", file=sys.stderr)
        return 1
    url = base_url(sock)
    clock: Clock = VirtualClock(SystemClock().now()) if options.virtual_clock else SystemClock()

    def ready() -> None:
        # A key from the environment is a secret of whoever put it there; the output may be a log.
        print(f"Runflow emulator on {url}" if KEY_VARIABLE in os.environ else _greeting(emulator, url), flush=True)
        if options.ready_file is not None:
            _write_whole(options.ready_file, url)

    server = uvicorn_server(create_app(emulator, clock, None if options.quiet else _print_line), ready)
    # uvicorn stops gracefully and then raises the signal again: it should end in a plain exit
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    with contextlib.suppress(SystemExit), Courier(emulator, clock, url, None if options.quiet else _print_line):
        server.run(sockets=[sock])
    print(_farewell(emulator, clock.now()), flush=True)
    return 0


def _greeting(emulator: Emulator, url: str) -> str:
    from .server import DEFAULT_KEY, connection_json

    config = emulator.config
    key = config.api_keys[0] if config.api_keys else DEFAULT_KEY
    connection = connection_json(url, key)
    speed = "" if config.time_scale == 1 else f", {config.time_scale:g} times faster here"
    lines = [
        f"Runflow emulator on {url}",
        "",
        "To use it from Airflow, in the shell that starts Airflow:",
        "",
        f"export AIRFLOW_CONN_RUNFLOW_DEFAULT='{connection}'",
        "",
        "Only the given keys are accepted." if config.api_keys else "Any API key is accepted (--api-key to be strict).",
        f"Bills what Runflow would, in play money: ${config.balance} to spend, charged when a run succeeds.",
        *(_prices(slug, emulator) for slug in emulator.state.models),
        f"Runs take {_seconds(emulator)} s by model and quality{speed}.",
        f"Ledger   {url}/_emulator/ledger",
        f"Runs     {url}/_emulator",
        "Stop with Ctrl+C. Runs are kept in memory: stopping forgets them.",
    ]
    return "\n".join(lines)


def _prices(slug: str, emulator: Emulator) -> str:
    by_quality: dict[str, list[Decimal]] = {}
    for key, price in emulator.state.models[slug].prices.items():
        by_quality.setdefault(key[0] if key else "", []).append(price)
    listed = ", ".join(f"{quality} {_span(prices)}".strip() for quality, prices in by_quality.items())
    return f"  {slug}: {listed} an image"


def _span(prices: Sequence[Decimal]) -> str:
    low, high = min(prices), max(prices)
    return f"${low}" if low == high else f"${low}-{high}"


def _seconds(emulator: Emulator) -> str:
    ranges = [model.seconds_range for model in emulator.state.models.values()]
    return f"{min(low for low, _ in ranges):g}-{max(high for _, high in ranges):g}"


def _farewell(emulator: Emulator, now: datetime) -> str:
    totals = emulator.ledger(now)["totals"]
    return f"Stopped. {totals['runs']} runs, {totals['billed_runs']} billed, ${totals['cost_usd']} play money."


def _print_line(line: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {line}", flush=True)


def _write_whole(path: Path, text: str) -> None:
    """Write a file that nobody can see half-written."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _leave(number: int, frame: FrameType | None) -> Any:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
