"""Weight files of every kind, read without running anything that is in them.

``containers`` take files apart into named arrays, ``layouts`` finds the networks among them,
``canonical`` brings those into the order and orientation of :mod:`..weights`, ``written`` writes
them in the formats of other packages. What is read is hostile until proven otherwise: no pickle
runs, and sizes are looked at before memory is asked for.
"""
