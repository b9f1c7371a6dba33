"""What is to be done to a picture, out of everything that was written for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.brief import resolve as resolving
from goldsmith.brief.brief import Availability
from goldsmith.brief.parsing import BriefError
from goldsmith.brief.pipeline import Pipeline, Stage
from goldsmith.brief.resolve import ResolvedBrief, Resolver
from goldsmith.errors import InputError
from goldsmith.operation import Operation

RECIPES = {
    "spring": '[[edit]]\nop = "enlarge"\nfactor = 3\n[[deliver]]\nop = "save"\nformat = "png"\n',
    "autumn": 'prompt = "leaves"\n[[grade]]\nop = "tone"\namount = 7\n',
    "nested": 'recipe = "spring"\n',
    "bad": '[[edit]]\nop = "enlarge"\nfactor = 9\n',
}
Ask = Callable[..., ResolvedBrief | None]


def recipe(name: str) -> tuple[bytes, str]:
    if name not in RECIPES:
        raise InputError(f"There is no “{name}” in library/recipes/.")
    return RECIPES[name].encode(), f"library/recipes/{name}.toml"


@pytest.fixture
def ask(line: Pipeline, catalogue: Mapping[str, type[Operation]]) -> Ask:
    """Resolves texts for a picture in a folder."""
    resolver = Resolver(line, recipe, catalogue=catalogue)

    def asking(folder: str, own: str | bytes = "", prompt: str = "", campaign: str = "", mask: bool = False) -> ResolvedBrief | None:
        stage = line.stage_of_folder(folder)
        assert stage is not None
        data = own if isinstance(own, bytes) else own.encode()
        return resolver.resolve(
            stage,
            own=(data, "hero.toml") if own else None,
            prompt=(prompt.encode(), "hero.txt") if prompt else None,
            campaign=(campaign.encode(), "acme/brief.toml") if campaign else None,
            has_mask=mask,
        )

    return asking


def steps(resolved: ResolvedBrief | None) -> dict[str, list[Any]]:
    assert resolved is not None
    return resolved.steps_as_data


def test_a_picture_alone_is_asked_nothing(ask: Ask) -> None:
    """It waits."""
    assert ask("inbox") is None


def test_a_picture_goes_as_far_as_the_last_stage_its_brief_speaks_of(ask: Ask, line: Pipeline) -> None:
    """Stages in between run their defaults, which may be none; later ones are not reached."""
    resolved = ask("inbox", '[[grade]]\nop = "tone"\n')
    assert resolved is not None
    assert steps(resolved) == {"sort": [{"op": "look_over"}], "edit": [], "grade": [{"op": "tone"}]}
    assert (resolved.last_stage, resolved.is_single_stage) == ("grade", False)
    assert [resolved.reaches(stage) for stage in line.stages] == [True, True, True, False]
    assert resolved.steps_for(line.stages[1]) == ()


def test_a_brief_for_this_stage_alone_is_a_brief_that_travels(ask: Ask, line: Pipeline) -> None:
    """It reaches the stage, runs its own steps, and goes on with the picture to say that it ended."""
    resolved = ask("selected", '[[edit]]\nop = "enlarge"\n', mask=True)
    assert resolved is not None
    assert (steps(resolved), resolved.last_stage, resolved.is_single_stage) == ({"edit": [{"op": "enlarge"}]}, "edit", False)
    assert resolved.reaches(line.stages[1])


def test_a_stage_behind_the_picture_is_in_the_past(ask: Ask) -> None:
    """It stays in the brief, and no default is added there."""
    assert steps(ask("masked", '[[edit]]\nop = "fill"\n[[deliver]]\nop = "save"\nformat = "png"\n')) == {
        "edit": [{"op": "fill"}],
        "grade": [],
        "deliver": [{"op": "save", "format": "png"}],
    }


def test_a_brief_that_ended_leaves_the_picture_waiting(ask: Ask, line: Pipeline) -> None:
    """The last stage it spoke of lies behind it: a colourist may take over."""
    resolved = ask("masked", '[[edit]]\nop = "fill"\n')
    assert resolved is not None
    assert not resolved.reaches(line.stages[2])
    assert resolved.last_stage == "edit"


def test_the_briefs_own_steps_win_stage_by_stage(ask: Ask) -> None:
    """Own before its recipe before the campaign's brief; a stage is taken whole from one of them."""
    own = 'recipe = "spring"\n[[edit]]\nop = "fill"\n'
    campaign = '[[edit]]\nop = "enlarge"\n[[deliver]]\nop = "save"\nformat = "jpeg"\n[[grade]]\nop = "tone"\namount = 2\n'
    resolved = ask("selected", own, campaign=campaign)
    assert steps(resolved) == {
        "edit": [{"op": "fill"}],
        "grade": [{"op": "tone", "amount": 2}],
        "deliver": [{"op": "save", "format": "png"}],
    }
    assert resolved is not None
    assert resolved.source_files == ("library/recipes/spring.toml", "acme/brief.toml")


