"""The condition operators of IAM's grammar, and whether a request meets them, with missing keys and sets.

`grammar` makes conditions, `statements` asks them. Comparisons are in `comparisons`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aerodrome.identity.errors import MalformedPolicyError
from aerodrome.identity.policy import comparisons, patterns
from aerodrome.identity.policy.comparisons import Comparison
from aerodrome.identity.policy.patterns import Context, Pattern

_NULL = "Null"
_IF_EXISTS = "IfExists"


class Quantifier(StrEnum):
    """The prefixes of operators on keys with several values."""

    ALL = "ForAllValues"
    ANY = "ForAnyValue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One key of a Condition block under one operator: values are alternatives, conditions must all hold."""

    operator: str
    """As written, such as `ForAllValues:StringLikeIfExists`."""
    key: str
    """As written; its case does not count."""
    values: tuple[Pattern, ...]
    comparison: Comparison | None
    """None for the operator Null."""
    negated: bool
    """True for the operators that end in NotEquals, NotLike and the like."""
    quantifier: Quantifier | None
    if_exists: bool

    def holds(self, context: Context, *, allows: bool) -> bool:
        """Whether the condition is met; `allows` when it stands in an Allow statement.

        A variable without a value equals nothing in a Deny; in an Allow it must not let a "not equals" pass either.
        What nobody can tell meets every Deny, and no Allow.
        """
        found = context.get(self.key.lower(), ())
        if found is patterns.UNKNOWN or any(value.is_unknown(context) for value in self.values):
            return not allows
        if self.comparison is None:
            return any(value.text.lower() == ("false" if found else "true") for value in self.values)
        if self.quantifier and not any(found):
            found = ()  # a set of nothing, or of empty texts, is an empty set
        if not found:
            return self.quantifier is Quantifier.ALL or self.if_exists or (self.negated and self.quantifier is None)
        hits = [self._hit(value, context, allows=allows) for value in found]
        if self.quantifier is Quantifier.ALL:
            return all(hit is not self.negated for hit in hits)
        if self.quantifier is Quantifier.ANY:
            return any(hit is not self.negated for hit in hits)
        return any(hits) is not self.negated

    def _hit(self, found: str, context: Context, *, allows: bool) -> bool:
        """Whether one of the policy's values matches the request's value, without the negation."""
        comparison = self.comparison
        assert comparison is not None  # noqa: S101  (Null never comes here)
        for value in self.values:
            form = value.form(context)
            if form is None:
                if allows and self.negated:
                    return True
            elif comparison.test(form, found):
                return True
        return False


def parse(operator: str, key: str, values: tuple[str, ...], *, variables: bool) -> Condition:
    """One condition of a block; the values are texts."""
    prefix, colon, name = operator.rpartition(":")
    quantifier = _quantifier(prefix, operator) if colon else None
    base = name.removesuffix(_IF_EXISTS)
    if ":" not in key.strip(":") or any(letter.isspace() for letter in key):
        raise MalformedPolicyError(
            f"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.: {key[:64]!r}."
        )
    if not values:
        raise MalformedPolicyError(f"Syntax errors in policy: the condition on {key[:64]!r} has no values.")
    if base == _NULL and (quantifier or name != base):
        raise MalformedPolicyError("Syntax errors in policy: Null takes no set operator and no IfExists.")
    comparison, negated = (None, False) if base == _NULL else _comparison(base, operator)
    usable = comparison.usable if comparison else comparisons.is_boolean
    variables = variables and comparison is not None and comparison.variables
    for value in values:
        if not usable(value) and not (variables and "${" in value):
            raise MalformedPolicyError(f"Invalid value for the condition operator {operator}: {value[:64]!r}.")
    wildcards = comparison is not None and comparison.wildcards
    return Condition(
        operator=operator,
        key=key,
        values=tuple(patterns.parse(value, variables=variables, wildcards=wildcards) for value in values),
        comparison=comparison,
        negated=negated,
        quantifier=quantifier,
        if_exists=name != base,
    )


def _quantifier(prefix: str, operator: str) -> Quantifier:
    try:
        return Quantifier(prefix)
    except ValueError:
        raise _unknown(operator) from None


def _comparison(base: str, operator: str) -> tuple[Comparison, bool]:
    if base in comparisons.POSITIVE:
        return comparisons.POSITIVE[base], False
    if base in comparisons.NEGATED:
        return comparisons.NEGATED[base], True
    raise _unknown(operator)


def _unknown(operator: str) -> MalformedPolicyError:
    return MalformedPolicyError(f"Invalid Condition type : {operator[:64]}.")
