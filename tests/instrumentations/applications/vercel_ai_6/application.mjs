// The Vercel AI SDK 6 with a mock model that calls a tool: `experimental_telemetry.metadata` says whose the call is.
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { generateText, stepCountIs, tool } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { z } from "zod";

const provider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const plain = trace.getTracer("shop");

const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };
const call = { type: "tool-call", toolCallId: "c-1", toolName: "lookUp", input: '{"order":7}' };
const model = new MockLanguageModelV3({
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
    experimental_telemetry: { isEnabled: true, metadata: { userId: "ann", sessionId: "s-1" } },
  });
  span.end();
});
await provider.shutdown();
