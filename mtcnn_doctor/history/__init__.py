"""What changed since it last worked: states of a target, how two differ, where they are kept."""
