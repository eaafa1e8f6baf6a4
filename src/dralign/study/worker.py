"""A process that makes calls for the coordinator that started it, and beats while it does.

It is run as a script and begins with the standard library alone, so that it beats from its first
moment; what a call needs is imported with the first one. Messages are pairs: ``("beat", None)``,
``("begun", None)`` once a call is understood, then ``("done", result)``, ``("raised", error)`` of a
call that raised one of our errors, or ``("refused", text)`` of one that can't be made.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection

BEAT_SECONDS = 1.0


class Speaker:
    """Sends messages; while the worker is busy also a beat every second.

    Args:
        pipe: leads to the coordinator. Where it is gone the process ends: nobody could take the
            result any more.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self._turn = threading.Lock()
        self._busy = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def begin(self) -> None:
        """From now on there are beats."""
        self._busy.set()

    def say(self, kind: str, value: object = None) -> None:
        """Sends a message."""
        with self._turn:
            self._send(kind, value)

    def answer(self, kind: str, value: object = None) -> None:
        """Sends a message that is the last of its call."""
        with self._turn:
            self._busy.clear()
            try:
                self._send(kind, value)
            except Exception as error:  # noqa: BLE001 - whatever pickling raises
                self._send("refused", f"its result can't be sent: {_described(error)}")

    def _beat(self) -> None:
        while self._busy.wait():
            time.sleep(BEAT_SECONDS)
            with self._turn:
                if self._busy.is_set():
                    self._send("beat", None)

    def _send(self, kind: str, value: object) -> None:
        try:
            self.pipe.send((kind, value))
        except OSError:
            os._exit(1)


def serve(pipe: Connection) -> None:
    """Makes one call after another until the coordinator is gone."""
    # Ctrl-C in a terminal reaches every process; only the coordinator acts on it. This one was
    # started with the signal blocked, so that none is heard before this line either.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    speaker = Speaker(pipe)
    while pipe.poll(None):
        speaker.begin()
        try:
            call, arguments = pipe.recv()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - whatever an import raises
            speaker.answer("refused", _described(error))
            continue
        speaker.say("begun")
        _make(call, arguments, speaker)


def settle(folder: str, path: list[str], environment: Mapping[str, str]) -> None:
    """Gives a worker that was started earlier the surroundings that a new one would have."""
    with suppress(OSError):
        os.chdir(folder)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)


def _make(call, arguments, speaker: Speaker) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Makes a call and sends what comes of it."""
    from dralign.errors import DralignError

    try:
        result = call(*arguments)
    except DralignError as error:
        speaker.answer("raised", (type(error), str(error)))
    except Exception as error:  # noqa: BLE001 - told to the coordinator
        speaker.answer("refused", _described(error))
    else:
        speaker.answer("done", result)


def _described(error: BaseException) -> str:
    """One line for an error."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[2])
    with suppress(KeyboardInterrupt):
        serve(Connection(int(sys.argv[1])))
    os._exit(0)
