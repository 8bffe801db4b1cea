// The Vercel AI SDK 7 with a mock model that calls a tool: the runtime context says whose the call is, where it is let.
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { OpenTelemetry } from "@ai-sdk/otel";
import { generateText, registerTelemetry, stepCountIs, tool } from "ai";
import { MockLanguageModelV4 } from "ai/test";
import { z } from "zod";

const provider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
registerTelemetry(new OpenTelemetry({ runtimeContext: true }));
const plain = trace.getTracer("shop");

const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };
const call = { type: "tool-call", toolCallId: "c-1", toolName: "lookUp", input: '{"order":7}' };
const model = new MockLanguageModelV4({
  doGenerate: [
    { content: [call], finishReason: { unified: "tool-calls" }, usage, warnings: [] },
    { content: [{ type: "text", text: "hello" }], finishReason: { unified: "stop" }, usage, warnings: [] },
  ],
});
const lookUp = tool({
  inputSchema: z.object({ order: z.number() }),
  execute: async () => plain.startActiveSpan("SELECT orders", (span) => (span.end(), "found")),
});

await plain.startActiveSpan("POST /chat", async (span) => {
  await generateText({
    model,
    prompt: "hi",
    tools: { lookUp },
    stopWhen: stepCountIs(2),
    runtimeContext: { userId: "ann", sessionId: "s-1" },
    telemetry: { includeRuntimeContext: { userId: true, sessionId: true } },
  });
  span.end();
});
await provider.shutdown();
