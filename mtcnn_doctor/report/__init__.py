"""The reporters: the only code that prints. One module a format, all over the same report."""
