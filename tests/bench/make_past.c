/*
 * A past for a relay that stands still: entries, heads and recordings of thirty days, made by the
 * code with which a relay makes them, on a clock that runs as fast as it can.
 *
 *   make_past DIR [--entries N] [--sessions N] [--mib N] [--dense] [--heads N]
 *
 * DIR is what `hawser-relay init` made. The sessions have `mib` of output in all: what shells show,
 * or, dense, bytes that nothing makes smaller. Prints a line for each session: its id, owner, node,
 * start and end. Nothing is synced: what a power cut would take here is made again.
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_epochs.h"
#include "audit/ledger_heads.h"
#include "audit/ledger_keys.h"
#include "audit/recording.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"

#define DAYS	30
#define CHUNK	16384
#define USERS	500
#define NODES	10000
#define KEY	"uptime\r"
#define SPAN	(DAYS * 24 * 3600 * USEC_PER_SEC)
#define ARN	"arn:aws:ssm:local:000000000000:managed-instance/"
#define SEED	UINT64_C(0x9e3779b97f4a7c15)
#define PATHLEN 4096

struct past {
	long entries, sessions, heads;
	size_t bytes; /* of output, of all sessions */
	bool dense;

	int dir;
	char journal_dir[PATHLEN], ledger_dir[PATHLEN], recordings_dir[PATHLEN];
	struct secret_key master;
	struct ca *ca;
	struct fake_clock clock;
	struct journal *journal;
	struct ledger *ledger;
	struct ledger_heads *heads_file;
	struct archiver *archiver;

	long entry, session;  /* how many there are */
	size_t shown, within; /* of all sessions; of the one that is open */
	char id[64];
	int64_t start;
	uint64_t random;
};

static void
must(int r, const struct hw_err *err, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "make_past: %s: %s\n", what,
		err != NULL ? hw_err_text(err) : hw_code_meaning(r));
	exit(1);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int
no_sync(void *arg, int fd)
{
	(void)arg, (void)fd;
	return 0;
}

static const struct journal_io io = {.sync = no_sync};

static int
on_sealed(void *arg, const char *id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	const struct msg_ledger_entry e = {
		.session_id = id,
		.hash = {hash, SHA256_LEN},
		.size = (int64_t)size,
	};

	return ledger_commit(((struct past *)arg)->ledger, ENTRY_RECORDING_SEALED, &e);
}

static void
on_checkpoint(void *arg, const char *id, const uint8_t hash[SHA256_LEN], uint64_t size)
{
	const struct msg_ledger_entry e = {
		.session_id = id,
		.hash = {hash, SHA256_LEN},
		.size = (int64_t)size,
	};

	must(ledger_append(((struct past *)arg)->ledger, ENTRY_RECORDING_CHECKPOINT, &e, NULL),
		NULL, "a checkpoint");
}

static void
on_filed(void *arg, uint64_t filed, const uint8_t chain[SHA256_LEN])
{
	ledger_heads_filed(((struct past *)arg)->heads_file, filed, chain);
}

static void
open_heads(struct past *p)
{
	struct hw_err err = HW_ERR_INIT;
	struct log_epochs epochs = {.n = 0};
	EVP_PKEY *key = NULL;

	must(ledger_epochs_load(&epochs, p->ledger_dir, ca_cert(p->ca), &err), &err, "epochs");
	must(ledger_key_load(&key, p->dir, &err), &err, "the ledger's key");
	const struct ledger_heads_config config = {
		.ledger_dir = p->ledger_dir,
		.journal_dir = p->journal_dir,
		.journal = p->journal,
		.master = &p->master,
		.clock = &p->clock.clock,
		.epochs = &epochs,
		.key = key,
		.io = &io,
	};
	must(ledger_heads_open(&p->heads_file, &config, &err), &err, "the ledger's heads");
	ledger_set_heads(p->ledger, p->heads_file);
}