def test_what_stands_above_the_stages_is_merged_word_by_word(ask: Ask) -> None:
    """Own title, the recipe's prompt, the campaign's seed and working format."""
    resolved = ask(
        "masked",
        'title = "T"\nrecipe = "autumn"\n',
        campaign='title = "C"\nprompt = "c"\nseed = 5\nworking = "tiff"\n[mask]\nfit = "scale"\n',
    )
    assert resolved is not None
    assert (resolved.title, resolved.prompt, resolved.seed, resolved.working, resolved.mask_fit) == ("T", "leaves", 5, "tiff", "scale")


def test_a_campaign_may_name_the_recipe_and_its_own_steps_stand_above_it(ask: Ask) -> None:
    """A campaign's brief is a brief like any other."""
    resolved = ask("selected", campaign='recipe = "spring"\n[[edit]]\nop = "fill"\n')
    assert steps(resolved) == {"edit": [{"op": "fill"}], "grade": [], "deliver": [{"op": "save", "format": "png"}]}


def test_the_own_recipe_takes_the_place_of_the_campaigns(ask: Ask) -> None:
    """One recipe is in force."""
    assert steps(ask("selected", 'recipe = "autumn"\n', campaign='recipe = "spring"\n')) == {
        "edit": [],
        "grade": [{"op": "tone", "amount": 7}],
    }


def test_a_bare_mask_is_good_for_one_stage(ask: Ask) -> None:
    """The steps that this stage has for a mask."""
    resolved = ask("selected", mask=True)
    assert steps(resolved) == {"edit": [{"op": "fill", "where": "mask"}]}
    assert resolved is not None
    assert (resolved.is_single_stage, resolved.last_stage) == (True, "edit")


def test_a_bare_mask_takes_a_picture_to_the_stage_that_uses_masks_and_not_beyond(ask: Ask) -> None:
    """Before it the default steps run and the mask travels on; behind it nothing would ever use it."""
    assert steps(ask("inbox", mask=True)) == {"sort": [{"op": "look_over"}]}
    assert ask("masked", mask=True) is None


def test_a_mask_beside_a_brief_that_ended_asks_for_the_stages_mask_steps(ask: Ask) -> None:
    """A mask painted after selection is an instruction, though the brief that travelled here ended; what it said is kept."""
    own = 'prompt = "p"\nseed = 3\n[[sort]]\nop = "look_over"\n'
    resolved = ask("selected", own, mask=True)
    assert resolved is not None
    assert (steps(resolved), resolved.prompt, resolved.seed, resolved.is_single_stage) == (
        {"edit": [{"op": "fill", "where": "mask"}]},
        "p",
        3,
        True,
    )


def test_a_mask_that_travelled_on_unused_moves_nothing(ask: Ask, line: Pipeline) -> None:
    """A brief that stops after edit leaves its picture waiting, whatever masks lie beside it."""
    resolved = ask("masked", '[[edit]]\nop = "fill"\n', mask=True)
    assert resolved is not None
    assert not resolved.reaches(line.stages[2])


def test_a_prompt_is_good_for_one_stage_and_runs_its_default_steps(ask: Ask) -> None:
    """The steps for a mask, if there is one."""
    plain, masked = ask("inbox", prompt=" a hand "), ask("selected", prompt="a hand", mask=True)
    assert plain is not None
    assert masked is not None
    assert (steps(plain), plain.prompt, plain.is_single_stage) == ({"sort": [{"op": "look_over"}]}, "a hand", True)
    assert (steps(masked), masked.prompt, masked.is_single_stage) == ({"edit": [{"op": "fill", "where": "mask"}]}, "a hand", True)


def test_an_empty_prompt_file_is_an_instruction_too(ask: Ask, line: Pipeline, catalogue: Mapping[str, type[Operation]]) -> None:
    """Somebody put it there; the default steps need no words."""
    resolved = Resolver(line, recipe, catalogue=catalogue).resolve(line.stages[0], prompt=(b"", "hero.txt"))
    assert steps(resolved) == {"sort": [{"op": "look_over"}]}


