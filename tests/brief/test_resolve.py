"""The brief of a picture is resolved from all files for it: its own brief, prompt, mask, recipe and campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.brief import resolve as resolve_module
from goldsmith.brief.brief import Availability
from goldsmith.brief.parsing import BriefError
from goldsmith.brief.pipeline import Pipeline, Stage, read_pipeline
from goldsmith.brief.resolve import ResolvedBrief, Resolver
from goldsmith.errors import InputError
from goldsmith.operation import Operation

RECIPES = {
    "spring": '[[edit]]\nop = "enlarge"\nfactor = 3\n[[deliver]]\nop = "save"\nformat = "png"\n',
    "autumn": 'prompt = "leaves"\n[[grade]]\nop = "tone"\namount = 7\n',
    "nested": 'recipe = "spring"\n',
    "bad": '[[edit]]\nop = "enlarge"\nfactor = 9\n',
}
Resolve = Callable[..., ResolvedBrief | None]


def recipe(name: str) -> tuple[bytes, str]:
    if name not in RECIPES:
        raise InputError(f"There is no “{name}” in library/recipes/.")
    return RECIPES[name].encode(), f"library/recipes/{name}.toml"


@pytest.fixture
def resolve(pipeline: Pipeline, catalogue: Mapping[str, type[Operation]]) -> Resolve:
    """Return a function that resolves the brief of a picture in a folder from texts."""
    resolver = Resolver(pipeline, recipe, catalogue=catalogue)

    def resolve_in_folder(
        folder: str, own: str | bytes = "", prompt: str = "", campaign: str = "", mask: bool = False, look: str = ""
    ) -> ResolvedBrief | None:
        stage = pipeline.stage_of_folder(folder)
        assert stage is not None
        data = own if isinstance(own, bytes) else own.encode()
        return resolver.resolve(
            stage,
            own=(data, "hero.toml") if own else None,
            prompt=(prompt.encode(), "hero.txt") if prompt else None,
            campaign=(campaign.encode(), "acme/brief.toml") if campaign else None,
            has_mask=mask,
            own_look=look,
        )

    return resolve_in_folder


def steps(resolved: ResolvedBrief | None) -> dict[str, list[Any]]:
    assert resolved is not None
    return resolved.steps_as_data


def test_a_picture_without_other_files_is_not_resolved(resolve: Resolve) -> None:
    """Resolve a picture without any file: it waits."""
    assert resolve("inbox") is None


def test_a_picture_goes_as_far_as_the_last_stage_in_its_brief(resolve: Resolve, pipeline: Pipeline) -> None:
    """Check that stages in between run their default steps, and that later ones are not reached."""
    resolved = resolve("inbox", '[[grade]]\nop = "tone"\n')
    assert resolved is not None
    assert steps(resolved) == {"sort": [{"op": "look_over"}], "edit": [], "grade": [{"op": "tone"}]}
    assert (resolved.last_stage, resolved.is_single_stage) == ("grade", False)
    assert [resolved.reaches(stage) for stage in pipeline.stages] == [True, True, True, False]
    assert resolved.steps_for(pipeline.stages[1]) == ()


def test_a_brief_for_one_stage_moves_on_with_its_picture(resolve: Resolve, pipeline: Pipeline) -> None:
    """Resolve a brief with one stage and a mask: the brief is not limited to this stage."""
    resolved = resolve("selected", '[[edit]]\nop = "enlarge"\n', mask=True)
    assert resolved is not None
    assert (steps(resolved), resolved.last_stage, resolved.is_single_stage) == ({"edit": [{"op": "enlarge"}]}, "edit", False)
    assert resolved.reaches(pipeline.stages[1])


def test_an_earlier_stage_is_kept_without_default_steps(resolve: Resolve) -> None:
    """Resolve a brief in a later folder."""
    assert steps(resolve("masked", '[[edit]]\nop = "fill"\n[[deliver]]\nop = "save"\nformat = "png"\n')) == {
        "edit": [{"op": "fill"}],
        "grade": [],
        "deliver": [{"op": "save", "format": "png"}],
    }


def test_a_picture_waits_after_the_last_stage_of_its_brief(resolve: Resolve, pipeline: Pipeline) -> None:
    """Resolve a brief in the folder after its last stage."""
    resolved = resolve("masked", '[[edit]]\nop = "fill"\n')
    assert resolved is not None
    assert not resolved.reaches(pipeline.stages[2])
    assert resolved.last_stage == "edit"


def test_the_own_brief_overrides_recipe_and_campaign_stage_by_stage(resolve: Resolve) -> None:
    """Check the order: own brief, its recipe, campaign's brief; each stage comes from the first that has it."""
    own = 'recipe = "spring"\n[[edit]]\nop = "fill"\n'
    campaign = '[[edit]]\nop = "enlarge"\n[[deliver]]\nop = "save"\nformat = "jpeg"\n[[grade]]\nop = "tone"\namount = 2\n'
    resolved = resolve("selected", own, campaign=campaign)
    assert steps(resolved) == {
        "edit": [{"op": "fill"}],
        "grade": [{"op": "tone", "amount": 2}],
        "deliver": [{"op": "save", "format": "png"}],
    }
    assert resolved is not None
    assert resolved.source_files == ("library/recipes/spring.toml", "acme/brief.toml")


