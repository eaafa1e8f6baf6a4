"""Post-processing: the scores of a trained classifier shifted against a gap (the plug-in, Eq. 35).

Nothing is trained again. One fit of a model that guesses the groups gives a whole front of weights.
"""

from dralign.postprocessing.cells import GAPS, ComparedCells
from dralign.postprocessing.front import ShiftFront, ShiftPoint, check_max_gap, front_of
from dralign.postprocessing.group_model import fit_cells
from dralign.postprocessing.network import CellModel, shift_network
from dralign.postprocessing.shift import ScoreShift, fit_shift, shifted

__all__ = [
    "GAPS",
    "CellModel",
    "ComparedCells",
    "ScoreShift",
    "ShiftFront",
    "ShiftPoint",
    "check_max_gap",
    "fit_cells",
    "fit_shift",
    "front_of",
    "shift_network",
    "shifted",
]
