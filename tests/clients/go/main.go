// Sends one trace to two endpoints: client grpc|http/protobuf none|gzip ENDPOINT REFERENCE
package main

import (
	"context"
	"errors"
	"log"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func newExporter(ctx context.Context, protocol, compression, endpoint string) (sdk.SpanExporter, error) {
	if protocol == "grpc" {
		options := []otlptracegrpc.Option{otlptracegrpc.WithEndpointURL(endpoint)}
		if compression == "gzip" {
			options = append(options, otlptracegrpc.WithCompressor("gzip"))
		}
		return otlptracegrpc.New(ctx, options...)
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(endpoint + "/v1/traces")}
	if compression == "gzip" {
		options = append(options, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	return otlptracehttp.New(ctx, options...)
}

func work(ctx context.Context, tracer trace.Tracer) {
	ctx, answer := tracer.Start(ctx, "answer", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("user.id", "ann"), attribute.String("session.id", "s-1")))
	defer answer.End()
	inner, retrieve := tracer.Start(ctx, "retrieve", trace.WithAttributes(
		attribute.Int64("top_k", 1<<53+1), attribute.Bool("cached", false), attribute.StringSlice("tags", []string{"a", ""})))
	_, embed := tracer.Start(inner, "embed", trace.WithLinks(trace.Link{SpanContext: answer.SpanContext()}))
	embed.AddEvent("größer 🎉", trace.WithAttributes(attribute.Float64("score", 0.25)))
	embed.End()
	retrieve.End()
	_, generate := tracer.Start(ctx, "generate", trace.WithSpanKind(trace.SpanKindClient))
	generate.RecordError(errors.New("no such model"))
	generate.SetStatus(codes.Error, "no")
	generate.End()
}

func main() {
	ctx := context.Background()
	through, err := newExporter(ctx, os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	reference, err := newExporter(ctx, os.Args[1], "none", os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(through, sdk.WithMaxExportBatchSize(2)), sdk.WithBatcher(reference, sdk.WithMaxExportBatchSize(2)))
	work(ctx, provider.Tracer("checkout", trace.WithInstrumentationVersion("1.2")))
	if err := provider.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}
