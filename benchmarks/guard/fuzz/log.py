"""Fuzzing of `log.reading.entry_of`: any line is an entry or none, and an entry is written again as it was read."""

import sys

import atheris

with atheris.instrument_imports(include=["unseen.guard"]):
    import msgspec

    from unseen.guard.log.entries import Done
    from unseen.guard.log.reading import entry_of

LINE = msgspec.json.encode(Done(n=1, t=1.0, what="late"))[:-1] + b',"hash":"' + b"0" * 64 + b'"}\n'


def check(raw: bytes) -> None:
    """Read some bytes as a line, alone and in the place of a part of a good one."""
    entry_of(raw)
    at = raw[0] % len(LINE) if raw else 0
    found = entry_of(LINE[:at] + raw[1:] + LINE[at + len(raw) - 1 :] if raw else LINE)
    if found is not None:
        assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
