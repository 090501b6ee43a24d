"""A search as one HTML page that needs nothing else: no scripts, no other files, no network."""

from .facts import FailureKind, Picture, SearchFacts
from .page import render

__all__ = ["FailureKind", "Picture", "SearchFacts", "render"]