def test_settings_above_the_stages_are_merged_one_by_one(resolve: Resolve) -> None:
    """Take the own title, the recipe's prompt, and the campaign's seed and working format."""
    resolved = resolve(
        "masked",
        'title = "T"\nrecipe = "autumn"\n',
        campaign='title = "C"\nprompt = "c"\nseed = 5\nworking = "tiff"\n[mask]\nfit = "scale"\n',
    )
    assert resolved is not None
    assert (resolved.title, resolved.prompt, resolved.seed, resolved.working, resolved.mask_fit) == ("T", "leaves", 5, "tiff", "scale")


def test_how_pictures_are_read_travels_with_the_brief(resolve: Resolve) -> None:
    """A campaign's brief may say it for all pictures, the own one otherwise; what is usual is not written."""
    campaign = 'hdr = "tonemap"\nfloat_range = 255\n[[edit]]\nop = "fill"\n[[deliver]]\nop = "save"\nformat = "png"\n'
    resolved = resolve("selected", "float_range = 65535\n", campaign=campaign)
    assert resolved is not None
    assert (resolved.hdr, resolved.float_range) == ("tonemap", 65535)
    assert b'hdr = "tonemap"\nfloat_range = 65535' in resolved.to_toml()
    moved = resolve("masked", resolved.to_toml())
    assert moved is not None
    assert (moved.hdr, moved.float_range) == ("tonemap", 65535)
    usual = resolve("selected", '[[edit]]\nop = "fill"\n')
    assert usual is not None
    assert b"hdr" not in usual.to_toml()
    assert b"float_range" not in usual.to_toml()
    assert usual.digest != replace(usual, hdr="tonemap").digest != replace(usual, float_range=2.0).digest


def test_a_campaigns_brief_may_name_a_recipe(resolve: Resolve) -> None:
    """Check that the campaign's own steps override its recipe."""
    resolved = resolve("selected", campaign='recipe = "spring"\n[[edit]]\nop = "fill"\n')
    assert steps(resolved) == {"edit": [{"op": "fill"}], "grade": [], "deliver": [{"op": "save", "format": "png"}]}


def test_the_own_recipe_replaces_the_campaigns(resolve: Resolve) -> None:
    """Name a recipe in both briefs."""
    assert steps(resolve("selected", 'recipe = "autumn"\n', campaign='recipe = "spring"\n')) == {
        "edit": [],
        "grade": [{"op": "tone", "amount": 7}],
    }


def test_a_mask_without_a_brief_runs_one_stage(resolve: Resolve) -> None:
    """Check that the stage's steps for a mask run."""
    resolved = resolve("selected", mask=True)
    assert steps(resolved) == {"edit": [{"op": "fill", "where": "mask"}]}
    assert resolved is not None
    assert (resolved.is_single_stage, resolved.last_stage) == (True, "edit")


def test_a_mask_without_a_brief_leads_to_the_stage_that_uses_masks(resolve: Resolve) -> None:
    """Run default steps before that stage, and nothing after it."""
    assert steps(resolve("inbox", mask=True)) == {"sort": [{"op": "look_over"}]}
    assert resolve("masked", mask=True) is None


def test_a_mask_beside_an_ended_brief_runs_the_mask_steps(resolve: Resolve) -> None:
    """Check that the ended brief's prompt and seed are kept."""
    own = 'prompt = "p"\nseed = 3\n[[sort]]\nop = "look_over"\n'
    resolved = resolve("selected", own, mask=True)
    assert resolved is not None
    assert (steps(resolved), resolved.prompt, resolved.seed, resolved.is_single_stage) == (
        {"edit": [{"op": "fill", "where": "mask"}]},
        "p",
        3,
        True,
    )


