"""What an audit found, as frozen records that become JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from dralign.forms import plain
from dralign.rationale import Granularity

if TYPE_CHECKING:
    import plotly.graph_objects as go

UnitForm = Literal["sum", "joint"]


@dataclass(frozen=True)
class Estimate:
    """A figure with a 95 % interval; NaN where undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Meaning:
    """What labels, inputs and rows are in the world; all of it may be unknown.

    Attributes:
        positive: how label 1 is written.
        favourable: whether label 1 is good for the person it is about; None if nobody said so.
        inputs: the names of the network's inputs.
        data: lines about the rows: which they are, and what the network was trained on.
    """

    positive: str = "1"
    favourable: bool | None = None
    inputs: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


UNKNOWN: Final = Meaning()


@dataclass(frozen=True)
class GroupFigures:
    """The figures of one group.

    Attributes:
        group: its name.
        n: its rows.
        figures: base rate, mean probability, selection rate, true and false positive rate,
            accuracy and average precision, each in [0, 1].
    """

    group: str
    n: int
    figures: Mapping[str, Estimate]


@dataclass(frozen=True)
class Outcomes:
    """What the network decides for the groups, at two classes.

    Attributes:
        groups: the figures of each group.
        gaps: ``<measure>_<gap>`` for each measure of gaps; 0 is parity.
        overall: the other measures, over the rows of all groups.
        selection_ratio: the smallest selection rate of a group over the largest, in [0, 1], or
            that of decision 0 where label 1 is unfavourable; a rule of thumb (of four fifths) asks
            for .8 or more.
    """

    groups: Sequence[GroupFigures]
    gaps: Mapping[str, Estimate]
    overall: Mapping[str, Estimate]
    selection_ratio: Estimate


@dataclass(frozen=True)
class SimilarityTest:
    """A similarity of the groups' rationales against what chance alone would give.

    Attributes:
        layer: the layer, or ``"total"`` for the sum over layers.
        similarity: the cosine in [0, 1] (a sum of them for the total), with its interval.
        null: the similarities of random splits of the pooled rows, sorted.
        noise_floor: the largest of them below which the p-value is .05 or less.
        p_value: (1 + splits that are at most as similar) / (1 + splits).
        within_noise: whether the p-value is above .05, and so the similarity not below the floor.
    """

    layer: str
    similarity: Estimate
    null: Sequence[float]
    noise_floor: float
    p_value: float
    within_noise: bool

    @property
    def constant(self) -> bool:
        """Whether every split gives the same: a layer of one unit per unit, or without gradient."""
        return len(self.null) > 0 and {*self.null} == {self.similarity.value}


@dataclass(frozen=True)
class ParityTest:
    """A first-order parity score of the groups against what chance alone would give.

    Similarity compares shapes; this compares sizes too. Where training has brought the mean
    gradient of all rows to zero, n_0 g_0 = -n_1 g_1: two groups then have similar rationales
    whatever they want, and only the size tells whether they want anything.

    Attributes:
        layer: the layer, or ``"total"`` for the sum over layers.
        score: the sum of d_k (Eq. 5) over the layer, of Taylor influences (Eq. 8); 0 is parity.
        noise_ceiling: the smallest score of a random split of the pooled rows above which the
            p-value is .05 or less.
        p_value: (1 + splits with at least this score) / (1 + splits).
        within_noise: whether the p-value is above .05, and so the score not above the ceiling.
        direction: the mean cosine over the pairs of groups of the signed changes g w, in [-1, 1];
            -1 where what helps one group harms the other; NaN for the total.
    """

    layer: str
    score: float
    noise_ceiling: float
    p_value: float
    within_noise: bool
    direction: float


@dataclass(frozen=True)
class Similarity:
    """Taylor rationales at one granularity: their similarity and their parity scores.

    Attributes:
        granularity: what an entry is.
        layers: the similarity of each layer.
        total: its sum over layers.
        parity: the parity score of each layer.
        parity_total: its sum over layers.
    """

    granularity: Granularity
    layers: Sequence[SimilarityTest]
    total: SimilarityTest
    parity: Sequence[ParityTest]
    parity_total: ParityTest


@dataclass(frozen=True)
class Part:
    """A unit or a weight with a high parity score.

    Attributes:
        layer: its layer.
        unit: its row of the weight.
        index: its place in the weight; empty for a unit.
        score: d_k, the squared difference of the groups' influences (Eq. 5).
        influences: c_k of each group (Eq. 4).
    """

    layer: str
    unit: int
    index: Sequence[int]
    score: float
    influences: Sequence[float]


@dataclass(frozen=True)
class LayerInfluence:
    """The exact influence of every unit of a layer, (groups, units); NaN where not measured."""

    layer: str
    fan_in: int
    influences: Sequence[Sequence[float]]
    scores: Sequence[float]


