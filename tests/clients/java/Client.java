import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.SpanProcessor;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.util.List;

/** Sends one trace to two endpoints: Client.java grpc|http/protobuf none|gzip ENDPOINT REFERENCE */
public class Client {
  static SpanProcessor processorTo(String protocol, String compression, String endpoint) {
    SpanExporter exporter =
        protocol.equals("grpc")
            ? OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression(compression).build()
            : OtlpHttpSpanExporter.builder().setEndpoint(endpoint + "/v1/traces").setCompression(compression).build();
    return BatchSpanProcessor.builder(exporter).setMaxExportBatchSize(2).build();
  }

  static void work(Tracer tracer) {
    Span answer =
        tracer.spanBuilder("answer").setNoParent().setSpanKind(SpanKind.SERVER)
            .setAttribute("user.id", "ann").setAttribute("session.id", "s-1").startSpan();
    Context below = Context.root().with(answer);
    Span retrieve =
        tracer.spanBuilder("retrieve").setParent(below)
            .setAttribute("top_k", (1L << 53) + 1).setAttribute("cached", false)
            .setAttribute(AttributeKey.stringArrayKey("tags"), List.of("a", "")).startSpan();
    Span embed =
        tracer.spanBuilder("embed").setParent(below.with(retrieve)).addLink(answer.getSpanContext()).startSpan();
    embed.addEvent("größer 🎉", Attributes.of(AttributeKey.doubleKey("score"), 0.25));
    embed.end();
    retrieve.end();
    Span generate = tracer.spanBuilder("generate").setParent(below).setSpanKind(SpanKind.CLIENT).startSpan();
    generate.recordException(new IllegalStateException("no such model"));
    generate.setStatus(StatusCode.ERROR, "no");
    generate.end();
    answer.end();
  }

  public static void main(String[] arguments) {
    SdkTracerProvider provider =
        SdkTracerProvider.builder()
            .addSpanProcessor(processorTo(arguments[0], arguments[1], arguments[2]))
            .addSpanProcessor(processorTo(arguments[0], "none", arguments[3]))
            .build();
    work(provider.get("checkout", "1.2"));
    provider.close();
  }
}
