#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_file.h"
#include "audit/search.h"
#include "proto/base/arena.h"
#include "proto/wire/codec.h"
#include "tests/unit/audit/scratch.h"

#define START (INT64_C(1700000000) * USEC_PER_SEC)

struct shelf {
	struct scratch scratch;
	struct journal *journal;
	struct ledger *ledger;
	struct search *search;
	struct arena *arena;
	char index[80];
};

static bool
node_of(void *arg, const char *session, char node[SEARCH_NODE_MAX])
{
	(void)arg;
	if (strcmp(session, "alice-00000000000000001") != 0)
		return false;
	strcpy(node, "mi-00000000000000007");
	return true;
}

static struct search_config
config_of(const struct shelf *s)
{
	return (struct search_config){
		.dir = s->index,
		.ledger_dir = s->scratch.ledger,
		.journal_dir = s->scratch.journal,
		.journal = s->journal,
		.master = &s->scratch.master,
		.node_of = node_of,
	};
}

static void
open_search(struct shelf *s)
{
	const struct search_config c = config_of(s);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(search_new(&s->search, &c, &err) == 0, "%s", err.text);
}

static void
shelf_open(struct shelf *s)
{
	struct hw_err err = HW_ERR_INIT;

	*s = (struct shelf){.arena = arena_new(256 << 20)};
	scratch_init(&s->scratch);
	snprintf(s->index, sizeof(s->index), "%s/index", s->scratch.dir);
	const struct journal_config jc = scratch_journal(&s->scratch);
	cr_assert(journal_open(&s->journal, &jc, NULL, &err) == 0, "%s", err.text);
	s->ledger = ledger_new(s->journal, "relay", &s->scratch.clock.clock);
	open_search(s);
}

static void
shelf_close(struct shelf *s)
{
	search_free(s->search);
	ledger_free(s->ledger);
	journal_close(s->journal);
	arena_free(s->arena);
	scratch_fini(&s->scratch);
}

static void
add(struct shelf *s, enum entry_kind kind, const struct msg_ledger_entry *e)
{
	cr_assert(ledger_append(s->ledger, kind, e, NULL) == 0);
	fake_clock_advance(&s->scratch.clock, USEC_PER_SEC);
}

/* n entries of users u0 to u9 in turn, each on node mi-...d of its last digit. */
static void
add_many(struct shelf *s, int n)
{
	for (int i = 0; i < n; i++) {
		char who[64], node[80];
		snprintf(who, sizeof(who), "arn:aws:iam::0:user/u%d", i % 10);
		snprintf(node, sizeof(node),
			"arn:aws:ssm:l:0:managed-instance/mi-0000000000000000%d", i % 7);
		add(s, ENTRY_DECISION,
			&(struct msg_ledger_entry){.principal = who,
				.action = i % 3 == 0 ? "ssm:StartSession" : "ssm:SendCommand",
				.resource = node,
				.outcome = i % 5 == 0 ? OUTCOME_DENIED : OUTCOME_ALLOWED,
				.source = "192.0.2.1",
				.detail = "{}"});
	}
}

struct got {
	int64_t v[20000];
	size_t n, most;
};

static int
take(void *arg, const struct search_found *f)
{
	struct got *g = arg;

	if (g->n == g->most)
		return SEARCH_STOP;
	g->v[g->n++] = f->entry->sequence;
	return SEARCH_PASS;
}

static struct got got;

/* The index as it is now. */
static uint64_t
as_of(struct shelf *s)
{
	return search_index_resets(search_index_of(s->search));
}

/* All that fit, in pages of `page`. */
static size_t
find(struct shelf *s, const struct search_query *q, size_t page)
{
	struct hw_err err = HW_ERR_INIT;
	int r;

	uint64_t as_of;
	cr_assert(search_catch_up(s->search, &as_of, &err) == 0, "%s", err.text);
	got.n = 0;
	uint64_t at = search_begin(s->search, q);
	do {
		got.most = got.n + page;
		r = search_walk(s->search, as_of, q, &at, s->arena, take, &got, &err);
		cr_assert(ge(int, r, 0), "%s", err.text);
	} while (r == 1);
	return got.n;
}

