"""AUC and TPR at low FPR of every attack by number of references, on the two worlds of `worlds.py`.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/published/power.py measure purchase-like --part 0 --of 2
    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/published/power.py tables

`measure` scores its share of the targets and adds a line a target, K and attack to the cache folder; it goes on where
it stopped. `tables` prints what is in `power.md` from those lines, and exits 1 if a floor does not hold.

A target is a network; its complement is left out. K references are drawn at random, at most one of each pair: a pair
is no two independent coins, and an attack that takes references for targets would learn so. For RMIA the population
is 20,000 rows that no network was trained on. For `proxy-in` it is, for each half of the audited rows, the other
half, so that references were trained on some of it.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import norm, rankdata, t
from worlds import AUDITED, CACHE, NETWORKS, SETTINGS, Array, Networks, networks

from unseen.attack import Attack
from unseen.attacks import ATTACKS
from unseen.attacks.learned import LEARNED, LEARNED_NEAR
from unseen.attacks.proxy_in import PROXY_IN
from unseen.moments.normal import known_variance
from unseen.moments.sides import sides
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER

TARGETS = (7, 19, 31, 51, 67, 79, 103, 115, 121, 127)  # others served while the attacks were worked out
REFERENCES = (2, 4, 8, 16, 32, 64)
LEFT_OUT = {"qmia"}  # no references, and tens of seconds a target on hundreds of columns
LIRA = ("lira-online", "lira-online-shared")
OURS = ("rank-combined", "moderated-t-trend", "moderated-t-gap", "moderated-t-online", "learned", "learned-near")
FLOORS: Mapping[tuple[str, str], Mapping[int, tuple[float, float]]] = {  # AUC, TPR at 0.1 %
    ("purchase-like", "learned"): {4: (0.875, 0.032), 8: (0.888, 0.043), 16: (0.894, 0.050)},
    ("purchase-like", "moderated-t-gap"): {4: (0.870, 0.024), 8: (0.885, 0.031), 16: (0.893, 0.043)},
    ("purchase-like", "moderated-t-trend"): {4: (0.873, 0.031), 8: (0.886, 0.039), 16: (0.894, 0.050)},
    ("health-claims", "moderated-t-trend"): {
        2: (0.722, 0.012),
        4: (0.756, 0.021),
        8: (0.767, 0.030),
        16: (0.773, 0.037),
    },
}


def lira_offline_two_sided(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by -log of its out density, as released code does: unusually low margins count as members."""
    _, outside = sides(ref_margin, ref_member)
    return -norm.logpdf(margin, outside.mean, np.sqrt(known_variance(outside)))


TWO_SIDED = Attack(lira_offline_two_sided, (MARGIN, REF_MARGIN, REF_MEMBER), "S2", "Carlini et al. 2022, released code")


def attacks() -> dict[str, Attack]:
    return {one.name: one for one in (*ATTACKS, LEARNED, LEARNED_NEAR, PROXY_IN, TWO_SIDED) if one.name not in LEFT_OUT}


