"""Made-up traffic of one client: honest profiles and probing attackers, over populations of records of known shape."""

from dataclasses import dataclass, replace

import numpy as np

DAY = 86_400.0


@dataclass(frozen=True)
class World:
    """A population of records with `features` fields: clustered and correlated, every field scaled to about 1.

    `kinds` says which fields are numbers (0), which are codes of five values (5), which are bits (2).
    """

    centres: np.ndarray
    mix: np.ndarray
    kinds: np.ndarray
    plane: np.ndarray
    hidden: np.ndarray

    @property
    def features(self):
        return self.centres.shape[1]

    def draw(self, rng, count):
        """Return records, `(count, features)`."""
        raw = self.centres[rng.integers(0, len(self.centres), count)]
        raw = raw + rng.normal(size=(count, self.mix.shape[0])) @ self.mix + 0.7 * rng.normal(size=raw.shape)
        return self.typed(raw)

    def typed(self, raw):
        """Round codes and bits to values that exist, scaled to about 1."""
        raw = raw.copy()
        codes, bits = self.kinds == 5, self.kinds == 2
        raw[:, codes] = np.clip(np.round(raw[:, codes] * 1.4), -2, 2) / 1.4
        raw[:, bits] = np.where(raw[:, bits] > 0, 1.0, -1.0)
        return raw.astype(np.float32)

    def labels(self, records):
        """Return what a small network answers, `(records,)`."""
        return (np.tanh(records @ self.plane) @ self.hidden > 0).astype(int)