Test(search, finds_by_each_term_in_either_order)
{
	struct shelf s;

	shelf_open(&s);
	add_many(&s, 1000);
	cr_assert(eq(sz, find(&s, &(struct search_query){.kinds = 0}, 77), 1000));
	cr_assert(eq(i64, got.v[0], 999));
	cr_assert(eq(i64, got.v[999], 0));
	cr_assert(eq(sz, find(&s, &(struct search_query){.oldest_first = true}, 1), 1000));
	cr_assert(eq(i64, got.v[0], 0));
	cr_assert(eq(i64, got.v[999], 999));
	static const struct {
		struct search_query q;
		size_t n;
	} rows[] = {
		{{.terms[TERM_PRINCIPAL] = "u3"},					  100 },
		{{.terms[TERM_PRINCIPAL] = "arn:aws:iam::0:user/u3"},		      100 },
		{{.terms[TERM_PRINCIPAL] = "arn:aws:iam::1:user/u3"},		      0   },
		{{.terms[TERM_PRINCIPAL] = "u"},						 0	  },
		{{.terms[TERM_ACTION] = "StartSession"},					 334 },
		{{.terms[TERM_ACTION] = "ssm:StartSession"},				     334 },
		{{.terms[TERM_ACTION] = "iam:StartSession"},				     0   },
		{{.terms[TERM_NODE] = "mi-00000000000000006"},			       142 },
		{{.terms[TERM_RESOURCE] = "mi-00000000000000006"},			   142 },
		{{.terms[TERM_SOURCE] = "192.0.2.1"},				      1000},
		{{.terms[TERM_SOURCE] = "192.0.2.2"},				      0   },
		{{.outcome = OUTCOME_DENIED},					      200 },
		{{.kinds = UINT64_C(1) << ENTRY_DECISION},				   1000},
		{{.kinds = UINT64_C(1) << ENTRY_ALARM},					0	 },
		{{.terms[TERM_PRINCIPAL] = "u5", .outcome = OUTCOME_DENIED},		     100 },
		{{.since = START + 990 * USEC_PER_SEC},					10  },
		{{.until = START + 10 * USEC_PER_SEC},				       10	 },
		{{.since = START + 10 * USEC_PER_SEC, .until = START + 10 * USEC_PER_SEC}, 0   },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct search_query q = rows[i].q;
		cr_assert(eq(sz, find(&s, &q, 50), rows[i].n), "row %zu", i);
		q.oldest_first = true;
		cr_assert(eq(sz, find(&s, &q, 50), rows[i].n), "row %zu", i);
	}
	shelf_close(&s);
}

Test(search, nodes_are_a_set_and_no_node_is_none)
{
	struct shelf s;
	const char *const two[] = {"mi-00000000000000001", "mi-00000000000000002"};

	shelf_open(&s);
	add_many(&s, 700);
	cr_assert(eq(sz,
		find(&s, &(struct search_query){.nodes = two, .n_nodes = 2, .by_nodes = true}, 9),
		200));
	cr_assert(eq(sz, find(&s, &(struct search_query){.by_nodes = true}, 9), 0));
	shelf_close(&s);
}

Test(search, a_session_s_node_and_a_request_s_command_are_known)
{
	struct shelf s;

	shelf_open(&s);
	add(&s, ENTRY_SESSION_ATTACH,
		&(struct msg_ledger_entry){
			.resource = "arn:aws:ssm:l:0:session/alice-00000000000000001"});
	add(&s, ENTRY_DECISION,
		&(struct msg_ledger_entry){.resource = "*",
			.detail = "{\"CommandId\":\"11111111-2222-4333-8444-555555555555\"}"});
	add(&s, ENTRY_LINK_UP,
		&(struct msg_ledger_entry){
			.principal = "arn:aws:ssm:l:0:managed-instance/mi-00000000000000009"});
	cr_assert(eq(sz,
		find(&s, &(struct search_query){.terms[TERM_NODE] = "mi-00000000000000007"}, 9),
		1));
	cr_assert(eq(sz,
		find(&s, &(struct search_query){.terms[TERM_SESSION] = "alice-00000000000000001"},
			9),
		1));
	cr_assert(eq(sz,
		find(&s,
			&(struct search_query){
				.terms[TERM_COMMAND] = "11111111-2222-4333-8444-555555555555"},
			9),
		1));
	cr_assert(eq(sz,
		find(&s, &(struct search_query){.terms[TERM_NODE] = "mi-00000000000000009"}, 9),
		1));
	shelf_close(&s);
}

/* The index goes on where it was, is made again when it is gone, cut or damaged, and shows the same
 * each time. */
