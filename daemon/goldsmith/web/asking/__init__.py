"""The page that asks for work: forms that become briefs."""
