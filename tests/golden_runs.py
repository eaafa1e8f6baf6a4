"""One short run of every method and option, and its figures: what a change of structure must keep.

``python tests/golden_runs.py`` writes tests/golden/runs.json anew; do that only where figures are
meant to change, and say so.
"""

import json
import platform
import re
import zlib
from pathlib import Path

import numpy as np
import torch

from dralign.data import DataSource
from dralign.forms import to_json
from dralign.study import TrialSpec
from dralign.study.trial import train_trial

FILE = Path(__file__).parent / "golden" / "runs.json"
SHORT = {"epochs": 2, "iterations": 5, "hidden": 16, "seed": 3}
CREDIT = DataSource("german")
CROSSED = DataSource("german", preparation="standard", sensitive=("sex", "age"))
ALIGNED = {
    "method": "dralign",
    "fairness_weight": 0.5,
    "alignment_weight": 0.05,
    "alignment_every": 1,
}

CASES = {
    "erm": {"method": "erm"},
    "erm, adult": {"method": "erm", "data": DataSource("adult"), "readings": True},
    "oversample": {"method": "oversample"},
    "gap": {"method": "gap", "fairness_weight": 0.5},
    "gap, bfloat16": {"method": "gap", "fairness_weight": 0.5, "precision": "bfloat16"},
    "gap, parts": {"method": "gap", "fairness_weight": 0.5, "micro_batch": 7},
    "gap, bound": {"method": "gap", "gap_bound": 0.05, "bound_measure": "soft"},
    "gap, crossed, mean": {
        "method": "gap",
        "data": CROSSED,
        "fairness_weight": 0.5,
        "aggregate": "mean",
        "batch_size": 9,
    },
    "mixup": {"method": "mixup", "fairness_weight": 0.5},
    "mixup, hidden, odds": {
        "method": "mixup",
        "fairness_weight": 0.5,
        "mixup_layer": "1",
        "gap": "equalized_odds",
    },
    "adversarial": {"method": "adversarial", "fairness_weight": 0.5},
    "decorrelation": {"method": "decorrelation"},
    "thresholds": {"method": "thresholds"},
    "dralign": ALIGNED,
    "dralign, adult": {**ALIGNED, "data": DataSource("adult"), "hidden": 20},
    "dralign, odds": {**ALIGNED, "gap": "equalized_odds"},
    "dralign, opportunity": {**ALIGNED, "gap": "equal_opportunity"},
    "dralign, predictive parity": {**ALIGNED, "gap": "predictive_parity"},
    "dralign, printed": {**ALIGNED, "gap": "printed_predictive_parity"},
    "dralign, parameter, sums": {**ALIGNED, "granularity": "parameter", "loss": "group_sum"},
    "dralign, every 4, last 2": {**ALIGNED, "alignment_every": 4, "layers": 2},
    "dralign, mixup": {**ALIGNED, "penalty": "mixup"},
    "dralign, bound, patience": {
        "method": "dralign",
        "gap_bound": 0.05,
        "bound_measure": "soft",
        "alignment_every": 1,
        "patience": 1,
    },
    "dralign, crossed": {**ALIGNED, "data": CROSSED, "batch_size": 9},
    "gap, all cut-offs": {
        "method": "gap",
        "fairness_weight": 0.5,
        "gap": "all_cutoffs_demographic_parity",
    },
    "dralign, odds at all cut-offs": {**ALIGNED, "gap": "all_cutoffs_equalized_odds"},
    "placebo": {**ALIGNED, "method": "placebo", "alignment_every": 2},
    "plugin": {"method": "plugin", "fairness_weight": 0.5},
    "prejudice remover": {"method": "prejudice_remover", "fairness_weight": 5.0},
    "fairbatch": {"method": "fairbatch", "share_step": 0.05, "iterations": 15},
    "hsic, odds": {"method": "hsic", "fairness_weight": 20.0, "gap": "equalized_odds"},
}


def machine() -> str:
    """What decides the last digits of a sum."""
    cpu = torch.backends.cpu.get_cpu_capability()
    libraries = f"torch {torch.__version__.split('+')[0]} numpy {np.__version__}"
    return f"{platform.machine()} {_processor()} {cpu} {libraries}"


def _processor() -> str:
    """Vendor, family and model: libraries choose among their kernels by these too."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return platform.processor()
    entries = dict(re.findall(r"^(\S[^\t:]*?)\s*:[ ]*(.*)$", text, re.MULTILINE))
    return "-".join(entries.get(name, "") for name in ("vendor_id", "cpu family", "model"))


def figures(name: str) -> dict:
    """The figures of a run but its times, and the sum of its final weights."""
    case = {"data": CREDIT, **SHORT, **CASES[name]}
    spec = TrialSpec(**case)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _, _, run = train_trial(spec, keep="none")
    finally:
        torch.set_num_threads(threads)
    history = [record.to_dict() for record in run.history]
    for record in history:
        del record["seconds"], record["evaluation_seconds"]
        del record["cells"]  # what they hold is tested beside the figures
    weights = 0
    for _, x in sorted(run.model.state_dict().items()):
        weights = zlib.crc32(x.contiguous().numpy().tobytes(), weights)
    return json.loads(to_json({"history": history, "weights": weights}))


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    found = {"machine": machine(), "runs": {name: figures(name) for name in CASES}}
    FILE.write_text(to_json(found, indent=1) + "\n", encoding="utf-8")
