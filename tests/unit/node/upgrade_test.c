/* What an upgrade goes by: slots, terms, and the questions to the agent. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/upgrade/agent.h"
#include "node/upgrade/slots.h"
#include "node/upgrade/terms.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"

/* --- what is started ---------------------------------------------------------------------------
 */

static const struct slot none, a1 = {'a', "0.2.0", "0.1.0"}, b1 = {'b', "0.3.0", "0.1.0"};

Test(slots, package_runs_until_there_is_another)
{
	struct slot s;

	cr_assert(eq(int, slots_choose(&s, &none, &none, false, "0.1.0"), SLOTS_PACKAGE));
	cr_assert(eq(int, slots_choose(&s, &none, &none, true, "0.1.0"), SLOTS_PACKAGE));
	cr_assert(eq(int, slots_choose(&s, &a1, &none, false, "0.1.0"), SLOTS_SLOT));
	cr_assert(eq(int, s.name, 'a'));
}

Test(slots, trial_counts_while_somebody_watches_over_it)
{
	struct slot s;

	cr_assert(eq(int, slots_choose(&s, &a1, &b1, true, "0.1.0"), SLOTS_TRY));
	cr_assert(eq(int, s.name, 'b'));
	cr_assert(eq(int, slots_choose(&s, &a1, &b1, false, "0.1.0"), SLOTS_SLOT));
	cr_assert(eq(int, s.name, 'a'));
	cr_assert(eq(int, slots_choose(&s, &none, &b1, false, "0.1.0"), SLOTS_PACKAGE));
	cr_assert(eq(int, slots_choose(&s, &none, &b1, true, "0.1.0"), SLOTS_TRY));
}

/* A downgrade was wanted: the package over which it was put does not undo it. */
Test(slots, newer_package_wins_unless_the_slot_was_put_over_it)
{
	const struct slot older = {'a', "0.0.9", "0.1.0"};
	struct slot s;

	cr_assert(eq(int, slots_choose(&s, &a1, &none, false, "0.1.5"), SLOTS_SLOT));
	cr_assert(eq(int, slots_choose(&s, &a1, &none, false, "0.2.0"), SLOTS_SLOT));
	cr_assert(eq(int, slots_choose(&s, &a1, &none, false, "0.2.1"), SLOTS_PACKAGE));
	cr_assert(eq(int, slots_choose(&s, &older, &none, false, "0.1.0"), SLOTS_SLOT));
	cr_assert(eq(int, slots_choose(&s, &older, &none, false, "0.1.1"), SLOTS_PACKAGE));
	cr_assert(eq(int, slots_choose(&s, &older, &none, false, "0.0.8"), SLOTS_SLOT));
}

Test(slots, fate_of_a_trial_follows_from_what_is_there)
{
	cr_assert(eq(int, slots_fate(&b1, &a1, &b1, true), SLOTS_UNDECIDED));
	cr_assert(eq(int, slots_fate(&b1, &a1, &b1, false), SLOTS_ENDED));
	cr_assert(eq(int, slots_fate(&b1, &a1, &none, true), SLOTS_ENDED));
	cr_assert(eq(int, slots_fate(&b1, &b1, &none, true), SLOTS_TAKEN));
	cr_assert(eq(int, slots_fate(&b1, &b1, &none, false), SLOTS_TAKEN));
	/* Another trial has taken its place. */
	cr_assert(eq(int, slots_fate(&b1, &a1, &a1, true), SLOTS_ENDED));
}

/* --- the folder --------------------------------------------------------------------------------
 */

struct place {
	char path[64], slots[80];
	int dir;
};

static struct place
place_new(void)
{
	struct place p = {.path = "/tmp/hawser-slots-XXXXXX", .dir = -1};

	cr_assert_not_null(mkdtemp(p.path));
	snprintf(p.slots, sizeof(p.slots), "%s/slots", p.path);
	return p;
}

static void
place_free(struct place *p)
{
	char command[96];

	fd_close(p->dir);
	snprintf(command, sizeof(command), "rm -rf %s", p->path);
	cr_assert(eq(int, system(command), 0));
}

