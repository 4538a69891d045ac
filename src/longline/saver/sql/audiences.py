"""Whom an expression describes."""

from pyroaring import BitMap

from longline.model.audience import Everyone, Expression
from longline.saver.sql.members import AppMembers, Members


def resolve(expression: Expression, app: int, membership: AppMembers, members: Members) -> BitMap:
    """The ordinals that an expression describes at this moment of the writer's transaction."""
    match expression:
        case Everyone():
            return members.everyone(app, membership)
