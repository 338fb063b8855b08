# SPDX-License-Identifier: Apache-2.0
"""
What a landed picture is called: ``filename_pattern`` with placeholders, checked when the DAG is parsed.

Placeholders: ``{task_id} {map_index} {key} {index} {take} {ext} {runflow_run_id} {request}`` and an item's
labels by their own names (a built-in placeholder wins over a label of the same name).

One slug rule for every value that is put in: accents are dropped (NFKD); ``a-z A-Z 0-9 . _ -`` stay as they
are (case too, because task ids and labels differ by case); a run of anything else becomes one ``-``; no dots
in front and no dashes at the ends; a value that lost letters or digits (all of a Japanese name, say) or is
longer than 80 characters ends in 8 hex characters of its hash, so that two values do not become one name. A
value that is empty (``{map_index}`` and ``{key}`` of an unmapped task) goes together with one ``-`` or ``_``
beside it.
"""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Iterable, Mapping

from airflow_provider_runflow.exceptions import InvalidRequestError

PLACEHOLDERS = ("task_id", "map_index", "key", "index", "take", "ext", "runflow_run_id", "request")
DEFAULT_PATTERN = "{task_id}-{key}-{request}-{index}.{ext}"

MAX_VALUE = 80
# A file system takes 255 bytes; "-" + 8 hex, ".json" and a temporary name must still fit.
MAX_SEGMENT_BYTES = 200
# S3 takes 1024 bytes for prefix and name together.
MAX_NAME_BYTES = 700

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# What URIs, globs, Jinja and Windows read as something else.
_RESERVED = re.compile(r"[?#*:|<>\"\[\]{}%]")


def slug(value: object) -> str:
    """
    Return the form in which ``value`` may stand in a name: at most 80 of ``a-zA-Z0-9._-``, no dot in front.

    :param value: anything with a ``str()``; None is empty.
    """
    text = "" if value is None else str(value)
    plain, lost = (text, False) if text.isascii() else _without_marks(text)
    # All else that is not safe becomes a dash.
    short = _UNSAFE.sub("-", plain).lstrip("-.").rstrip("-")
    if text and (lost or not short or len(short) > MAX_VALUE):
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return f"{short[: MAX_VALUE - 9].rstrip('-')}-{digest}" if short else digest
    return short


def _without_marks(text: str) -> tuple[str, bool]:
    """Take the marks off letters, without a trace; and say whether letters are left that are not ASCII."""
    plain = unicodedata.normalize("NFKD", text)
    lost = any(char.isalnum() for char in plain if not char.isascii())
    return "".join(char for char in plain if not unicodedata.combining(char)), lost


def check_pattern(pattern: str, *, num_images: int, labels: Iterable[str] | None = ()) -> None:
    """
    Check a pattern when the DAG is parsed, before any value is known.

    :param pattern: the ``filename_pattern``.
    :param num_images: pictures per run; more than one need ``{index}``.
    :param labels: names of the labels that items have; None when they are not known yet.
    :raises InvalidRequestError: an unknown placeholder, a format or attribute access, a name that would leave
        the destination, or names that cannot be unique.
    """
    names = None if labels is None else {str(label) for label in labels}
    fields = [field for _, field in _parse(pattern, names) if field is not None]
    if num_images > 1 and "index" not in fields:
        raise InvalidRequestError(
            f"filename_pattern {pattern!r} gives all {num_images} pictures of a run the same name; put {{index}} in it"
        )
    sample = dict.fromkeys([*PLACEHOLDERS, *fields], "x")
    _checked(pattern, _render(pattern, sample))


def predictable(pattern: str) -> bool:
    """Whether a name is known before the run exists: it does not use ``{runflow_run_id}``."""
    return "runflow_run_id" not in _fields(pattern)


def names_request(pattern: str) -> bool:
    """Whether a name holds ``{request}``: then no other request has it."""
    return "request" in _fields(pattern)


def uses_ext(pattern: str) -> bool:
    """Whether a name depends on the picture's format: it uses ``{ext}``."""
    return "ext" in _fields(pattern)


def filename(pattern: str, values: Mapping[str, object], labels: Mapping[str, object]) -> str:
    """
    Fill in a pattern.

    :param pattern: the ``filename_pattern``.
    :param values: a value for each of :data:`PLACEHOLDERS`.
    :param labels: the item's labels by name.
    :return: a relative name, perhaps with sub-folders.
    :raises InvalidRequestError: an unknown placeholder, or a name that breaks a rule with these values.
    """
    _parse(pattern, set(labels))
    return _checked(pattern, _render(pattern, {**labels, **values}))