Test(slots, trial_becomes_current_by_one_rename)
{
	struct place p = place_new();
	struct slot s;

	cr_assert(eq(int, slots_open(&p.dir, p.slots, false, NULL), HW_ENOTFOUND));
	cr_assert(eq(int, slots_open(&p.dir, p.slots, true, NULL), 0));
	cr_assert(eq(int, slots_read(p.dir, SLOTS_CURRENT).name, 0));
	cr_assert(eq(int, slots_write(p.dir, SLOTS_TRIAL, &b1, NULL), 0));
	s = slots_read(p.dir, SLOTS_TRIAL);
	cr_assert(eq(int, s.name, 'b'));
	cr_assert(strcmp(s.version, "0.3.0") == 0 && strcmp(s.over, "0.1.0") == 0);
	cr_assert(eq(int, slots_take(p.dir, NULL), 0));
	cr_assert(eq(int, slots_read(p.dir, SLOTS_TRIAL).name, 0));
	cr_assert(eq(int, slots_read(p.dir, SLOTS_CURRENT).name, 'b'));
	cr_assert(eq(int, slots_drop(p.dir, SLOTS_TRIAL, NULL), 0));
	cr_assert(eq(int, slots_drop(p.dir, SLOTS_CURRENT, NULL), 0));
	cr_assert(eq(int, slots_read(p.dir, SLOTS_CURRENT).name, 0));
	cr_assert(ne(int, slots_take(p.dir, NULL), 0));
	place_free(&p);
}

Test(slots, whoever_holds_the_lock_watches)
{
	struct place p = place_new();
	int lock;

	cr_assert(eq(int, slots_open(&p.dir, p.slots, true, NULL), 0));
	cr_assert(not(slots_look(p.dir).watched));
	cr_assert(eq(int, file_lock(&lock, p.dir, SLOTS_LOCK, NULL), 0));
	cr_assert(slots_look(p.dir).watched);
	close(lock);
	cr_assert(not(slots_look(p.dir).watched));
	place_free(&p);
}

Test(slots, line_that_is_none_is_no_slot)
{
	static const char *const bad[] = {"", "a\n", "a 0.2.0\n", "c 0.2.0 over 0.1.0\n",
		"a 0.2.0 over 0.1.0", "a 0.2.0 over 0.1.0 \n", "a 0.2 over 0.1.0\n",
		"a 0.2.0 over x\n", "ab 0.2.0 over 0.1.0\n", "a 0.2.0 under 0.1.0\n"};
	struct place p = place_new();

	cr_assert(eq(int, slots_open(&p.dir, p.slots, true, NULL), 0));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert(eq(int,
			file_write(p.dir, SLOTS_CURRENT, bad[i], strlen(bad[i]), 0644, NULL), 0));
		cr_assert(eq(int, slots_read(p.dir, SLOTS_CURRENT).name, 0), "%s", bad[i]);
	}
	place_free(&p);
}

/* Whoever can write there can have root run what he likes. */
Test(slots, folder_that_others_may_write_is_refused)
{
	struct place p = place_new();

	cr_assert(eq(int, mkdir(p.slots, 0755), 0));
	cr_assert(eq(int, chmod(p.slots, 0775), 0));
	cr_assert(eq(int, slots_open(&p.dir, p.slots, false, NULL), HW_EDENIED));
	/* An upgrade does not make good what may lie there by now. */
	cr_assert(eq(int, slots_open(&p.dir, p.slots, true, NULL), HW_EDENIED));
	cr_assert(eq(int, slots_open(&p.dir, p.slots, false, NULL), HW_EDENIED));
	cr_assert(eq(int, chmod(p.slots, 0755), 0));
	cr_assert(eq(int, chmod(p.path, 0777), 0));
	cr_assert(eq(int, slots_open(&p.dir, p.slots, false, NULL), HW_EDENIED));
	cr_assert(eq(int, chmod(p.path, 0700), 0));
	cr_assert(eq(int, rmdir(p.slots), 0));
	cr_assert(eq(int, symlink("/tmp", p.slots), 0));
	cr_assert(ne(int, slots_open(&p.dir, p.slots, false, NULL), 0));
	p.dir = -1;
	place_free(&p);
}