Test(search, an_index_that_is_lost_is_made_again)
{
	char path[120];
	struct shelf s;

	shelf_open(&s);
	snprintf(path, sizeof(path), "%s/entries.idx", s.index);
	add_many(&s, 1100);
	cr_assert(eq(sz, find(&s, &(struct search_query){.outcome = OUTCOME_DENIED}, 50), 220));
	for (int way = 0; way < 5; way++) {
		search_free(s.search);
		if (way == 1)
			cr_assert(eq(int, unlink(path), 0));
		if (way == 2)
			file_cut(path, 100);
		if (way == 3)
			file_flip(path, 20); /* a head */
		open_search(&s);
		add_many(&s, 10);
		cr_assert(eq(sz, find(&s, &(struct search_query){.outcome = OUTCOME_DENIED}, 50),
				  220u + 2 * (size_t)(way + 1)),
			"way %d", way);
		cr_assert(gt(i64, file_length(path), 0));
	}
	shelf_close(&s);
}

Test(search, a_block_that_was_changed_is_an_error_and_not_an_answer)
{
	struct hw_err err = HW_ERR_INIT;
	const struct search_query q = {.oldest_first = true};
	char path[120];
	struct shelf s;

	shelf_open(&s);
	snprintf(path, sizeof(path), "%s/entries.idx", s.index);
	add_many(&s, 600);
	cr_assert(eq(sz, find(&s, &q, 50), 600));
	file_flip(path, 200);
	uint64_t at = 0;
	got.n = 0;
	got.most = 10;
	cr_assert(eq(int, search_walk(s.search, as_of(&s), &q, &at, s.arena, take, &got, &err),
		HW_ECORRUPT));
	cr_assert_str_eq(err.text, "the ledger's index does not verify at entry 0");
	cr_assert(eq(sz, find(&s, &q, 50), 600)); /* it was made again */
	shelf_close(&s);
}

/* As when another who walks has found damage. */
static int
take_and_reset(void *arg, const struct search_found *f)
{
	struct shelf *s = arg;

	(void)f;
	cr_assert(eq(int, search_index_reset(search_index_of(s->search), 0, NULL), 0));
	return SEARCH_PASS;
}

Test(search, a_walk_over_an_index_that_begins_anew_is_no_answer)
{
	static struct search_page page;
	struct shelf s;

	shelf_open(&s);
	add_many(&s, 600);
	for (int up = 0; up < 2; up++) {
		const struct search_query q = {.oldest_first = up == 1};
		struct hw_err err = HW_ERR_INIT;
		cr_assert(eq(sz, find(&s, &q, 50), 600));
		uint64_t at = search_begin(s.search, &q);
		cr_assert(eq(int,
			search_walk(s.search, as_of(&s), &q, &at, s.arena, take_and_reset, &s,
				&err),
			HW_EUNAVAILABLE));
		cr_assert_str_eq(err.text, "the ledger's index begins anew; ask again");
		search_page_init(&page);
		cr_assert(eq(int, search_index_read(search_index_of(s.search), 599, &page, &err),
			HW_EUNAVAILABLE));
		search_page_fini(&page);
		search_distrust(s.search); /* what it lost is read from the ledger again */
	}
	cr_assert(eq(sz, find(&s, &(struct search_query){.oldest_first = true}, 50), 600));
	shelf_close(&s);
}

/* Also when it begins between what says that all is there and the first look: an index that is
 * being made looks as if there was nothing. */
Test(search, an_index_that_begins_anew_before_the_walk_is_no_answer)
{
	struct shelf s;

	shelf_open(&s);
	add_many(&s, 600);
	for (int up = 0; up < 2; up++) {
		const struct search_query q = {.oldest_first = up == 1};
		struct hw_err err = HW_ERR_INIT;
		uint64_t as, at;
		cr_assert(eq(sz, find(&s, &q, 50), 600));
		cr_assert(eq(int, search_catch_up(s.search, &as, &err), 0));
		cr_assert(eq(int, search_index_reset(search_index_of(s.search), 0, NULL), 0));
		at = up == 1 ? search_begin(s.search, &q) : 600;
		cr_assert(eq(int, search_walk(s.search, as, &q, &at, s.arena, take, &got, &err),
			HW_EUNAVAILABLE));
		search_distrust(s.search);
	}
	shelf_close(&s);
}

static rlim_t
limit_files(rlim_t most)
{
	struct rlimit was, now;

	cr_assert(eq(int, getrlimit(RLIMIT_FSIZE, &was), 0));
	now = (struct rlimit){most, was.rlim_max};
	cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &now), 0));
	return was.rlim_cur;
}

