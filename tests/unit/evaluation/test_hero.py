"""The picture at the top of the README."""

from __future__ import annotations

from io import BytesIO

from PIL import Image as Pillow

from cutstream.contract.recipe import parse_recipe
from evaluation import hero
from evaluation.gallery import sample_request


def png(size: tuple[int, int], colour: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    Pillow.new("RGBA", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_request_of_the_picture_is_valid() -> None:
    recipes = [
        parse_recipe(sample_request("a", row.photo, {**hero.COMMON, **fields}))
        for row in hero.ROWS
        for fields in row.outputs
    ]
    assert len(recipes) == len(hero.ROWS) * (len(hero.CAPTIONS) - 1)
    assert all(recipe.composition.decontaminated for recipe in recipes)


def test_tiles_stand_in_columns_and_show_the_top_of_their_images() -> None:
    red, clear = png((40, 80), (255, 0, 0, 255)), png((40, 80), (0, 0, 0, 0))
    sheet = hero.lay_out([[red, clear, red, clear]], [0.5])
    height = round(hero.TILE_PX * 0.5)
    assert sheet.size == (hero.WIDTH_PX, hero.CAPTION_PX + height + hero.GAP_PX)
    middle = hero.CAPTION_PX + height // 2
    row = [sheet.getpixel((hero.GAP_PX + n * (hero.TILE_PX + hero.GAP_PX) + 5, middle)) for n in range(4)]
    assert row[0] == row[2] == (255, 0, 0)
    assert {row[1], row[3]} <= {(255, 255, 255), (204, 204, 204)}
