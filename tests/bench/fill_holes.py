"""The holes of the bench ``fill``: places in photographs whose truth is known, by the ground that they lie on."""

from __future__ import annotations

from typing import Literal, NamedTuple

Ground = Literal["flat", "gradient", "texture", "structure", "mixed"]


class Hole(NamedTuple):
    """An elliptic hole: the photograph's file, the ground, the centre as shares of width and height, and the longer axis in px."""

    photograph: str
    ground: Ground
    across: float
    down: float
    side: int


# The photographs are those of scikit-image and of these packages of Debian 12: lomiri-wallpapers-16.04, lomiri-wallpapers-20.04,
# mate-backgrounds, plasma-workspace-wallpapers.
HOLES: tuple[Hole, ...] = (
    Hole("Bridge_by_Sander_Klootwijk.jpg", "gradient", 0.20, 0.48, 300),
    Hole("Bridge_by_Sander_Klootwijk.jpg", "structure", 0.63, 0.47, 400),
    Hole("Dragonfly_by_Bolly.jpg", "texture", 0.40, 0.60, 700),
    Hole("Dragonfly_by_Bolly.jpg", "mixed", 0.72, 0.55, 500),
    Hole("Kleiber_by_Lukas_Baubkus.jpg", "texture", 0.20, 0.50, 600),
    Hole("Kleiber_by_Lukas_Baubkus.jpg", "gradient", 0.76, 0.80, 900),
    Hole("Kleiber_by_Lukas_Baubkus.jpg", "mixed", 0.42, 0.78, 500),
    Hole("Picture_0B_by_freespace.jpg", "texture", 0.07, 0.70, 250),
    Hole("Picture_0B_by_freespace.jpg", "structure", 0.28, 0.62, 300),
    Hole("Picture_1A_by_freespace.jpg", "structure", 0.30, 0.50, 200),
    Hole("Wine_by_Jakkub_Mede.jpg", "structure", 0.60, 0.08, 400),
    Hole("aitzgorri_by_Aitzol_Berasategi.jpg", "texture", 0.40, 0.85, 500),
    Hole("aitzgorri_by_Aitzol_Berasategi.jpg", "texture", 0.22, 0.62, 300),
    Hole("aitzgorri_by_Aitzol_Berasategi.jpg", "flat", 0.50, 0.08, 250),
    Hole("aitzgorri_by_Aitzol_Berasategi.jpg", "mixed", 0.55, 0.22, 400),
    Hole("free_by_Peter_Nerlich.jpg", "gradient", 0.25, 0.75, 600),
    Hole("friends_by_Aitzol_Berasategi.jpg", "structure", 0.80, 0.20, 500),
    Hole("greentock_by_Peter_Nerlich.jpg", "gradient", 0.30, 0.75, 300),
    Hole("life_by_Aitzol_Berasategi.jpg", "texture", 0.15, 0.20, 500),
    Hole("life_by_Aitzol_Berasategi.jpg", "mixed", 0.50, 0.70, 600),
    Hole("picosdeeuropa_by_Aitzol_Berasategi.jpg", "mixed", 0.60, 0.45, 500),
    Hole("picosdeeuropa_by_Aitzol_Berasategi.jpg", "texture", 0.30, 0.85, 600),
    Hole("picosdeeuropa_by_Aitzol_Berasategi.jpg", "gradient", 0.80, 0.10, 400),
    Hole("seeding_by_Clements_Engelhardt.jpg", "gradient", 0.15, 0.30, 500),
    Hole("seeding_by_Clements_Engelhardt.jpg", "texture", 0.80, 0.85, 600),
    Hole("sunset_by_Aitzol_Berasategi.jpg", "texture", 0.25, 0.85, 500),
    Hole("sunset_by_Aitzol_Berasategi.jpg", "gradient", 0.80, 0.15, 500),
    Hole("Aqua.jpg", "gradient", 0.20, 0.60, 400),
    Hole("Blinds.jpg", "structure", 0.50, 0.50, 400),
    Hole("Dune.jpg", "texture", 0.50, 0.85, 250),
    Hole("Dune.jpg", "flat", 0.30, 0.12, 200),
    Hole("Dune.jpg", "mixed", 0.85, 0.45, 200),
    Hole("FreshFlower.jpg", "structure", 0.50, 0.30, 250),
    Hole("Garden.jpg", "gradient", 0.20, 0.30, 350),
    Hole("GreenMeadow.jpg", "texture", 0.50, 0.60, 300),
    Hole("GreenMeadow.jpg", "texture", 0.25, 0.30, 150),
    Hole("LadyBird.jpg", "gradient", 0.30, 0.75, 300),
    Hole("LadyBird.jpg", "mixed", 0.70, 0.45, 200),
    Hole("RainDrops.jpg", "mixed", 0.50, 0.50, 300),
    Hole("Storm.jpg", "gradient", 0.40, 0.30, 300),
    Hole("Storm.jpg", "structure", 0.60, 0.78, 250),
    Hole("TwoWings.jpg", "gradient", 0.15, 0.30, 400),
    Hole("Wood.jpg", "texture", 0.70, 0.50, 300),
    Hole("Wood.jpg", "texture", 0.40, 0.60, 1000),
    Hole("YellowFlower.jpg", "structure", 0.60, 0.50, 300),
    Hole("YellowFlower.jpg", "flat", 0.10, 0.20, 300),
    Hole("BytheWater/contents/images/2560x1600.jpg", "structure", 0.60, 0.75, 400),
    Hole("BytheWater/contents/images/2560x1600.jpg", "texture", 0.30, 0.35, 200),
    Hole("ColdRipple/contents/images/2560x1600.jpg", "flat", 0.20, 0.20, 400),
    Hole("ColdRipple/contents/images/2560x1600.jpg", "structure", 0.50, 0.85, 300),
    Hole("ColorfulCups/contents/images/2560x1600.jpg", "structure", 0.50, 0.50, 400),
    Hole("DarkestHour/contents/images/2560x1600.jpg", "gradient", 0.50, 0.32, 800),
    Hole("EveningGlow/contents/images/2560x1600.jpg", "mixed", 0.40, 0.60, 300),
    Hole("EveningGlow/contents/images/2560x1600.jpg", "texture", 0.70, 0.90, 250),
    Hole("FallenLeaf/contents/images/2560x1600.jpg", "mixed", 0.30, 0.80, 350),
    Hole("Grey/contents/images/2560x1600.jpg", "structure", 0.50, 0.60, 400),
    Hole("Kite/contents/images/2560x1600.jpg", "gradient", 0.50, 0.75, 500),
    Hole("OneStandsOut/contents/images/2560x1600.jpg", "texture", 0.40, 0.50, 500),
    Hole("OneStandsOut/contents/images/2560x1600.jpg", "texture", 0.60, 0.50, 1000),
    Hole("Path/contents/images/2560x1600.jpg", "texture", 0.80, 0.80, 400),
    Hole("Path/contents/images/2560x1600.jpg", "mixed", 0.50, 0.45, 500),
    Hole("summer_1am/contents/images/2560x1600.jpg", "gradient", 0.50, 0.30, 600),
    Hole("summer_1am/contents/images/2560x1600.jpg", "mixed", 0.60, 0.65, 300),
    Hole("brick.png", "structure", 0.50, 0.50, 160),
    Hole("grass.png", "texture", 0.50, 0.50, 200),
    Hole("gravel.png", "texture", 0.50, 0.50, 160),
    Hole("chelsea.png", "texture", 0.50, 0.20, 80),
    Hole("coffee.png", "texture", 0.12, 0.12, 70),
    Hole("camera.png", "flat", 0.20, 0.20, 80),
    Hole("rocket.jpg", "gradient", 0.30, 0.30, 80),
    Hole("moon.png", "texture", 0.30, 0.80, 100),
    Hole("page.png", "mixed", 0.50, 0.12, 40),
)