def suffixed(name: str, sha256: str) -> str:
    """Return ``name`` with 8 characters of the picture's hash before its extension: ``hero-1a2b3c4d.png``."""
    folder, slash, last = name.rpartition("/")
    stem, dot, ext = last.rpartition(".")
    if not dot:
        stem, ext = last, ""
    return f"{folder}{slash}{stem}-{sha256[:8]}{dot}{ext}"


def _fields(pattern: str) -> set[str]:
    return {field for _, field in _parse(pattern, None) if field is not None}


def _parse(pattern: object, labels: set[str] | None) -> list[tuple[str, str | None]]:
    """Split into (literal, placeholder that follows it); ``labels=None`` takes any plain name for a label."""
    if not isinstance(pattern, str) or not pattern:
        raise InvalidRequestError(f"filename_pattern must be a text such as {DEFAULT_PATTERN!r}, not {pattern!r}")
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise InvalidRequestError(
            f"filename_pattern {pattern!r} cannot be read: {error}. Braces stand around placeholders only"
        ) from None
    for _, field, spec, conversion in parts:
        if field is None:
            continue
        if spec or conversion:
            raise InvalidRequestError(
                f"filename_pattern {pattern!r}: {{{field}}} takes no format or conversion; write just {{{field}}}"
            )
        _check_field(pattern, field, labels)
    return [(literal, field) for literal, field, _, _ in parts]


def _check_field(pattern: str, field: str, labels: set[str] | None) -> None:
    if field in PLACEHOLDERS or (field in labels if labels is not None else field.isidentifier()):
        return
    known = [*PLACEHOLDERS, *sorted(labels or ())]
    if not field or field.isdigit() or any(char in field for char in ".[]"):
        raise InvalidRequestError(
            f"filename_pattern {pattern!r}: {{{field}}} is no placeholder; positions, attributes and items "
            f"are not possible. It knows {', '.join(known)}"
        )
    import difflib

    near = difflib.get_close_matches(field, known, n=1)
    hint = f"did you mean {{{near[0]}}}? " if near else ""
    raise InvalidRequestError(
        f"filename_pattern {pattern!r}: unknown placeholder {{{field}}}; {hint}It knows {', '.join(known)}"
    )


def _render(pattern: str, values: Mapping[str, object]) -> str:
    """Put values in by look-up only: ``str.format`` would reach into attributes of what it is given."""
    out = ""
    drop_separator = False
    for literal, field, _, _ in string.Formatter().parse(pattern):
        if drop_separator and literal[:1] in ("-", "_"):
            literal = literal[1:]
        elif drop_separator and literal:
            out = out[:-1] if out.endswith(("-", "_")) else out
        out += literal
        if literal:
            drop_separator = False
        if field is not None:
            value = slug(values[field])
            out += value
            drop_separator = not value
    return out[:-1] if drop_separator and out.endswith(("-", "_")) else out


def _checked(pattern: str, name: str) -> str:
    """Return ``name`` if it stays below the destination and every store can hold it."""

    def refuse(segment: str, rule: str) -> InvalidRequestError:
        return InvalidRequestError(f"filename_pattern {pattern!r} gives {name!r}: {segment!r} {rule}")

    if _bytes(name) > MAX_NAME_BYTES:
        raise refuse(f"{name[:20]}…", f"is longer than {MAX_NAME_BYTES} bytes")
    if name.startswith("/"):
        raise refuse("/", "in front makes it absolute; names are relative to the destination")
    for segment in name.split("/"):
        if not segment:
            raise refuse(segment, "is an empty folder or file name")
        if segment in (".", ".."):
            raise refuse(segment, "would leave the destination")
        if segment.startswith("."):
            raise refuse(segment, "begins with a dot (is a placeholder empty?)")
        if "\\" in segment:
            raise refuse(segment, "has a backslash; sub-folders are made with /")
        if not segment.isprintable():
            raise refuse(segment, "has a control character")
        if found := _RESERVED.search(segment):
            raise refuse(segment, f"has {found.group()!r}, which URIs or stores read as something else")
        if _bytes(segment) > MAX_SEGMENT_BYTES:
            raise refuse(f"{segment[:20]}…", f"is longer than {MAX_SEGMENT_BYTES} bytes")
    return name


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
