#include "relay/core/new_ca.h"

#include <openssl/x509.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/trust/succession.h"
#include "relay/core/held.h"
#include "relay/core/relay_private.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

#define NEXT	   "ca.next"
#define MAKING	   "ca.making" /* what is not all there yet, or no more */
#define UNTOLD	   "ca.untold"
#define UNTOLD_MAX 65536

/* --- what is to be told ----------------------------------------------------------------------- */

/* A line is "changed 2 WHO" or "retired 1 WHO". */
static int
format_line(char out[256], const char *what, unsigned number, const char *who)
{
	int n = snprintf(out, 256, "%s %u %.128s\n", what, number, who);

	for (char *at = out; at < out + n - 1; at++)
		if ((unsigned char)*at < ' ')
			*at = '?';
	return n;
}

/* Adds what `more` says to what is noted in the directory, unless it is its end already. */
static int
note_untold(int dir, const struct buf *more, struct hw_err *err)
{
	struct buf all;
	int r;

	buf_init(&all, UNTOLD_MAX);
	r = file_read(&all, dir, UNTOLD, err);
	if (r == HW_ENOTFOUND)
		r = 0;
	bool there = r == 0 && all.len >= more->len &&
		memcmp(buf_data(&all) + all.len - more->len, buf_data(more), more->len) == 0;
	if (r == 0 && !there && (r = buf_append(&all, buf_data(more), more->len)) == 0)
		r = file_write(dir, UNTOLD, buf_data(&all), all.len, 0600, err);
	buf_fini(&all);
	return r;
}

static int
note_line(int dir, const char *what, unsigned number, const char *who, struct hw_err *err)
{
	char line[256];
	struct buf more;

	buf_init(&more, sizeof(line));
	int n = format_line(line, what, number, who);
	int r = buf_append(&more, line, (size_t)n);
	if (r == 0)
		r = note_untold(dir, &more, err);
	buf_fini(&more);
	return r;
}

/* What was noted, and then cut off, was not done: the authority still counts. */
static bool
still_counts(int dir, const char *number)
{
	struct succession s;
	X509 *before = NULL;
	char text[16] = "";

	if (cert_load(&before, dir, CA_BEFORE, NULL) == 0 && succession_read(&s, before, NULL) == 0)
		snprintf(text, sizeof(text), "%u", s.number);
	X509_free(before);
	return strcmp(text, number) == 0;
}

static int
tell_line(int dir, struct ledger *ledger, char *line)
{
	char *number = strchr(line, ' '), *who = number != NULL ? strchr(number + 1, ' ') : NULL;
	char detail[64], principal[160];

	if (who == NULL)
		return 0;
	*number++ = *who++ = '\0';
	bool retired = strcmp(line, "retired") == 0;
	if (retired && still_counts(dir, number))
		return 0;
	snprintf(detail, sizeof(detail), "authority %.8s", number);
	snprintf(principal, sizeof(principal), "local/%.128s", who);
	const struct msg_ledger_entry e = {
		.principal = principal, .source = "local", .detail = detail};
	return ledger_commit(ledger, retired ? ENTRY_AUTHORITY_RETIRED : ENTRY_AUTHORITY_CHANGED,
		&e);
}

int
new_ca_tell(int dir, struct ledger *ledger, struct hw_err *err)
{
	char *text, *rest, *line;
	struct buf all;
	int r;

	buf_init(&all, UNTOLD_MAX);
	r = file_read(&all, dir, UNTOLD, err);
	rest = text = buf_take(&all, &(size_t){0});
	buf_fini(&all);
	if (r == HW_ENOTFOUND) {
		free(text);
		return 0;
	}
	while (r == 0 && rest != NULL && (line = strsep(&rest, "\n")) != NULL)
		if (tell_line(dir, ledger, line) < 0)
			r = hw_err_set(err, HW_ERECORD, "the ledger cannot be written");
	free(text);
	if (r < 0)
		return r;
	unlinkat(dir, UNTOLD, 0);
	return 0;
}

/* --- taking it -------------------------------------------------------------------------------- */

static int
open_folder(int *ret, int dir, const char *name, struct hw_err *err)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", name);
	*ret = fd;
	return 0;
}

