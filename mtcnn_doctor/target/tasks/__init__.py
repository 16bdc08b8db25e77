"""The tasks a child can be ordered to do, one module each with ``perform(channel, orders)``."""
