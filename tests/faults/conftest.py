"""The fault scripts import each other; their tests need what the other tests share as well."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [folder for folder in (str(HERE), str(HERE.parent)) if folder not in sys.path]
