/* What a relay tells Prometheus. */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "audit/journal.h"
#include "audit/search.h"
#include "relay/core/anchors.h"
#include "relay/core/broker_loop.h"
#include "relay/core/dispatcher.h"
#include "relay/core/guard.h"
#include "relay/core/registry.h"
#include "relay/core/relay_private.h"
#include "relay/core/uploads.h"
#include "relay/core/streams.h"
#include "relay/core/tend.h"
#include "relay/core/witnesses.h"

static void
metric(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	buf_printf(out, "# HELP hawser_%s %s\n# TYPE hawser_%s %s\nhawser_%s %.17g\n", name, help,
		name, type, name, value);
}

static void
histogram(struct buf *out, const char *name, const char *help,
	const uint64_t within[JOURNAL_BOUNDS], uint64_t count, int64_t usec)
{
	uint64_t sum = 0;

	buf_printf(out, "# HELP hawser_%s %s\n# TYPE hawser_%s histogram\n", name, help, name);
	for (size_t i = 0; i < JOURNAL_BOUNDS; i++) {
		sum += within[i];
		buf_printf(out, "hawser_%s_bucket{le=\"%g\"} %llu\n", name,
			(double)journal_bounds[i] / 1e6, (unsigned long long)sum);
	}
	buf_printf(out,
		"hawser_%s_bucket{le=\"+Inf\"} %llu\nhawser_%s_sum %.17g\nhawser_%s_count %llu\n",
		name, (unsigned long long)count, name, (double)usec / 1e6, name,
		(unsigned long long)count);
}

/* Of the file system that holds everything, and of the store's file. */
static void
disk_metrics(struct relay *r, struct buf *out)
{
	struct statvfs fs;
	struct stat st;

	if (fstatvfs(r->dir, &fs) == 0) {
		metric(out, "disk_size_bytes", "gauge",
			"Of the file system of the relay's directory.",
			(double)fs.f_blocks * (double)fs.f_frsize);
		metric(out, "disk_free_bytes", "gauge", "Of that, what the relay may still fill.",
			(double)fs.f_bavail * (double)fs.f_frsize);
	}
	if (fstatat(r->dir, "relay.db", &st, 0) == 0)
		metric(out, "store_bytes", "gauge", "Size of the store's file.",
			(double)st.st_size);
}

static void
relay_state_metrics(struct relay *r, struct buf *out)
{
	const char *why;

	buf_printf(out,
		"# HELP hawser_build_info The version that runs.\n# TYPE hawser_build_info gauge\n"
		"hawser_build_info{version=\"" HAWSER_VERSION "\"} 1\n");
	metric(out, "healthy", "gauge", "1 when /healthz says 200.",
		relay_healthy(r, &why) ? 1 : 0);
	metric(out, "draining", "gauge", "1 while no new sessions and commands are begun.",
		tend_draining(r) ? 1 : 0);
	metric(out, "start_time_seconds", "gauge", "When the relay started, since 1970.",
		(double)r->start_time / 1e6);
	if (r->edge.certificate_expires != 0)
		metric(out, "certificate_expiry_seconds", "gauge",
			"When the certificate that connections are shown ends, since 1970.",
			(double)r->edge.certificate_expires / 1e6);
	metric(out, "ledger_entries_total", "counter", "Entries of the ledger.",
		(double)journal_ledger_next(r->journal));
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
	histogram(out, "journal_write_latency_seconds", "Times of journal writes.", st.write_within,
		st.writes, st.write_usec);
	histogram(out, "journal_sync_latency_seconds", "Times of journal syncs.", st.sync_within,
		st.syncs, st.sync_usec);
	metric(out, "journal_buffered_bytes", "gauge", "Bytes that wait to be written.",
		(double)st.buffered);
	metric(out, "journal_failed", "gauge",
		"1 when the journal has failed: nothing is recorded, nothing is started.",
		broker_frozen(r->broker, NULL) ? 1 : 0);
	metric(out, "journal_low", "gauge",
		"1 while the disk is full: sessions end, none is started, until there is room again.",
		journal_low(r->journal) ? 1 : 0);
	metric(out, "store_failed", "gauge",
		"1 when the store has failed: nothing that is kept in it can be begun or changed.",
		store_failed(r->store) ? 1 : 0);
	metric(out, "archiver_failed", "gauge",
		"1 when recordings cannot be written: the journal keeps all, and grows.",
		r->archive_why[0] != '\0' ? 1 : 0);
	metric(out, "heads_failed", "gauge", "1 while heads of the ledger cannot be signed.",
		r->heads_why[0] != '\0' ? 1 : 0);
	metric(out, "witnesses_agreeing", "gauge",
		"Nodes that said last that the ledger agrees with what they keep of it.",
		(double)witnesses_count(r->witnesses, false));
	metric(out, "witnesses_objecting", "gauge",
		"Nodes that said last that it does not: it was restored, cut or rewritten.",
		(double)witnesses_count(r->witnesses, true));
	metric(out, "ledger_entries_unindexed", "gauge",
		"Entries of the ledger that cannot be found yet.", (double)search_lag(r->search));
}

