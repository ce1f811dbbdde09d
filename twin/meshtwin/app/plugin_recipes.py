"""Finding out which recipes installed packages bring, in a process of its own: what they load or break goes with it."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import entry_points
from typing import Final

import structlog

from meshtwin.app.crew import begin_worker
from meshtwin.app.threads import in_own_thread
from meshtwin.contract.summaries import PluginRecipes
from meshtwin.errors import Unavailable
from meshtwin.recipes.messages import PipelineRequest
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, ENTRY_POINT_GROUP, unknown_recipe

__all__ = ["check_names", "find_plugin_recipes", "has_plugin_recipes"]

log = structlog.get_logger(__name__)

LIMIT_S: Final = 30.0  # loading our own takes 1 s; a package that takes longer holds up the pipelines that name it


def has_plugin_recipes() -> bool:
    """Whether a package names recipes; loads nothing of it."""
    return bool(entry_points(group=ENTRY_POINT_GROUP))


def check_names(request: PipelineRequest, told: PluginRecipes | None) -> None:
    """Refuses recipes that packages do not bring, without loading any here; ``told`` None: they were not asked yet.

    Raises `InvalidInput` (``UnknownRecipe``; ``BrokenPlugin`` if a broken one may be it), and then `Unavailable`.
    """
    for index, use in enumerate(request.recipes):
        place = f"recipes[{index}].uses"
        if use.uses in BUILT_IN_PARAMETERS:
            continue
        if told is None:
            raise Unavailable(f"which recipes packages bring is not known yet, {use.uses!r} among them", place=place)
        names = [recipe.name for recipe in told.recipes]
        if use.uses not in names:
            raise unknown_recipe(use.uses, {*names, *BUILT_IN_PARAMETERS}, told.broken, place)


async def find_plugin_recipes(limit_s: float = LIMIT_S) -> PluginRecipes:
    """What the packages bring; what fails or takes longer than ``limit_s`` is told as broken."""
    found = await in_own_thread("plug-in recipes", lambda: _ask_process(limit_s))
    log.info("Recipes of packages", recipes=[recipe.name for recipe in found.recipes], broken=found.broken)
    return found


def _ask_process(limit_s: float) -> PluginRecipes:
    executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=begin_worker)
    try:
        return PluginRecipes.model_validate_json(executor.submit(_tell).result(timeout=limit_s))
    except TimeoutError:
        return PluginRecipes(broken=[f"packages with recipes were not loaded within {limit_s:g} s"])
    except BrokenProcessPool:
        return PluginRecipes(broken=["the process that loads packages with recipes died: one of them ends it"])
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # no process started, it told something else, or this
        return PluginRecipes(broken=[f"packages with recipes were not loaded: {type(error).__name__}"])
    finally:
        for process in list((executor._processes or {}).values()):  # until 3.14's kill_workers
            process.kill()
        executor.shutdown(wait=True, cancel_futures=True)


def _tell() -> bytes:
    from meshtwin.recipes.plugins import describe_plugins  # deferred: only the process loads recipes
    from meshtwin.recipes.registry import known_recipes

    return describe_plugins(known_recipes()).to_payload()
