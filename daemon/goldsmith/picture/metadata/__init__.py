"""The metadata of a picture: read Exif, XMP and IPTC, keep what is true of a new file, choose what leaves with it, and write it."""
