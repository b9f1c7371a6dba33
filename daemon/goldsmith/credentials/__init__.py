"""Content credentials (C2PA): the identity that signs them, and the manifests in files."""
