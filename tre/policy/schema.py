"""The JSON Schema of what issuers send."""

from tre.model.permit import Permit


def permit_schema() -> dict[str, object]:
    """The schema of a permit's payload, as it is validated."""
    return Permit.model_json_schema(by_alias=True)
