"""The pictures of the champion."""

import base64
import struct
from collections.abc import Sequence

from markupsafe import Markup

from .blocks import Block, Image, Paragraph, Section
from .facts import Picture, SearchFacts

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CAPTIONS = {
    "samples": "New points that the model draws from each cluster, one row per cluster.",
    "members": "Test points of each cluster, one row per cluster.",
    "traversals": "Points of each cluster whose style varies along a line.",
    "scatter": "Test points in the plane, coloured by cluster.",
    "codes": "Codes of test points in the plane (t-SNE above two dimensions), by cluster.",
    "codes_umap": "Codes of test points in the plane (UMAP above two dimensions), by cluster.",
    "curves": "Learning curves of the finalist, by epoch.",
}
_OF_LABELS = {"confusion": "Test points by cluster and by label."}
_DRAWN_HERE = ("score_by_k",)


def champion_pictures(facts: SearchFacts) -> Section:
    """Return the pictures that were drawn, without those of labels."""
    whose = "champion" if facts.champion is not None else "first finalist"
    images = _images(facts.pictures, f"{whose} of {facts.name}", of_labels=False)
    blocks: list[Block] = list(images)
    if not images:
        blocks = [Paragraph(facts.no_pictures or "No pictures were drawn.")]
    elif whose != "champion":
        blocks.insert(0, Paragraph(f"There is no champion; this is trial {facts.shown}."))
    return Section("pictures", "The champion in pictures", blocks)


def label_pictures(facts: SearchFacts) -> list[Image]:
    """Return the pictures that show labels."""
    return _images(facts.pictures, f"model of {facts.name}", of_labels=True)


def _images(pictures: Sequence[Picture], whose: str, *, of_labels: bool) -> list[Image]:
    order = [*(_OF_LABELS if of_labels else _CAPTIONS)]
    chosen = [
        picture
        for picture in pictures
        if picture.content.startswith(_SIGNATURE)
        and picture.name not in _DRAWN_HERE
        and (picture.name in _OF_LABELS) == of_labels
    ]
    chosen.sort(key=lambda p: (order.index(p.name) if p.name in order else len(order), p.name))
    return [_image(picture, whose) for picture in chosen]


def _image(picture: Picture, whose: str) -> Image:
    captions = _CAPTIONS | _OF_LABELS
    caption = captions.get(picture.name, f"Learning curve of {picture.name}.")
    width, height = struct.unpack(">II", picture.content[16:24])  # of the header, always first
    text = Markup(base64.b64encode(picture.content).decode())
    return Image(text, f"{caption.rstrip('.')}: {whose}", caption, width, height)
