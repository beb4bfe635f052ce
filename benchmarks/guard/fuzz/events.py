"""Fuzzing of `stream.Events`: the events are the same wherever the bytes are cut, and nothing else is raised."""

import sys

import atheris

with atheris.instrument_imports(include=["unseen.guard"]):
    from unseen.guard.refusal import Refused
    from unseen.guard.stream import Events


def read(parts: list[bytes]) -> list[bytes]:
    """Return the data of every event."""
    events = Events()
    return [data for part in parts for data in events.feed(part)]


def check(raw: bytes) -> None:
    """Cut some bytes in places that they say themselves."""
    data = atheris.FuzzedDataProvider(raw)
    parts = [data.ConsumeBytes(data.ConsumeIntInRange(0, 12)) for _ in range(data.ConsumeIntInRange(0, 20))]
    whole = b"".join(parts)
    try:
        assert read(parts) == read([whole]) == read([whole[at : at + 1] for at in range(len(whole))])
    except Refused as refused:
        raise AssertionError("too long, and is not") from refused


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
