"""The all-cut-offs gap against FairReg at matched average precision; docs/measures.md has the rule.

    python experiments/ranking.py studies/ranking_adult studies/settle_adult

Prints a table for the page: ratios of gaps, the all-cut-offs gap trained over FairReg trained.
"""

import argparse
from itertools import product
from pathlib import Path

from settle import LAST, Study, short

from dralign.reproduce.fronts import matched_ratio
from dralign.reproduce.levels import finding
from dralign.training import Selection

RULES = {"smallest base-rate gap": Selection(), "last epoch": LAST}
MEASURES = ("base_rate", "all_cutoffs", "soft", "hard")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ranking", type=Path)
    parser.add_argument("settle", type=Path)
    given = parser.parse_args()
    ours, theirs = Study(given.ranking), Study(given.settle)
    print(f"{ours.data}: ratio of gaps at matched AP, ▼ below 1, ▲ above, ≈ within 5 %")
    print("\n| epoch | " + " | ".join(MEASURES) + " | primary level |")
    print("| --- |" + " --- |" * (len(MEASURES) + 1))
    # Not declared beforehand: FairReg with a smaller step has the better front at the last epoch.
    for rate, (words, rule) in product((0.001, 0.00025), RULES.items()):
        cells = []
        for measure in MEASURES:
            one = ours.points(("gap", 0.001), rule, measure)
            other = theirs.points(("gap", rate), rule, measure)
            both = sorted(one.keys() & other.keys())
            cells.append(finding(matched_ratio(one[seed], other[seed]) for seed in both))
        first = f"{cells[0].level}, n = {cells[0].n}" if rule != LAST and rate == 0.001 else ""
        name = words if rate == 0.001 else f"{words}, FairReg at {rate:g}"
        print(f"| {name} | " + " | ".join(map(short, cells)) + f" | {first} |")


if __name__ == "__main__":
    main()