def draw(target: int, references: int) -> Array:
    """Networks that serve as references of `target`: pairs at random, and one of each."""
    rng = np.random.default_rng([target, references])
    pairs = rng.permutation([pair for pair in range(NETWORKS // 2) if pair != target // 2])[:references]
    return 2 * pairs + rng.integers(2, size=references)


def signals(world: Networks, features: Array, target: int, chosen: Array) -> dict[str, Array]:
    """Every signal that the networks' margins and losses give; without references where `chosen` is empty."""
    size = len(features)
    audited, others = slice(None, size), slice(size, 2 * size)
    found = {
        "margin": world.margin[target, audited],
        "loss": world.loss[target, audited],
        "label": world.labels[audited],
        "features": features,
    }
    if not chosen.size:
        return found
    return found | {
        "ref_margin": world.margin[chosen, audited],
        "ref_loss": world.loss[chosen, audited],
        "ref_member": world.member[chosen],
        "population_loss": world.loss[target, others],
        "ref_population_loss": world.loss[chosen, others],
        "ref_population_member": np.zeros((chosen.size, size), dtype=np.bool_),
    }


def in_halves(score: Callable[[dict[str, Array]], Floats], given: dict[str, Array], seed: int) -> Floats:
    """Score each half of the audited rows with the other half as the population."""
    size = given["margin"].size
    halves = np.array_split(np.random.default_rng(seed).permutation(size), 2)
    scores = np.empty(size)
    for own, other in (halves, halves[::-1]):
        scores[own] = score(
            {
                "margin": given["margin"][own],
                "ref_margin": given["ref_margin"][:, own],
                "ref_member": given["ref_member"][:, own],
                "ref_population_margin": given["ref_margin"][:, other],
                "ref_population_member": given["ref_member"][:, other],
            }
        )
    return scores


def judge(scores: Floats, member: Bools) -> tuple[float, float, float]:
    """AUC with ties counted half, and TPR at 1 % and 0.1 % FPR by steps, tied records taken all or none."""
    inside, outside = scores[member], np.sort(scores[~member])[::-1]
    area = rankdata(scores)[member].mean() - (inside.size + 1) / 2
    rates = [float((inside > outside[int(fpr * outside.size)]).mean()) for fpr in (0.01, 0.001)]
    return float(area / outside.size), rates[0], rates[1]


def measure(name: str, part: int, of: int) -> None:
    """Add a line for each target of this part, K and attack that has none yet."""
    path = CACHE / f"power_{name}_{part}_{of}.jsonl"
    lines = [line for file in CACHE.glob(f"power_{name}_*.jsonl") for line in file.read_text().splitlines()]
    done = {(one["target"], one["references"], one["attack"]) for one in map(json.loads, lines)}
    world, features = networks(name), SETTINGS[name].table().features[:AUDITED]
    for target in TARGETS[part::of]:
        for references in (0, *REFERENCES):
            given = signals(world, features, target, draw(target, references))
            for attack in attacks().values():
                halved = attack.name == "proxy-in" and references > 0
                ready = halved or not attack.missing(given)
                based = any(one.name.startswith("ref_") for one in attack.needs)
                if not ready or based != (references > 0) or (target, references, attack.name) in done:
                    continue
                start = time.process_time()
                values = in_halves(lambda s, a=attack: a(s).values, given, target) if halved else attack(given).values
                spent = time.process_time() - start
                found = judge(values, world.member[target])
                row = {"world": name, "target": target, "references": references, "attack": attack.name}
                with path.open("a") as file:
                    file.write(json.dumps(row | {"found": found, "cpu_s": spent}) + "\n")


Results = dict[tuple[str, str, int], dict[int, Array]]  # by world, attack and references: target to three rates and CPU


def results() -> Results:
    found: Results = defaultdict(dict)
    for path in sorted(CACHE.glob("power_*.jsonl")):
        for one in map(json.loads, path.read_text().splitlines()):
            if one["target"] in TARGETS:
                found[one["world"], one["attack"], one["references"]][one["target"]] = np.array(
                    [*one["found"], one["cpu_s"]]
                )
    return found


def mean_and_margin(rows: Array) -> tuple[Array, Array]:
    """Mean over targets and the half width of its 95 % interval (Student t)."""
    margin = t.ppf(0.975, len(rows) - 1) * rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    return rows.mean(axis=0), margin


def _cell(rows: dict[int, Array]) -> str:
    mean, margin = mean_and_margin(np.stack(list(rows.values())))
    area, one, tenth = (f"{m:.{d}f}±{h:.{d}f}" for m, h, d in zip(mean, margin, (3, 3, 4), strict=False))
    return f"{area} {one} {tenth}"


def table(found: Results, name: str) -> list[str]:
    """Markdown lines: an attack a row, K a column; AUC, TPR at 1 % and at 0.1 %, each with its interval."""
    lines = ["| attack | " + " | ".join(f"K={k}" for k in REFERENCES) + " |", "|---" * (len(REFERENCES) + 1) + "|"]
    for attack in attacks():
        cells = [_cell(found[name, attack, k]) if (name, attack, k) in found else "" for k in REFERENCES]
        if any(cells):
            lines.append(f"| {attack} | " + " | ".join(cells) + " |")
    return lines


def cost(found: Results, name: str) -> list[str]:
    """Markdown lines: median CPU seconds to score 20,000 records."""
    lines = ["| attack | " + " | ".join(f"K={k}" for k in REFERENCES) + " |", "|---" * (len(REFERENCES) + 1) + "|"]
    for attack in attacks():
        rows = [found.get((name, attack, k)) for k in REFERENCES]
        cells = [f"{np.median([one[3] for one in row.values()]):.2f}" if row else "" for row in rows]
        if any(cells):
            lines.append(f"| {attack} | " + " | ".join(cells) + " |")
    return lines


def floors(found: Results) -> list[str]:
    """Markdown lines: each floor, what was measured, and whether it holds."""
    lines = ["| world | attack | K | floor | measured | holds |", "|---|---|---|---|---|---|"]
    for (name, attack), limits in FLOORS.items():
        for k, (area, tenth) in limits.items():
            if (name, attack, k) not in found:
                continue
            mean = np.mean(list(found[name, attack, k].values()), axis=0)
            holds = "yes" if mean[0] >= area and mean[2] >= tenth else "no"
            lines.append(
                f"| {name} | {attack} | {k} | {area:.3f}, {tenth:.3f} | {mean[0]:.4f}, {mean[2]:.4f} | {holds} |"
            )
    return lines


def quarter(found: Results, name: str) -> list[str]:
    """Markdown lines: ours with K references against the better form of LiRA with 4 K, paired over targets."""
    lines = ["| ours, K | LiRA, 4 K | ours | LiRA | difference in TPR at 0.1 % |", "|---|---|---|---|---|"]
    for k in REFERENCES[:-2]:
        if any((name, one, 4 * k) not in found for one in LIRA):
            continue
        there = max(LIRA, key=lambda one: np.mean([row[2] for row in found[name, one, 4 * k].values()]))
        for one in OURS:
            pairs = found.get((name, one, k), {})
            both = sorted(set(pairs) & set(found[name, there, 4 * k]))
            if len(both) < 2:
                continue
            a, b = np.array([[pairs[i][2], found[name, there, 4 * k][i][2]] for i in both]).T
            mean, margin = mean_and_margin((a - b)[:, None])
            lines.append(
                f"| {one}, {k} | {there}, {4 * k} | {a.mean():.4f} | {b.mean():.4f} | {mean[0]:+.4f}±{margin[0]:.4f} |"
            )
    return lines


def tables() -> None:
    """Print every table from the lines in the cache folder."""
    found = results()
    for name in SETTINGS:
        without = [f"{one}: {_cell(rows)}" for (w, one, k), rows in found.items() if w == name and k == 0]
        print(f"## {name}\n", *table(found, name), "", f"Without references: {'; '.join(without)}.", "", sep="\n")
        print("### A quarter of the references\n", *quarter(found, name), "", sep="\n")
        print("### Cost\n", *cost(found, name), "", sep="\n")
    limits = floors(found)
    print("## Floors\n", *limits, sep="\n")
    if any(line.endswith("| no |") for line in limits):
        raise SystemExit(1)


def main() -> None:
    """Measure a share of the targets of one world, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["measure", "tables"])
    parser.add_argument("world", nargs="?", choices=SETTINGS)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    options = parser.parse_args()
    if options.what == "tables":
        tables()
    elif options.world is None:
        parser.error("measure needs the name of a world.")
    else:
        measure(options.world, options.part, options.of)


if __name__ == "__main__":
    main()
