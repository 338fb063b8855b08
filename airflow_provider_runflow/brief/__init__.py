# SPDX-License-Identifier: Apache-2.0
"""
Briefs: a YAML file that says which pictures a campaign needs, as the items of a batch operator.

::

    campaign: spring-2026
    prompt: >-
      {product.shot}, {style}. The headline reads '{product.headline}'. Composed for a {channel.format} frame.
    alt_text: "{product.name} with the words: {product.headline}"
    style: studio photograph on a seamless warm grey background, soft daylight
    image_size: "{channel.size}"
    quality: low

    axes:
      product:
        - {id: kettle, name: Kettle No. 4, shot: a matt black gooseneck kettle, headline: Pour slowly}
        - {id: grinder, name: Hand grinder, shot: a brass hand grinder, headline: Freshly ground}
      locale: [en-GB, de-DE]
      channel:
        - {id: meta_feed, format: "4:5", size: 1088x1360}
        - {id: stories, format: "9:16", size: 1152x2048}

    exclude:
      - {locale: de-DE, channel: stories, product: grinder}
    overrides:
      - match: {product: kettle, locale: de-DE}
        set: {product.headline: In aller Ruhe}
      - match: {product: grinder, locale: de-DE}
        set: {product.headline: Frisch gemahlen}
      - match: {channel: [stories]}
        set: {quality: medium}

``axes``
    The items are their cross product. A value is a text, a number, or a mapping with an ``id`` and further
    fields. An axis that is called like a parameter (``quality``, ``variation``) sets that parameter, too.
``exclude``
    Combinations that are left out: each entry maps axes to a value or a list of values.
``overrides``
    Changes for the items that ``match``; later ones win. ``set`` takes parameters, and dotted names of fields
    that a placeholder uses. Setting a parameter to null takes it away.
Names of parameters (:data:`PARAMETERS`)
    Go to every item.
Any other name
    A field for placeholders.

Placeholders stand in every text of a parameter: ``{field}``, ``{axis}`` (its id), and dotted look-ups into
mappings, ``{product.name}``. Nothing else is possible: no format, no attribute, no index. A brace itself is
written twice. What is put in is data and is never looked at again, and Jinja is not evaluated here. Outside of
``prompt`` and ``alt_text``, a text that is one placeholder becomes the very value: a number, a list, a size.

An item is ``{"key", "labels", "alt_text", <parameters>}``. ``labels`` has the id of each axis, and ``key`` is made
of them alone (``kettle_de-DE_meta_feed``): an edited prompt keeps the name of its picture, and another locale
changes no other key.

YAML is read as in version 1.2: ``no`` and ``4:5`` are texts (1.1 has ``false`` and ``245``), a key that is there
twice is an error, and so are merge keys (``<<``).
"""

from __future__ import annotations

from airflow_provider_runflow.brief.expand import MAX_ITEMS, PARAMETERS, expand_brief

__all__ = ["MAX_ITEMS", "PARAMETERS", "expand_brief"]
