# SPDX-License-Identifier: Apache-2.0
"""What landing is told about a request, and what it tells about a landed picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.landing import names

if TYPE_CHECKING:
    from airflow_provider_runflow.landing.derivatives import Derivative

# Every format that images.inspect knows. A picture may come in another one than was asked for.
EXTENSIONS = ("png", "jpg", "webp", "gif")
# Stands for a run id where only the rules of a name are checked; as long as a real one.
SAMPLE_RUN_ID = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Job:
    """
    One paid request, as far as landing cares; or one run that was bought elsewhere, of which less is known.

    :param model: for example ``openai/gpt-image-2``; None when it is not known.
    :param input: the recorded input (what was sent, not what a later read shows, where there is a record).
    :param prompt: the prompt, None for a model that takes none.
    :param variation: the take as the user named it, None for the first.
    :param labels: the item's labels.
    :param alt_text: alternative text for the picture.
    :param client_ref: the scope that this request is paid in, None for none.
    :param item_key: which item of the task; empty for the one of an unmapped task.
    :param fingerprint: hash of what buys the picture, None when it is not known.
    :param fingerprint_version: how it was computed.
    :param ordinal: which submission of the request this is.
    :param request: 12 hex characters that identify the request, for ``{request}``.
    :param num_images: pictures asked for.
    :param ext: the declared format, as an extension (``jpeg`` and ``jpg`` are the same); empty when unknown.
    :param filename_pattern: checked with :func:`names.check_pattern`.
    :param replace: overwrite a picture of another request that has the same name.
    :param airflow: ``dag_id``, ``task_id``, ``run_id`` and ``map_index``, for the sidecar.
    :param task_id: for ``{task_id}``.
    :param map_index: for ``{map_index}``; -1 for an unmapped task.
    :param run_id: the run, when it was named instead of bought: it alone tells then what is landed already.
    :param tags: of its pictures, where the store has tags.
    :param derivatives: what to make of each picture, beside it.
    :param suffix: where other bytes have the name, land under one with 8 characters of the hash; False fails instead.
    """

    model: str | None
    input: Mapping[str, Any]
    prompt: str | None
    variation: str | None
    labels: Mapping[str, str]
    alt_text: str | None
    client_ref: str | None
    item_key: str
    fingerprint: str | None
    fingerprint_version: int | None
    ordinal: int | None
    request: str
    num_images: int
    ext: str
    filename_pattern: str
    replace: bool
    airflow: Mapping[str, Any]
    task_id: str
    map_index: int
    run_id: str | None = None
    suffix: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    derivatives: tuple[Derivative, ...] = ()

    @property
    def expected_ext(self) -> str:
        """The extension asked for, in the one spelling that names use; empty when unknown."""
        ext = self.ext.lower().lstrip(".")
        return "jpg" if ext == "jpeg" else ext

    @property
    def likely_exts(self) -> tuple[str, ...]:
        """Every extension that a name may have, the expected one first; one is enough without ``{ext}``."""
        first = (self.expected_ext,) if self.expected_ext else ()
        others = tuple(ext for ext in EXTENSIONS if ext not in first)
        return first + others if names.uses_ext(self.filename_pattern) else (first + others)[:1]

    @property
    def predictable(self) -> bool:
        """Whether the names are known before the run exists."""
        return self.run_id is not None or names.predictable(self.filename_pattern)

    def name(self, index: int, ext: str, run_id: str | None = None) -> str:
        """
        Return the name of one picture, relative to the destination.

        :param index: which picture of the run, from 0.
        :param ext: extension without a dot.
        :param run_id: the run, if it is not the job's own; a stand-in serves where the pattern does not use it.
        :raises InvalidRequestError: the pattern breaks a rule with this job's values.
        """
        values: dict[str, object] = {
            "task_id": self.task_id,
            "map_index": "" if self.map_index < 0 else self.map_index,
            "key": self.item_key,
            "index": index,
            "take": self.variation or "1",
            "ext": ext,
            "runflow_run_id": run_id or self.run_id or SAMPLE_RUN_ID,
            "request": self.request,
        }
        return names.filename(self.filename_pattern, values, self.labels)


@dataclass(frozen=True)
class LandedDerivative:
    """
    One exact channel size, beside its master.

    :param name: as the task declares it.
    :param uri: its full address.
    :param content_type: for example ``image/jpeg``.
    :param width: pixels.
    :param height: pixels.
    :param size_bytes: length.
    :param sha256: of its bytes, lower-case hex.
    :param upscaled: its master has fewer pixels than it.
    :param recipe: hash of how it was declared: a derivative that is declared otherwise is made anew.
    """

    name: str
    uri: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    upscaled: bool
    recipe: str

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form that return values, sidecars and manifests hold."""
        return asdict(self)


@dataclass(frozen=True)
class Landed:
    """
    One picture in the destination.

    :param index: which picture of the run, from 0.
    :param uri: its full address.
    :param name: the same, relative to the destination.
    :param content_type: from its own bytes.
    :param width: pixels.
    :param height: pixels.
    :param size_bytes: length.
    :param sha256: of its bytes, lower-case hex.
    :param derivatives: what was made of it, beside it.
    :param etag: the store's own mark of its bytes; None when it has none.
    :param unmade: which derivatives could not be made, and why.
    :param nsfw: its provider flags it as not safe for work.
    """

    index: int
    uri: str
    name: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    derivatives: tuple[LandedDerivative, ...] = ()
    etag: str | None = field(default=None, compare=False)
    unmade: tuple[str, ...] = field(default=(), compare=False)
    nsfw: bool = False

    def at(self, uri: str) -> Landed:
        """Return the same picture at another address, with its derivatives beside it."""
        old, new = self.uri.removesuffix(self.name), uri.removesuffix(self.name)
        beside = (
            replace(each, uri=new + each.uri[len(old) :]) for each in self.derivatives if each.uri.startswith(old)
        )
        return replace(self, uri=uri, derivatives=tuple(beside))

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form that return values hold: ``etag``, ``nsfw_detected`` and ``derivatives`` if any."""
        data: dict[str, Any] = {
            "index": self.index,
            "uri": self.uri,
            "content_type": self.content_type,
            "width": self.width,
            "height": self.height,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }
        if self.etag is not None:
            data["etag"] = self.etag
        if self.nsfw:
            data["nsfw_detected"] = True
        return {**data, "derivatives": [each.as_dict() for each in self.derivatives]} if self.derivatives else data
