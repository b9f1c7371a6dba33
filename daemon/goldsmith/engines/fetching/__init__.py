"""Fetch weights and record what arrived: through pip, npm, a hub's client or plain HTTPS, checked by hash."""
