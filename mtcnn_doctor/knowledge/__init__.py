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
    subject_profile,
)
from mtcnn_doctor.knowledge.mitigations import (
    Circumstances,
    Mitigation,
    Provocation,
    candidates,
    compatible,
    curable,
    library_in,
    provocations,
)

__all__ = [
    "Circumstances",
    "Mitigation",
    "NumpySupport",
    "Provocation",
    "Signature",
    "candidates",
    "companion_series",
    "compatible",
    "cpu_needs",
    "curable",
    "end_of_life",
    "library_in",
    "loose_pins",
    "match_error",
    "numpy2_support",
    "provocations",
    "signatures",
    "subject_profile",
]
