"""mtcnn-doctor: finds out why MTCNN face detection crashes, hangs or sees the wrong thing.

Importing this package is cheap on purpose: it pulls in nothing that Python has not loaded
anyway, so that ``mtcnn-doctor --version`` answers at once even where all else is broken.
"""

import os

__version__ = "0.1.0"

# In a checkout checks/ and reference_images/ lie beside this package, because people add to
# them; installed they lie inside it. Looking beside it as well makes the checkout importable
# as it is (`python -m pytest`, `python -m mtcnn_doctor`), with no import hook to be shadowed.
_here = os.path.dirname(os.path.abspath(__file__))
_beside = os.path.dirname(_here)
if not os.path.isdir(os.path.join(_here, "checks")) and os.path.isdir(
    os.path.join(_beside, "checks")
):
    __path__.append(_beside)


def load_ipython_extension(shell: object) -> None:
    """Take the doctor into a notebook: ``%load_ext mtcnn_doctor``."""
    from mtcnn_doctor import notebook

    notebook.load(shell)


def unload_ipython_extension(shell: object) -> None:
    """Take it out again: ``%unload_ext mtcnn_doctor``, and the first half of ``%reload_ext``."""
    from mtcnn_doctor import notebook

    notebook.unload(shell)