static int
starts_with(struct place *p, const char *script)
{
	const struct slot *s = &a1;
	int folder;

	if (mkdirat(p->dir, "a", 0755) < 0)
		cr_assert(eq(int, errno, EEXIST));
	cr_assert(ge(int, folder = openat(p->dir, "a", O_RDONLY | O_DIRECTORY), 0));
	cr_assert(eq(int, file_write(folder, "hawser-node", script, strlen(script), 0755, NULL),
		0));
	close(folder);
	return slots_starts(p->slots, s, NULL);
}

Test(slots, program_that_does_not_start_is_found)
{
	struct place p = place_new();

	cr_assert(eq(int, slots_open(&p.dir, p.slots, true, NULL), 0));
	cr_assert(eq(int, slots_starts(p.slots, &a1, NULL), HW_ESPAWN));
	cr_assert(eq(int, starts_with(&p, "#!/bin/sh\necho hawser-node 0.2.0\n"), 0));
	cr_assert(eq(int, starts_with(&p, "#!/bin/sh\necho hawser-node 0.2.0; exit 1\n"),
		HW_ESPAWN));
	cr_assert(eq(int, starts_with(&p, "#!/bin/sh\necho hawser-node 0.2.0; kill -9 $$\n"),
		HW_ESPAWN));
	cr_assert(eq(int, starts_with(&p, "#!/bin/sh\necho hawser-node 0.3.0\n"), HW_EVALIDATION));
	cr_assert(eq(int, starts_with(&p, "#!/bin/sh\nyes hawser-node 0.2.0\n"), HW_ESPAWN));
	cr_assert(eq(int, starts_with(&p, "#!/no/such/interpreter\n"), HW_ESPAWN));
	place_free(&p);
}

/* --- terms -------------------------------------------------------------------------------------
 */

#define KEY "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

Test(terms, are_read_from_lines)
{
	struct terms t;

	cr_assert(eq(int, terms_parse(&t, "", NULL), 0));
	cr_assert(eq(int, t.n_keys, 0));
	cr_assert(eq(int, t.within, 60));
	cr_assert(not(t.downgrade));
	cr_assert(eq(int,
		terms_parse(&t,
			"# ours\nkey " KEY " # 2026\n\n\tkey  " KEY "\nallow downgrade\nwithin 5",
			NULL),
		0));
	cr_assert(eq(int, t.n_keys, 2));
	cr_assert(eq(int, t.keys[1][0], 1));
	cr_assert(eq(int, t.within, 5));
	cr_assert(t.downgrade);
}

Test(terms, that_are_none_name_the_line)
{
	static const char *const bad[] = {"key\n", "key x\n", "key " KEY "A\n",
		"key " KEY " more\n", "allow all\n", "within 0\n", "within 601\n", "within x\n",
		"within 5s\n", "keys " KEY, "key AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"};
	struct hw_err err = HW_ERR_INIT;
	struct terms t;
	char text[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "# one\n%s", bad[i]);
		cr_assert(eq(int, terms_parse(&t, text, &err), HW_EVALIDATION), "%s", bad[i]);
		cr_assert(strstr(hw_err_text(&err), "line 2") != NULL, "%s", hw_err_text(&err));
	}
}

static struct terms
trusting(bool downgrade)
{
	struct terms t = {.keys = {{1}}, .n_keys = 1, .downgrade = downgrade, .within = 60};

	return t;
}

static int
allow(bool machine, bool asked, const char *running, struct release r)
{
	struct terms t = trusting(machine);

	r.key[0] = r.key[0] != 0 ? r.key[0] : 1;
	if (r.architecture[0] == '\0')
		strcpy(r.architecture, "x86_64");
	if (r.follows[0] == '\0')
		strcpy(r.follows, "0.0.0");
	return terms_allow(&t, &r, running, "x86_64", asked, NULL);
}

