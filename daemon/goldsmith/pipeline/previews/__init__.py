"""Small JPEGs of pictures in the folders, for people who look from outside. Only worker processes decode the files."""
