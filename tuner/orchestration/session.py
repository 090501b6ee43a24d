"""How a search is run and shown, as opposed to what it searches."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..execution.connection import check_address
from .locations import Locations
from .progress import View, is_live, view
from .progress.events import EventCallback
from .snapshot import ProgressCallback, TrialCallback

if TYPE_CHECKING:
    from ..execution.cluster import Resources

MessageCallback = Callable[[str], None]


def _ignore(_: object) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Session:
    """How to run and show a search; nothing in it changes what the search finds.

    With `allow_unclustered` the best model is registered even if the data show no clusters.
    `on_progress` gets every change of the trials, `on_event` what the driver does and what is in
    use, `callbacks` every trial that ends, `on_message` what is to be read.
    """

    locations: Locations
    resources: "Resources"
    time_budget: float | None = None
    allow_unclustered: bool = False
    on_progress: ProgressCallback | None = None
    callbacks: Sequence[TrialCallback] = ()
    on_message: MessageCallback = print
    on_event: EventCallback = _ignore

    def shown_by(self, view: View) -> "Session":
        """Return this session with its progress shown by a view."""
        return replace(
            self,
            on_progress=view.update,
            on_event=view.show,
            on_message=view.log,
            callbacks=(view.ended, *self.callbacks),
        )

    def check(self) -> None:
        """Raise unless the locations and the address of the cluster can be used."""
        if self.resources.address is not None:
            check_address(self.resources.address)
        self.locations.check()


def default_session() -> Session:
    """Return a session on this machine that shows no messages."""
    from ..execution.cluster import Resources

    return Session(locations=Locations(), resources=Resources(), on_message=_ignore)


@contextmanager
def watched(
    session: Session | None, callbacks: Sequence[TrialCallback], progress: bool | str | None
) -> Iterator[Session]:
    """Yield a session that tells callbacks of trials, and shows them if somebody can watch.

    A session that shows its progress itself is left to do so. True is the mode `auto` of a view,
    False is `quiet`.
    """
    session = default_session() if session is None else session
    session = replace(session, callbacks=(*session.callbacks, *callbacks))
    if progress is None:
        watched_by = sys.stderr  # None where it was closed
        progress = session.on_progress is None and watched_by is not None and is_live(watched_by)
    if progress is False:
        yield session
        return
    with view(sys.stderr, "auto" if progress is True else progress) as shown:
        yield session.shown_by(shown)