#define RELEASE(...) ((struct release){__VA_ARGS__})

#define TERMS_BYTES 16384

static int
load(const char *path, const void *text, size_t n, mode_t mode, struct hw_err *err)
{
	struct terms t;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert(eq(int, fd_write_all(fd, text, n, NULL), 0));
	cr_assert(eq(int, fchmod(fd, mode), 0));
	close(fd);
	*err = (struct hw_err)HW_ERR_INIT;
	return terms_load(&t, path, err);
}

Test(terms, are_read_from_a_file_that_is_their_owners_alone)
{
	char path[] = "/tmp/hawser-terms-XXXXXX", text[TERMS_BYTES + 1];
	struct hw_err err;

	close(mkstemp(path));
	memset(text, '#', sizeof(text));
	memcpy(text, "key AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 49);
	cr_assert(eq(int, load(path, text, TERMS_BYTES, 0600, &err), 0));
	cr_assert(eq(int, load(path, text, TERMS_BYTES, 0620, &err), HW_EDENIED));
	cr_assert(ne(ptr, strstr(hw_err_text(&err), "others may write"), NULL));
	cr_assert(eq(int, load(path, text, TERMS_BYTES + 1, 0600, &err), HW_ELIMIT));
	cr_assert(ne(ptr, strstr(hw_err_text(&err), "longer than 16384 bytes"), NULL));
	text[100] = '\0';
	cr_assert(eq(int, load(path, text, 200, 0600, &err), HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(hw_err_text(&err), "a NUL"), NULL));
	cr_assert(eq(int, load(path, "", 0, 0600, &err), HW_ENOTFOUND));
	unlink(path);
	cr_assert(lt(int, terms_load(&(struct terms){.n_keys = 0}, path, &err), 0));
}

Test(terms, let_pass_what_is_newer_and_of_a_trusted_key)
{
	cr_assert(eq(int, allow(false, false, "0.1.0", RELEASE(.version = "0.2.0")), 0));
	cr_assert(eq(int, allow(false, false, "0.2.0-rc1", RELEASE(.version = "0.2.0")), 0));
	cr_assert(eq(int, allow(false, false, "0.1.0", RELEASE(.version = "0.2.0", .key = {2})),
		HW_EDENIED));
	cr_assert(eq(int,
		allow(false, false, "0.1.0", RELEASE(.version = "0.2.0", .architecture = "arm")),
		HW_EVALIDATION));
	cr_assert(eq(int, allow(false, false, "0.2.0", RELEASE(.version = "0.2.0")), HW_EEXISTS));
}

Test(terms, let_go_back_only_who_says_so_where_it_is_allowed)
{
	cr_assert(eq(int, allow(false, false, "0.2.0", RELEASE(.version = "0.1.0")), HW_EDENIED));
	cr_assert(eq(int, allow(true, false, "0.2.0", RELEASE(.version = "0.1.0")), HW_EDENIED));
	cr_assert(eq(int, allow(false, true, "0.2.0", RELEASE(.version = "0.1.0")), HW_EDENIED));
	cr_assert(eq(int, allow(true, true, "0.2.0", RELEASE(.version = "0.1.0")), 0));
}

Test(terms, leave_no_version_out_that_has_to_come_between)
{
	cr_assert(eq(int,
		allow(true, true, "0.1.0", RELEASE(.version = "0.3.0", .follows = "0.2.0")),
		HW_EDENIED));
	cr_assert(eq(int,
		allow(false, false, "0.2.0", RELEASE(.version = "0.3.0", .follows = "0.2.0")), 0));
}

/* --- questions and answers ----------------------------------------------------------------------
 */

Test(courier, question_is_taken_as_it_was_asked_and_not_otherwise)
{
	struct courier_ask ask = {.magic = COURIER_MAGIC,
		.version = COURIER_VERSION,
		.kind = COURIER_FETCH,
		.offset = 7,
		.wanted = "0.2.0",
		.architecture = "x86_64"};
	struct courier_ask got, bad;

	cr_assert(eq(int, courier_ask_parse(&got, &ask, sizeof(ask)), 0));
	cr_assert(eq(int, memcmp(&got, &ask, sizeof(ask)), 0));
	cr_assert(eq(int, courier_ask_parse(&got, &ask, sizeof(ask) - 1), HW_EVALIDATION));
	bad = ask, bad.magic++;
	cr_assert(eq(int, courier_ask_parse(&got, &bad, sizeof(bad)), HW_EVALIDATION));
	bad = ask, bad.version++;
	cr_assert(eq(int, courier_ask_parse(&got, &bad, sizeof(bad)), HW_EVALIDATION));
	bad = ask, bad.kind = 0;
	cr_assert(eq(int, courier_ask_parse(&got, &bad, sizeof(bad)), HW_EVALIDATION));
	bad = ask, bad.kind = COURIER_AGAIN + 1;
	cr_assert(eq(int, courier_ask_parse(&got, &bad, sizeof(bad)), HW_EVALIDATION));
	bad = ask, bad.offset = RELEASE_BYTES_MAX + 1;
	cr_assert(eq(int, courier_ask_parse(&got, &bad, sizeof(bad)), HW_EVALIDATION));
	bad = ask, memset(bad.release, 'a', sizeof(bad.release));
	cr_assert(eq(int, courier_ask_parse(&got, &bad, sizeof(bad)), HW_EVALIDATION));
	bad = ask, bad.wanted[20] = 'x';
	cr_assert(eq(int, courier_ask_parse(&got, &bad, sizeof(bad)), HW_EVALIDATION));
	bad = ask, bad.zero[1] = 1;
	cr_assert(eq(int, courier_ask_parse(&got, &bad, sizeof(bad)), HW_EVALIDATION));
}

Test(courier, answer_has_the_piece_that_it_says)
{
	uint8_t message[sizeof(struct courier_answer) + 5];
	struct courier_answer a = {
		.magic = COURIER_MAGIC, .version = COURIER_VERSION, .len = 5, .size = 99};
	struct courier_answer got;
	const uint8_t *piece;

	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), "piece", 5);
	cr_assert(eq(int, courier_answer_parse(&got, &piece, message, sizeof(message)), 0));
	cr_assert(eq(int, memcmp(piece, "piece", 5), 0));
	cr_assert(eq(int, courier_answer_parse(&got, &piece, message, sizeof(message) - 1),
		HW_EVALIDATION));
	a.connected = 2;
	memcpy(message, &a, sizeof(a));
	cr_assert(eq(int, courier_answer_parse(&got, &piece, message, sizeof(message)),
		HW_EVALIDATION));
}

/* --- who asks ----------------------------------------------------------------------------------
 */

/* Listens as the agent does, and takes nobody from its queue. */
static int
deaf_agent(const char *dir)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/" COURIER_SOCKET, dir);
	cr_assert(eq(int, bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0));
	cr_assert(eq(int, listen(fd, 4), 0));
	return fd;
}

Test(courier, agent_that_hangs_keeps_nobody_who_asks_it_again_and_again, .timeout = 20)
{
	static struct agent_talk talk = {.fd = -1};
	struct place p = place_new();
	int fd = deaf_agent(p.path), late = 0, full = 0;

	talk.dir = p.path;
	for (int i = 0; i < 12; i++) {
		struct courier_ask ask = {.kind = COURIER_STATE};
		struct courier_answer answer;
		const uint8_t *piece;
		int r = agent_ask(&answer, &piece, &talk, &ask, 1, NULL);
		late += r == HW_ETIMEOUT;
		full += r == HW_EUNAVAILABLE;
		cr_assert(lt(int, talk.fd, 0));
	}
	cr_assert(gt(int, late, 0));
	cr_assert(eq(int, late + full, 12));
	fd_close(fd);
	place_free(&p);
}
