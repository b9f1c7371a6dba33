"""Files with layers: their records, and a reader and a writer for each format."""
