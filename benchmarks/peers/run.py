"""Peers on the splits of our own studies: their fronts, figures and times, as lines of JSON.

    python benchmarks/peers/run.py adult peers_adult.jsonl            # seeds 40 to 49
    python benchmarks/peers/run.py compas peers_compas.jsonl --data-home FOLDER

What is there is not run again. README.md says what is compared, how, and by which rule; peers are
installed in an environment of their own (requirements.lock beside this file).
"""

import argparse
import json
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch
from fairlearn.adversarial import AdversarialFairnessClassifier
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import DemographicParity, ExponentiatedGradient
from fairret.loss import NormLoss
from fairret.statistic import PositiveRate
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from dralign import models
from dralign.data import DataSource
from dralign.metrics import evaluate
from dralign.training.seeding import seeded, spawn_seeds

SEEDS = range(40, 50)
EPOCHS, ITERATIONS = 10, 100
NAMES = {"adult": "adult", "compas": "compas", "credit": "german"}
KEPT = ("average_precision", "accuracy", "mean_probability", "positive_share")
GAPS = tuple(f"{name}_demographic_parity" for name in ("base_rate", "all_cutoffs", "soft", "hard"))


class Data:
    """The rows of a split as arrays."""

    def __init__(self, name, seed, home):
        loaded = DataSource(NAMES[name], preparation="paper", data_home=home).load(seed)
        self.seed, self.batch = seed, 2 * dict(loaded.batch_sizes).get("demographic_parity", 500)
        for split in ("train", "validation", "test"):
            rows = getattr(loaded, split)
            setattr(self, split, (rows.x.numpy(), rows.y.numpy(), rows.group.numpy()))


