"""One operation is one file here, one word in a brief, one test file and one heading in the manual."""
