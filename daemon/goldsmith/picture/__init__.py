"""What a picture is here: the plate, how files become plates and back, colour, and regions."""
