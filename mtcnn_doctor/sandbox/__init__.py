"""Starting a child in the target interpreter, hearing it, and outliving whatever it does."""

from mtcnn_doctor.sandbox.child import Child, allow_children, kill_all
from mtcnn_doctor.sandbox.ending import Ending, NotPython, TargetTooOld
from mtcnn_doctor.sandbox.launch import Launch

__all__ = ["Child", "Ending", "Launch", "NotPython", "TargetTooOld", "allow_children", "kill_all"]
