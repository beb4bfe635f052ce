"""Fuzzing of `keys._id_of`: any text has an id or none, and only a text with its own checksum has one."""

import sys

import atheris

with atheris.instrument_imports(include=["unseen.guard"]):
    from unseen.guard.keys import PREFIX, _checksum, _id_of


def check(raw: bytes) -> None:
    """Read some bytes as a header would have them, and as a key whose checksum is right."""
    token = raw.decode("latin-1")
    found = _id_of(token)
    if found:
        assert token.startswith(f"{PREFIX}_{found}_")
        assert token.endswith(_checksum(token[:-6]))
    bare = f"{PREFIX}_{token}"
    parts = bare.split("_", 2)
    assert _id_of(bare + _checksum(bare)) == (parts[1] if len(parts) == 3 else "")
    _id_of(raw.decode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
