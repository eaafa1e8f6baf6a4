"""The statistics of a study: comparisons as a table for people and as files for programs."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from dralign.analysis import Comparison, Contrast, Interval, Row
from dralign.analysis.contrast import Weights
from dralign.forms import csv_text, to_json
from dralign.gaps import gap_type, judged_by
from dralign.metrics import gap_measure
from dralign.report.labels import curve_label, data_labels, forms_of_gap, varying_settings
from dralign.report.tables import MARK, ResultTable, format_interval

LEVEL: Final = 0.05
_FIGURES: Final = {"average_precision": "AP", "hypervolume": "hypervolume"}
_TESTS: Final = {"paired_t": "paired t", "welch_t": "Welch", "wilcoxon": "Wilcoxon"}


def contrast_table(comparisons: Sequence[Comparison], rows: Sequence[Row]) -> ResultTable:
    """A line for each contrast of the comparisons, with p-values after Holm's correction.

    Args:
        comparisons: of a study.
        rows: of the same study; they tell how its data and methods are labelled.
    """
    names = _Names(comparisons, rows)
    header = (
        *(("data", "gap") if names.several else ()),
        "method",
        "against",
        "figure",
        "at",
        "value",
        "other value",
        "difference",
        "ratio",
        "seeds",
        *_TESTS.values(),
    )
    cells = tuple(
        (
            *(names.panel(one) if names.several else ()),
            names.method(one, first=True),
            names.method(one, first=False),
            _figure(one, contrast),
            _matched_at(one, contrast),
            *(_value(one) for one in (contrast.first, contrast.second, contrast.difference)),
            _ratio(contrast),
            f"{contrast.difference.n} of {contrast.seeds}",
            *(_p_value(contrast, kind) for kind in _TESTS),
        )
        for one, contrast in _each(comparisons)
    )
    return ResultTable(header, cells, _caption(comparisons))


def contrasts_as_csv(comparisons: Sequence[Comparison], rows: Sequence[Row]) -> str:
    """The contrasts as comma-separated values, figures unrounded; an undefined one is empty."""
    names = _Names(comparisons, rows)
    out = io.StringIO()
    writer = None
    for one, contrast in _each(comparisons):
        data, gap = names.panel(one)
        line = {
            "data": data,
            "gap": gap,
            "measure": one.measure,
            "selection": str(one.selection),
            "method": names.method(one, first=True),
            "against": names.method(one, first=False),
            "figure": contrast.figure,
            "at": contrast.at,
            "level": contrast.level,
            **_weights("first", contrast.first_weights, one.first.gap_bound),
            **_weights("second", contrast.second_weights, one.second.gap_bound),
            "seeds": contrast.seeds,
            **_flat("first", contrast.first),
            **_flat("second", contrast.second),
            **_flat("difference", contrast.difference),
            **_flat("ratio", contrast.ratio),
            **_flat("p", contrast.p),
            **_flat("holm", contrast.holm),
            "reference_average_precision": one.reference[0],
            "reference_gap": one.reference[1],
        }
        if writer is None:
            writer = csv.DictWriter(out, list(line), lineterminator="\n")
            writer.writeheader()
        writer.writerow(
            {key: "" if _undefined(value) else csv_text(value) for key, value in line.items()}
        )
    return out.getvalue()


def contrasts_as_json(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as JSON; an undefined figure is null."""
    return to_json([one.to_dict() for one in comparisons], indent=1) + "\n"


class _Names:
    """How data, gaps and methods are called, so that they can be told apart in this study."""

    def __init__(self, comparisons: Sequence[Comparison], rows: Sequence[Row]) -> None:
        specs = [row.spec for row in rows]
        self._varying = (*forms_of_gap(specs), *varying_settings(specs))
        labels = zip(rows, data_labels(rows), strict=True)
        self._data = {(row.spec.data, row.fingerprint): label for row, label in labels}
        self.several = len({self.panel(one) for one in comparisons}) > 1

    def panel(self, one: Comparison) -> tuple[str, str]:
        """Data and gap."""
        return self._data[one.first.data, one.fingerprint], gap_type(judged_by(one.first.gap)).words

    def method(self, one: Comparison, *, first: bool) -> str:
        """A method, with the settings that tell it apart."""
        return curve_label(one.first if first else one.second, self._varying)


