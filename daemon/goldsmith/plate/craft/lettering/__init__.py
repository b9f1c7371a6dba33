"""Lettering: a font and words become shaped lines, lines a block in a box, and the block coverage that is painted on a plate.

HarfBuzz is used here and nowhere else.
"""
