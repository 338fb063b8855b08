# SPDX-License-Identifier: Apache-2.0
"""
`make bench-derivatives`: exact channel sizes against what people write themselves.

Masters of the largest size that GPT Image 2 draws, as PNG, JPEG and WebP, and derivatives from a banner to a story. The
rival is Pillow's `ImageOps.fit` and a save at quality 90: it knows no cap, no mark of origin, no profile, and halves
the resolution of colours. `ours` opens the master for each derivative, as the rival does; `ours, all` decodes it once
(`derive_all`). Each reading is a process of its own, so that its peak memory is its own: the figure is what it needs
above a process that has imported Pillow. On a machine that is busy with other things, read the time on the core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, ImageOps

from airflow_provider_runflow.landing.derivatives import Derivative, derive_all, make_derivative, parse_derivatives
from airflow_provider_runflow.landing.encode import encode

MASTER = (3840, 2160)
KINDS = {"png": {}, "jpeg": {"quality": 95}, "webp": {"quality": 90}}
PRESETS = ("iab_300x250", "iab_320x50", "meta_feed", "open_graph", "iab_1080x1920", "web_hero")
ROUNDS = 5
WAYS = ("ours", "rival")


def main(arguments: list[str] | None = None) -> int:
    """Print a table, and one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.derivatives", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--draw", nargs=2, metavar=("FOLDER", "KIND"), help="draw a master, for this program")
    parser.add_argument("--reading", nargs=3, metavar=("WAY", "MASTER", "PRESET"), help="one reading, for this program")
    options = parser.parse_args(arguments)
    if options.reading:
        print(json.dumps(_reading(*options.reading)))
        return 0
    if options.draw:
        _draw(Path(options.draw[0]), options.draw[1])
        return 0
    with tempfile.TemporaryDirectory(prefix="runflow-bench-") as folder:
        rows = list(_rows(Path(folder), options.rounds))
    for row in rows:
        times = f"{row['median_ms']:>7} ms ({row['cpu_ms']:>6} on a core)"
        amounts = f"{row['peak_mb']:>6} MB  {row['size_bytes'] // 1000:>5} kB"
        print(f"{row['master']:5} {row['derivative']:14} {row['way']:10} {times}  {amounts}", file=sys.stderr)
    report = {"master": f"{MASTER[0]}x{MASTER[1]}", "rounds": options.rounds, "rows": rows, "machine": _machine()}
    print(json.dumps(report, indent=2))
    over = [row for row in rows if row["way"] != "rival" and row["over_cap"]]
    return 1 if over else 0


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "pillow": version("pillow"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _rows(folder: Path, rounds: int) -> Iterable[dict[str, Any]]:
    for kind in KINDS:
        # A child's peak begins with its parent's: this process must stay small.
        _child("--draw", str(folder), kind)
        master = folder / f"master.{kind}"
        for preset in PRESETS:
            for way in WAYS:
                yield _row(way, master, preset, rounds)
        for way in (*WAYS, "ours, all"):
            yield _row(way, master, "all", rounds)


def _row(way: str, master: Path, preset: str, rounds: int) -> dict[str, Any]:
    readings = [json.loads(_child("--reading", way, str(master), preset)) for _ in range(rounds)]
    times, busy = ([reading[name] for reading in readings] for name in ("ms", "cpu_ms"))
    return {
        "master": master.suffix[1:],
        "derivative": preset,
        "way": way,
        "median_ms": round(statistics.median(times), 1),
        "min_ms": round(min(times), 1),
        "cpu_ms": round(statistics.median(busy), 1),
        "peak_mb": round(statistics.median(reading["peak_mb"] for reading in readings), 1),
        "size_bytes": readings[0]["size_bytes"],
        "over_cap": readings[0]["over_cap"],
    }


def _child(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.derivatives", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _reading(way: str, master: str, preset: str) -> dict[str, Any]:
    """Make what is to be made, once, in this process."""
    path = Path(master)
    wanted = parse_derivatives(PRESETS if preset == "all" else [preset])
    _warm_up()
    before = _peak()
    with tempfile.TemporaryDirectory(prefix="runflow-bench-") as folder:
        began = time.perf_counter(), time.process_time()
        files = _MAKE[way](path, wanted, Path(folder))
        seconds, busy = time.perf_counter() - began[0], time.process_time() - began[1]
        sizes = [file.stat().st_size for file in files]
    over = [d.name for d, size in zip(wanted, sizes, strict=True) if d.max_bytes is not None and size > d.max_bytes]
    peak = max(0.0, _peak() - before)
    return {"ms": seconds * 1000, "cpu_ms": busy * 1000, "peak_mb": peak, "size_bytes": sum(sizes), "over_cap": over}


def _warm_up() -> None:
    """Load Pillow's codecs: every process pays that once, whoever uses them."""
    tiny = Image.new("RGB", (16, 16))
    for format in ("jpeg", "png", "webp"):
        encode(tiny, format, max_bytes=None, quantize=False, profile=None)
    ImageCms.createProfile("sRGB")


def _ours(master: Path, wanted: tuple[Derivative, ...], folder: Path) -> list[Path]:
    files = [folder / derivative.name for derivative in wanted]
    for derivative, file in zip(wanted, files, strict=True):
        make_derivative(master, derivative, file)
    return files


def _ours_all(master: Path, wanted: tuple[Derivative, ...], folder: Path) -> list[Path]:
    return [path for _, _, path, _ in derive_all(master, master.name, wanted, folder)]


def _rival(master: Path, wanted: tuple[Derivative, ...], folder: Path) -> list[Path]:
    files = [folder / f"{derivative.name}.jpg" for derivative in wanted]
    for derivative, file in zip(wanted, files, strict=True):
        with Image.open(master) as opened:
            fitted = ImageOps.fit(
                opened.convert("RGB"), (derivative.width, derivative.height), Image.Resampling.LANCZOS
            )
        fitted.save(file, "JPEG", quality=90)
    return files


_MAKE: dict[str, Callable[[Path, tuple[Derivative, ...], Path], list[Path]]] = {
    "ours": _ours,
    "ours, all": _ours_all,
    "rival": _rival,
}


def _peak() -> float:
    """The most memory that this process has had, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if platform.system() == "Darwin" else most * 1024 / 1e6


def _draw(folder: Path, kind: str) -> None:
    """Soft clouds with grain: about as hard to decode and to compress as a photograph."""
    dice = random.Random(1)  # noqa: S311 - the same picture every time
    width, height = MASTER
    soft = Image.frombytes("RGB", (width // 16, height // 16), dice.randbytes(width * height * 3 // 256))
    grain = Image.frombytes("RGB", (width // 2, height // 2), dice.randbytes(width * height * 3 // 4)).resize(MASTER)
    image = Image.blend(soft.resize(MASTER, Image.Resampling.BICUBIC), grain, 0.06)
    image.save(folder / f"master.{kind}", kind.upper(), **KINDS[kind])


if __name__ == "__main__":
    sys.exit(main())