def world(seed, features, coded=0.0, bits=0.0):
    """Return a world: ten clusters, a low-rank correlation, shares of codes and bits."""
    rng = np.random.default_rng(seed)
    rank = max(2, features // 8)
    kinds = rng.choice([0, 5, 2], features, p=[1 - coded - bits, coded, bits])
    centres, mix = 0.5 * rng.normal(size=(10, features)), 0.5 * rng.normal(size=(rank, features)) / np.sqrt(rank)
    plane, hidden = rng.normal(size=(features, 16)) / np.sqrt(features), rng.normal(size=16)
    return World(centres, mix, kinds, plane, hidden)


# Honest profiles: (rng, world, count) -> records (count, features), in the order of time.


def independent(rng, world, count):
    return world.draw(rng, count)


def one_segment(rng, world, count):
    """Independent draws of one kind of record: one of the ten clusters."""
    return replace(world, centres=world.centres[[rng.integers(len(world.centres))]]).draw(rng, count)


def tight_segment(rng, world, count):
    """Independent draws of one kind, with half the spread of a cluster: about 0.43 a field."""
    centre = world.centres[[rng.integers(len(world.centres))]]
    return (centre + 0.5 * (replace(world, centres=centre).draw(rng, count) - centre)).astype(np.float32)


def retries(rng, world, count):
    """Independent draws, a fifth of them sent again a moment later."""
    fresh = world.draw(rng, count)
    again = rng.random(count) < 0.2
    again[0] = False
    fresh[again] = fresh[np.maximum.accumulate(np.where(again, 0, np.arange(count)))[again]]
    return fresh


def _edited(rng, base, donor, step=None):
    """Return a record with one to three of its fields changed: to another person's values, or by small steps."""
    place = rng.integers(0, base.size, rng.integers(1, 4))
    record = base.copy()
    record[place] = donor[place] if step is None else base[place] + step * rng.choice([-1, 1], place.size)
    return record


def what_if(rng, world, count):
    """60 % of queries are edits of 1 to 3 fields of the record before them; the others are new records."""
    return _what_if(rng, world, count, stay=0.6, chain=True)


def what_if_of_a_base(rng, world, count):
    """Patient: about thirty edits, each of the same base record, before the next one."""
    return _what_if(rng, world, count, stay=0.97, chain=False)


def what_if_chain(rng, world, count):
    """Patient: about thirty edits, each of the last edit."""
    return _what_if(rng, world, count, stay=0.97, chain=True)


def sliders(rng, world, count):
    """Moves one to three fields in small equal steps, about thirty in a row, from the last position."""
    return _what_if(rng, world, count, stay=0.97, chain=True, step=0.05)


def _what_if(rng, world, count, *, stay, chain, step=None):
    records, stays = world.draw(rng, count), rng.random(count) < stay
    base = records[0].copy()
    for i in range(1, count):
        if stays[i]:
            records[i] = _edited(rng, base, records[i], step)
            base = records[i] if chain else base
        else:
            base = records[i]
    return records


def drift(rng, world, count, step=0.02, noise=0.0, pull=0.0):
    """A sensor: a random walk in every field, from a record; `noise` is added to what is sent, `pull` draws it back."""
    start = world.draw(rng, 1)[0]
    steps = step * rng.normal(size=(count, world.features))
    path = np.zeros_like(steps)
    for i in range(1, count):
        path[i] = (1 - pull) * path[i - 1] + steps[i]
    return (start + path + noise * rng.normal(size=steps.shape)).astype(np.float32)


def straight_drift(rng, world, count):
    """A sensor that ages: a constant slope with a little wandering."""
    slope = 0.004 * rng.normal(size=world.features)
    return (drift(rng, world, count, 0.001) + slope * np.arange(count)[:, None]).astype(np.float32)


def noisy_drift(rng, world, count):
    """A random walk whose reading adds noise as large as two steps."""
    return drift(rng, world, count, 0.02, 0.04)


def noisier_drift(rng, world, count):
    """A random walk whose reading adds noise as large as five steps."""
    return drift(rng, world, count, 0.02, 0.1)


def returning_drift(rng, world, count):
    """A walk drawn back to its set point, with a memory of fifty readings."""
    return drift(rng, world, count, 0.05, 0.0, 0.02)


def daily_drift(rng, world, count):
    """A daily curve of 96 readings that comes back every day, with small wandering."""
    turn = 2 * np.pi * np.arange(count)[:, None] / 96 + rng.uniform(0, 2 * np.pi, world.features)
    return (drift(rng, world, count, 0.002) + 0.5 * np.sin(turn)).astype(np.float32)


def noisy_daily_drift(rng, world, count):
    """The daily curve with noise of a twentieth of its height."""
    daily = daily_drift(rng, world, count)
    return (daily + 0.025 * rng.normal(size=daily.shape)).astype(np.float32)


def noisy_level(rng, world, count):
    """A sensor at rest: one level and white noise, which is what noise probing is."""
    return drift(rng, world, count, 0.0, 0.05)


# Attackers: (rng, world, probes) -> records (probes, features).


def noise_probing(rng, world, probes, copies=100, scale=None, share=1.0):
    """Copies of each target with noise in every field, of one scale between 0.02 and 0.2; `share` of fields get it."""
    scale = scale or rng.choice([0.02, 0.05, 0.1, 0.2])
    targets = np.repeat(world.draw(rng, -(-probes // copies)), copies, axis=0)[:probes]
    noise = scale * rng.normal(size=targets.shape) * (rng.random(targets.shape) < share)
    noise[::copies] = 0
    return (targets + noise).astype(np.float32)


def coarse_noise_probing(rng, world, probes):
    """Noise of two fifths of a field's spread: copies as far from each other as records of one kind may be."""
    return noise_probing(rng, world, probes, scale=0.4)


def ten_copies_each(rng, world, probes):
    """Noise probing that asks ten copies of a target and goes on to the next."""
    return noise_probing(rng, world, probes, copies=10)


def sparse_noise_probing(rng, world, probes):
    """Noise in a tenth of the fields only."""
    return noise_probing(rng, world, probes, share=0.1)


def flipped_bits_probing(rng, world, probes):
    """Copies of a target with each field replaced, with a chance of 5 %, by another person's value."""
    targets = np.repeat(world.draw(rng, -(-probes // 100)), 100, axis=0)[:probes]
    return np.where(rng.random(targets.shape) < 0.05, world.draw(rng, probes), targets).astype(np.float32)


def what_if_imitation(rng, world, probes):
    """A hundred edits of 1 to 3 fields of each target: noise probing dressed as a what-if user."""
    targets = np.repeat(world.draw(rng, -(-probes // 100)), 100, axis=0)[:probes]
    return np.array([_edited(rng, *pair) for pair in zip(targets, world.draw(rng, probes), strict=True)])


def one_query_each(rng, world, probes):
    """One query a target, as one-query attacks ask."""
    return world.draw(rng, probes)


def boundary_probing(rng, world, probes, gradient=100, reaction=None):
    """HopSkipJump, label only: search a boundary point by halving, a gradient by small steps around it, a step, again.

    Chen, Jordan and Wainwright 2020, arXiv:1904.02144, algorithm 2; `gradient` queries in the first round, growing by
    its square root. A target is given up after 2,500 queries. `reaction(rng, delta)` may change a round's small step.
    """
    asked = []

    def ask(points):
        asked.extend(points.astype(np.float32))
        return world.labels(points)

    while len(asked) < probes:
        _hop_skip_jump(rng, world, ask, asked, probes, gradient, reaction)
    return np.array(asked[:probes])


def _hop_skip_jump(rng, world, ask, asked, probes, gradient, reaction):
    target = world.draw(rng, 1)[0].astype(float)
    own = ask(target[None])[0]
    for other in world.draw(rng, 50).astype(float):
        if ask(other[None])[0] != own:
            break
    else:
        return
    d, most = world.features, len(asked) + 2500
    point = _halve(ask, target, other, own)
    for turn in range(1, 60):
        if len(asked) >= min(probes, most):
            return
        distance = np.linalg.norm(point - target)
        delta = 0.1 * np.sqrt(d) if turn == 1 else distance / np.sqrt(d)  # theta sqrt(d) distance, theta = 1 / d
        delta = reaction(rng, delta) if reaction else delta
        ball = rng.normal(size=(int(gradient * np.sqrt(turn)), d))
        ball *= delta / np.linalg.norm(ball, axis=1, keepdims=True)
        sign = np.where(ask(point + ball) != own, 1.0, -1.0)
        slope = ((sign - sign.mean()) if abs(sign.mean()) < 1 else sign) @ ball
        slope /= np.linalg.norm(slope) or 1.0
        step = distance / np.sqrt(turn)
        while ask((point + step * slope)[None])[0] == own and step > 1e-6:
            step /= 2
        point = _halve(ask, target, point + step * slope, own)


def _halve(ask, target, other, own, precise=1e-3):
    low, high = 0.0, 1.0
    while high - low > precise:
        middle = (low + high) / 2
        inside = ask((target + middle * (other - target))[None])[0] == own
        low, high = (middle, high) if inside else (low, middle)
    return target + high * (other - target)


def small_boundary_probing(rng, world, probes):
    """HopSkipJump with twenty queries for the first gradient."""
    return boundary_probing(rng, world, probes, gradient=20)


def covered(rng, probes, cover, share):
    """Mix honest records into probes at random, so that `share` of all are honest; say which are probes."""
    total = round(len(probes) / (1 - share))
    real = np.zeros(total, dtype=bool)
    real[rng.choice(total, len(probes), replace=False)] = True
    mixed = np.empty((total, probes.shape[1]), dtype=np.float32)
    mixed[real], mixed[~real] = probes, cover(total - len(probes))
    return mixed, real


def times(rng, count, days=1):
    """Return moments of queries, in seconds: spread evenly at random over so many days, in order."""
    return np.sort(rng.uniform(0, days * DAY, count))


def halving_only(rng, world, probes):
    """Searches of the boundary by halving alone, ten queries a target, and no cloud around any point."""
    asked = []
    while len(asked) < probes:
        target, other = world.draw(rng, 2).astype(float)
        own, there = world.labels(np.array([target, other]))
        if own != there:
            _halve(
                lambda points: (asked.extend(points.astype(np.float32)), world.labels(points))[1], target, other, own
            )
    return np.array(asked[:probes])
