"""Collecting: the children that are sent out, and the facts and runs they bring back.

Children do all the work: one in the target for metadata, one on the host for the machine and its
GPU driver (drivers hang), one that decodes the images, one for OpenCV, and one a backend. They
import at the same time and run one after another, so that times and memory are
honest. Whatever dies or hangs, the others go on and what was heard is kept.
"""
