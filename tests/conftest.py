"""What holds for all tests, however the suite was started."""

import signal

# A background job inherits an ignored SIGINT, and one under nohup an ignored SIGHUP: every process
# that a test starts to send it one of them would too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
