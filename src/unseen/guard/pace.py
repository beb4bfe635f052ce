"""Pace: how fast one client may ask on one route, by the generic cell rate algorithm (ITU-T I.371).

Kept in memory, for one worker: a rate protects the service, a budget protects the people.
"""

CLIENTS = 100_000  # most states kept: beyond it those that no longer hold anybody back are dropped


class Pace:
    """Gives each (client, route) one turn every `1 / per_second` seconds, and `burst` at once after a rest."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str], float] = {}  # the time at which each would be fully rested, in seconds

    def wait(self, who: tuple[str, str], per_second: float, burst: int, now: float) -> float:
        """Return 0 and take a turn, or the seconds after which a turn is free; nothing is taken then.

        >>> pace = Pace()
        >>> [round(pace.wait(("a", "r"), 1.0, 2, now), 1) for now in (0.0, 0.0, 0.5, 1.0)]
        [0.0, 0.0, 0.5, 0.0]
        """
        turn = 1.0 / per_second
        due = max(self._due.get(who, now), now)
        early = due - now - (burst - 1) * turn
        if early > 1e-9:
            return early
        self._due[who] = due + turn
        if len(self._due) > CLIENTS:
            self._due = {name: time for name, time in self._due.items() if time > now}
        return 0.0
