"""The settings of a training run."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from dralign.metrics import gap_measure_names
from dralign.metrics.measures import DEFAULT
from dralign.settings import Setting

Precision = Literal["float32", "bfloat16", "float16"]

GAP_BOUND: Final = Setting(
    "gap_bound",
    "Largest validation gap: lambda is found while training, and beta is a tenth.",
    "number",
    optional=True,
    positive=True,
)
BOUND_MEASURE: Final = Setting(
    "bound_measure",
    "In which measure the gap bound is kept.",
    "choice",
    default=DEFAULT,
    choices=gap_measure_names(),
    when=lambda own: own["gap_bound"] is not None,
)
TRAINING: Final = (
    Setting(
        "epochs",
        "Epochs, each ending in an evaluation.",
        "count",
        default=10,
        least=1,
        panel="training",
    ),
    Setting(
        "iterations",
        "Steps per epoch.",
        "count",
        default=100,
        least=1,
        panel="training",
    ),
    Setting(
        "batch_size",
        "Rows per group (or cell) in a batch; else the dataset's own, or 500.",
        "count",
        optional=True,
        least=1,
        panel="training",
    ),
    Setting(
        "learning_rate",
        "Of Adam.",
        "number",
        default=1e-3,
        positive=True,
        panel="training",
    ),
    Setting(
        "weight_decay",
        "Share of each weight, times the learning rate, taken off it in every step (AdamW).",
        "number",
        default=0.0,
        least=0.0,
        panel="training",
    ),
    Setting(
        "clip_norm",
        "Largest norm of all gradients of a step together; larger ones are scaled down to it.",
        "number",
        optional=True,
        positive=True,
        panel="training",
    ),
    Setting(
        "micro_batch",
        "Rows to forward at a time, where a batch does not fit in memory.",
        "count",
        optional=True,
        least=1,
        panel="training",
    ),
    Setting(
        "precision",
        "Of forward passes: float32, bfloat16 or float16 (autocast).",
        "choice",
        default="float32",
        choices=get_args(Precision),
        panel="training",
    ),
    Setting(
        "patience",
        "Stop once the chosen epoch has been the same for so many epochs.",
        "count",
        optional=True,
        least=1,
        panel="training",
    ),
)
SEED: Final = Setting(
    "seed",
    "Of the split, the weights and the batches.",
    "count",
    default=0,
    least=0,
    panel="training",
)


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast to train.

    Attributes:
        epochs: epochs, each ending in an evaluation.
        iterations: steps per epoch (100 in the published code).
        batch_size: rows per block of a batch (a group, or a cell for gaps that condition on the
            label); None takes the dataset's own, or 500. Uniform batches are as large in all.
        learning_rate: of Adam.
        seed: the integer that all randomness of the run comes from.
        gap_bound: the largest validation gap; lambda is then found while training (Eq. 24), as a
            multiple of the method's own weights. None leaves these as they are.
        bound_measure: in which measure that gap is taken.
        micro_batch: rows to forward at a time, for batches that don't fit in memory; the step is
            still that of the whole batch. None forwards all.
        precision: what autocast computes forward passes in; weights, losses, the alignment and the
            evaluation are float32 all the same. ``"float16"`` scales the loss.
        patience: training stops once the chosen epoch has been the same for so many epochs: the one
            that ``keep`` of ``train`` picks, or ``Selection()`` if it picks none. None never stops.
        weight_decay: the share of each weight, times the learning rate, that is taken off it in
            every step (AdamW); 0 is plain Adam.
        clip_norm: the largest norm of all gradients of a step together; larger ones are scaled down
            to it. None leaves them as they are.
    """

    epochs: int = 10
    iterations: int = 100
    batch_size: int | None = None
    learning_rate: float = 1e-3
    seed: int = 0
    gap_bound: float | None = None
    bound_measure: str = DEFAULT
    micro_batch: int | None = None
    precision: Precision = "float32"
    patience: int | None = None
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        """Brings every setting to its one form.

        Raises:
            OptionError: if one is not of its kind or not in range.
        """
        for setting in (*TRAINING, SEED, GAP_BOUND, BOUND_MEASURE):
            object.__setattr__(self, setting.name, setting.checked(getattr(self, setting.name)))
