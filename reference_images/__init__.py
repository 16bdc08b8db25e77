"""The bundled images, their expected detections and where they come from (see README.md)."""
