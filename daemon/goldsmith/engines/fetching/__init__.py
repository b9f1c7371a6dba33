"""Fetch weights through pip, npm, a hub's client or plain HTTPS, verify them by hash, and pin them."""
