"""What the options of a spec say of how a model is run, for `contracts.Described`."""

from collections.abc import Collection, Mapping

from evalkit.compute import Compute, Dtype
from evalkit.contracts import Setting
from evalkit.models.registry.options import Options


def dtype_setting(compute: Compute, option: Dtype | None) -> Setting:
    """The dtype that is computed in: the option's, else the run's."""
    return Setting(compute.dtype, "default" if option is None else "option")


def option_settings(options: Options, leave_out: Collection[str] = ()) -> Mapping[str, Setting]:
    """Each option with its value, and whether the user gave it or it is the default; unset ones are left out."""
    return {
        name: Setting(value, "option" if name in options.model_fields_set else "default")
        for name, value in options.model_dump(mode="json").items()
        if value is not None and name not in leave_out
    }
