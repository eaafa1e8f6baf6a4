"""Tables 5, 6, 9 and 13 and the search for beta (A.1): the paper's values; ours need images."""

from collections.abc import Callable

from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Results

_NOTE = "CelebA is not part of this study yet: ours need images."


def paired_table(name: str) -> Callable[[Results], Reproduction]:
    """A table of AP and fairness of DRAlign and FairReg (Tables 5 and 6)."""

    def make(_results: Results) -> Reproduction:
        paper = printed(name)
        weights = [f"DP {w:g}" for w in paper["dp_weights"]]
        weights += [f"EO {w:g}" for w in paper["eo_weights"]]
        lines = tuple(
            (f"{method}, {figure}", *(f"{value:.4f}" for value in paper[f"{method}_{figure}"]))
            for method in ("dralign", "gap")
            for figure in ("ap", "fairness")
        )
        return Reproduction(("paper", *weights), lines, _NOTE)

    return make


def table9(_results: Results) -> Reproduction:
    """Training times."""
    paper = printed("table9")
    lines = tuple(
        (gap.upper(), *(f"{seconds:g} ({seconds / paper[gap][2]:.2f})" for seconds in paper[gap]))
        for gap in ("dp", "eo")
    )
    header = ("paper: s (ratio to gap)", *paper["methods"])
    return Reproduction(header, lines, _NOTE)


def table13(_results: Results) -> Reproduction:
    """T-tests."""
    paper = printed("table13")
    return Reproduction(
        ("", *(f"lambda {w:g}" for w in paper["weights"])),
        (("paper p", *(f"{p:g}" for p in paper["p_value"])),),
        _NOTE,
    )


def beta(_results: Results) -> Reproduction:
    """What A.1 says of beta on CelebA."""
    said = (
        ("0.001", "close to FairReg"),
        ("0.01", "chosen"),
        ("0.1", "alignment is optimised first, to the detriment of the other terms"),
    )
    return Reproduction(("beta", "paper"), said, f"{_NOTE} {_settings()}")


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
