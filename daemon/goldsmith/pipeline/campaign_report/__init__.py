"""The report of a campaign: what was delivered, what it took, and how alike the pictures are. For people, as one HTML file."""
