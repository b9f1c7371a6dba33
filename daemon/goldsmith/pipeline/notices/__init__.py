"""Notices: tells people on their phones and in their chats what waits for them. A program of its own; the daemon does not know of it."""
