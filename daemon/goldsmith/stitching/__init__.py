"""Fill the masked part of a picture: the shared base of inpaint and erase, the fills that need no model, and the choice among fills."""
