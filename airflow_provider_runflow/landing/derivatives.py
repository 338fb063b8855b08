# SPDX-License-Identifier: Apache-2.0
"""
Derivatives: exact channel sizes, made beside the untouched master.

A derivative is declared as the name of a preset (:data:`~airflow_provider_runflow.landing.channels.CHANNELS`), as a
mapping, or as a preset with changes::

    derivatives = [
        "meta_feed",
        {"preset": "stories", "focal_point": [0.5, 0.3]},
        {"name": "letter", "width": 600, "height": 300, "fit": "pad", "background": "#f4efe6", "max_bytes": 100_000},
    ]

:func:`parse_derivatives` checks that when a DAG is parsed, :func:`check_available` finds a missing Pillow before
anything is paid, and :func:`derive_all` makes the files of one landed master. All of it is free of charge and can be
repeated: the same master, derivative and Pillow give the same bytes. Pillow is the extra ``[derivatives]``.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_runflow.exceptions import ConfigurationError, InvalidRequestError
from airflow_provider_runflow.landing.channels import CHANNELS
from airflow_provider_runflow.landing.frames import (
    INSTALL,
    MAX_PIXELS,
    Decoded,
    DerivativeError,
    apply,
    decode,
    make_frame,
)
from airflow_provider_runflow.landing.images import NotAnImage, Truncated, inspect
from airflow_provider_runflow.landing.names import MAX_SEGMENT_BYTES

__all__ = [
    "Derivative",
    "DerivativeError",
    "Made",
    "check_available",
    "derivative_name",
    "derive_all",
    "make_derivative",
    "parse_derivatives",
]

FITS = ("cover", "contain", "pad")
FORMATS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
TRANSPARENT = "transparent"
CENTRE = (0.5, 0.5)
# The longest edge that WebP can have.
MAX_EDGE = 16_383
# The mark of origin alone takes half of that.
MIN_CAP = 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Derivative:
    """
    One size that a channel wants.

    :param name: part of the file's name: ``a-z 0-9 _ -``, at most 32 characters.
    :param width: pixels.
    :param height: pixels.
    :param fit: ``cover`` cuts what is too much, ``pad`` keeps all and fills up with ``background``; both have exactly
        this size. ``contain`` keeps all, and is smaller in one direction where the aspect ratio differs.
    :param focal_point: what ``cover`` keeps as near to the middle as it can, as fractions of width and height.
    :param max_bytes: the largest file that is allowed; None for any.
    :param format: ``jpeg``, ``png`` or ``webp``; None for the master's (a GIF becomes a PNG).
    :param background: behind what is transparent or left over: ``#rrggbb`` or ``transparent``.
    :param quantize: a PNG over its cap may have its colours reduced.
    :raises InvalidRequestError: one of them breaks a rule.
    """

    name: str
    width: int
    height: int
    fit: str = "cover"
    focal_point: tuple[float, float] = CENTRE
    max_bytes: int | None = None
    format: str | None = None
    background: str = "#ffffff"
    quantize: bool = False

    def __post_init__(self) -> None:
        # What stands in a DAG file or a brief has any type.
        given: dict[str, Any] = dict(vars(self))
        name, point, cap = given["name"], given["focal_point"], given["max_bytes"]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidRequestError(f"name={name!r}: must be 1 to 32 of a-z, 0-9, _ and -, with no sign in front.")
        for edge in ("width", "height"):
            if not _is_int(given[edge], 1, MAX_EDGE):
                raise self._refusal(edge, f"must be 1 to {MAX_EDGE:,} pixels")
        if self.width * self.height > MAX_PIXELS:
            raise self._refusal("width", f"width x height may be at most {MAX_PIXELS:,} pixels")
        self._check_choice("fit", FITS)
        if self.format is not None:
            self._check_choice("format", tuple(FORMATS))
        if not isinstance(point, (list, tuple)) or len(point) != 2 or not all(map(_is_part, point)):
            raise self._refusal("focal_point", "must be two fractions from 0 to 1: of the width and of the height")
        object.__setattr__(self, "focal_point", (float(point[0]), float(point[1])))
        if self.fit != "cover" and self.focal_point != CENTRE:
            raise self._refusal("focal_point", f"is for fit='cover' only; fit={self.fit!r} cuts nothing")
        if cap is not None and not _is_int(cap, MIN_CAP, 2**40):
            raise self._refusal("max_bytes", f"must be a whole number of bytes, at least {MIN_CAP:,}")
        self._check_colours(given["background"], given["quantize"])

    def _check_colours(self, background: Any, quantize: Any) -> None:
        if not isinstance(background, str) or not (background == TRANSPARENT or _COLOUR.fullmatch(background)):
            raise self._refusal("background", "must be a colour such as '#ffffff', or 'transparent'")
        if background == TRANSPARENT and self.format == "jpeg":
            raise self._refusal("background", "a JPEG cannot be transparent")
        if not isinstance(quantize, bool):
            raise self._refusal("quantize", "must be true or false")
        if quantize and self.format not in (None, "png"):
            rule = f"is for PNG only; format={self.format!r} has its quality lowered instead"
            raise self._refusal("quantize", rule)

    def _check_choice(self, field: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, field)
        if value not in choices:
            near = difflib.get_close_matches(str(value).lower(), choices, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise self._refusal(field, f"must be {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}{hint}")

    def _refusal(self, field: str, rule: str) -> InvalidRequestError:
        return InvalidRequestError(f"derivative {self.name!r}: {field}={getattr(self, field)!r}: {rule}.")

    def format_for(self, master_format: str) -> str:
        """Return the format of its file. ``master_format``: an extension or a content type."""
        if self.format is not None:
            return self.format
        master = master_format.lower().rpartition("/")[2].lstrip(".")
        return "jpeg" if master in ("jpg", "jpeg") else "webp" if master == "webp" else "png"

    @property
    def recipe(self) -> str:
        """Hash of how it is made: 12 hex characters, the same as long as nothing of it changes."""
        # Without what has its default: a field that a later release adds changes no recipe.
        given = {
            field.name: vars(self)[field.name] for field in fields(self) if vars(self)[field.name] != field.default
        }
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def colour(self) -> tuple[int, int, int] | None:
        """Its background as red, green and blue; None for transparent."""
        if self.background == TRANSPARENT:
            return None
        digits = self.background[1:] if len(self.background) == 7 else "".join(c * 2 for c in self.background[1:])
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def _is_int(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_part(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


@dataclass(frozen=True)
class Made:
    """
    A derivative that lies in its file.

    :param width: pixels.
    :param height: pixels.
    :param size_bytes: length.
    :param sha256: of its bytes, lower-case hex.
    :param content_type: for example ``image/jpeg``.
    :param upscaled: the master has fewer pixels than it, so that some are invented.
    :param quality: 40 to 90; None for PNG.
    """

    width: int
    height: int
    size_bytes: int
    sha256: str
    content_type: str
    upscaled: bool
    quality: int | None


def parse_derivatives(spec: Any) -> tuple[Derivative, ...]:
    """
    Read what a user declared.

    :param spec: a list of preset names, mappings, ``{"preset": name, ...}`` with changes, or :class:`Derivative`; None
        for none.
    :raises InvalidRequestError: naming the entry, the field, its value and the rule.
    """
    if spec is None:
        return ()
    if isinstance(spec, (str, Mapping)) or not isinstance(spec, Iterable):
        raise InvalidRequestError(f"derivatives={spec!r}: must be a list, such as ['meta_feed', 'stories'].")
    found: dict[str, Derivative] = {}
    for number, entry in enumerate(spec):
        where = f"derivatives[{number}]"
        try:
            derivative = entry if isinstance(entry, Derivative) else _parse(entry)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{where}: {error}") from None
        if derivative.name in found:
            raise InvalidRequestError(f"{where}: name={derivative.name!r}: is there twice; give one another name.")
        found[derivative.name] = derivative
    return tuple(found.values())


def _parse(entry: Any) -> Derivative:
    given = {"preset": entry} if isinstance(entry, str) else entry
    if not isinstance(given, Mapping):
        raise InvalidRequestError(f"{entry!r}: must be the name of a preset or a mapping.")
    known = [field.name for field in fields(Derivative)]
    for field in given:
        if field not in (*known, "preset"):
            near = difflib.get_close_matches(str(field), [*known, "preset"], n=1)
            hint = f" Did you mean {near[0]}?" if near else f" It takes preset, {', '.join(known)}."
            raise InvalidRequestError(f"{field}: no such field.{hint}")
    values = {**_preset(given["preset"]), **given} if "preset" in given else dict(given)
    values.pop("preset", None)
    missing = [field for field in ("name", "width", "height") if field not in values]
    if missing:
        raise InvalidRequestError(f"{', '.join(missing)}: required, unless a preset is named.")
    return Derivative(**values)


def _preset(name: Any) -> dict[str, Any]:
    channel = CHANNELS.get(name) if isinstance(name, str) else None
    if channel is None:
        near = difflib.get_close_matches(str(name), CHANNELS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(CHANNELS)}."
        raise InvalidRequestError(f"preset={name!r}: no such preset; {hint}")
    own = {"width": channel.width, "height": channel.height, "max_bytes": channel.max_bytes, "format": channel.format}
    return {"name": name, **own}


def check_available() -> None:
    """
    Find out whether derivatives can be made here; call it before anything is paid.

    :raises ConfigurationError: Pillow is missing; the message says how to install it.
    """
    if find_spec("PIL") is None:
        raise ConfigurationError(f"{INSTALL[:1].upper()}{INSTALL[1:]}")


def derivative_name(master_name: str, derivative: Derivative, ext: str) -> str:
    """
    Return the name of a derivative: its master's whole name, its own, and its extension (``hero.png.stories.jpg``).

    So it lies beside its master like the sidecar does, and two masters that differ in anything have no name in common.

    :param master_name: relative to the destination.
    :param derivative: the derivative.
    :param ext: of its file, without a dot.
    """
    folder, slash, master = master_name.rpartition("/")
    tail = f".{derivative.name}.{ext}"
    room = MAX_SEGMENT_BYTES - len(tail)
    raw = master.encode("utf-8", "surrogatepass")
    if len(raw) > room:
        short = raw[: room - 9].decode("utf-8", "ignore")
        master = f"{short}-{hashlib.sha256(raw).hexdigest()[:8]}"
    return f"{folder}{slash}{master}{tail}"


def make_derivative(master: Path, derivative: Derivative, target: Path) -> Made:
    """
    Make one derivative. The master's file is only read.

    :param master: its file.
    :param derivative: what to make.
    :param target: where to write it; nothing is written when it cannot be made.
    :raises DerivativeError: it cannot be made; the message says why, and what would help.
    """
    try:
        return _make(_decode(master, (derivative,)), derivative, _format(master, derivative), target)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        raise DerivativeError(f"derivative {derivative.name!r} of {master.name}: {what}") from error
    except DerivativeError as error:
        raise DerivativeError(f"derivative {derivative.name!r} of {master.name}: {error}") from error


def derive_all(
    master: Path, master_name: str, derivatives: Iterable[Derivative], spool_dir: Path
) -> Iterator[tuple[Derivative, str, Path, Made]]:
    """
    Make all derivatives of one master, which is decoded once; they come one by one, to be stored in between.

    One that cannot be made does not stop the others: it is told at the end.

    :param master: its file, as downloaded.
    :param master_name: its name, relative to the destination.
    :param derivatives: what to make.
    :param spool_dir: for the files, one name per derivative; who stores a file removes it.
    :return: the derivative, its name relative to the destination, its file, and what that is.
    :raises DerivativeError: after the others, naming each that could not be made.
    :raises OSError: ``spool_dir`` takes no file; another time it may.
    """
    wanted = tuple(derivatives)
    if not wanted:
        return
    failed: list[str] = []
    try:
        decoded = _decode(master, wanted)
    except DerivativeError as error:
        raise DerivativeError(f"derivatives of {master_name}: {error}") from error
    for derivative in wanted:
        format = _format(master, derivative)
        target = spool_dir / f"{derivative.name}.{FORMATS[format]}"
        try:
            made = _make(decoded, derivative, format, target)
        except DerivativeError as error:
            failed.append(f"{derivative.name} {error}")
            continue
        yield derivative, derivative_name(master_name, derivative, FORMATS[format]), target, made
    if failed:
        count = f"{len(failed)} of {len(wanted)} derivatives"
        raise DerivativeError(f"{count} of {master_name} could not be made: {'; '.join(failed)}")


def _decode(master: Path, derivatives: tuple[Derivative, ...]) -> Decoded:
    def scale(width: int, height: int) -> float:
        return max(make_frame((width, height), (d.width, d.height), d.fit, d.focal_point).scale for d in derivatives)

    return decode(master, scale)


def _format(master: Path, derivative: Derivative) -> str:
    try:
        return derivative.format_for(inspect(master).content_type)
    except (NotAnImage, Truncated, OSError) as error:
        raise DerivativeError(f"the master is {error}") from error


def _make(decoded: Decoded, derivative: Derivative, format: str, target: Path) -> Made:
    from airflow_provider_runflow.landing.encode import encode

    colour = derivative.colour
    if colour is None and format == "jpeg":
        raise DerivativeError("would be a JPEG like its master, which cannot be transparent; give it a format")
    wanted = (derivative.width, derivative.height)
    frame = make_frame((decoded.width, decoded.height), wanted, derivative.fit, derivative.focal_point)
    image, profile = apply(decoded, frame, colour)
    encoded = encode(image, format, max_bytes=derivative.max_bytes, quantize=derivative.quantize, profile=profile)
    target.write_bytes(encoded.data)
    return Made(
        width=image.width,
        height=image.height,
        size_bytes=len(encoded.data),
        sha256=hashlib.sha256(encoded.data).hexdigest(),
        content_type=f"image/{format}",
        upscaled=frame.upscaled,
        quality=encoded.quality,
    )
