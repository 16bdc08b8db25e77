"""What is known of versions, processors and error messages: tables in TOML, and their look-up.

Every row has an id, a source and a review date. Metadata of what is installed are always asked
first; these tables fill in what metadata do not say.
"""

from __future__ import annotations

from mtcnn_doctor.knowledge.lookup import (
    NumpySupport,
    Signature,
    companion_series,
    cpu_needs,
    end_of_life,
    loose_pins,
    match_error,
    numpy2_support,
    signatures,
)

__all__ = [
    "NumpySupport",
    "Signature",
    "companion_series",
    "cpu_needs",
    "end_of_life",
    "loose_pins",
    "match_error",
    "numpy2_support",
    "signatures",
]
