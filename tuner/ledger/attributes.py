"""Optuna's table of study attributes, for writes that must happen in one step or not at all."""

import json
from typing import Any

from sqlalchemy import column, insert, table
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

ATTRIBUTES = table(
    "study_user_attributes", column("study_id"), column("key"), column("value_json")
)


def insert_attribute(engine: Engine, study_id: int, key: str, value: Any) -> bool:
    """Store an attribute unless the study has it; return whether it was stored."""
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    try:
        with engine.begin() as connection:
            connection.execute(insert(ATTRIBUTES).values(row))
    except IntegrityError:
        return False
    return True
