"""The records of a study as one flat table, for other programs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

from dralign.errors import OptionError, unknown
from dralign.forms import csv_text
from dralign.study.record import TrialRecord
from dralign.training import EpochRecord, Selection

if TYPE_CHECKING:
    import pandas as pd

Per = Literal["epoch", "trial"]
_SEVERAL_TYPES = ("layers", "alignment_every")  # a number or a text: a column has one type
Flat = dict[str, Any]


def record_table(
    records: Iterable[TrialRecord], *, per: Per = "epoch", selection: Selection | None = None
) -> "pd.DataFrame":
    """One row for each epoch of each trial, or for each trial at the epoch that a rule chooses.

    A failed trial has one row, without figures and with its ``error``. A setting that a trial's
    method does not use is left empty.

    Args:
        records: of a study.
        per: ``"epoch"`` or ``"trial"``.
        selection: the rule for ``"trial"``; ``Selection()`` if not given.

    Returns:
        A DataFrame in the order of the records. First the settings (lists as texts with commas),
        then ``status``, ``error`` and ``trial_seconds``, then the figures: ``validation_*`` and
        ``test_*`` by the names of ``dralign.metrics.evaluate``, ``similarity_<granularity>`` in
        all and per layer, ``readings_*``, and ``found_weight`` under a gap bound. Gaps keep the
        form they have in the records.

    Raises:
        OptionError: if ``per`` is neither.
    """
    import pandas as pd

    if per not in get_args(Per):
        raise OptionError(unknown("kind of row", per, get_args(Per)))
    rule = selection or Selection()
    settings, figures, counts = list[Flat](), list[Flat](), list[int]()
    for record in records:
        rows = _rows(record, per, rule)
        settings.append(_settings(record))
        counts.append(len(rows))
        figures += rows
    trials = pd.DataFrame(settings)
    repeated = trials.loc[trials.index.repeat(counts)].reset_index(drop=True)
    return pd.concat([repeated, pd.DataFrame(figures, index=range(len(figures)))], axis=1)


def _rows(record: TrialRecord, per: Per, rule: Selection) -> list[Flat]:
    """The figures of a trial, a row each; one without any if it failed."""
    if record.status == "failed":
        return [{}]
    if per == "trial":
        chosen = rule.choose(record.history, record.spec.gap)
        return [{"selection": str(rule), **_figures(chosen)}]
    return [_figures(epoch) for epoch in record.history]


def as_csv(table: "pd.DataFrame") -> "pd.DataFrame":
    """The table with texts that a spreadsheet would take for formulas made plain texts."""
    texts = table.select_dtypes(exclude="number")
    return table.assign(**texts.map(csv_text)).rename(columns=csv_text)


def _settings(record: TrialRecord) -> Flat:
    """What a trial is and how it ended."""
    form = record.spec.to_dict()
    data = form.pop("data")
    flat = {"dataset": data.pop("name"), **data, **form}
    return {
        "hash": record.hash,
        "fingerprint": record.fingerprint,
        **{key: _text(value) if isinstance(value, list) else value for key, value in flat.items()},
        **{key: _text(form[key]) for key in _SEVERAL_TYPES if key in form},
        "status": record.status,
        "error": record.error,
        "trial_seconds": record.seconds,
    }


def _text(value: object) -> str:
    """A list as the command line takes it, with commas."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _figures(epoch: EpochRecord) -> Flat:
    """The figures of an epoch, flat."""
    figures: Flat = {
        "epoch": epoch.epoch,
        "training_loss": epoch.loss,  # a setting is called loss
        "seconds": epoch.seconds,
        "evaluation_seconds": epoch.evaluation_seconds,
        "skipped": epoch.skipped,
    }
    if epoch.found_weight is not None:
        figures["found_weight"] = epoch.found_weight
    for part in ("validation", "test", "readings"):
        figures |= {f"{part}_{name}": value for name, value in getattr(epoch, part).items()}
    for granularity, layers in epoch.similarity.items():
        figures[f"similarity_{granularity}"] = epoch.similarity_total(granularity)
        figures |= {f"similarity_{granularity}_{name}": value for name, value in layers.items()}
    return figures
