"""Words for people: counts with the noun that they count."""


def number_of(count: int, noun: str) -> str:
    """Return a count and its noun, in the plural where it is not one.

    >>> number_of(1, "note"), number_of(0, "note"), number_of(1200, "record")
    ('1 note', '0 notes', '1200 records')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
