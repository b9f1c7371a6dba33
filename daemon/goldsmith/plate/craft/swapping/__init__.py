"""One face onto another: where its points lie, how it is warped, lit and laid in."""
