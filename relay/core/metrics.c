/* What a relay tells Prometheus. */
#include "audit/journal.h"
#include "relay/core/broker_loop.h"
#include "relay/core/dispatcher.h"
#include "relay/core/guard.h"
#include "relay/core/registry.h"
#include "relay/core/relay_private.h"

static void
metric(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	buf_printf(out, "# HELP hawser_%s %s\n# TYPE hawser_%s %s\nhawser_%s %.17g\n", name, help,
		name, type, name, value);
}

static void
journal_metrics(struct relay *r, struct buf *out)
{
	struct journal_stats st;

	journal_stats(r->journal, &st);
	metric(out, "journal_records_total", "counter", "Records appended to the journal.",
		(double)st.records);
	metric(out, "journal_bytes_total", "counter", "Bytes written to the journal.",
		(double)st.bytes);
	metric(out, "journal_writes_total", "counter", "write(2) calls of the journal.",
		(double)st.writes);
	metric(out, "journal_syncs_total", "counter", "fdatasync(2) calls of the journal.",
		(double)st.syncs);
	metric(out, "journal_write_seconds_total", "counter", "Time in journal writes.",
		(double)st.write_usec / 1e6);
	metric(out, "journal_write_seconds_max", "gauge", "Longest journal write.",
		(double)st.write_max_usec / 1e6);
	metric(out, "journal_sync_seconds_total", "counter", "Time in journal syncs.",
		(double)st.sync_usec / 1e6);
	metric(out, "journal_sync_seconds_max", "gauge", "Longest journal sync.",
		(double)st.sync_max_usec / 1e6);
	metric(out, "journal_failed", "gauge",
		"1 when the journal has failed: nothing is recorded, nothing is started.",
		broker_frozen(r->broker, NULL) ? 1 : 0);
}

static void
edge_metrics(struct relay *r, struct buf *out)
{
	const struct edge_stats *e = &r->edge;

	metric(out, "connections_accepted_total", "counter", "TCP connections accepted.",
		(double)e->accepted);
	metric(out, "connections_refused_total", "counter",
		"Refused for the budget of unauthenticated ones.", (double)e->refused_budget);
	metric(out, "connections_bad_certificate_total", "counter",
		"Refused for their certificate.", (double)e->refused_certificate);
	metric(out, "handshake_timeouts_total", "counter", "TLS handshakes that took too long.",
		(double)e->handshake_timeouts);
	metric(out, "header_timeouts_total", "counter", "Request heads that took too long.",
		(double)e->header_timeouts);
	metric(out, "http_requests_total", "counter", "HTTP requests answered.",
		(double)e->http_requests);
	metric(out, "attempts_held_back_total", "counter",
		"Logins, joins and signed requests refused unseen, for their source's failed ones.",
		(double)guard_held(r->guard));
	metric(out, "connections_signed", "gauge",
		"Connections kept open for further signed requests.", (double)e->seated);
	metric(out, "connections_unauthenticated", "gauge",
		"Connections without a verified certificate.", (double)e->unauthenticated);
}

static void
command_metrics(struct relay *r, struct buf *out)
{
	struct dispatcher_stats st;

	dispatcher_stats(r->dispatcher, &st);
	metric(out, "commands", "gauge", "Commands that have not ended.", (double)st.commands);
	metric(out, "invocations", "gauge", "Their parts on nodes that have not ended.",
		(double)st.invocations);
	metric(out, "commands_sent_total", "counter", "Commands sent.", (double)st.begun);
	metric(out, "commands_ended_total", "counter", "Commands that have ended.",
		(double)st.ended);
}

void
relay_metrics(struct relay *r, struct buf *out)
{
	const struct link_limits *l = broker_limits(r->broker);

	metric(out, "links", "gauge", "Nodes and users connected.",
		(double)broker_links(r->broker));
	metric(out, "nodes_online", "gauge", "Nodes connected.", broker_nodes_online(r->broker));
	metric(out, "nodes_registered", "gauge", "Nodes registered.",
		(double)registry_nodes(r->registry));
	metric(out, "sessions", "gauge", "Live sessions.", broker_sessions(r->broker));
	metric(out, "sessions_started_total", "counter", "Sessions whose ticket was redeemed.",
		(double)broker_sessions_started(r->broker));
	metric(out, "channels", "gauge", "Open channels.", (double)l->channels);
	metric(out, "link_bytes_received_total", "counter", "Bytes of frames received.",
		(double)l->bytes_in);
	metric(out, "link_bytes_sent_total", "counter", "Bytes of frames sent.",
		(double)l->bytes_out);
	metric(out, "queued_bytes", "gauge", "Bytes queued towards links.", (double)l->queued);
	metric(out, "loop_lag_seconds", "gauge",
		"Longest turn of the event loop since the last reading.",
		(double)loop_lag(r->loop) / 1e6);
	command_metrics(r, out);
	journal_metrics(r, out);
	edge_metrics(r, out);
}
