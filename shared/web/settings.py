"""Settings of the web edge: those of every service, with the language and time zone of the policy pack."""

from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from shared.settings import CoreSettings
from shared.web.i18n import LANGUAGES


class WebSettings(CoreSettings):
    """`language` and `time_zone` are the defaults for a reader who asks for neither; the pack names them.

    Never read from the environment by itself: the variable LANGUAGE belongs to gettext.
    """

    language: str = "zh"
    time_zone: str = "Asia/Shanghai"

    @classmethod
    def of(cls, settings: CoreSettings, *, language: str, time_zone: str) -> Self:
        """The settings of a service with the pack's language and zone. Raises pydantic.ValidationError."""
        values = {name: getattr(settings, name) for name in CoreSettings.model_fields}
        return cls(**values, language=language, time_zone=time_zone)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the constructor's arguments."""
        return (init_settings,)

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str) -> str:
        if value not in LANGUAGES:
            raise ValueError(f"the language must be one of {', '.join(LANGUAGES)}")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f"the time zone {value!r} is not in the tz database, for example Asia/Shanghai"
            ) from error
        return value
