"""A headless browser for the tests of pages: what it shows after the scripts ran."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NEEDED = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
LIMIT = 150.0  # seconds for a page on a busy machine
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--enable-logging=stderr --virtual-time-budget=20000 "
    "--window-size=1400,25000"  # charts are drawn when they are near the window
)


def browse(path: Path, profile: Path) -> tuple[str, list[str]]:
    """The page after its scripts ran, and what the console said."""
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True, start_new_session=True,
    ) as browser:  # fmt: skip
        try:
            shown, said = browser.communicate(timeout=LIMIT)
        except BaseException:
            os.killpg(browser.pid, signal.SIGKILL)  # it has helpers that hold the pipes open
            raise
    assert browser.returncode == 0, said
    return shown, [line for line in said.splitlines() if re.search(":CONSOLE", line)]
