"""What a detector remembers of each client: at most so many clients, the least recently seen dropped first."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from unseen.errors import PolicyError

State = TypeVar("State")


class Clients(Generic[State]):
    """One state a client, made on first sight, under a hard cap; `evicted` counts what the cap has dropped.

    >>> clients = Clients(list, most=2)
    >>> for name in "aba":
    ...     clients[name].append(1)
    >>> clients["c"], list(clients), clients.evicted
    ([], ['a', 'c'], 1)
    """

    def __init__(self, make: Callable[[], State], most: int) -> None:
        if most < 1:
            raise PolicyError(f"a detector needs room for one client at least, got clients = {most}.")
        self.evicted = 0
        self._make, self._most = make, most
        self._states: OrderedDict[str, State] = OrderedDict()

    def __getitem__(self, client: str) -> State:
        state = self._states.get(client)
        if state is None:
            state = self._states[client] = self._make()
            if len(self._states) > self._most:
                self._states.popitem(last=False)
                self.evicted += 1
        else:
            self._states.move_to_end(client)
        return state

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def get(self, client: str) -> State | None:
        """Return a client's state where there is one; it counts as no sight of the client."""
        return self._states.get(client)

    def forget(self, client: str) -> None:
        """Drop a client's state, if any."""
        self._states.pop(client, None)
