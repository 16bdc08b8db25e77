"""The checks: one module a family; each judges facts and yields findings."""
