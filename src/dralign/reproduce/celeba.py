"""Tables 5, 6, 9 and 13 and the search for beta (A.1): CelebA, or a sample of it.

Every figure here is of the trials on all images, which have the paper's settings, where there are
any; else of those on a sample of CelebA.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from dralign.analysis.significance import p_values
from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.planned import PLANS, SAMPLE, WHOLE, of_images, trials
from dralign.reproduce.results import (
    DP,
    EO,
    Figure,
    Results,
    Values,
    gap_in,
    hard,
    plain,
    precision,
    shown,
    soft,
)
from dralign.reproduce.times import times
from dralign.training import PUBLISHED_RULE

LAST = 2  # layers that are aligned in ResNet-18
BETAS = (0.001, 0.01, 0.1)
BETA = 0.01  # Table 3
_CONSTANT = "The layer with one output has one unit, whose similarity is 1 whatever it does. "
_WARMUP = 3  # epochs that the published code of Fair Mixup leaves out of its choice on CelebA


@dataclass(frozen=True)
class Faces:
    """The trials of some plans on images.

    Attributes:
        results: those on all of CelebA, or if there are none, those on a sample.
        sample: whether they are on a sample.
    """

    results: Results
    sample: bool

    def values(self, figure: Figure, method: str, **settings: object) -> Values:
        """As of ``Results``, on CelebA; Fair Mixup mixes inputs."""
        wanted = {"mixup_layer": None, **settings}
        return self.results.values(figure, method, data="celeba", **wanted)  # type: ignore[arg-type]

    def gaps(self, method: str, **settings: object) -> Values:
        """The gap on the test rows in the form of the results."""
        return self.values(gap_in(self.results.measure), method, **settings)

    def precisions(self, method: str, **settings: object) -> Values:
        """Average precision on the test rows."""
        return self.values(precision, method, **settings)

    def weights(self, gap: str = DP) -> tuple[float, ...]:
        """The lambdas at which both FairReg and DRAlign have trials for a gap."""
        by_method = [
            {
                trial.spec.fairness_weight
                for trial in self.results.records
                if (trial.spec.method, trial.spec.gap) == (method, gap)
            }
            for method in ("gap", "dralign")
        ]
        return tuple(sorted(set.intersection(*by_method)))

    @property
    def note(self) -> str:
        """What the trials are."""
        if not self.results.records:
            return "There are no trials: ours need CelebA, or a part of it (--data-home)."
        seeds = sorted({trial.spec.seed for trial in self.results.records})
        said = {
            f"{spec.data.image_size or 256} x {spec.data.image_size or 256} pixels, "
            f"{spec.epochs} epochs of {spec.iterations} steps"
            + (f", classifier width {spec.classifier_width}" if spec.classifier_width else "")
            for spec in (trial.spec for trial in self.results.records)
        }
        text = f"{'; '.join(sorted(said))}; {len(seeds)} seed{'s' * (len(seeds) > 1)} at most."
        if not self.sample:
            return f"Ours: all of CelebA, {text} The first {_WARMUP} epochs are not chosen."
        return (
            f"Ours: on a sample of CelebA, {text} The sample of the committed results has 10,000 "
            "images, 6,906 of them for training, at half of their size: its numbers are not to be "
            "compared with the paper's, and so few seeds do not tell who is above whom. A hard gap "
            "of exactly 0 is that of a network, hardly trained, that decides alike for everybody."
        )


def faces(results: Results, *names: str) -> Faces:
    """The trials of the plans of these short names."""
    records = [trial for trial in results.records if of_images(trial.spec)]
    for prefix in (WHOLE, SAMPLE):
        wanted = trials(*(prefix + name for name in names if prefix + name in PLANS))
        result = tuple(trial for trial in records if plain(trial.spec) in wanted)
        if result:
            break
    chosen = results.selection
    if prefix == WHOLE and chosen == PUBLISHED_RULE:
        chosen = replace(PUBLISHED_RULE, warmup=_WARMUP)
    return Faces(replace(results, records=result, selection=chosen), sample=prefix == SAMPLE)


def alike(granularity: str, last: int = 0) -> Figure:
    """Similarity on the validation rows, added up over all layers or the last few."""
    return lambda _trial, epoch: math.fsum([*epoch.similarity[granularity].values()][-last:])


def paired_table(name: str, plans: str) -> Callable[[Results], Reproduction]:
    """A table of AP and fairness of DRAlign and FairReg (Tables 5 and 6)."""

    def make(results: Results) -> Reproduction:
        paper, result = printed(name), faces(results, plans)
        columns = [(DP, w) for w in paper["dp_weights"]] + [(EO, w) for w in paper["eo_weights"]]
        lines = []
        for method in ("dralign", "gap"):
            for label, key, figure in _FIGURES[: None if plans == "resnet18" else 3]:
                ours = [
                    result.values(figure, method, gap=gap, fairness_weight=w) for gap, w in columns
                ]
                if key:
                    values = [f"{value:.4f}" for value in paper[f"{method}_{key}"]]
                    lines.append((method, label, "paper", *values))
                lines.append((method, label, "ours", *(shown(v, 4) for v in ours)))
        heads = [f"{'DP' if gap == DP else 'EO'} {w:g}" for gap, w in columns]
        constant = _CONSTANT if plans == "resnet18" else ""
        note = f"The paper prints minus the gap. {constant}{result.note}"
        return Reproduction(("method", "figure", "", *heads), tuple(lines), note)

    return make


def _minus(figure: Figure) -> Figure:
    return lambda trial, epoch: -figure(trial, epoch)


_FIGURES: tuple[tuple[str, str, Figure], ...] = (
    ("AP", "ap", precision),
    ("- soft gap", "fairness", _minus(soft)),
    ("- hard gap", "", _minus(hard)),
    ("similarity of the last two layers, unit", "", alike("unit", LAST)),
    ("similarity of the last two layers, parameter", "", alike("parameter", LAST)),
)


def table9(results: Results) -> Reproduction:
    """Training times; those on a sample are of short runs made for this."""
    whole = faces(results, "dp", "eo")
    result = faces(results, "times") if whole.sample else whole
    made = times(result.results, "table9", "celeba", more=(("adversarial", None), ("mixup", MIXED)))
    return replace(made, note=f"{made.note} {result.note}")


MIXED = "features"  # the output of AlexNet's convolutions, of the second Fair Mixup


def table13(results: Results) -> Reproduction:
    """P-values that FairReg and DRAlign have the same gap at equal lambda."""
    paper, result = printed("table13"), faces(results, "dp")
    lines = []
    for weight, value in zip(paper["weights"], paper["p_value"], strict=True):
        for form, figure in (("soft", soft), ("hard", hard)):
            gap, aligned = (
                result.values(figure, name, fairness_weight=weight, **_beta(name))
                for name in ("gap", "dralign")
            )
            p = p_values(aligned, gap)
            tests = ("–" if math.isnan(x) else f"{x:.2g}" for x in (p.paired_t, p.welch_t))
            line = (f"{weight:g}", form, f"{value:g}", *tests, shown(gap), shown(aligned))
            lines.append(line)
    header = ("lambda", "form", "paper p", "paired t", "Welch t", "gap", "dralign")
    return Reproduction(header, tuple(lines), result.note)


def beta(results: Results) -> Reproduction:
    """What A.1 says of beta on CelebA, beside FairReg (beta 0) and DRAlign at lambda 0.5."""
    said = dict(zip(BETAS, ("close to FairReg", "chosen", _FIRST), strict=True))
    result = faces(results, "dp", "beta")
    lines = []
    for weight in (0.0, *BETAS):
        method = "dralign" if weight else "gap"
        ours = [
            result.values(figure, method, fairness_weight=0.5, alignment_weight=weight)
            for figure in (precision, soft, hard, alike("unit"))
        ]
        cells = (shown(values) for values in ours)
        lines.append((f"{weight:g}", method, said.get(weight, "–"), *cells))
    header = ("beta", "method", "paper", "AP", "soft gap", "hard gap", "similarity")
    note = (
        f"Lambda is assumed (0.5). {result.note} The similarity is that of units on the validation "
        f"rows, added up over layers. {_settings()}"
    )
    return Reproduction(header, tuple(lines), note)


_FIRST = "alignment is optimised first, to the detriment of the other terms"


def _beta(method: str) -> dict[str, float]:
    """The beta of the paper, of DRAlign."""
    return {"alignment_weight": BETA} if method == "dralign" else {}


def _settings() -> str:
    """Table 3 in words."""
    paper = printed("table3")
    epochs = ", ".join(
        f"{method} {dp} (DP) and {eo} (EO)"
        for method, dp, eo in zip(
            paper["methods"], paper["dp_epochs"], paper["eo_epochs"], strict=True
        )
    )
    return f"Table 3: Adam at {paper['learning_rate'][0]:g}; epochs: {epochs}. {paper['read']}"
