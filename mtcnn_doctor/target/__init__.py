"""What runs inside the target interpreter (Python 3.8 or newer), by path, not installed there.

Nothing here imports the rest of the project, and nothing of the project imports this: the two
sides speak through files and descriptors. Only the standard library is needed until a probe or
a network asks for more.
"""
