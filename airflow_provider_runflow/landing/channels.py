# SPDX-License-Identifier: Apache-2.0
"""
The sizes that channels want, by name: presets for derivatives.

Sizes and byte caps are those of the channel's own specification, which ``source`` names; channels change
them, so look there before a large campaign. A cap in kB or MB is read as decimal, the smaller of its two meanings.
Pictures are JPEG, which every channel takes; ``{"preset": ..., "format": "png"}`` says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

_KB, _MB = 1000, 1000 * 1000

_META_FEED = "Meta Ads Guide: Image, Feed"
_META_STORIES = "Meta Ads Guide: Image, Instagram Stories"
_LINKEDIN = "LinkedIn Help: Single image ads advertising specifications"
_X = "X Business: Creative ad specs, Image Ads"
_IAB = "IAB Tech Lab, New Ad Portfolio (2017): Fixed Size Ad Specifications, initial load"
_GOOGLE_PMAX = "Google Ads API: Performance Max, Asset Requirements"
_GOOGLE_UPLOADED = "Google Ads Help: Uploaded display ads specifications"


@dataclass(frozen=True)
class Channel:
    """
    What one channel wants.

    :param width: pixels.
    :param height: pixels.
    :param max_bytes: the largest file that it takes; None when it documents none.
    :param source: its own specification, by name.
    :param format: ``jpeg``, ``png`` or ``webp``.
    """

    width: int
    height: int
    max_bytes: int | None
    source: str
    format: str = "jpeg"


CHANNELS: dict[str, Channel] = {
    "meta_feed": Channel(1080, 1350, 30 * _MB, _META_FEED),
    "meta_square": Channel(1080, 1080, 30 * _MB, _META_FEED),
    "stories": Channel(1080, 1920, 30 * _MB, _META_STORIES),
    "reels_cover": Channel(1080, 1920, None, "Instagram Help Center: Reel size and aspect ratio (9:16)"),
    "open_graph": Channel(1200, 630, 8 * _MB, "Meta for Developers: Sharing, Images in Link Shares"),
    "linkedin": Channel(1200, 628, 5 * _MB, _LINKEDIN),
    "linkedin_square": Channel(1200, 1200, 5 * _MB, _LINKEDIN),
    "linkedin_portrait": Channel(720, 900, 5 * _MB, _LINKEDIN),
    "pinterest": Channel(1000, 1500, 20 * _MB, "Pinterest Business Help: Pinterest product specs, Static Pins"),
    "x_post": Channel(1200, 628, 5 * _MB, _X),
    "x_square": Channel(1200, 1200, 5 * _MB, _X),
    "youtube_thumbnail": Channel(1280, 720, 2 * _MB, "YouTube Help: Add video thumbnails"),
    "google_rda_landscape": Channel(1200, 628, 5120 * _KB, _GOOGLE_PMAX),
    "google_rda_square": Channel(1200, 1200, 5120 * _KB, _GOOGLE_PMAX),
    "google_pmax_portrait": Channel(960, 1200, 5120 * _KB, _GOOGLE_PMAX),
    "google_336x280": Channel(336, 280, 150 * _KB, _GOOGLE_UPLOADED),
    "google_320x100": Channel(320, 100, 150 * _KB, _GOOGLE_UPLOADED),
    "iab_300x250": Channel(300, 250, 150 * _KB, _IAB),
    "iab_728x90": Channel(728, 90, 150 * _KB, _IAB),
    "iab_160x600": Channel(160, 600, 150 * _KB, _IAB),
    # Not among IAB's fixed sizes any more, but still bought: the cap is Google's.
    "iab_300x600": Channel(300, 600, 150 * _KB, _GOOGLE_UPLOADED),
    "iab_320x50": Channel(320, 50, 50 * _KB, _IAB),
    "iab_970x90": Channel(970, 90, 200 * _KB, _IAB),
    "iab_970x250": Channel(970, 250, 250 * _KB, _IAB),
    "iab_1080x1920": Channel(1080, 1920, 300 * _KB, _IAB),
    "web_hero": Channel(1920, 1080, None, "no channel's own: 16:9 for web pages"),
}


def table() -> str:
    """Return all presets as a Markdown table, with the size to buy for each (``docs/channel-sizes.md`` holds it)."""
    from airflow_provider_runflow.models.nearest import nearest_generation_size

    lines = [
        "| preset | pixels | at most | buy | cut away | specification |",
        "|---|---|---|---|---|---|",
    ]
    for name, channel in CHANNELS.items():
        wide, high = nearest_generation_size(channel.width, channel.height)
        cap = "-" if channel.max_bytes is None else _amount(channel.max_bytes)
        kept = min(channel.width / channel.height * high / wide, wide / high * channel.height / channel.width)
        pixels = f"{channel.width}x{channel.height} | {cap} | {wide}x{high}"
        lines.append(f"| `{name}` | {pixels} | {1 - kept:.1%} | {channel.source} |")
    return "\n".join(lines) + "\n"


def _amount(size: int) -> str:
    return f"{size // _MB} MB" if size % _MB == 0 else f"{size // _KB:,} kB"
