"""Every request leaves a record before its answer leaves; a request that cannot be written down is not answered."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import msgspec

from unseen.guard.counts import Counts
from unseen.guard.exchange import Exchange, Gone, Handler, Reply
from unseen.guard.log.entries import Asked, Done
from unseen.guard.log.writer import Writer
from unseen.guard.policy import Policy
from unseen.guard.question import Question
from unseen.guard.refusal import Refused
from unseen.guard.traced import traced

LOG = logging.getLogger("unseen.guard")
FINGERPRINTS = 1_000  # most that one record of the log holds


def recorded(
    inner: Handler,
    policy: Policy,
    writer: Writer,
    digest: str,
    notice: Callable[[Exchange, Reply], None],
    counts: Counts,
) -> Handler:
    """Turn refusals and failures into replies, write each down, and let `notice` see what was answered."""
    power = policy.log.durability == "power"

    async def handle(exchange: Exchange) -> Reply:
        try:
            reply = await _reply(inner, exchange)
        except asyncio.CancelledError:  # the guard ends and waits no longer; a server says 500 to that
            with suppress(Exception):  # nothing is answered anyway
                record(writer, exchange, 500, "cancelled", digest)
            raise
        try:
            record(writer, exchange, reply.status, reply.reason, digest)
            if power:
                await writer.kept()
        except Exception:  # noqa: BLE001 - whatever kept the record from being written: nothing leaves without one
            reply = refusal(Refused(503, "log", "The guard cannot keep its records now, and answers nothing."))
            _count(counts, exchange, reply)
            return reply
        _count(counts, exchange, reply)
        notice(exchange, reply)
        return (
            reply
            if reply.events is None
            else msgspec.structs.replace(reply, events=_counted(reply.events, exchange, writer))
        )

    return handle


def refusal(refused: Refused) -> Reply:
    """Return the reply that says a refusal."""
    return Reply(refused.status, body=refused.body, wait_s=refused.wait_s, reason=refused.reason)


def told(error: Exception) -> Reply:
    """Return what a client is told of an error: what a refusal says; of a fault of ours, the operator alone."""
    if isinstance(error, Refused):
        return refusal(error)
    LOG.error("unseen guard: the guard failed, which is a status 500 here.\n%s", traced(error))
    return refusal(Refused(500, "fault", "The guard failed; nothing was answered."))


async def _reply(inner: Handler, exchange: Exchange) -> Reply:
    if exchange.fault is not None:
        return refusal(exchange.fault)
    try:
        return await inner(exchange)
    except (asyncio.CancelledError, Gone):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing leaves
        return told(error)


def _count(counts: Counts, exchange: Exchange, reply: Reply) -> None:
    route = exchange.route.name if exchange.route else ""
    seconds = time.monotonic() - exchange.started
    counts.asked(route, reply.status, reply.reason, exchange.records, seconds, exchange.dropped)


def record(writer: Writer, exchange: Exchange, status: int, reason: str, digest: str) -> None:
    """Write one request down: who asked, what was decided, and fingerprints of what was asked about."""
    client, question = exchange.client, exchange.question
    n, t = writer.place()
    writer.put(
        Asked(
            n=n,
            t=t,
            id=exchange.id,
            client=client.id,
            key=client.key,
            tenant=client.tenant,
            tier=client.tier,
            route=exchange.route.name if exchange.route else "",
            status=status,
            reason=reason,
            records=exchange.records,
            ms=round((time.monotonic() - exchange.started) * 1000, 3),
            policy=digest,
            fingerprints=tuple([one.hex() for one in exchange.fingerprints[:FINGERPRINTS]]),
            parameters=question.seeking if isinstance(question, Question) else (),
            controls=exchange.controls.names,
            dropped=exchange.dropped,
            upstream=exchange.upstream,
            shadow=exchange.shadow,
            replayed=exchange.replayed,
        )
    )


async def _counted(events: AsyncIterator[bytes], exchange: Exchange, writer: Writer) -> AsyncIterator[bytes]:
    """Pass events on, and write down how many there were once the stream ends, however it ends."""
    count = 0
    try:
        async for event in events:
            count += 1
            yield event
    finally:
        writer.append(Done, what="stream-end", client=exchange.client.id, detail=exchange.id, count=count)
        if exchange.dropped:
            dropped = exchange.dropped
            writer.append(Done, what="stream-dropped", client=exchange.client.id, detail=exchange.id, count=dropped)
