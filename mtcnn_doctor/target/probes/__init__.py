"""The probes: one module a subject, each with ``collect(orders) -> dict`` of plain JSON facts.

A probe collects and never judges. ``orders`` is the orders document of the child (see
:mod:`..worker`); most probes ignore it. A probe that raises is reported as failed and the
others go on.
"""