class Network:
    """The perceptron of our studies with Adam, as scikit-learn has it: fit and predict_proba."""

    def __init__(self, data, penalty=None):
        self.data, self.penalty = data, penalty
        with seeded(spawn_seeds(data.seed).initialisation):
            self.model = models.build({"name": "mlp", "n_inputs": data.train[0].shape[1]})

    def fit(self):
        """All epochs; the scores of the one with the smallest gap on validation rows are kept."""
        x, y, group = (torch.from_numpy(part) for part in self.data.train)
        draws = np.random.default_rng(self.data.seed)
        optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        best = None
        for epoch in range(EPOCHS):
            for _ in range(ITERATIONS):
                rows = torch.from_numpy(draws.integers(len(y), size=min(self.data.batch, len(y))))
                logit = self.model(x[rows])
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    logit.reshape(-1), y[rows].float()
                )
                if self.penalty is not None:
                    loss = loss + self.penalty(logit.reshape(-1, 1), group[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            result = judged(self.data, self.score)
            gap = result["validation"]["base_rate_demographic_parity"]
            if epoch and (best is None or gap < best[0]):  # the first epoch is left out
                best = gap, result, {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(best[2])
        return best[1]

    def score(self, x, _group=None):
        with torch.inference_mode():
            return self.model(torch.from_numpy(x)).reshape(-1).sigmoid().numpy()


def judged(data, score, *, drawn=False):
    """The figures of validation and test rows, by scores.

    Where decisions are ``drawn`` with the probabilities that the scores are, accuracy and hard gap
    are those to be expected.
    """
    result = {}
    for split in ("validation", "test"):
        x, y, group = getattr(data, split)
        prob = score(x, group)
        figures = evaluate(y, prob, group, n_groups=2)
        kept = {name: float(figures[name]) for name in (*KEPT, *GAPS)}
        if drawn:
            kept |= {"accuracy": float((1 - np.abs(y - prob)).mean()), GAPS[-1]: kept[GAPS[-2]]}
        result[split] = kept
    return result


def trees(data):
    """Gradient-boosted trees, nothing mitigated."""
    model = HistGradientBoostingClassifier(random_state=data.seed)
    model.fit(data.train[0], data.train[1])
    yield {}, judged(data, lambda x, _: model.predict_proba(x)[:, 1])


def fairret(data):
    """Fairret's NormLoss of the positive rate, added to the loss of the same network."""
    norm, one_hot = NormLoss(PositiveRate()), torch.eye(2)
    for weight in (0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.5, 4.0):
        penalty = lambda logit, group, w=weight: w * norm(logit, one_hot[group])  # noqa: E731
        yield {"weight": weight}, Network(data, penalty).fit()


def exponentiated_gradient(data, estimator, bounds):
    """Fairlearn's reduction, at bounds on the difference of selection rates."""
    x, y, group = data.train
    for bound in bounds:
        model = ExponentiatedGradient(estimator(data), DemographicParity(difference_bound=bound))
        model.fit(x, y, sensitive_features=group)
        # Sums of weights: they can be off 1 by rounding.
        score = lambda rows, _, m=model: m._pmf_predict(rows)[:, 1].clip(0, 1)  # noqa: E731, SLF001
        yield {"bound": bound}, judged(data, score, drawn=True)


def logistic(data):
    make = lambda _: LogisticRegression(max_iter=300)  # noqa: E731
    yield from exponentiated_gradient(data, make, (0.15, 0.1, 0.06, 0.03, 0.01))


def boosted(data):  # two bounds: it fits a minute each
    make = lambda own: HistGradientBoostingClassifier(random_state=own.seed)  # noqa: E731
    yield from exponentiated_gradient(data, make, (0.1, 0.03))


def threshold_optimizer(data):
    """Fairlearn's thresholds by group, on validation rows; the group is needed at prediction."""
    network = Network(data)
    network.fit()
    base = _Fitted(network)
    x, y, group = data.validation
    for tolerance in (0.0, 0.02, 0.05, 0.1, 0.15):
        model = ThresholdOptimizer(
            estimator=base, constraints="demographic_parity", prefit=True,
            predict_method="predict_proba", tol=tolerance,
        )  # fmt: skip
        model.fit(x, y, sensitive_features=group)
        score = lambda rows, g, m=model: m._pmf_predict(rows, sensitive_features=g)[:, 1]  # noqa: E731, SLF001
        yield {"tol": tolerance}, judged(data, score, drawn=True)


class _Fitted(ClassifierMixin, BaseEstimator):
    """A fitted network as a classifier with probabilities in double precision."""

    def __init__(self, network):
        self.network, self.classes_ = network, np.array([0, 1])

    def fit(self, *_args, **_given):
        return self

    def predict_proba(self, x):
        prob = self.network.score(np.asarray(x, dtype=np.float32)).astype(np.float64)
        return np.column_stack([1 - prob, prob])

    def predict(self, x):
        return (self.predict_proba(x)[:, 1] >= 0.5).astype(int)


def adversarial(data):
    """Fairlearn's adversarial training of the same network, on torch."""
    x, y, group = data.train
    for alpha in (0.0, 0.3, 1.0, 3.0, 10.0):
        torch.manual_seed(data.seed)
        model = AdversarialFairnessClassifier(
            backend="torch", predictor_model=[200, torch.nn.ReLU(), 200, torch.nn.ReLU()],
            adversary_model=[32, torch.nn.ReLU()], alpha=alpha, learning_rate=1e-3,
            batch_size=data.batch, epochs=max(EPOCHS * ITERATIONS * data.batch // len(y), 1),
            random_state=data.seed,
        )  # fmt: skip
        model.fit(x, y, sensitive_features=group)
        score = lambda rows, _, m=model: np.asarray(m.backendEngine_.evaluate(rows)).reshape(-1)  # noqa: E731
        yield {"alpha": alpha}, judged(data, score)


def oxonfair(data, *, inferred):
    """OxonFair's thresholds over the network's scores: accuracy under a bound on the difference.

    Its scores are no probabilities: their order counts, and who is selected, the soft gap does not.
    """
    from oxonfair import DataDict, FairPredictor
    from oxonfair import group_metrics as gm

    network = Network(data)
    network.fit()
    x, y, group = data.validation
    guess = _group_model(data) if inferred else False
    for bound in (0.15, 0.1, 0.07, 0.05, 0.03, 0.01):
        model = FairPredictor(_Fitted(network), DataDict(y, x, group), inferred_groups=guess)
        model.fit(gm.accuracy, gm.demographic_parity, bound)

        def score(rows, own, model=model):
            given = DataDict(np.zeros(len(rows), dtype=int), rows, own)
            heads = np.asarray(model.predict_proba(given), dtype=np.float64)
            return 1 / (1 + np.exp(heads[:, 0] - heads[:, 1]))

        yield {"bound": bound}, judged(data, score)


@cache
def _groups_of(_seed):
    return LogisticRegression(max_iter=300)


def _group_model(data):
    model = _groups_of(data.seed)
    return model.fit(data.train[0], data.train[2])


PEERS = {  # name: what makes it, whether the group is needed at prediction
    "gradient-boosted trees": (trees, False),
    "fairret NormLoss": (fairret, False),
    "fairlearn ExponentiatedGradient (logistic)": (logistic, False),
    "fairlearn ExponentiatedGradient (trees)": (boosted, False),
    "fairlearn ThresholdOptimizer": (threshold_optimizer, True),
    "fairlearn adversarial": (adversarial, False),
    "OxonFair (true group)": (lambda data: oxonfair(data, inferred=False), True),
    "OxonFair (inferred group)": (lambda data: oxonfair(data, inferred=True), False),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", choices=NAMES)
    parser.add_argument("log", type=Path)
    parser.add_argument("--data-home")
    parser.add_argument("--only", choices=PEERS)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    done = set()
    if given.log.exists():
        lines = map(json.loads, given.log.read_text(encoding="utf-8").splitlines())
        done = {(line["peer"], line["seed"]) for line in lines}
    for seed in given.seeds:
        data = Data(given.data, seed, given.data_home)
        for name, (make, with_group) in PEERS.items():
            if (name, seed) in done or given.only not in {None, name}:
                continue
            points, begin = [], time.process_time()
            try:
                for setting, figures in make(data):
                    seconds = time.process_time() - begin
                    points.append({"setting": setting, **figures, "seconds": seconds})
                    begin = time.process_time()
            except Exception as error:  # noqa: BLE001 - a peer that fails is told of
                points.append({"error": f"{type(error).__name__}: {error}"[:200]})
            line = {"data": given.data, "seed": seed, "peer": name, "group": with_group}
            with given.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**line, "points": points}) + "\n")
            print(given.data, seed, name, len(points), flush=True)


if __name__ == "__main__":
    main()
