"""Every table, figure and experiment of the paper, by the name it has on the command line."""

from typing import Final

from dralign.reproduce.adult_tables import table11, table12, table14
from dralign.reproduce.celeba import beta, paired_table, table9, table13
from dralign.reproduce.claims import claims
from dralign.reproduce.entry import Entry
from dralign.reproduce.experiments import a8, a9, a14
from dralign.reproduce.planned import PLANS, plans_of_images
from dralign.reproduce.similarity import draw_fig4, fig4, table7
from dralign.reproduce.table1 import table1
from dralign.reproduce.table15 import table15
from dralign.reproduce.times import table8, table10
from dralign.reproduce.tradeoffs import draw_fig2, draw_fig3, draw_fig5, fig2, fig3, fig5

_WIDTHS_DP = ("adult_dp", "widths_dp")
ENTRIES: Final = {
    entry.name: entry
    for entry in (
        Entry("fig2", "AP against DP on Adult", ("adult_dp",), fig2, draw_fig2),
        Entry(
            "fig3",
            "AP against DP and EO on Adult, Credit and CelebA",
            ("adult_dp", "adult_eo", "credit", "printed", *plans_of_images("dp", "eo")),
            fig3,
            draw_fig3,
        ),
        Entry("fig4", "Similarity against lambda, by width and layer", _WIDTHS_DP, fig4, draw_fig4),
        Entry("fig5", "Alignment without a gap term", ("adult_dp",), fig5, draw_fig5),
        Entry("table1", "Parity score, fairness, approximation", ("adult_dp",), table1),
        Entry(
            "table5",
            "CelebA, attractive, AlexNet",
            plans_of_images("attractive"),
            paired_table("table5", "attractive"),
        ),
        Entry(
            "table6",
            "CelebA, wavy hair, ResNet-18",
            plans_of_images("resnet18"),
            paired_table("table6", "resnet18"),
        ),
        Entry("table7", "Similarity and width under EO", ("adult_eo", "widths_eo"), table7),
        Entry("table8", "Training time, Adult", ("adult_dp", "adult_eo"), table8),
        Entry("table9", "Training time, CelebA", plans_of_images("dp", "eo", "times"), table9),
        Entry("table10", "Training time, Credit", ("credit",), table10),
        Entry("table11", "AP by width", _WIDTHS_DP, table11),
        Entry("table12", "T-tests, Adult", ("adult_dp", "printed"), table12),
        Entry("table13", "T-tests, CelebA", plans_of_images("dp"), table13),
        Entry("table14", "EOP and PP", ("measures",), table14),
        Entry("table15", "COMPAS", ("compas", "printed"), table15),
        Entry("beta", "The choice of beta (A.1)", plans_of_images("dp", "beta"), beta),
        Entry("a8", "DRAlign with augmentation, Credit", ("credit",), a8),
        Entry("a9", "Alignment without a gap term", ("adult_dp",), a9),
        Entry("a14", "Pre-processing", ("adult_dp",), a14),
        Entry("claims", "Every quoted claim", PLANS, claims),
    )
}
