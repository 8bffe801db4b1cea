"""Labels in the tree's terms: from a context to a context with labels (S19 to S22).

A `Labeller` stands for one configuration. Spans that share context and resource share the labels too, so they are
evaluated and encoded once a context, not once a span, wherever the targeting key is not the trace's own id.
"""

from __future__ import annotations

from typing import Any, Final

from processor.attributes.contexts import Contexts, with_derived
from processor.attributes.keys import LANGUAGE_KEY
from processor.attributes.reported import label_value
from processor.span import IS_ROOT, Context, Group, Own, Span

_REMEMBERED: Final = 12_288  # contexts with labels


class Labeller:
    """Labels spans by one configuration.

    `evaluator` is a `processor.variables.evaluator.Evaluator`. `with_resource`, `with_baggage`: what conditions see
    (S21). `roots_only`: only root spans are evaluated. `default_key`: the attribute of the default targeting key.
    `carried`: the targeting attributes that are carried keys, so that of a resource only valid values count (S3).
    `wanted`: what its maker wants to live as long as it. `written` and `failed` count by variable.
    """

    __slots__ = (
        "carried", "condition_keys", "contexts", "default_key", "evaluator", "failed", "language_of", "memo",
        "roots_only", "target_keys", "wanted", "with_baggage", "with_resource", "written",
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
        carried: frozenset[str] = frozenset(),
        wanted: object = None,
    ) -> None:
        self.evaluator = evaluator
        self.language_of = language_of
        self.contexts = contexts
        self.default_key = default_key.encode()
        self.with_resource = with_resource
        self.with_baggage = with_baggage
        self.roots_only = roots_only
        self.carried = carried
        self.wanted = wanted
        self.target_keys: list[str] = list(evaluator.targeting_attributes)
        self.condition_keys: list[str] = list(evaluator.condition_attributes)
        self.memo: dict[tuple[Context, Group], Context] = {}
        self.written: dict[str, int] = {}
        self.failed: dict[str, int] = {}

    def apply(self, trace_id: bytes, span: Span, context: Context) -> Context:
        """What the span is to be written: `context`, and a label for each variable that nobody reported."""
        own = span.own
        if self.roots_only and not _is_root(span, own):
            return context
        is_pending = own is not None and own.pending_parent is not None
        attributes = own.attributes if own is not None else None
        target = context.values.get(self.default_key)
        is_shared = attributes is None and target is not None and isinstance(target.data, str) and target.data != ""
        if is_shared:
            found = self.memo.get((context, span.group))
            if found is not None:
                if not is_pending:
                    self._count(found)
                return found
        labels = self._evaluate(trace_id, span.group, context, attributes)
        result = self._with_labels(context, labels.written)
        if not is_pending:  # it stands for a span that is counted itself (S5)
            self._count(result)
            for name, _ in labels.failed:
                self.failed[name] = self.failed.get(name, 0) + 1
        if is_shared and not labels.failed:
            if len(self.memo) >= _REMEMBERED:
                self.memo.clear()
            self.memo[(context, span.group)] = result
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
        values = dict(context.values)
        for each in written:
            values[each.key] = label_value(each.key, each.label, each.version)
        derived = sorted([*context.derived, *[each.key for each in written]])
        result = with_derived(self.contexts.make(values), derived)
        result.labelled = [each.variable for each in written]
        return result

    def _count(self, context: Context) -> None:
        for name in context.labelled:
            self.written[name] = self.written.get(name, 0) + 1


def _is_root(span: Span, own: Own | None) -> bool:
    """Whether the span is a root, or the pending twin of one (S5)."""
    return span.state & IS_ROOT != 0 or (own is not None and own.pending_parent == b"")