int
new_ca_settle(bool *taken, int dir, struct hw_err *err)
{
	struct buf untold;
	int next, r;

	*taken = false;
	if (faccessat(dir, NEXT, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		folder_drop(dir, MAKING); /* with a key in it, perhaps */
		return 0;
	}
	if ((r = open_folder(&next, dir, NEXT, err)) < 0)
		return r;
	buf_init(&untold, UNTOLD_MAX);
	if ((r = file_read(&untold, next, UNTOLD, err)) == 0 && (r = ca_take(dir, next, err)) == 0)
		r = note_untold(dir, &untold, err);
	buf_fini(&untold);
	fd_close(next);
	if (r < 0)
		return hw_err_prefix(err, "the next authority waits in %s, and is not in place yet",
			NEXT);
	/* Its name goes first: half of it would be one that can't be put in place. */
	folder_drop(dir, MAKING);
	if (renameat(dir, NEXT, dir, MAKING) < 0 || fsync(dir) < 0)
		return hw_err_sys(err, "cannot remove %s", NEXT);
	folder_drop(dir, MAKING);
	*taken = true;
	return 0;
}

/* --- making it -------------------------------------------------------------------------------- */

/* All that is in it is on the disk before it has its name. */
static int
lay_ready(const struct held *h, const char *who, struct hw_err *err)
{
	uint8_t first[MERKLE_LEN];
	int making = -1, r;

	log_epoch_hash(first, log_epochs_find(&h->epochs, 1), h->epochs.origin);
	folder_drop(h->dir, MAKING);
	if (mkdirat(h->dir, MAKING, 0700) < 0)
		return hw_err_sys(err, "cannot make %s", MAKING);
	if ((r = open_folder(&making, h->dir, MAKING, err)) < 0)
		return r;
	if ((r = ca_succeed(h->ca, making, first, clock_wall(&hw_clock_system), err)) == 0 &&
		(r = note_line(making, "changed", ca_number(h->ca) + 1, who, err)) == 0 &&
		(renameat(h->dir, MAKING, h->dir, NEXT) < 0 || fsync(h->dir) < 0))
		r = hw_err_sys(err, "cannot put %s in place", NEXT);
	fd_close(making);
	if (r < 0)
		folder_drop(h->dir, MAKING);
	return r;
}

static int
change(struct held *h, const char *who, struct hw_err *err)
{
	unsigned number = ca_number(h->ca);
	struct ca *fresh;
	bool taken;
	int r;

	if (ca_before(h->ca) != NULL)
		return hw_err_set(err, HW_EEXISTS,
			"certificates by authority %u still count beside those by authority %u: retire it "
			"first, with rotate-keys --what ca --retire",
			number - 1, number);
	if ((r = lay_ready(h, who, err)) < 0 || (r = new_ca_settle(&taken, h->dir, err)) < 0 ||
		(r = ca_open(&fresh, h->dir, err)) < 0)
		return r;
	ca_free(h->ca);
	h->ca = fresh;
	return 0;
}

/* One that was cut off before is what is asked for. */
static int
make(struct new_ca *ret, struct held *h, const char *who, struct hw_err *err)
{
	int r = h->took_ca ? 0 : change(h, who, err);

	if (r < 0)
		return r;
	ret->number = ca_number(h->ca);
	ret->before = ret->number - 1;
	return relay_url_write(ret->url, &h->config, h->ca, err);
}

int
new_ca_make(struct new_ca *ret, const char *dir, const char *who, struct hw_err *err)
{
	struct held h;
	int r;

	*ret = (struct new_ca){.number = 0};
	if ((r = held_open(&h, dir, err)) == 0)
		r = make(ret, &h, who, err);
	held_close(&h);
	return r;
}

/* --- the one before --------------------------------------------------------------------------- */

static int
look_for_nodes(void *arg, struct db *db, struct hw_err *err)
{
	struct new_ca *ret = arg;
	struct node_row node;
	struct query q;

	int r = node_list(&q, db, NULL, 0, "", err);
	while (r == 0 && (r = node_next(&q, &node, err)) > 0) {
		r = 0;
		/* Until it has shown the newest, it may not have it. */
		if (node.authority >= ret->number && node.serial_before[0] == '\0')
			continue;
		if (ret->behind < NEW_CA_NAMES)
			snprintf(ret->names[ret->behind], sizeof(ret->names[0]), "%s",
				node.name[0] != '\0' ? node.name : node.id);
		ret->behind++;
	}
	query_end(&q);
	return r;
}

static int
count_nodes(struct new_ca *ret, const char *dir, struct hw_err *err)
{
	struct store *store = NULL;
	struct log_ctx silent;
	char path[1100];

	log_ctx_init(&silent, NULL);
	snprintf(path, sizeof(path), "%s/relay.db", dir);
	const struct store_config sc = {
		.path = path, .log = &silent, .clock = &hw_clock_system, .readers = 1};
	int r = store_open(&store, &sc, err);
	if (r == 0)
		r = store_read(store, look_for_nodes, ret, err);
	store_close(store);
	return r;
}

/* Noted first: what is noted twice is told once. */
static int
retire(struct new_ca *ret, struct held *h, const char *dir, const char *who, bool leave_nodes,
	struct hw_err *err)
{
	int r;

	ret->number = ca_number(h->ca);
	ret->before = ret->number - 1;
	if (ca_before(h->ca) == NULL)
		return hw_err_set(err, HW_ENOTFOUND,
			"only certificates by authority %u count: there is none to retire",
			ret->number);
	if ((r = count_nodes(ret, dir, err)) < 0)
		return r;
	if (ret->behind > 0 && !leave_nodes)
		return hw_err_set(err, HW_ECONFLICT,
			"%" PRIu64 " node%s not shown a certificate by authority %u", ret->behind,
			ret->behind == 1 ? " has" : "s have", ret->number);
	if ((r = note_line(h->dir, "retired", ret->before, who, err)) == 0 &&
		(renameat(h->dir, CA_BEFORE, h->dir, CA_RETIRED) < 0 || fsync(h->dir) < 0))
		r = hw_err_sys(err, "cannot retire authority %u", ret->before);
	return r < 0 ? r : relay_url_write(ret->url, &h->config, h->ca, err);
}

int
new_ca_retire(struct new_ca *ret, const char *dir, const char *who, bool leave_nodes,
	struct hw_err *err)
{
	struct held h;
	int r;

	*ret = (struct new_ca){.number = 0};
	if ((r = held_open(&h, dir, err)) == 0)
		r = retire(ret, &h, dir, who, leave_nodes, err);
	held_close(&h);
	return r;
}
