"""The reference MTCNN: one cascade, the published weights and a network for each backend.

The algorithm is that of Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment using
Multitask Cascaded Convolutional Networks" (IEEE Signal Processing Letters 23(10), 2016), with
the box arithmetic of the published Caffe and facenet implementations. Importing this package
loads nothing; NumPy comes with :mod:`.cascade` and the frameworks with their backend.
"""
