"""What holds for all tests, however the suite was started."""

import signal

# A background job inherits an ignored SIGINT, and every process of a test of Ctrl-C would too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