@dataclass(frozen=True)
class Influence:
    """The exact parity scores.

    Attributes:
        engine: what computed them.
        unit_form: ``"sum"`` over single weights, or ``"joint"`` where units were sampled.
        total: d_F over all weights.
        standard_error: of the total; 0 where every weight was measured.
        units: the units with the highest scores, of layers with more than one unit.
        parameters: the weights with the highest scores.
        layers: all units of every layer.
    """

    engine: str
    unit_form: UnitForm
    total: float
    standard_error: float
    units: Sequence[Part]
    parameters: Sequence[Part]
    layers: Sequence[LayerInfluence]


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation of Taylor and ablation over the entries of one layer.

    Attributes:
        layer: the layer.
        granularity: what an entry is.
        group: whose influences are compared; empty where the parity scores are.
        n: entries compared; those that are 0 in both are left out, as their ties would raise it.
        correlation: in [-1, 1]; NaN for fewer than three entries.
    """

    layer: str
    granularity: Granularity
    group: str
    n: int
    correlation: float


@dataclass(frozen=True)
class JointRemoval:
    """Random sets of weights removed together, against the sum of single removals (A.13).

    Attributes:
        size: weights in a set.
        group: the group whose loss is measured.
        joint: the loss change of each set when it is removed at once, in nats.
        summed: the sum of the loss changes of its weights removed one at a time.
        summed_influence: the sum of the squares of these, which A.13 takes for ``joint`` squared.
        influence_ratio: quartiles of the squared joint change over ``summed_influence``; 1 is A.13.
        change_error: quartiles of abs(joint - summed) / abs(joint); 0 is additivity.
    """

    size: int
    group: str
    joint: Sequence[float]
    summed: Sequence[float]
    summed_influence: Sequence[float]
    influence_ratio: Sequence[float]
    change_error: Sequence[float]


@dataclass(frozen=True)
class WhatIf:
    """The figures of the network without its top units.

    Attributes:
        k: how many units were removed.
        units: which, as (layer, unit).
        figures: average precision, accuracies and gaps (``dralign.metrics.evaluate``).
        random: medians of the same figures without ``k`` units drawn at random.
    """

    k: int
    units: Sequence[tuple[str, int]]
    figures: Mapping[str, float]
    random: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class PredictionAudit:
    """What the scores of any model do to each group: figures with intervals, no verdict.

    Attributes:
        groups: rows of each group, by name.
        outcomes: the group figures, the gaps and the other measures.
        findings: the result in at most five plain sentences.
        notes: what was left out or must be known first.
        provenance: draws, seed, threshold, the least rows of a group, versions.
        withheld: the names of groups too small for figures, whose rows took no part.
        meaning: what the labels are.
    """

    groups: Mapping[str, int]
    outcomes: Outcomes
    findings: Sequence[str]
    notes: Sequence[str]
    provenance: Mapping[str, Any]
    withheld: Sequence[str] = ()
    meaning: Meaning = UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready; undefined figures are None."""
        form: dict[str, Any] = plain(
            {"format": "dralign audit of predictions", "version": 1, **asdict(self)}
        )
        return form

    def to_html(self, path: Path | str, *, title: str = "Audit of predictions") -> Path:
        """Writes the page: one file that needs no network.

        Returns:
            The path of the file.
        """
        from dralign.report.predictions_page import write_predictions_page

        return write_predictions_page(path, self.to_dict(), title=title)

    def charts(self) -> "dict[str, go.Figure]":
        """The chart of the page, ``"rates"``: every figure of each group, as a figure of plotly."""
        from dralign.report.audit_charts import rates_chart

        return {"rates": rates_chart(self.to_dict()["outcomes"])}

    def __repr__(self) -> str:
        from dralign.auditing.short import predictions_line

        return predictions_line(self)

    def __str__(self) -> str:
        from dralign.auditing.summary import predictions_summary

        return predictions_summary(self)


@dataclass(frozen=True, repr=False)
class Audit:
    """What an audit found: figures with their uncertainty, no verdict.

    A part that was not asked for is empty, or None.

    Attributes:
        groups: rows of each group, by name.
        outcomes: what the network decides; None with more than two classes.
        similarity: of the rationales, at unit and at parameter granularity.
        influence: the exact parity scores.
        agreement: of Taylor and ablation.
        independence: the test of A.13.
        what_if: the network without its top units; empty with more than two classes.
        findings: the result in at most five plain sentences.
        notes: what was left out or approximated.
        provenance: numbers of rows and repetitions, seed, versions, seconds.
        withheld: the names of groups too small for figures, whose rows took no part.
        details: what else was found, in the terms of the paper.
        meaning: what labels, inputs and rows are; inputs are those of the first layer, if it is
            known that it takes them.
    """

    groups: Mapping[str, int]
    outcomes: Outcomes | None
    similarity: Mapping[str, Similarity]
    influence: Influence | None
    agreement: Sequence[Agreement]
    independence: Sequence[JointRemoval]
    what_if: Sequence[WhatIf]
    findings: Sequence[str]
    notes: Sequence[str]
    provenance: Mapping[str, Any]
    withheld: Sequence[str] = ()
    details: Sequence[str] = ()
    meaning: Meaning = UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready; undefined figures are None."""
        form: dict[str, Any] = plain({"format": "dralign audit", "version": 1, **asdict(self)})
        return form

    def to_html(self, path: Path | str, *, title: str = "Audit") -> Path:
        """Writes the page: one file that needs no network.

        Returns:
            The path of the file.
        """
        from dralign.report.audit_page import write_audit_page

        return write_audit_page(path, self.to_dict(), title=title)

    def charts(self) -> "dict[str, go.Figure]":
        """The charts of the page, as figures of plotly; a part that was not asked for has none.

        Returns:
            By name: ``"rates"`` of each group, ``"noise"`` (similarity beside random splits),
            ``"map-0"`` and on (the influences of each layer), ``"independence"`` and ``"what-if"``.
        """
        from dralign.report.audit_page import audit_charts

        return audit_charts(self.to_dict())

    def __repr__(self) -> str:
        from dralign.auditing.short import audit_line

        return audit_line(self)

    def __str__(self) -> str:
        from dralign.auditing.summary import terminal_summary

        return terminal_summary(self)
