"""The one code location: gathers `defs/`, binds resources, holds no logic."""

from attrition_platform.defs.gather import gather
from attrition_platform.settings import Settings
from attrition_platform.stages.platform import Platform

defs = gather(Platform(Settings.from_environment()))
