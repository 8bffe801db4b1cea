"""Labels in the tree's terms: from a context to a context with labels (S19 to S22).

A `Labeller` stands for one configuration. Spans that share context and resource share the labels too, so they are
evaluated and encoded once a context, not once a span, wherever the targeting key is not the trace's own id.
"""

from __future__ import annotations

from typing import Any, Final

from processor.attributes.contexts import Contexts, with_derived
from processor.attributes.keys import LANGUAGE_KEY
from processor.attributes.reported import label_value
from processor.span import IS_ROOT, Context, Group, Span

_REMEMBERED: Final = 4096  # contexts with labels


class Labeller:
    """Labels spans by one configuration.

    `evaluator` is a `processor.variables.evaluator.Evaluator`. `with_resource`, `with_baggage`: what conditions see (S21). `roots_only`:
    only root spans are evaluated. `default_key`: the attribute of the default targeting key. `written` and `failed` count by variable.
    """

    __slots__ = (
        "condition_keys", "contexts", "default_key", "evaluator", "failed", "language_of", "memo", "roots_only",
        "target_keys", "with_baggage", "with_resource", "written",
    )  # fmt: skip

    def __init__(
        self,
        evaluator: Any,
        language_of: Any,
        contexts: Contexts,
        default_key: str,
        with_resource: bool,
        with_baggage: bool,
        roots_only: bool,
    ) -> None:
        self.evaluator = evaluator
        self.language_of = language_of
        self.contexts = contexts
        self.default_key = default_key.encode()
        self.with_resource = with_resource
        self.with_baggage = with_baggage
        self.roots_only = roots_only
        self.target_keys: list[str] = list(evaluator.targeting_attributes)
        self.condition_keys: list[str] = list(evaluator.condition_attributes)
        self.memo: dict[tuple[Context, Group], Context] = {}
        self.written: dict[str, int] = {}
        self.failed: dict[str, int] = {}

    def apply(self, trace_id: bytes, span: Span, context: Context) -> Context:
        """What the span is to be written: `context`, and a label for each variable that nobody reported."""
        if self.roots_only and not span.state & IS_ROOT:
            return context
        own = span.own
        attributes = own.attributes if own is not None else None
        target = context.values.get(self.default_key)
        is_shared = attributes is None and target is not None and isinstance(target.data, str) and target.data != ""
        if is_shared:
            found = self.memo.get((context, span.group))
            if found is not None:
                self._count(found)
                return found
        result = self._label(trace_id, span.group, context, attributes)
        self._count(result)
        if is_shared:
            if len(self.memo) >= _REMEMBERED:
                self.memo.clear()
            self.memo[(context, span.group)] = result
        return result

    def _label(self, trace_id: bytes, group: Group, context: Context, own: dict[str, object] | None) -> Context:
        resource = group.attributes
        targets: dict[str, object] = {}
        for name in self.target_keys:
            value = context.values.get(name.encode())
            if value is not None:
                targets[name] = value.data
            elif name in resource:
                targets[name] = resource[name]
        seen: dict[str, object] = {}
        for name in self.condition_keys:
            if self.with_resource and name in resource:
                seen[name] = resource[name]
            value = context.values.get(name.encode()) if self.with_baggage else None
            if value is not None:
                seen[name] = value.data
            if own is not None and name in own:
                seen[name] = own[name]
        language = self.language_of(resource.get(LANGUAGE_KEY))
        labels = self.evaluator.labels(targets, trace_id.hex(), seen, language, context.reported)
        for name, _ in labels.failed:
            self.failed[name] = self.failed.get(name, 0) + 1
        if not labels.written:
            return context
        values = dict(context.values)
        for each in labels.written:
            values[each.key] = label_value(each.key, each.label, each.version)
        derived = sorted([*context.derived, *[each.key for each in labels.written]])
        result = with_derived(self.contexts.make(values), derived)
        result.labelled = [each.variable for each in labels.written]
        return result

    def _count(self, context: Context) -> None:
        for name in context.labelled:
            self.written[name] = self.written.get(name, 0) + 1