static void
past_open(struct past *p, const char *dir)
{
	struct hw_err err = HW_ERR_INIT;
	char path[PATHLEN];

	must(dir_open(&p->dir, dir, false, &err), &err, dir);
	snprintf(path, sizeof(path), "%s/master.key", dir);
	must(secret_key_load(&p->master, path, &err), &err, "the master key");
	must(ca_open(&p->ca, p->dir, &err), &err, "the authority");
	snprintf(p->journal_dir, PATHLEN, "%s/journal", dir);
	snprintf(p->ledger_dir, PATHLEN, "%s/ledger", dir);
	snprintf(p->recordings_dir, PATHLEN, "%s/recordings", dir);
	fake_clock_init(&p->clock, clock_wall(&hw_clock_system) - SPAN);
	const struct journal_config jc = {
		.dir = p->journal_dir, .clock = &p->clock.clock, .master = &p->master, .io = &io};
	must(journal_open(&p->journal, &jc, NULL, &err), &err, "the journal");
	p->ledger = ledger_new(p->journal, "relay", &p->clock.clock);
	open_heads(p);
	const struct archiver_config ac = {.journal_dir = p->journal_dir,
		.recordings_dir = p->recordings_dir,
		.ledger_dir = p->ledger_dir,
		.journal = p->journal,
		.master = &p->master,
		.clock = &p->clock.clock,
		.relay = "relay",
		.on_sealed = on_sealed,
		.on_checkpoint = on_checkpoint,
		.on_filed = on_filed,
		.arg = p,
		.io = &io};
	must(archiver_new(&p->archiver, &ac, &err), &err, "the recordings");
}

static void
past_close(struct past *p)
{
	struct hw_err err = HW_ERR_INIT;

	must(archiver_settle(p->archiver, &err), &err, "the recordings");
	must(ledger_heads_make(p->heads_file, &err), &err, "the last head");
	archiver_free(p->archiver);
	ledger_free(p->ledger);
	ledger_heads_close(p->heads_file);
	journal_close(p->journal);
	ca_free(p->ca);
	secret_key_wipe(&p->master);
	fd_close(p->dir);
}

/* --- entries ---------------------------------------------------------------------------------- */

static uint64_t
draw(struct past *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random;
}

/* One of some users on one of many nodes, mostly allowed: decisions, and now and then a login. */
static void
add_entry(struct past *p)
{
	char who[64], node[96], session[64], request[64];
	long i = p->entry++;

	snprintf(who, sizeof(who), "arn:aws:iam::000000000000:user/user-%ld", i % USERS);
	snprintf(node, sizeof(node), ARN "mi-%017lx", i * 7919 % NODES);
	snprintf(session, sizeof(session), "user-%ld-%017lx", i % USERS, i / 6);
	snprintf(request, sizeof(request), "%08lx-2222-4333-8444-%012" PRIx64, i,
		draw(p) & UINT64_C(0xffffffffffff));
	const struct msg_ledger_entry e = {
		.principal = who,
		.action = i % 3 == 0 ? "ssm:StartSession" : "ssm:SendCommand",
		.resource = node,
		.outcome = i % 997 == 0 ? OUTCOME_DENIED : OUTCOME_ALLOWED,
		.reason = "statement Sessions of policy operator",
		.request_id = request,
		.session_id = i % 3 == 0 ? session : NULL,
		.source = "192.0.2.17",
		.detail = "{\"Target\":\"mi-00000000000000001\",\"Reason\":\"ticket 4711\"}",
	};
	must(ledger_append(p->ledger, ENTRY_DECISION, &e, NULL), NULL, "an entry");
}

/* --- sessions --------------------------------------------------------------------------------- */

static void
add_record(struct past *p, enum journal_type type, uint8_t stream, uint64_t offset, const void *at,
	size_t n)
{
	const struct journal_record r = {.type = type,
		.session = (uint64_t)p->session + 1,
		.stream = stream,
		.flags = type == JOURNAL_ECHO ? ECHO_SHOWN : 0,
		.offset = offset,
		.time = clock_wall(&p->clock.clock),
		.bytes = at,
		.len = n};

	must(journal_append(p->journal, &r, NULL), NULL, "a record");
}

static void
add_message(struct past *p, enum journal_type type, const struct msg_row *row, const void *msg)
{
	struct buf b;

	buf_init(&b, 65536);
	must(msg_encode(&b, row, msg, NULL), NULL, "a message");
	add_record(p, type, 0, 0, buf_data(&b), b.len);
	buf_fini(&b);
}

static void
begin_session(struct past *p)
{
	long n = p->session;
	char node[32];

	p->start = clock_wall(&p->clock.clock);
	p->within = 0;
	snprintf(p->id, sizeof(p->id), "user-%ld-%017lx", n % USERS, n + 0xabcdef);
	snprintf(node, sizeof(node), "mi-%017lx", n * 7919 % NODES);
	const struct msg_recording_meta meta = {.session_id = p->id,
		.type = CHANNEL_TYPE_PTY,
		.target = node,
		.start = p->start,
		.cols = 80,
		.rows = 24};
	add_message(p, JOURNAL_SESSION_START, MSG_ROW(recording_meta), &meta);
	add_record(p, JOURNAL_DATA, STREAM_IN, 0, KEY, strlen(KEY));
	add_record(p, JOURNAL_ECHO, STREAM_IN, strlen(KEY), NULL, 0);
}