def test_an_unused_mask_after_the_last_mask_stage_runs_nothing(resolve: Resolve, pipeline: Pipeline) -> None:
    """Resolve a brief that ends at edit, with a mask, in the next folder."""
    resolved = resolve("masked", '[[edit]]\nop = "fill"\n', mask=True)
    assert resolved is not None
    assert not resolved.reaches(pipeline.stages[2])


def test_a_look_without_steps_in_a_brief_runs_the_look_steps(resolve: Resolve) -> None:
    """Put the look into the steps that take one, in the stage that has steps for a look, after its default steps."""
    every: list[dict[str, Any]] = [{}, {"prompt": "p"}, {"own": 'title = "T"\n'}, {"own": '[[edit]]\nop = "fill"\n'}, {"mask": True}]
    for instructions in every:
        resolved = resolve("masked", look="hero", **instructions)
        assert resolved is not None
        assert [{"op": step.op, **step.settings} for step in resolved.steps_by_stage["grade"]] == [{"op": "tone", "look": "hero"}]
        assert (resolved.is_single_stage, resolved.last_stage) == (True, "grade")
    assert resolve("selected", look="hero") is None
    own = '[[grade]]\nop = "tone"\namount = 2\n'
    assert steps(resolve("masked", own, look="hero")) == {"grade": [{"op": "tone", "amount": 2}]}


def test_the_look_steps_follow_the_default_steps(catalogue: Mapping[str, type[Operation]]) -> None:
    """Grade a picture with its look after what the stage does to every picture; a default step that names a look keeps it."""
    row = b'[[stage]]\nname = "grade"\nfolder = "masked"\nnext = "graded"\n'
    steps_of_row = b'default = [{ op = "fill" }, { op = "tone", look = "studio" }]\nwith_look = [{ op = "tone", amount = 2 }]\n'
    pipeline = read_pipeline(row + steps_of_row, "pipeline.toml", catalogue)
    resolved = Resolver(pipeline, recipe, catalogue=catalogue).resolve(pipeline.stages[0], own_look="hero")
    assert steps(resolved) == {"grade": [{"op": "fill"}, {"op": "tone", "look": "studio"}, {"op": "tone", "amount": 2, "look": "hero"}]}


def test_a_prompt_without_a_brief_runs_one_stage(resolve: Resolve) -> None:
    """Run the default steps, or the mask steps if there is a mask."""
    plain, masked = resolve("inbox", prompt=" a hand "), resolve("selected", prompt="a hand", mask=True)
    assert plain is not None
    assert masked is not None
    assert (steps(plain), plain.prompt, plain.is_single_stage) == ({"sort": [{"op": "look_over"}]}, "a hand", True)
    assert (steps(masked), masked.prompt, masked.is_single_stage) == ({"edit": [{"op": "fill", "where": "mask"}]}, "a hand", True)


@pytest.mark.parametrize(("own", "prompt"), [("", "a hand, <lora:film:0.8>"), ('prompt = "a hand, <lora:film:0.8>"', "")])
def test_words_for_another_program_in_the_prompt_of_a_picture_are_refused(resolve: Resolve, own: str, prompt: str) -> None:
    """In hero.txt as in the brief, with what to write instead."""
    with pytest.raises(BriefError, match="no meaning in a prompt") as caught:
        resolve("inbox", own, prompt=prompt)
    assert caught.value.sentence.startswith("hero.txt" if prompt else "hero.toml")
    assert 'loras = [{ name = "film", weight = 0.8 }]' in caught.value.sentence


def test_an_empty_prompt_file_runs_one_stage(resolve: Resolve, pipeline: Pipeline, catalogue: Mapping[str, type[Operation]]) -> None:
    """Resolve a picture with an empty hero.txt."""
    resolved = Resolver(pipeline, recipe, catalogue=catalogue).resolve(pipeline.stages[0], prompt=(b"", "hero.txt"))
    assert steps(resolved) == {"sort": [{"op": "look_over"}]}


def test_a_brief_without_stages_runs_one_stage(resolve: Resolve) -> None:
    """Check that the brief's prompt and seed are used."""
    resolved = resolve("inbox", 'prompt = "p"\nseed = 2\n')
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
def test_the_nearest_prompt_is_used(resolve: Resolve, own: str, campaign: str, expected: str) -> None:
    """Check the order: own brief, hero.txt, other files; hero.txt overrides a brief that moved on from an earlier folder."""
    resolved = resolve("selected", own, prompt="text", campaign=campaign)
    assert resolved is not None
    assert resolved.prompt == expected


