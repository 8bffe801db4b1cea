"""Labels in the tree's terms: from a context to a context with labels (S19 to S22).

A `Labeller` stands for one configuration. Spans that share context and resource share the labels too, so they are
evaluated and encoded once a context, not once a span, wherever the targeting key is not the trace's own id.
"""

from __future__ import annotations

from typing import Any, Final

from processor.attributes.contexts import encode_derived
from processor.attributes.keys import LANGUAGE_KEY
from processor.attributes.reported import label_value
from processor.span import IS_ROOT, Context, Group, Own, Span, Value

_REMEMBERED: Final = 12_288  # contexts with labels
_REMEMBERED_OUTCOMES: Final = 1024


class _Outcome:
    """What the same labels add to every context: their values, their keys as named in `derived`, that attribute
    encoded, the names of the variables.
    """

    __slots__ = ("derived", "keys", "names", "values")

    def __init__(self, written: Any) -> None:
        self.values: dict[bytes, Value] = {
            each.key: label_value(each.key, each.label, each.version) for each in written
        }
        self.keys = sorted(self.values)
        self.derived = encode_derived(self.keys)
        self.names: list[str] = [each.variable for each in written]


class Labeller:
    """Labels spans by one configuration.

    `evaluator` is a `processor.variables.evaluator.Evaluator`. `with_resource`, `with_baggage`: what conditions see
    (S21). `roots_only`: only root spans are evaluated. `default_key`: the attribute of the default targeting key.
    `carried`: the targeting attributes that are carried keys, so that of a resource only valid values count (S3).
    `wanted`: what its maker wants to live as long as it. `failed` counts by variable.
    """

    __slots__ = (
        "carried", "condition_keys", "default_key", "evaluator", "failed", "language_of", "last", "last_context",
        "last_group", "last_trace", "memo", "outcomes", "roots_only", "target_keys", "wanted", "with_baggage",
        "with_resource",
    )  # fmt: skip

    def __init__(
        self,
        evaluator: Any,
        language_of: Any,
        default_key: str,
        with_resource: bool,
        with_baggage: bool,
        roots_only: bool,
        carried: frozenset[str] = frozenset(),
        wanted: object = None,
    ) -> None:
        self.evaluator = evaluator
        self.language_of = language_of
        self.default_key = default_key.encode()
        self.with_resource = with_resource
        self.with_baggage = with_baggage
        self.roots_only = roots_only
        self.carried = carried
        self.wanted = wanted
        self.target_keys: list[str] = list(evaluator.targeting_attributes)
        self.condition_keys: list[str] = list(evaluator.condition_attributes)
        self.memo: dict[tuple[Context, Group], Context] = {}
        self.outcomes: dict[object, _Outcome] = {}
        # The spans of a trace leave one after the other, so the last answer is usually the next one, too.
        self.last_context: Context | None = None
        self.last_group: Group | None = None
        self.last_trace: bytes | None = None  # None: the answer holds for every trace
        self.last: Context | None = None
        self.failed: dict[str, int] = {}

    def apply(self, trace_id: bytes, span: Span, context: Context) -> Context:
        """What the span is to be written: `context`, and a label for each variable that nobody reported."""
        own = span.own
        if self.roots_only and not _is_root(span, own):
            return context
        if own is not None and own.attributes is not None:
            return self._label(trace_id, span, context, own.attributes, False)
        group = span.group
        last = self.last
        is_last = context is self.last_context and group is self.last_group
        if last is not None and is_last and (self.last_trace is None or self.last_trace == trace_id):
            return last
        found = self.memo.get((context, group))
        if found is None:
            return self._label(trace_id, span, context, None, True)
        self.last_context, self.last_group, self.last_trace, self.last = context, group, None, found
        return found

    def _label(
        self, trace_id: bytes, span: Span, context: Context, attributes: dict[str, object] | None, is_shared: bool
    ) -> Context:
        """Evaluate; the result is remembered where it `is_shared` by spans of this context."""
        group = span.group
        labels = self._evaluate(trace_id, group, context, attributes)
        result = self._with_labels(context, labels.written)
        own = span.own
        if labels.failed:
            if own is None or own.pending_parent is None:  # it stands for a span that is counted itself (S5)
                for name, _ in labels.failed:
                    self.failed[name] = self.failed.get(name, 0) + 1
        elif is_shared:
            target = context.values.get(self.default_key)
            of_trace = target is None or not isinstance(target.data, str) or target.data == ""
            if not of_trace:
                if len(self.memo) >= _REMEMBERED:
                    self.memo.clear()
                self.memo[(context, group)] = result
            self.last_context, self.last_group, self.last = context, group, result
            self.last_trace = trace_id if of_trace else None
        return result

    def forget(self) -> None:
        """Let go of what is remembered of groups."""
        self.memo.clear()

    def _evaluate(self, trace_id: bytes, group: Group, context: Context, own: dict[str, object] | None) -> Any:
        """The evaluator's `Labels` for a span."""
        resource = group.attributes
        targets: dict[str, object] = {}
        for name in self.target_keys:
            value = context.values.get(name.encode())
            if value is not None:
                targets[name] = value.data
            elif name in resource and name not in self.carried:
                targets[name] = resource[name]
        seen = self._seen(group, context, own)
        language = self.language_of(resource.get(LANGUAGE_KEY))
        return self.evaluator.labels(targets, trace_id.hex(), seen, language, context.reported)

    def _seen(self, group: Group, context: Context, own: dict[str, object] | None) -> dict[str, object]:
        """What conditions see (S21): the resource, overlaid by the context, overlaid by listed span attributes."""
        resource = group.attributes
        defaults = group.defaults
        seen: dict[str, object] = {}
        for name in self.condition_keys:
            key = name.encode()
            value = context.values.get(key)
            # What the resource gives an empty context (S3) is still the resource's.
            is_default = value is not None and defaults is not None and defaults.values.get(key) is value
            if self.with_resource:
                if name in resource:
                    seen[name] = resource[name]
                elif value is not None and is_default:
                    seen[name] = value.data
            if self.with_baggage and value is not None and not is_default:
                seen[name] = value.data
            if own is not None and name in own:
                seen[name] = own[name]
        return seen

    def _with_labels(self, context: Context, written: Any) -> Context:
        """The context and the labels, these named as computed (S22)."""
        if not written:
            return context
        outcome = self.outcomes.get(written)
        if outcome is None:
            outcome = _Outcome(written)
            if len(self.outcomes) >= _REMEMBERED_OUTCOMES:
                self.outcomes.clear()
            self.outcomes[written] = outcome
        result = Context({**context.values, **outcome.values}, context.is_complete)
        result.derived = sorted([*context.derived, *outcome.keys]) if context.derived else outcome.keys
        result.suffix += encode_derived(result.derived) if context.derived else outcome.derived
        result.labelled = outcome.names
        return result


def _is_root(span: Span, own: Own | None) -> bool:
    """Whether the span is a root, or the pending twin of one (S5)."""
    return span.state & IS_ROOT != 0 or (own is not None and own.pending_parent == b"")
