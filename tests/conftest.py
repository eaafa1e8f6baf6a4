"""What holds for all tests, however the suite was started."""

import signal

from hypothesis import settings

# A busy machine may take any time for one example.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A background job inherits an ignored SIGINT, and one under nohup an ignored SIGHUP: every process
# that a test starts to send it one of them would too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
