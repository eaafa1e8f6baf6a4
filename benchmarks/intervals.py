"""How often the 95 % intervals hold the true figure: the tables of docs/measures.md.

Scores are 0 or 1, or uniform with the group's mean moved; the true figure is that of the design.

    python benchmarks/intervals.py [samples]
"""

import sys

import numpy as np

from dralign.metrics import measure, scored
from dralign.metrics.rates import effective_rows, group_means
from dralign.metrics.resampling import bootstrap_intervals, ratio_interval

DRAWS = 100
DESIGNS = {  # rows of each group, and the share of each that is selected
    "2 x 1,000, gap 0": ([1000] * 2, [0.3] * 2),
    "2 x 1,000, gap .05": ([1000] * 2, [0.3, 0.25]),
    "1,000 + 20, gap .20": ([1000, 20], [0.25, 0.05]),
    "1,000 + 10, gap .20": ([1000, 10], [0.3, 0.1]),
    "8 x 50, gap 0": ([50] * 8, [0.3] * 8),
    "8 x 50, gap .10": ([50] * 8, np.linspace(0.25, 0.35, 8)),
    "8 x 50, gap .20": ([50] * 8, np.linspace(0.2, 0.4, 8)),
    "8 x 200, gap .06": ([200] * 8, np.linspace(0.27, 0.33, 8)),
    "5 x 500, gap .04": ([500] * 5, [0.28, 0.3, 0.3, 0.3, 0.32]),
}
FIGURES = (  # every gap is between rates that the labels say nothing about
    ("hard", "demographic_parity"),
    ("hard", "equalized_odds"),
    ("soft", "demographic_parity"),
    ("base_rate", "demographic_parity"),
    ("all_cutoffs", "demographic_parity"),
)

CALIBRATION = {  # the true probability of label 1, of probabilities from .05 to .95
    "calibrated": lambda f: f,
    "half as far from .5": lambda f: 0.5 + 0.5 * (f - 0.5),
    "15 % nearer to .5": lambda f: 0.5 + 0.85 * (f - 0.5),
    "never over .6": lambda f: np.minimum(f, 0.6),
}


def sample(sizes, shares, rng, *, weighted=False):
    """Rows with labels that are 1 as often as a row is selected on average, and scores.

    A share p of a group has scores from .5 to 1, the others from 0 to .5.
    """
    group = np.repeat(np.arange(len(sizes)), sizes)
    chosen = rng.random(len(group)) < np.asarray(shares)[group]
    prob = rng.random(len(group)) / 2 + chosen / 2
    y = rng.random(len(group)) < np.average(shares, weights=sizes)
    weight = rng.choice([1.0, 3.0], len(group)) if weighted else None
    return scored(y * 1, prob, group, n_groups=len(sizes), sample_weight=weight)


def truth(shares):
    """The true gaps of ``FIGURES``, by arithmetic."""
    gap = float(np.ptp(shares))
    # A cut-off that selects the share q of all takes min(1, q / m) of the chosen and
    # max(0, q - m) / (1 - m) of the others, m being the share of the chosen: the mean over q of
    # the difference p (a - b) is that of gap * (a - b), whose area is 1 / 2.
    return [gap, 2 * gap, gap / 2, gap, gap / 2]


def ratio_held(rows, shares, seed):
    """Whether the interval of the ratio of selection rates holds the true one."""
    of = rows.codes, rows.n_groups
    rates = group_means(rows.decision, rows.counted, *of)
    sizes = effective_rows(rows.counted, *of)
    low, high = ratio_interval(rates, sizes, rng=np.random.default_rng(seed))
    return low <= min(shares) / max(shares) <= high


def calibration(samples):
    """Prints how often the interval of the calibration error holds the true one."""
    wanted = [(measure("expected_calibration_error"), "")]
    sizes = (60, 300, 1000)
    print("| labels | true error | " + " | ".join(f"{n} rows" for n in sizes) + " |")
    even = (np.arange(15 * 10**4) + 0.5) / (15 * 10**4) * 0.9 + 0.05
    for words, chance in CALIBRATION.items():
        true, held = np.abs((even - chance(even)).reshape(15, -1).mean(1)).mean(), []
        for n in sizes:
            for seed in range(samples):
                rng = np.random.default_rng(seed)
                f = rng.uniform(0.05, 0.95, n)
                rows = scored((rng.random(n) < chance(f)) * 1, f, np.arange(n) % 2, n_groups=2)
                ((low, high),) = bootstrap_intervals(rows, wanted, draws=DRAWS, rng=rng)
                held.append(low <= true <= high)
        told = " | ".join(f"{x:.2f}" for x in np.reshape(held, (len(sizes), -1)).mean(1))
        print(f"| {words} | {true:.3f} | {told} |", flush=True)


def main():
    """Prints a row of the table for each design."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    calibration(samples)
    wanted = [(measure(name), gap) for name, gap in FIGURES]
    print("| groups | " + " | ".join(f"{name} {gap}" for name, gap in FIGURES) + " | ratio |")
    for words, (sizes, shares) in DESIGNS.items():
        for weighted in (False, True) if sum(sizes) < 1500 else (False,):
            held = np.zeros(len(wanted) + 1)
            for seed in range(samples):
                rows = sample(sizes, shares, np.random.default_rng(seed), weighted=weighted)
                found = bootstrap_intervals(
                    rows, wanted, draws=DRAWS, rng=np.random.default_rng(seed)
                )
                true = truth(shares)
                inside = [a <= t <= b for (a, b), t in zip(found, true, strict=True)]
                held += [*inside, ratio_held(rows, shares, seed)]
            told = " | ".join(f"{x:.2f}" for x in held / samples)
            print(f"| {words}{', weighted' * weighted} | {told} |", flush=True)


if __name__ == "__main__":
    main()