/* A file that may not grow stands for a disk that is full. */
Test(search, an_index_that_cannot_be_written_goes_on_when_it_can)
{
	for (int threaded = 0; threaded < 2; threaded++) {
		const struct search_query q = {.oldest_first = true};
		struct hw_err err = HW_ERR_INIT;
		struct shelf s;
		uint64_t as;

		signal(SIGXFSZ, SIG_IGN);
		shelf_open(&s);
		add_many(&s, 2000);
		search_free(s.search);
		struct search_config c = config_of(&s);
		c.threaded = threaded != 0;
		journal_sync(s.journal);
		rlim_t was = limit_files(8192);
		cr_assert(eq(int, search_new(&s.search, &c, &err), 0), "%s", err.text);
		cr_assert(lt(int, search_catch_up(s.search, &as, &err), 0));
		cr_assert(ne(ptr, strstr(err.text, "cannot write the ledger's index"), NULL), "%s",
			err.text);
		if (threaded)
			cr_assert(eq(int, err.code, HW_EUNAVAILABLE));
		(void)limit_files(was);
		while (search_catch_up(s.search, &as, &err) < 0)
			cr_assert(eq(int, err.code, HW_EUNAVAILABLE), "%s", err.text);
		cr_assert(eq(sz, find(&s, &q, 50), 2000));
		shelf_close(&s);
	}
}

/* A relay that was restored has another ledger, and perhaps a longer one. */
Test(search, an_index_of_another_ledger_is_not_believed)
{
	struct shelf s, other;

	shelf_open(&s);
	add_many(&s, 600);
	cr_assert(eq(sz, find(&s, &(struct search_query){.kinds = 0}, 50), 600));
	search_free(s.search);
	s.search = NULL;
	shelf_open(&other);
	search_free(other.search);
	fake_clock_advance(&other.scratch.clock, 5000 * USEC_PER_SEC);
	add_many(&other, 900);
	dir_remove(other.index);
	dir_copy(other.index, s.index);
	other.scratch.master = s.scratch.master;
	open_search(&other);
	cr_assert(eq(sz,
		find(&other, &(struct search_query){.since = START + 5000 * USEC_PER_SEC}, 50),
		900));
	shelf_close(&other);
	shelf_close(&s);
}

/* On the disk there is nothing that reads as an entry. */
Test(search, nothing_is_in_clear)
{
	static uint8_t all[4 << 20];
	char path[120];
	struct shelf s;

	shelf_open(&s);
	snprintf(path, sizeof(path), "%s/entries.idx", s.index);
	add_many(&s, 600);
	find(&s, &(struct search_query){.kinds = 0}, 50);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, all, sizeof(all));
	close(fd);
	cr_assert(gt(i64, (int64_t)n, 10000));
	cr_assert_null(memmem(all, (size_t)n, "StartSession", 12));
	cr_assert_null(memmem(all, (size_t)n, "user/u", 6));
	shelf_close(&s);
}

/* Moves the ledger's entries from the journal to its files, and erases one there. */
static void
file_and_erase(struct shelf *s, uint64_t victim)
{
	struct ledger_reader *r = NULL;
	struct ledger_writer *w = NULL;
	struct msg_ledger_entry *e;
	struct hw_err err = HW_ERR_INIT;
	struct msg_bin bytes;

	cr_assert(eq(int, journal_write(s->journal), 0));
	cr_assert(eq(int, journal_wait(s->journal, journal_written(s->journal)), 0));
	cr_assert(ledger_reader_open(&r, s->scratch.ledger, s->scratch.journal, &s->scratch.master,
			  &err) == 0);
	cr_assert(ledger_writer_open(&w, s->scratch.ledger, &s->scratch.master, 0, NULL, &err) == 0,
		"%s", err.text);
	while (ledger_reader_next(r, s->arena, &e, &bytes, &err) == 1)
		cr_assert(eq(int, ledger_writer_append(w, bytes.p, bytes.n, 0, &err), 0));
	cr_assert(eq(int, ledger_writer_sync(w, &err), 0));
	ledger_writer_close(w);
	ledger_reader_close(r);
	cr_assert(ledger_files_erase(s->scratch.ledger, victim, &s->scratch.master, &err) == 0,
		"%s", err.text);
}

/* A whole message, which whoever asked can read. */
static int
take_whole(void *arg, const struct search_found *f)
{
	struct hw_err err = HW_ERR_INIT;
	struct arena *a = arena_new(1 << 20);
	struct buf b;
	void *msg;

	buf_init(&b, 1 << 20);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(ledger_entry), f->entry, &err), 0));
	cr_assert(msg_decode(&msg, a, MSG_ROW(ledger_entry), buf_data(&b), b.len, &err) == 0, "%s",
		err.text);
	buf_fini(&b);
	arena_free(a);
	*(const char **)arg = f->entry->kind;
	return SEARCH_STOP;
}

