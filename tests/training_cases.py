"""Every method on small batches, for tests of parts, processes and precision."""

import torch
from torch import nn

from dralign.methods import Method, method_names, method_type
from dralign.models import mlp
from dralign.step import WHOLE, Batch, Block, part_of
from switched_off import method_of

ALL_CUTOFFS_EO = "all_cutoffs_equalized_odds"
DP, EO, EOP = "demographic_parity", "equalized_odds", "equal_opportunity"
WEIGHTS = {
    "gap": {"fairness_weight": 0.4},
    "mixup": {"fairness_weight": 0.4},
    "adversarial": {"fairness_weight": 0.4},
    "dralign": {"fairness_weight": 0.4, "alignment_weight": 0.2},
    "placebo": {"fairness_weight": 0.4, "alignment_weight": 0.2},
}
CASES = {
    f"{name} {gap}": {"name": name, "gap": gap, **WEIGHTS.get(name, {})}
    for name in method_names()
    for gap in (DP, EO)
    if gap in method_type(name).supported_gaps()
}
CASES |= {
    "adversarial EOP": {"name": "adversarial", "gap": EOP, **WEIGHTS["adversarial"]},
    "gap group_sum": {"name": "gap", "loss": "group_sum", **WEIGHTS["gap"]},
    "gap classes": {"name": "gap", "gap": EO, "n_classes": 3, **WEIGHTS["gap"]},
    "gap all cut-offs": {"name": "gap", "gap": ALL_CUTOFFS_EO, **WEIGHTS["gap"]},
    "gap all cut-offs classes": {
        "name": "gap", "gap": ALL_CUTOFFS_EO, "n_classes": 3, **WEIGHTS["gap"],
    },
    "dralign all cut-offs": {"name": "dralign", "gap": ALL_CUTOFFS_EO, **WEIGHTS["dralign"]},
    "mixup layer": {"name": "mixup", "mixup_layer": "1", **WEIGHTS["mixup"]},
    "mixup classes": {"name": "mixup", "n_classes": 3, **WEIGHTS["mixup"]},
    "dralign mixup": {"name": "dralign", "penalty": "mixup", "gap": EO, **WEIGHTS["dralign"]},
    "dralign parameter": {
        "name": "dralign", "granularity": "parameter", "loss": "group_sum", **WEIGHTS["dralign"],
    },
}  # fmt: skip


def network(case: dict, dtype=torch.float64, *, smooth: bool = False) -> nn.Module:
    torch.manual_seed(0)
    classes = case.get("n_classes", 2)
    model = mlp(6, hidden=64 if smooth else 9, n_outputs=1 if classes == 2 else classes)
    if smooth:
        model = nn.Sequential(*(nn.Tanh() if isinstance(m, nn.ReLU) else m for m in model))
    return model.to(dtype)


def batch_for(method: Method, case: dict, *, rows: int = 7, dtype=torch.float64) -> Batch:
    """Blocks of 7 rows, the last of one row without a group; or 29 rows without an order."""
    classes = case.get("n_classes", 2)
    cells = [(g, None) for g in range(2)]
    if method.balance == "cell":
        cells = [(g, y) for g in range(2) for y in range(classes)]
    blocks = [Block(i * rows, (i + 1) * rows, g, y) for i, (g, y) in enumerate(cells)]
    n = len(cells) * rows + 1
    blocks.append(Block(n - 1, n))
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (n,), generator=generator)
    group = torch.full((n,), -1)
    for block in blocks[:-1]:
        group[block.rows] = block.group
        y[block.rows] = y[block.rows] if block.label is None else block.label
    x = x + 0.7 * group[:, None] + 0.5 * y[:, None]
    if method.balance == "uniform":
        order = torch.randperm(n, generator=generator)
        x, y, group, blocks = x[order], y[order], group[order], [Block(0, n)]
    return Batch(x.to(dtype), y, group, tuple(blocks))


def part(batch: Batch, place: int, n_parts: int) -> Batch:
    rows, blocks = part_of(batch.blocks, place, n_parts)
    return Batch(batch.x[rows], batch.y[rows], batch.group[rows], blocks)


def two_steps(
    case: dict,
    *,
    dtype=torch.float64,
    place: int = 0,
    n_parts: int = 1,
    passes=WHOLE,
    rows: int = 7,
    smooth: bool = False,
) -> list[torch.Tensor]:
    """The losses of two steps and the sum of their gradients; the second meets what was learnt."""
    method, model = method_of(**case), network(case, dtype, smooth=smooth)
    batch = part(batch_for(method, case, rows=rows, dtype=dtype), place, n_parts)
    step = method.begin(model, n_groups=2, generator=torch.Generator().manual_seed(1))
    losses = [step(batch, 0.5, passes).loss, step(batch, 1.0, passes).loss]
    return [torch.stack(losses), *(p.grad for p in model.parameters())]


def error(found: list, expected: list[torch.Tensor]) -> float:
    """The largest difference over the largest entry of its tensor."""
    return max(
        float((torch.as_tensor(one) - other).abs().max() / other.abs().max())
        for one, other in zip(found, expected, strict=True)
    )