def test_a_brief_that_moved_on_is_complete(resolve: Resolve) -> None:
    """Check that neither a campaign's brief nor a recipe is merged into such a brief."""
    moved = resolve("inbox", 'recipe = "spring"\n')
    assert moved is not None
    second = resolve("selected", moved.to_toml(), campaign='prompt = "leak"\nseed = 9\n[[grade]]\nop = "tone"\n')
    assert second == moved
    assert second.digest == moved.digest


def test_a_brief_that_moves_on_is_written_as_readable_toml(resolve: Resolve) -> None:
    """Check the whole text with its comments."""
    resolved = resolve(
        "selected",
        'title = "T"\nprompt = """a\nb"""\nrecipe = "autumn"\n[[edit]]\nop = "enlarge"\nsize = [3, 4]\n'
        '[[grade]]\nop = "tone"\nshadows = { temperature = -12 }\n[[deliver]]\nop = "save"\nformat = "png"\n',
    )
    assert resolved is not None
    assert resolved.to_toml().decode() == (
        "# These steps will run on this picture. Edit this file to change them.\n"
        "# Merged from the picture's own brief and library/recipes/autumn.toml.\n"
        'title = "T"\nprompt = """\na\nb"""\nseed = 0\n'
        "resolved = true            # complete: no recipe and no campaign's brief is merged in\n"
        '\n[mask]\nfit = "refuse"\n'
        '\n[[edit]]\nop = "enlarge"\nsize = [3, 4]\n'
        '\n[[grade]]\nop = "tone"\nshadows = { temperature = -12 }\n'
        '\n[[deliver]]\nop = "save"\nformat = "png"\n'
    )


def test_a_brief_that_moved_on_can_be_edited(resolve: Resolve) -> None:
    """Change the format of a step in such a brief."""
    moved = resolve("inbox", '[[deliver]]\nop = "save"\nformat = "png"\n')
    assert moved is not None
    edited = moved.to_toml().replace(b'"png"\n', b'"jpeg"\n')
    assert steps(resolve("graded", edited))["deliver"] == [{"op": "save", "format": "jpeg"}]


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], include_characters="\n\t\"'\\"), max_size=40)
STAGE_TABLES = st.fixed_dictionaries(
    {},
    optional={
        "edit": st.lists(
            st.builds(
                lambda factor, where: {"op": "enlarge", "factor": factor} if factor else {"op": "fill", "where": where},
                st.integers(0, 4),
                TEXTS,
            ),
            max_size=3,
        ),
        "grade": st.lists(
            st.builds(
                lambda t, name: {"op": "tone", "shadows": {"temperature": t}, "name": name},
                st.floats(allow_nan=False, allow_infinity=False),
                TEXTS,
            ),
            max_size=2,
        ),
        "deliver": st.lists(st.builds(lambda kb: {"op": "save", "format": "png", "max_kb": kb}, st.floats(0, 1e9)), max_size=2),
    },
)


@settings(max_examples=60, deadline=None)
@given(tables=STAGE_TABLES, title=TEXTS, prompt=TEXTS, seed=st.integers(0, 2**32 - 1), stage_index=st.integers(0, 3))
def test_a_brief_that_moves_on_resolves_to_the_same_brief(
    pipeline: Pipeline,
    catalogue: Mapping[str, type[Operation]],
    tables: dict[str, Any],
    title: str,
    prompt: str,
    seed: int,
    stage_index: int,
) -> None:
    """Write and read the resolved brief of any brief, in any folder, twice."""
    import tomli_w

    own = tomli_w.dumps({"title": title, "prompt": prompt, "seed": seed, **tables}).encode()
    first = Resolver(pipeline, recipe, catalogue=catalogue).resolve(pipeline.stages[stage_index], own=(own, "hero.toml"))
    assert first is not None
    if first.is_single_stage:
        return
    second = Resolver(pipeline, recipe, catalogue=catalogue).resolve(pipeline.stages[stage_index], own=(first.to_toml(), "hero.toml"))
    assert second == first
    assert second.to_toml() == first.to_toml()
    assert second.digest == first.digest


def test_a_recipe_cannot_name_a_recipe(resolve: Resolve) -> None:
    """Resolve a nested recipe."""
    with pytest.raises(BriefError, match=r"library/recipes/nested\.toml: recipe is not allowed in a recipe"):
        resolve("inbox", 'recipe = "nested"\n')


def test_a_problem_names_its_file(resolve: Resolve) -> None:
    """Check problems in a recipe and in a campaign's brief, and a missing recipe."""
    with pytest.raises(BriefError, match=r"^library/recipes/bad\.toml: edit\.1\.factor is 9"):
        resolve("inbox", 'recipe = "bad"\n')
    with pytest.raises(BriefError, match=r"^acme/brief\.toml: edit\.1\.factor is 9"):
        resolve("inbox", campaign=RECIPES["bad"])
    with pytest.raises(InputError, match="There is no “sprig”"):
        resolve("inbox", 'recipe = "sprig"\n')


