"""Traced: where an exception was raised, without its words: they may hold what was asked about."""

import asyncio
import logging
import traceback
from typing import Any

LOG = logging.getLogger("unseen.guard")


def traced(error: BaseException) -> str:
    """Return a traceback that names the types of an exception and of those before it, and leaves out what they say."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    parts = [] if before is None else [traced(before), "\nThen:\n"]
    kind = type(error)
    parts += ["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__)]
    parts.append(f"{kind.__module__}.{kind.__qualname__} (its words are left out)\n")
    if isinstance(error, BaseExceptionGroup):
        parts += [f"\nIn it:\n{traced(one)}" for one in error.exceptions]
    return "".join(parts)


def tell_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell the operator what failed beside requests; asyncio's own handler would show words and arguments."""
    del loop
    error = context.get("exception")
    LOG.error("unseen guard: something failed beside requests.\n%s", traced(error) if error is not None else "")
