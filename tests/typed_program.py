"""A program of a user who checks types strictly: every public name, used as the docs use it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

import dralign


def loop(x: Tensor, y: Tensor, group: Tensor) -> tuple[nn.Module, float]:
    """A training step by hand, and one in a call."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    term = dralign.RationaleAlignment(model)
    logits = model(x).squeeze(1)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, y.float(), reduction="none")
    prob = logits.sigmoid()
    gaps = [
        dralign.demographic_parity_gap(prob, group, n_groups=2),
        dralign.equal_opportunity_gap(prob, group, label=y, n_groups=2),
        dralign.equalized_odds_gap(prob, group, label=y, n_groups=2),
        dralign.predictive_parity_gap(prob, group, label=y, n_groups=2, aggregate="mean"),
    ]
    alignment = term.align(dralign.group_losses(losses, group, n_groups=2))
    loss = losses.mean() + torch.stack(gaps).sum() + 0.1 * alignment
    loss.backward()
    whole: Tensor = dralign.aligned_backward(
        model, x, label=y, group=group, n_groups=2, alignment=term, alignment_weight=0.1
    )
    return model, loss.item() + whole.item()


def inside(model: nn.Module, x: Tensor, y: Tensor, group: Tensor) -> Sequence[str]:
    """What matters for whom in a network."""
    scores: dralign.ParityScores = dralign.parity_scores(model, x, y, group=group)
    found: dralign.Audit = dralign.audit(model, x, y, group=group, n_splits=20, n_bootstrap=20)
    total: float = scores.total
    return [f"parity {total:.3g}", *found.findings]


def estimators(people: pd.DataFrame) -> str:
    """The estimator, its front, and scores that are shifted afterwards."""
    features, label, sensitive = people[["age", "hours"]], people["loan"], people["region"]
    classifier = dralign.DRAlignClassifier(epochs=2, iterations=3, random_state=0)
    classifier.fit(features, label, sensitive_features=sensitive)
    front: dralign.Frontier = classifier.frontier(features, label, sensitive_features=sensitive)
    chosen: dralign.DRAlignClassifier = front.select(max_gap=1.0)
    shifted = dralign.PluginClassifier(chosen, max_gap=0.5, prefit=True)
    shifted.fit(features, label, sensitive_features=sensitive)
    audit: dralign.PredictionAudit = dralign.audit_predictions(
        label, shifted.predict_proba(features)[:, 1], sensitive, n_bootstrap=20
    )
    return "; ".join(audit.findings)


def comparison(people: pd.DataFrame, out: Path) -> int:
    """Methods side by side, on a frame."""
    result: dralign.MethodComparison = dralign.compare(
        people, label="loan", positive="1", sensitive="region", methods=("erm", "gap"), seeds=1,
        weights=(0.2,), out=out, jobs=1, epochs=2, iterations=2,
    )  # fmt: skip
    return len(result.records)


def main() -> None:
    """All of it on made-up people."""
    torch.manual_seed(0)
    group, names = dralign.encode_groups(["north", "south"] * 100)
    x = torch.randn(200, 3) + group[:, None]
    y = (x[:, 0] + torch.randn(200) > 0.5).long()
    model, loss = loop(x, y, group)
    print(f"{loss:.3f}", *inside(model, x, y, group), sep="\n")
    people = pd.DataFrame(
        {
            "age": x[:, 1].numpy(),
            "hours": x[:, 2].numpy(),
            "region": [names[code] for code in group.tolist()],
            "loan": y.numpy(),
        }
    )
    print(estimators(people))
    print(comparison(people, Path(sys.argv[1])))
    rows = len(dralign.fetch_adult().frame) + len(dralign.fetch_german().frame)
    print(rows, dralign.fetch_compas.__name__)


if __name__ == "__main__":
    main()