def test_the_error_of_a_shared_brief_names_the_file_of_each_picture(pipeline: Pipeline, catalogue: Mapping[str, type[Operation]]) -> None:
    """Resolve the same wrong brief under two names."""
    resolver = Resolver(pipeline, recipe, catalogue=catalogue)
    for name in ("a.toml", "b.toml"):
        with pytest.raises(BriefError, match=rf"^{name}: "):
            resolver.resolve(pipeline.stages[0], own=(RECIPES["bad"].encode(), name))


def test_a_shared_brief_is_parsed_once(
    pipeline: Pipeline, catalogue: Mapping[str, type[Operation]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolve 2000 pictures with the same bytes under different names."""
    files_read: list[str] = []
    read_brief = resolve_module.read_brief

    def record_and_read(data: bytes, file: str, *args: Any, **kwargs: Any) -> Any:
        files_read.append(file)
        return read_brief(data, file, *args, **kwargs)

    monkeypatch.setattr(resolve_module, "read_brief", record_and_read)
    resolver = Resolver(pipeline, recipe, catalogue=catalogue)
    brief_ids = {id(resolver.resolve(pipeline.stages[0], own=(b'recipe = "spring"', f"{number}.toml"))) for number in range(2000)}
    assert len(brief_ids) == 1
    assert files_read == ["0.toml", "library/recipes/spring.toml"]


def test_a_changed_recipe_is_used_at_once(pipeline: Pipeline, catalogue: Mapping[str, type[Operation]]) -> None:
    """Change a recipe between two calls."""
    recipes = {"spring": b'[[edit]]\nop = "enlarge"\n'}
    resolver = Resolver(pipeline, lambda name: (recipes[name], name), catalogue=catalogue)
    stage = pipeline.stages[1]
    assert steps(resolver.resolve(stage, own=(b'recipe = "spring"', "a.toml"))) == {"edit": [{"op": "enlarge"}]}
    recipes["spring"] = b'[[edit]]\nop = "fill"\n'
    assert steps(resolver.resolve(stage, own=(b'recipe = "spring"', "a.toml"))) == {"edit": [{"op": "fill"}]}


def test_missing_library_files_are_checked_on_each_call(pipeline: Pipeline, catalogue: Mapping[str, type[Operation]]) -> None:
    """Add a look later and put a look beside the picture; earlier stages are not checked."""
    looks = {"warm-amber"}
    availability = Availability(
        model_names={"inpaint": ["migan"]},
        has_file=lambda folder, name, suffixes: name in looks,
        list_names=lambda folder, suffixes: sorted(looks),
    )
    resolver = Resolver(pipeline, recipe, availability, catalogue)
    own = (b'[[edit]]\nop = "fill"\nmodel = "gone"\n[[grade]]\nop = "tone"\nlook = "warm"\nname = "x"\n', "b.toml")

    def resolve_in(stage: Stage, has_file_beside: bool = False) -> ResolvedBrief | None:
        return resolver.resolve(stage, own=own, has_sidecar=lambda folder, name, suffixes: has_file_beside)

    with pytest.raises(BriefError) as caught:
        resolve_in(pipeline.stages[1])
    assert caught.value.sentence.startswith('b.toml has 2 problems:\n- edit.1.model is "gone"')
    with pytest.raises(BriefError, match=r"^b\.toml: grade\.1\.look is \"warm\", but library/looks/ has no such"):
        resolve_in(pipeline.stages[2])
    assert resolve_in(pipeline.stages[2], has_file_beside=True)
    looks.add("warm")
    assert resolve_in(pipeline.stages[2])


def test_the_place_of_the_mask_travels_with_the_brief(resolve: Resolve) -> None:
    """It is written only if it is not the usual one, and it counts as a change of the instructions."""
    usual, alpha = resolve("selected", '[[edit]]\nop = "fill"\n'), resolve("selected", '[mask]\nfrom = "alpha"\n[[edit]]\nop = "fill"\n')
    assert (usual.mask_from, alpha.mask_from) == ("files", "alpha")
    assert usual.digest != alpha.digest
    assert 'from = "alpha"' in alpha.to_toml().decode()
    assert "from =" not in usual.to_toml().decode()
    assert resolve("selected", alpha.to_toml()).mask_from == "alpha"
