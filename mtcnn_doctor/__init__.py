"""mtcnn-doctor: finds out why MTCNN face detection crashes, hangs or sees the wrong thing.

Importing this package is cheap on purpose: it pulls in nothing but the standard library's
``pathlib``, so that ``mtcnn-doctor --version`` answers at once even where all else is broken.
"""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout checks/ and reference_images/ lie beside this package, because people add to
# them; installed they lie inside it. Looking beside it as well makes the checkout importable
# as it is (`python -m pytest`, `python -m mtcnn_doctor`), with no import hook to be shadowed.
_here = Path(__file__).resolve().parent
if not (_here / "checks").is_dir() and (_here.parent / "checks").is_dir():
    __path__.append(str(_here.parent))
