"""What a picture is here: the picture, how files become pictures and back, colour, and regions."""
