"""How a search is run and shown, as opposed to what it searches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..execution.connection import check_address
from .locations import Locations
from .snapshot import ProgressCallback

if TYPE_CHECKING:
    from ..execution.cluster import Resources

MessageCallback = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Session:
    """How to run and show a search; nothing in it changes what the search finds.

    With `allow_unclustered` the best model is registered even if the data show no clusters.
    """

    locations: Locations
    resources: "Resources"
    time_budget: float | None = None
    allow_unclustered: bool = False
    on_progress: ProgressCallback | None = None
    on_message: MessageCallback = print

    def check(self) -> None:
        """Raise unless the locations and the address of the cluster can be used."""
        if self.resources.address is not None:
            check_address(self.resources.address)
        self.locations.check()


def default_session() -> Session:
    """Return a session on this machine that shows no messages."""
    from ..execution.cluster import Resources

    return Session(locations=Locations(), resources=Resources(), on_message=lambda _: None)