def _each(comparisons: Sequence[Comparison]) -> Iterator[tuple[Comparison, Contrast]]:
    """Every contrast with its comparison."""
    for one in comparisons:
        for contrast in one.contrasts:
            yield one, contrast


def _figure(one: Comparison, contrast: Contrast) -> str:
    """The name of the figure; a gap has that of its measure."""
    judged = gap_measure(one.measure).words
    return judged if contrast.figure == "gap" else _FIGURES[contrast.figure]


def _matched_at(one: Comparison, contrast: Contrast) -> str:
    """Where two methods were compared."""
    if contrast.at != "weight":
        return "fronts" if contrast.at == "front" else f"AP {contrast.level:g}"
    bounds = [spec.gap_bound for spec in (one.first, one.second) if spec.gap_bound is not None]
    if bounds:
        return f"bound {bounds[0]:g}"
    pairs = contrast.first_weights, contrast.second_weights
    betas = sorted({pair[1] for pair in pairs if pair and pair[1]})
    return f"λ {contrast.level:g}" + "".join(f", β {beta:g}" for beta in betas)


def _value(interval: Interval) -> str:
    """A mean with its interval; the seeds have a column of their own."""
    return format_interval(interval).split(" (")[0]


def _ratio(contrast: Contrast) -> str:
    """The ratio with its interval."""
    ratio = contrast.ratio
    if math.isnan(ratio.value):
        return "undefined"
    if math.isnan(ratio.low):
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"


def _p_value(contrast: Contrast, kind: str) -> str:
    """The corrected p-value, the plain one behind it; a mark where the first is below .05."""
    corrected, plain = getattr(contrast.holm, kind), getattr(contrast.p, kind)
    if math.isnan(corrected):
        return "–"
    mark = f" {MARK}" if corrected < LEVEL else ""
    return f"{corrected:.2g} ({plain:.2g}){mark}"


def _caption(comparisons: Sequence[Comparison]) -> str:
    """What the figures of the table are."""
    if not comparisons:
        return (
            "Nothing to compare: it takes two methods that were run on the same data under the "
            "same settings, one of them the baseline."
        )
    one = comparisons[0]
    contrasts = [contrast for _, contrast in _each(comparisons)]
    tests = [c.holm.paired_t for c in contrasts if not math.isnan(c.holm.paired_t)]
    below = sum(p < LEVEL for p in tests)
    references = sorted({c.reference for c in comparisons})
    shown = "; ".join(f"AP {ap:g}, gap {gap:.3f}" for ap, gap in references[:4])
    return (
        f"The gap is the {gap_measure(one.measure).words.removesuffix(' gap')} gap, absolute for "
        "each seed, on the test split, at the epoch chosen on the "
        f"validation split by: {one.selection}. Values: mean ± 95 % t-interval over seeds. "
        "Difference and ratio: the method's value less, or over, the other's, on the seeds that "
        "both have, the ratio with a 95 % t-interval of its logarithm. At an AP: gaps read on the "
        "straight lines of each seed's own front; seeds whose front does not reach that AP are "
        "left out, and the seeds column says how many remain. Fronts: the share of the box from "
        f"the reference ({shown}{' ...' if len(references) > 4 else ''}) to AP 1 and gap 0 that a "
        "front dominates (higher is better). Both are of equally many settings of the two methods: "
        "of the one with more, those nearest to the other's in validation AP. Tests: p after "
        "Holm's correction over all lines of one data set and gap, for each kind of test by "
        "itself; in brackets before it; – where "
        f"there are too few seeds or no variation. {MARK} below .05: {below} of {len(tests)} "
        "paired t-tests. They speak of more seeds on these rows; of the population that the rows "
        "come from p is too small, as splits of one data set overlap. "
        "Wilcoxon's test can't reach .05 with fewer than six seeds, before any correction."
    )


def _flat(name: str, value: object) -> dict[str, Any]:
    """The parts of a figure as columns."""
    return {f"{name}_{key}": part for key, part in vars(value).items()}


def _weights(name: str, weights: Weights | None, bound: float | None) -> dict[str, float]:
    """What tells a setting from others of its method; NaN where it has none."""
    own = (*(weights or (math.nan, math.nan)), math.nan if bound is None else bound)
    columns = ("fairness_weight", "alignment_weight", "gap_bound")
    return {f"{name}_{column}": value for column, value in zip(columns, own, strict=True)}


def _undefined(value: object) -> bool:
    """Whether a value is NaN."""
    return isinstance(value, float) and math.isnan(value)
