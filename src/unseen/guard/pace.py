"""Pace: how fast one client may ask on one route, by the generic cell rate algorithm (ITU-T I.371).

Kept in memory, for one process; `shared_pace` keeps it for several. A rate protects the service, a budget the people.
"""

import time
from typing import Protocol

CLIENTS = 100_000  # most states kept: beyond it those that no longer hold anybody back are dropped
ROUNDING = 1e-9  # seconds that sums of floating-point numbers may be off


class Turns(Protocol):
    """Gives each (client, route) one turn every `1 / per_second` seconds, and `burst` at once after a rest.

    A rate that changes begins anew: so two that hold side by side, in workers of which one has read the policy again,
    give no more than both together.
    """

    def wait(self, who: tuple[str, str], per_second: float, burst: int, now: float | None = None) -> float:
        """Return 0 and take a turn, or the seconds after which a turn is free; `now` is read here unless given."""
        ...


class Pace:
    """The turns of one process."""

    def __init__(self) -> None:
        self._due: dict[tuple[tuple[str, str], float, int], float] = {}  # when each would be fully rested, in seconds

    def wait(self, who: tuple[str, str], per_second: float, burst: int, now: float | None = None) -> float:
        """Return 0 and take a turn, or the seconds after which a turn is free; nothing is taken then.

        >>> pace = Pace()
        >>> [round(pace.wait(("a", "r"), 1.0, 2, now), 1) for now in (0.0, 0.0, 0.5, 1.0)]
        [0.0, 0.0, 0.5, 0.0]
        """
        if now is None:
            now = time.monotonic()
        name = who, per_second, burst
        wait, self._due[name] = after(self._due.get(name, now), per_second, burst, now)
        if len(self._due) > CLIENTS:
            self._due = {name: due for name, due in self._due.items() if due > now}
        return wait


def after(due: float, per_second: float, burst: int, now: float) -> tuple[float, float]:
    """Return the seconds to wait, 0 where a turn is taken, and when whoever is rested at `due` will be so then.

    >>> after(5.0, 1.0, 2, 4.0), after(6.0, 1.0, 2, 4.0)
    ((0.0, 6.0), (1.0, 6.0))
    """
    turn = 1.0 / per_second
    due = max(due, now)
    early = due - now - (burst - 1) * turn
    return (early, due) if early > ROUNDING else (0.0, due + turn)
