"""Budgets in Redis or Valkey, for several machines; one script is one atomic step.

Durability is the server's: with `appendonly yes` and `appendfsync always` a step is on its disk when it returns; with
`everysec` a power cut takes up to a second of charges, and that much may be granted again. With `power` a server that
does not promise the first is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from unseen.errors import FolderError, MissingExtra, PolicyError
from unseen.guard.budget import Ask, Grant, Kept

RESERVE = """
local grants = {}
local at = 1
for _, count in ipairs(cjson.decode(ARGV[1])) do
  local amounts = {}
  local full = -1
  for place = 0, count - 1 do
    local used = tonumber(redis.call('GET', KEYS[at + place]) or '0')
    local need, want, cap = tonumber(ARGV[2 + 3 * (at + place - 1)]), tonumber(ARGV[3 + 3 * (at + place - 1)]),
      tonumber(ARGV[4 + 3 * (at + place - 1)])
    local amount = math.min(want, cap - used)
    if amount < need and full < 0 then full = place end
    amounts[place + 1] = amount
  end
  if full < 0 then
    for place = 0, count - 1 do redis.call('INCRBY', KEYS[at + place], amounts[place + 1]) end
  else
    amounts = {}
  end
  grants[#grants + 1] = {full, amounts}
  at = at + count
end
return grants
"""
BEGIN = """
local found = redis.call('HMGET', KEYS[1], 'request', 'begun', 'status', 'content_type', 'body')
if not found[1] then
  redis.call('HSET', KEYS[1], 'request', ARGV[1], 'begun', ARGV[2])
  redis.call('EXPIRE', KEYS[1], 86400)
  return {'new'}
end
if found[1] ~= ARGV[1] then return {'other'} end
if found[3] then return {'kept', found[3], found[4], found[5]} end
if tonumber(ARGV[2]) - tonumber(found[2]) < tonumber(ARGV[3]) then return {'busy'} end
redis.call('HSET', KEYS[1], 'begun', ARGV[2])
return {'new'}
"""
GIVE_BACK = """
for place, key in ipairs(KEYS) do
  local used = tonumber(redis.call('GET', key) or '0')
  redis.call('DECRBY', key, math.min(used, tonumber(ARGV[place])))
end
"""
FINISH = """
if redis.call('HGET', KEYS[1], 'request') ~= ARGV[1] then return end
if ARGV[2] == '' then
  if redis.call('HEXISTS', KEYS[1], 'status') == 0 then redis.call('DEL', KEYS[1]) end
else
  redis.call('HSET', KEYS[1], 'status', ARGV[2], 'content_type', ARGV[3], 'body', ARGV[4])
end
"""
PREFIX = "unseen:budget:"
SILENT_S, CONNECT_S = 8.0, 5.0  # how long a server may say nothing, and how long a connection may take


class RedisStore:
    """A client of one server, which all guards of a model share."""

    def __init__(self, url: str, *, power: bool) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise MissingExtra("store.kind = 'redis'", "redis", "guard-redis") from None
        self._errors = redis.RedisError
        try:
            once = Retry(NoBackoff(), 0)  # a step whose answer was lost was taken, and may not be taken again
            self._server: Any = redis.Redis.from_url(
                url, socket_timeout=SILENT_S, socket_connect_timeout=CONNECT_S, retry=once
            )
            said = self._server.config_get("append*", "maxmemory-policy")
        except (redis.RedisError, ValueError) as error:
            raise FolderError(f"the budgets' Redis server cannot be reached: {type(error).__name__}.") from None
        always = said.get("appendonly") == "yes" and said.get("appendfsync") == "always"
        if power and not always:
            raise PolicyError(
                "store.durability is 'power', and this Redis server does not keep each step on its disk: set "
                "appendonly yes and appendfsync always there, or durability = 'process', which may lose a second."
            )
        if said.get("maxmemory-policy", "noeviction") != "noeviction":
            raise PolicyError(
                "this Redis server may drop budgets when its memory is full: set maxmemory-policy noeviction."
            )
        self._reserve = self._server.register_script(RESERVE)
        self._give_back = self._server.register_script(GIVE_BACK)
        self._begin = self._server.register_script(BEGIN)
        self._finish = self._server.register_script(FINISH)

    def reserve(self, requests: Sequence[Sequence[Ask]]) -> list[Grant]:
        """Grant each request wholly or not at all, in order, in one step."""
        asks = [ask for request in requests for ask in request]
        counts = msgspec.json.encode([len(request) for request in requests])
        numbers = [number for ask in asks for number in (ask.need, ask.want, ask.cap)]
        found = self._reserve(keys=[PREFIX + ask.account for ask in asks], args=[counts, *numbers])
        return [Grant(refused=full) if full >= 0 else Grant(tuple(amounts)) for full, amounts in found]

    def give_back(self, amounts: Mapping[str, int]) -> None:
        """Take back what was granted and not used for any answer; of a renewed account no more than is used."""
        self._give_back(keys=[PREFIX + account for account in amounts], args=list(amounts.values()))

    def used(self, prefix: str) -> dict[str, int]:
        """Return what is used of each account whose name begins so."""
        names = list(self._server.scan_iter(match=f"{PREFIX}{_literal(prefix)}*", count=1000))
        values = self._server.mget(names) if names else []
        return {name.decode()[len(PREFIX) :]: int(value or 0) for name, value in zip(names, values, strict=True)}

    def begin(self, token: bytes, request: bytes, now: float, patience: float) -> str | Kept:
        """See `budget.Store`."""
        state, *kept = self._begin(keys=[f"unseen:idempotent:{token.hex()}"], args=[request, repr(now), repr(patience)])
        return Kept(int(kept[0]), kept[1].decode(), kept[2]) if state == b"kept" else str(state.decode())

    def finish(self, token: bytes, request: bytes, kept: Kept | None) -> None:
        """Keep the answer for a token; None forgets the token."""
        said: list[Any] = ["", "", ""] if kept is None else [kept.status, kept.content_type, kept.body]
        self._finish(keys=[f"unseen:idempotent:{token.hex()}"], args=[request, *said])

    def close(self) -> None:
        """Let go of the connection."""
        self._server.close()


def _literal(text: str) -> str:
    return "".join(f"\\{one}" if one in "*?[]^\\" else one for one in text)
