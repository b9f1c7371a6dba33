"""Previews of the pictures in the folders: decoded in a process behind a fence, in sRGB, and kept outside the share."""
