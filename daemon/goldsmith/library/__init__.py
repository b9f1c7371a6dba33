"""The files and models that briefs may name: the library, layers, consents, and what is available on this machine."""
