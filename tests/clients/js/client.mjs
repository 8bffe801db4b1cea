// Sends one trace to two endpoints: client.mjs grpc|http/protobuf|http/json none|gzip ENDPOINT REFERENCE
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [protocol, compression, endpoint, reference] = process.argv.slice(2);
const exporters = { grpc: GrpcExporter, "http/protobuf": ProtobufExporter, "http/json": JsonExporter };

function processorTo(url, compression) {
  const exporter = new exporters[protocol]({ url: protocol === "grpc" ? url : `${url}/v1/traces`, compression });
  return new BatchSpanProcessor(exporter, { maxExportBatchSize: 2 });
}

function work(tracer) {
  const start = (name, parent, options) =>
    tracer.startSpan(name, options, parent ? trace.setSpan(ROOT_CONTEXT, parent) : ROOT_CONTEXT);
  const answer = start("answer", null, {
    kind: SpanKind.SERVER,
    attributes: { "user.id": "ann", "session.id": "s-1" },
  });
  const retrieve = start("retrieve", answer, {
    attributes: { top_k: Number.MAX_SAFE_INTEGER, cached: false, tags: ["a", ""] },
  });
  const embed = start("embed", retrieve, { links: [{ context: answer.spanContext(), attributes: { why: "x" } }] });
  embed.addEvent("größer 🎉", { score: 0.25 });
  embed.end();
  retrieve.end();
  const generate = start("generate", answer, { kind: SpanKind.CLIENT });
  generate.recordException(new Error("no such model"));
  generate.setStatus({ code: SpanStatusCode.ERROR, message: "no" });
  generate.end();
  answer.end();
}

const provider = new BasicTracerProvider({
  spanProcessors: [processorTo(endpoint, compression), processorTo(reference, "none")],
});
work(provider.getTracer("checkout", "1.2"));
await provider.shutdown();
