"""Matting: how much of each pixel is the subject, and what colour the subject has there.

``trimap`` says where that is open, ``closed`` settles it (with ``laplacian``), ``tidy`` takes ghosts and crumbs away, ``foreground`` takes
the old background's colour out of the edge, ``glass`` tells what is see-through all over, ``judging`` measures how unsure the result is,
and ``overlay`` shows it.
"""
