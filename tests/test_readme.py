"""The README's code runs as it stands."""

import re
from pathlib import Path

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_code_blocks_run_in_order(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    shown = capsys.readouterr().out
    gap, similarity = map(float, re.search(r"gap ([\d.]+), similarity ([\d.]+)", shown).groups())
    assert 0 <= gap < 0.2
    assert 1 < similarity <= 2
