"""Which installer makes the environments: uv where it is, else pip."""

from __future__ import annotations

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.investigate import environments_pip as pip
from mtcnn_doctor.investigate import environments_uv as uv
from mtcnn_doctor.investigate.environments import Installer
from mtcnn_doctor.investigate.matrix_commands import Commands


def installer(wanted: str, commands: Commands) -> Installer:
    """Return uv where it is to be found, else pip; or the one that is wanted.

    Raises:
        UsageError: neither is there, or not the one wanted.
    """
    if wanted != "pip":
        program = uv.program()
        version = uv.version_of(program, commands) if program else None
        if program and version and version >= uv.OLDEST:
            return uv.Uv(commands, program, str(version))
        if wanted == "uv":
            found = f"uv {version} is older than {uv.OLDEST}" if version else "there is no uv here"
            raise UsageError(
                f'--installer uv: {found}; pip install "mtcnn-doctor[matrix]" brings it'
            )
    return pip.Pip(commands)