static void
stream_metrics(struct relay *r, struct buf *out)
{
	struct stream_stats st;
	char name[64];

	for (size_t i = 0; streams_stats(r->streams, i, &st); i++) {
		snprintf(name, sizeof(name), "stream_%s_lag_entries", st.name);
		metric(out, name, "gauge",
			"Entries of the ledger that the receiver is not known to have.",
			(double)st.lag);
		snprintf(name, sizeof(name), "stream_%s_sent_total", st.name);
		metric(out, name, "counter", "Entries sent, those sent again included.",
			(double)st.sent);
		snprintf(name, sizeof(name), "stream_%s_failing", st.name);
		metric(out, name, "gauge", "1 while the receiver does not take them.",
			st.failing ? 1 : 0);
	}
}

static void
anchor_metrics(struct relay *r, struct buf *out)
{
	struct anchors_stats st;
	char name[64];

	for (size_t i = 0; anchors_stats(r->anchors, i, &st); i++) {
		snprintf(name, sizeof(name), "anchor_%s_heads_total", st.name);
		metric(out, name, "counter", "Heads of the ledger that were anchored.",
			(double)st.done);
		snprintf(name, sizeof(name), "anchor_%s_entries", st.name);
		metric(out, name, "gauge", "Entries under the last of them.", (double)st.size);
		snprintf(name, sizeof(name), "anchor_%s_failing", st.name);
		metric(out, name, "gauge", "1 while they cannot be anchored.", st.failing ? 1 : 0);
	}
}

static void
edge_metrics(struct relay *r, struct buf *out)
{
	const struct edge_stats *e = &r->edge;

	metric(out, "connections_accepted_total", "counter", "TCP connections accepted.",
		(double)e->accepted);
	metric(out, "connections_refused_total", "counter",
		"Refused for the budget of unauthenticated ones.", (double)e->refused_budget);
	metric(out, "connections_bad_proxy_header_total", "counter",
		"Of load balancers, ended because their PROXY header was missing or wrong.",
		(double)e->refused_header);
	metric(out, "connections_bad_certificate_total", "counter",
		"Refused for their certificate.", (double)e->refused_certificate);
	metric(out, "handshakes_spared_total", "counter",
		"Connections that were given up before their TLS handshake had its turn.",
		(double)e->handshakes_spared);
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

static void
upload_metrics(struct relay *r, struct buf *out)
{
	struct uploads_stats st;

	if (r->uploads == NULL)
		return;
	uploads_stats(r->uploads, &st);
	metric(out, "uploads_done_total", "counter",
		"Invocations whose output was uploaded to its bucket.", (double)st.done);
	metric(out, "uploads_failed_total", "counter",
		"Invocations whose output is not tried again.", (double)st.failed);
	metric(out, "upload_attempts_failed_total", "counter", "Attempts that did not work.",
		(double)st.attempts);
	metric(out, "recordings_uploaded_total", "counter",
		"Recordings that were put into their bucket.", (double)st.recordings);
	metric(out, "recordings_fetched_total", "counter",
		"Recordings that were fetched back from there.", (double)st.recordings_fetched);
	metric(out, "recordings_unuploaded", "gauge",
		"Complete recordings that are not in their bucket.", (double)st.recordings_due);
	metric(out, "recordings_upload_alarm", "gauge",
		"1 while recordings have not been taken there for a minute and more.",
		st.alarm ? 1 : 0);
	metric(out, "uploads_trouble", "gauge", "1 while the storage cannot be reached, or fails.",
		st.trouble ? 1 : 0);
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
	upload_metrics(r, out);
	relay_state_metrics(r, out);
	disk_metrics(r, out);
	journal_metrics(r, out);
	stream_metrics(r, out);
	anchor_metrics(r, out);
	edge_metrics(r, out);
}
