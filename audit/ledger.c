#include "audit/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger_file.h"
#include "audit/ledger_heads.h"
#include "proto/base/id.h"
#include "proto/wire/codec.h"

#define SALT_LEN 16

struct ledger {
	struct journal *journal;
	const struct hw_clock *clock;
	struct ledger_heads *heads; /* NULL: none are made */
	char *relay;
};

struct ledger *
ledger_new(struct journal *j, const char *relay, const struct hw_clock *clock)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l == NULL || (l->relay = strdup(relay)) == NULL) {
		free(l);
		return NULL;
	}
	l->journal = j;
	l->clock = clock;
	return l;
}

void
ledger_free(struct ledger *l)
{
	if (l == NULL)
		return;
	free(l->relay);
	free(l);
}

void
ledger_set_heads(struct ledger *l, struct ledger_heads *heads)
{
	l->heads = heads;
}

bool
ledger_kind_open(enum entry_kind kind)
{
	return kind == ENTRY_RECORDING_CHECKPOINT || kind == ENTRY_RECORDING_SEALED ||
		kind == ENTRY_RECORDING_DELETED || kind == ENTRY_LEDGER_EPOCH ||
		kind == ENTRY_ENTRY_ERASED;
}

struct pending {
	const struct ledger *ledger;
	struct msg_ledger_entry entry;
};

/* Under the journal's lock: sequence and time have one order. */
static int
encode_entry(void *arg, uint64_t sequence, struct buf *out)
{
	struct pending *p = arg;

	p->entry.sequence = (int64_t)sequence;
	p->entry.time = clock_wall(p->ledger->clock);
	int r = msg_encode(out, MSG_ROW(ledger_entry), &p->entry, NULL);
	if (r == 0 && p->ledger->heads != NULL)
		ledger_heads_take(p->ledger->heads, sequence, buf_data(out), out->len);
	return r;
}

/* What is still written when the disk is full: how things ended that were under way, and what makes
 * room. */
static bool
is_last_word(enum entry_kind kind)
{
	switch (kind) {
	case ENTRY_OUTCOME:
	case ENTRY_SESSION_END:
	case ENTRY_SESSION_DETACH:
	case ENTRY_CONNECTION_END:
	case ENTRY_COMMAND_END:
	case ENTRY_RECORDING_SEALED:
	case ENTRY_RECORDING_DELETED:
	case ENTRY_RELAY_STOP:
	case ENTRY_ALARM:
		return true;
	default:
		return false;
	}
}

/* What a burst of output has filled is written, as it is for the next record of a session. */
static int
append(struct ledger *l, enum entry_kind kind, struct pending *p, jpos *end)
{
	uint8_t flags = ledger_kind_open(kind) ? LEDGER_OPEN : 0;
	int r = journal_append_ledger(l->journal, flags, encode_entry, p, end);

	if (r == HW_EFULL && journal_write(l->journal) == 0)
		r = journal_append_ledger(l->journal, flags, encode_entry, p, end);
	return r;
}

int64_t
ledger_append_numbered(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry,
	jpos *end)
{
	struct pending p = {.ledger = l, .entry = *entry};
	uint8_t salt[SALT_LEN];

	if (journal_low(l->journal) && !is_last_word(kind))
		return HW_ERECORD;
	random_bytes(salt, sizeof(salt));
	p.entry.relay = l->relay;
	p.entry.kind = entry_kind_name(kind);
	p.entry.salt = (struct msg_bin){salt, sizeof(salt)};
	int r = append(l, kind, &p, end);
	return r < 0 ? r : p.entry.sequence;
}

int
ledger_append(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry,
	jpos *end)
{
	int64_t r = ledger_append_numbered(l, kind, entry, end);

	return r < 0 ? (int)r : 0;
}

int64_t
ledger_commit_numbered(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry)
{
	jpos end;
	int64_t number = ledger_append_numbered(l, kind, entry, &end);
	int r = number < 0 ? 0 : journal_wait(l->journal, end);

	return r < 0 ? r : number;
}

int
ledger_commit(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry)
{
	int64_t r = ledger_commit_numbered(l, kind, entry);

	return r < 0 ? (int)r : 0;
}

const char *
ledger_pair_in(struct ledger_pair *mem, int64_t number)
{
	if (number >= 0)
		snprintf(mem->text, sizeof(mem->text), " entry=%" PRId64, number);
	return mem->text;
}