def test_a_brief_without_stages_acts_like_a_prompt(ask: Ask) -> None:
    """One stage, its default steps, and what the brief says of prompt and seed."""
    resolved = ask("inbox", 'prompt = "p"\nseed = 2\n')
    assert resolved is not None
    assert (steps(resolved), resolved.prompt, resolved.seed, resolved.is_single_stage) == ({"sort": [{"op": "look_over"}]}, "p", 2, True)


@pytest.mark.parametrize(
    ("own", "campaign", "expected"),
    [
        ("", 'prompt = "campaign"\n[[edit]]\nop = "fill"', "text"),
        ('prompt = "own"\n[[edit]]\nop = "fill"', "", "own"),
        ('[[edit]]\nop = "fill"', 'prompt = "campaign"', "text"),
        ('prompt = "old"\nresolved = true\n[[sort]]\nop = "look_over"', "", "text"),
    ],
)
def test_the_nearest_prompt_is_the_one(ask: Ask, own: str, campaign: str, expected: str) -> None:
    """The own brief's, else hero.txt, else the others'; a hero.txt beside a brief that travelled here was written later."""
    resolved = ask("selected", own, prompt="text", campaign=campaign)
    assert resolved is not None
    assert resolved.prompt == expected


def test_a_brief_that_travelled_is_complete(ask: Ask) -> None:
    """The next folder's campaign brief does not leak in, and no recipe is looked for."""
    travelled = ask("inbox", 'recipe = "spring"\n')
    assert travelled is not None
    again = ask("selected", travelled.to_toml(), campaign='prompt = "leak"\nseed = 9\n[[grade]]\nop = "tone"\n')
    assert again == travelled
    assert again.digest == travelled.digest


def test_what_travels_reads_like_a_brief(ask: Ask) -> None:
    """What is to be done, stage by stage, under headings that can be edited."""
    resolved = ask(
        "selected",
        'title = "T"\nprompt = """a\nb"""\nrecipe = "autumn"\n[[edit]]\nop = "enlarge"\nsize = [3, 4]\n'
        '[[grade]]\nop = "tone"\nshadows = { temperature = -12 }\n[[deliver]]\nop = "save"\nformat = "png"\n',
    )
    assert resolved is not None
    assert resolved.to_toml().decode() == (
        "# These steps will run on this picture. Edit this file to change them.\n"
        "# Merged from the picture's own brief and library/recipes/autumn.toml.\n"
        'title = "T"\nprompt = """\na\nb"""\nseed = 0\nworking = "png"\n'
        "resolved = true            # complete: no recipe and no campaign's brief is merged in\n"
        '\n[mask]\nfit = "refuse"\n'
        '\n[[edit]]\nop = "enlarge"\nsize = [3, 4]\n'
        '\n[[grade]]\nop = "tone"\nshadows = { temperature = -12 }\n'
        '\n[[deliver]]\nop = "save"\nformat = "png"\n'
    )


def test_editing_what_travels_changes_what_is_run(ask: Ask) -> None:
    """It is a brief like any other."""
    travelled = ask("inbox", '[[deliver]]\nop = "save"\nformat = "png"\n')
    assert travelled is not None
    edited = travelled.to_toml().replace(b'"png"\n', b'"jpeg"\n').replace(b'working = "jpeg"', b'working = "png"')
    assert steps(ask("graded", edited))["deliver"] == [{"op": "save", "format": "jpeg"}]


texts = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], include_characters="\n\t\"'\\"), max_size=40)
anything = st.fixed_dictionaries(
    {},
    optional={
        "edit": st.lists(
            st.builds(
                lambda factor, where: {"op": "enlarge", "factor": factor} if factor else {"op": "fill", "where": where},
                st.integers(0, 4),
                texts,
            ),
            max_size=3,
        ),
        "grade": st.lists(
            st.builds(
                lambda t, name: {"op": "tone", "shadows": {"temperature": t}, "name": name},
                st.floats(allow_nan=False, allow_infinity=False),
                texts,
            ),
            max_size=2,
        ),
        "deliver": st.lists(st.builds(lambda kb: {"op": "save", "format": "png", "max_kb": kb}, st.floats(0, 1e9)), max_size=2),
    },
)


@settings(max_examples=60, deadline=None)
@given(tables=anything, title=texts, prompt=texts, seed=st.integers(0, 2**32 - 1), place=st.integers(0, 3))
def test_what_travels_reads_back_as_what_was_resolved(
    line: Pipeline, catalogue: Mapping[str, type[Operation]], tables: dict[str, Any], title: str, prompt: str, seed: int, place: int
) -> None:
    """For any brief, in any folder: written and read again it asks for the same, and so for ever."""
    import tomli_w

    own = tomli_w.dumps({"title": title, "prompt": prompt, "seed": seed, **tables}).encode()
    first = Resolver(line, recipe, catalogue=catalogue).resolve(line.stages[place], own=(own, "hero.toml"))
    assert first is not None
    if first.is_single_stage:
        return
    again = Resolver(line, recipe, catalogue=catalogue).resolve(line.stages[place], own=(first.to_toml(), "hero.toml"))
    assert again == first
    assert again.to_toml() == first.to_toml()
    assert again.digest == first.digest


