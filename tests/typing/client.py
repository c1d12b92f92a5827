"""What the type checker must refuse of the client: each `type: ignore` is an error if there is nothing to ignore."""

from __future__ import annotations

from cutstream import AsyncClient, Client


def misspelt(client: Client) -> None:
    client.cut("shoe.jpg", outptus=["mask"])  # type: ignore[call-arg]
    client.cut("shoe.jpg", outputs=["maks"])  # type: ignore[list-item]
    client.cut("shoe.jpg", quality="high")  # type: ignore[arg-type]
    client.cut("shoe.jpg", image="other.jpg")  # type: ignore[call-arg]
    client.cut("shoe.jpg", outputs=["mask", "cutout"], background="white", shadow={"type": "cast"})


async def mixed_up(client: AsyncClient) -> None:
    client.cut("shoe.jpg").save("shoe.png")  # type: ignore[attr-defined]
    result = await client.cut("shoe.jpg", size="hd")
    result.bytes  # type: ignore[attr-defined]  # noqa: B018
    await result.save("shoe.png")