Test(search, an_erased_entry_is_passed_by_or_told_and_stops_nobody)
{
	struct shelf s;

	shelf_open(&s);
	add_many(&s, 600);
	file_and_erase(&s, 300);
	cr_assert(eq(sz, find(&s, &(struct search_query){.kinds = 0}, 100), 600));
	cr_assert(eq(i64, got.v[299], 300));
	cr_assert(eq(sz, find(&s, &(struct search_query){.terms[TERM_PRINCIPAL] = "u0"}, 100), 59));
	search_free(s.search);
	open_search(&s);
	cr_assert(eq(sz, find(&s, &(struct search_query){.oldest_first = true}, 100), 600));
	const char *kind = NULL;
	uint64_t at = 300;
	cr_assert(eq(int,
		search_walk(s.search, as_of(&s), &(struct search_query){.oldest_first = true}, &at,
			s.arena, take_whole, (void *)&kind, NULL),
		1));
	cr_assert_str_eq(kind, LEDGER_KIND_ERASED);
	shelf_close(&s);
}

/* --- what is damaged -------------------------------------------------------------------------- */

/* Where the frame of an entry begins in the ledger's first file. */
static long
frame_of(const char *path, uint64_t sequence)
{
	FILE *f = fopen(path, "rb");
	uint8_t len[4];
	long at = 128;

	cr_assert_not_null(f);
	for (; sequence > 0; sequence--) {
		cr_assert(eq(int, fseek(f, at, SEEK_SET), 0));
		cr_assert(eq(sz, fread(len, 1, 4, f), 4));
		at += 8 + (len[0] | len[1] << 8 | len[2] << 16);
	}
	fclose(f);
	return at;
}

static int64_t damaged[8];
static size_t n_damaged;

static int
take_damaged(void *arg, const struct search_found *f)
{
	(void)arg;
	if (strcmp(f->entry->kind, LEDGER_KIND_DAMAGED) == 0) {
		cr_assert(gt(sz, strlen(f->entry->reason), 10));
		damaged[n_damaged++ % 8] = f->entry->sequence;
	}
	return SEARCH_PASS;
}

/* A reader of the files alone, as when the journal has moved on. */
static void
open_filed(struct shelf *s)
{
	struct search_config c = config_of(s);
	struct hw_err err = HW_ERR_INIT;
	char none[100];

	search_free(s->search);
	s->search = NULL;
	snprintf(none, sizeof(none), "%s/none", s->scratch.dir);
	c.journal = NULL;
	c.journal_dir = none;
	cr_assert(search_new(&s->search, &c, &err) == 0, "%s", err.text);
}

Test(search, an_entry_that_is_damaged_is_shown_as_such_and_those_behind_it_too)
{
	static const int where[] = {8 + 4, 8 + 100, 0, 2}; /* leaf, bytes, two of the length */
	const struct search_query all = {.oldest_first = true};
	const struct search_query one = {.oldest_first = true, .terms[TERM_PRINCIPAL] = "u0"};
	struct hw_err err = HW_ERR_INIT;
	char path[160];
	struct shelf s;

	shelf_open(&s);
	add_many(&s, 600);
	file_and_erase(&s, 1);
	snprintf(path, sizeof(path), "%s/ledger-0000000000000000.log", s.scratch.ledger);
	long at[4];
	for (int i = 0; i < 4; i++)
		at[i] = frame_of(path, (uint64_t)(100 + 50 * i)) + where[i];
	for (int i = 0; i < 4; i++)
		file_flip(path, at[i]);
	for (int life = 0; life < 2; life++) {
		open_filed(&s);
		cr_assert(eq(sz, find(&s, &all, 50), 600), "life %d", life);
		/* Whoever looks for anything is told of what it may have been. */
		cr_assert(eq(sz, find(&s, &one, 50), 60));
		uint64_t from = 0;
		n_damaged = 0;
		cr_assert(ge(int,
			search_walk(s.search, as_of(&s), &one, &from, s.arena, take_damaged, NULL,
				&err),
			0));
		cr_assert(eq(sz, n_damaged, 4));
		for (int i = 0; i < 4; i++)
			cr_assert(eq(i64, damaged[i], 100 + 50 * i));
	}
	for (int i = 0; i < 4; i++)
		file_flip(path, at[i]);
	open_filed(&s);
	cr_assert(eq(sz, find(&s, &all, 50), 600));
	uint64_t from = 0;
	n_damaged = 0;
	cr_assert(ge(int,
		search_walk(s.search, as_of(&s), &all, &from, s.arena, take_damaged, NULL, &err),
		0));
	cr_assert(eq(sz, n_damaged, 0));
	shelf_close(&s);
}
