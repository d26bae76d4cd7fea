"""Settings of what is done to training images."""

from pydantic import Field, model_validator

from kbench.records.section import Section


class Crop(Section):
    """Random resized crop, the only augmentation of the published recipe."""

    scale: tuple[float, float] = Field(
        default=(0.5, 1.0), description="range of the crop's share of the area"
    )
    flip: bool = Field(
        default=False, description="mirror every other image; the published recipe does not"
    )

    @model_validator(mode="after")
    def _shares(self) -> "Crop":
        least, most = self.scale
        if not 0 < least <= most <= 1:
            raise ValueError(
                f"scale is [{least:g}, {most:g}]; legal are two shares of the area, 0 < least <="
                " most <= 1"
            )
        return self