def test_a_recipe_names_no_recipe(ask: Ask) -> None:
    """Nor is it a brief that travelled."""
    with pytest.raises(BriefError, match=r"library/recipes/nested\.toml: recipe is not allowed in a recipe"):
        ask("inbox", 'recipe = "nested"\n')


def test_a_fault_names_the_file_it_stands_in(ask: Ask) -> None:
    """The recipe's fault is not the brief's."""
    with pytest.raises(BriefError, match=r"^library/recipes/bad\.toml: edit\.1\.factor is 9"):
        ask("inbox", 'recipe = "bad"\n')
    with pytest.raises(BriefError, match=r"^acme/brief\.toml: edit\.1\.factor is 9"):
        ask("inbox", campaign=RECIPES["bad"])
    with pytest.raises(InputError, match="There is no “sprig”"):
        ask("inbox", 'recipe = "sprig"\n')


def test_faults_are_found_again_for_each_picture_under_its_own_name(line: Pipeline, catalogue: Mapping[str, type[Operation]]) -> None:
    """Two pictures with the same wrong brief get a note each."""
    resolver = Resolver(line, recipe, catalogue=catalogue)
    for name in ("a.toml", "b.toml"):
        with pytest.raises(BriefError, match=rf"^{name}: "):
            resolver.resolve(line.stages[0], own=(RECIPES["bad"].encode(), name))


def test_thousands_of_pictures_under_one_brief_parse_it_once(
    line: Pipeline, catalogue: Mapping[str, type[Operation]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its bytes, whatever the file is called."""
    read: list[str] = []
    real = resolving.read_brief
    monkeypatch.setattr(
        resolving, "read_brief", lambda data, file, *more, **named: (read.append(file), real(data, file, *more, **named))[1]
    )
    resolver = Resolver(line, recipe, catalogue=catalogue)
    made = {id(resolver.resolve(line.stages[0], own=(b'recipe = "spring"', f"{number}.toml"))) for number in range(2000)}
    assert len(made) == 1
    assert read == ["0.toml", "library/recipes/spring.toml"]


def test_a_recipe_that_was_changed_counts_at_once(line: Pipeline, catalogue: Mapping[str, type[Operation]]) -> None:
    """What is remembered is remembered by bytes."""
    shelf = {"spring": b'[[edit]]\nop = "enlarge"\n'}
    resolver = Resolver(line, lambda name: (shelf[name], name), catalogue=catalogue)
    stage = line.stages[1]
    assert steps(resolver.resolve(stage, own=(b'recipe = "spring"', "a.toml"))) == {"edit": [{"op": "enlarge"}]}
    shelf["spring"] = b'[[edit]]\nop = "fill"\n'
    assert steps(resolver.resolve(stage, own=(b'recipe = "spring"', "a.toml"))) == {"edit": [{"op": "fill"}]}


def test_what_the_library_lacks_is_said_for_the_file_that_names_it_and_asked_anew(
    line: Pipeline, catalogue: Mapping[str, type[Operation]]
) -> None:
    """A look that is put there later, or lies beside the picture, is found; stages behind the picture are not asked about."""
    looks = {"warm-amber"}
    stock = Availability(
        model_names={"inpaint": ["migan"]}, has_file=lambda shelf, name, kinds: name in looks, list_names=lambda shelf, kinds: sorted(looks)
    )
    resolver = Resolver(line, recipe, stock, catalogue)
    own = (b'[[edit]]\nop = "fill"\nmodel = "gone"\n[[grade]]\nop = "tone"\nlook = "warm"\nname = "x"\n', "b.toml")

    def ask_in(stage: Stage, beside: bool = False) -> ResolvedBrief | None:
        return resolver.resolve(stage, own=own, has_sidecar=lambda shelf, name, kinds: beside)

    with pytest.raises(BriefError) as caught:
        ask_in(line.stages[1])
    assert caught.value.sentence.startswith('b.toml has 2 problems:\n- edit.1.model is "gone"')
    with pytest.raises(BriefError, match=r"^b\.toml: grade\.1\.look is \"warm\", but library/looks/ has no such"):
        ask_in(line.stages[2])
    assert ask_in(line.stages[2], beside=True)
    looks.add("warm")
    assert ask_in(line.stages[2])
