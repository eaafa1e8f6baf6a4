"""The figures of a run for TensorBoard, written as they come."""

from collections.abc import Callable
from pathlib import Path

from dralign.errors import OptionError
from dralign.tiers import installing
from dralign.training.history import EpochRecord


def tensorboard_log(folder: str | Path) -> Callable[[EpochRecord], None]:
    """A callback for ``on_epoch`` of ``train`` that adds the figures of an epoch to a log.

    Scalars by epoch: loss, skipped, found_weight, seconds, every figure of the validation and the
    test rows, and the similarity of each layer and in all by granularity.

    Raises:
        OptionError: if the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise OptionError(
            f"tensorboard: the package is not installed; {installing('tensorboard')}"
        ) from error
    writer = SummaryWriter(str(folder))

    def log(record: EpochRecord) -> None:
        for name, value in scalars(record).items():
            writer.add_scalar(name, value, record.epoch)
        writer.flush()

    return log


def scalars(record: EpochRecord) -> dict[str, float]:
    """The numbers of a record by the names under which TensorBoard shows them."""
    result: dict[str, float] = {"loss": record.loss, "skipped": record.skipped}
    if record.found_weight is not None:
        result["found_weight"] = record.found_weight
    result |= {"seconds/steps": record.seconds, "seconds/evaluation": record.evaluation_seconds}
    for split in ("validation", "test"):
        result |= {f"{split}/{name}": value for name, value in getattr(record, split).items()}
    for granularity, layers in record.similarity.items():
        result |= {f"similarity/{granularity}/{name}": value for name, value in layers.items()}
        result[f"similarity/{granularity}/total"] = record.similarity_total(granularity)
    return result