static void
end_session(struct past *p)
{
	const struct msg_close close = {.code = "", .message = "exited with 0"};
	long n = p->session;

	add_message(p, JOURNAL_SESSION_END, MSG_ROW(close), &close);
	printf("%s user-%ld mi-%017lx %" PRId64 " %" PRId64 "\n", p->id, n % USERS,
		n * 7919 % NODES, p->start, clock_wall(&p->clock.clock));
	p->session++;
	p->id[0] = '\0';
}

static size_t
make_text(struct past *p, char *out)
{
	size_t n = 0;

	while (n < CHUNK - 120) {
		uint64_t x = draw(p);
		n += (size_t)snprintf(out + n, 120,
			"-rw-r--r-- 1 user-%u www-data %7u Jul %2u %02u:%02u "
			"\033[01;34mreport-%08x\033[0m.log\r\n",
			(unsigned)(x % 100), (unsigned)(x >> 8) % 9999999,
			(unsigned)(x >> 40) % 31 + 1, (unsigned)(x >> 20) % 24,
			(unsigned)(x >> 30) % 60, (unsigned)(x >> 32));
	}
	return n;
}

static size_t
make_dense(struct past *p, char *out)
{
	for (size_t i = 0; i < CHUNK; i += sizeof(uint64_t)) {
		uint64_t x = draw(p);
		memcpy(out + i, &x, sizeof(x));
	}
	return CHUNK;
}

static void
add_output(struct past *p)
{
	size_t share = p->bytes / (size_t)p->sessions;
	char chunk[CHUNK];

	if (p->id[0] == '\0')
		begin_session(p);
	size_t n = p->dense ? make_dense(p, chunk) : make_text(p, chunk);
	if (n > share - p->within)
		n = share - p->within;
	add_record(p, JOURNAL_DATA, STREAM_OUT, p->within, chunk, n);
	p->within += n;
	p->shown += n;
	if (p->within == share)
		end_session(p);
}

/* --- all of it -------------------------------------------------------------------------------- */

/* What a relay's threads do meanwhile. */
static void
work(struct past *p)
{
	struct hw_err err = HW_ERR_INIT;

	fake_clock_advance(&p->clock, SPAN / p->heads);
	must(journal_write(p->journal), NULL, "the journal");
	journal_sync(p->journal);
	must(archiver_run(p->archiver, &err), &err, "the recordings");
	must(ledger_heads_make(p->heads_file, &err), &err, "a head");
}

static void
past_make(struct past *p)
{
	for (long i = 1; i <= p->heads; i++) {
		while (p->entry < p->entries * i / p->heads)
			add_entry(p);
		while (p->session < p->sessions &&
			(double)p->shown < (double)p->bytes * (double)i / (double)p->heads)
			add_output(p);
		work(p);
	}
	while (p->session < p->sessions)
		add_output(p);
	work(p);
}

static int
usage(void)
{
	fprintf(stderr,
		"usage: make_past DIR [--entries N] [--sessions N] [--mib N] [--dense]"
		" [--heads N]\n");
	return 2;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"entries",	    required_argument, NULL, 'e'},
		{"sessions",		     required_argument, NULL, 's'},
		    {"mib",		    required_argument, NULL, 'm'},
		{"heads",required_argument, NULL, 'h'},
		 {"dense",		   no_argument, NULL, 'd'},
		    {0	      }
	       };
	struct past p = {
		.entries = 1000000, .sessions = 1000, .heads = 20000, .random = SEED, .dir = -1};
	long mib = 1024;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'e')
			p.entries = atol(optarg);
		else if (c == 's')
			p.sessions = atol(optarg);
		else if (c == 'm')
			mib = atol(optarg);
		else if (c == 'h')
			p.heads = atol(optarg);
		else if (c == 'd')
			p.dense = true;
		else
			return usage();
	}
	if (optind + 1 != argc || p.entries < 0 || p.sessions < 1 || mib < 1 || p.heads < 1)
		return usage();
	p.bytes = (size_t)mib << 20;
	past_open(&p, argv[optind]);
	past_make(&p);
	past_close(&p);
	return 0;
}
