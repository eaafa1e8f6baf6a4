"""The measures page: its code runs, and its table has the figures that the code prints."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "measures.md"


def test_the_table_of_the_halved_model_is_what_the_code_prints(capsys):
    text = PAGE.read_text(encoding="utf-8")
    code, weighted = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    exec(compile(weighted, str(PAGE), "exec"), names)
    assert names["gap"] > 0
    assert names["frame"].by_group.shape == (2,)
    model, no_note, halved, note = capsys.readouterr().out.splitlines()
    table = re.search(r"\| \| model \| halved \| \|\n(?:\|.*\n)+", text)[0]
    rows = re.findall(r"\| ([\d.]+) \| ([\d.]+) \| [a-z ]+ \|\n", table)
    assert len(rows) == 10
    for column, line in enumerate((model, halved)):
        printed = re.findall(r"\d\.\d{3}", line)
        assert [f"{float(row[column]):.3f}" for row in rows] == printed
    assert no_note == "None"
    assert f'"{note}"' in text.replace("\n", " ")
    assert note == "scores shrank: the soft gap is smaller for that reason too"
