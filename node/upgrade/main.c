/*
 * hawser-node-upgrade, which puts a release in the place of the programs that run: root's, a step
 * of a command, so that it outlives the agent that it replaces.
 *
 *   main.c     this: the options, and the course of an upgrade
 *   agent.c    asks the agent that runs; courier.c is the form of question and answer
 *   terms.c    what this machine takes
 *   unpack.c   from the release to a slot
 *   trial.c    the new agent's time to prove itself
 *   slots.c    what is where, and what follows from that; hawser-node run goes by it
 */
#include <sys/utsname.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/upgrade/agent.h"
#include "node/upgrade/slots.h"
#include "node/upgrade/terms.h"
#include "node/upgrade/trial.h"
#include "node/upgrade/unpack.h"
#include "proto/base/file.h"

#define TRIES_MAX     120 /* of a piece that does not come: two minutes */
#define RETRY_WAIT_MS 1000

struct upgrade {
	const char *dir, *slots_path, *terms_path, *release, *version;
	bool downgrade;
	struct terms terms;
	struct agent_talk talk;
	char id[COURIER_ID_MAX];
	char running[RELEASE_VERSION_MAX], architecture[RELEASE_ARCH_MAX];
	int slots, lock;
};

static int
usage(void)
{
	fputs("hawser-node-upgrade is started by the agent, for a step aws:updateSsmAgent\n",
		stderr);
	return 2;
}

/* --- the bytes, from the agent ---------------------------------------------------------------- */

static int
ask_piece(struct upgrade *u, uint64_t offset, struct courier_answer *answer, const uint8_t **piece,
	struct hw_err *err)
{
	struct courier_ask ask = {.kind = COURIER_FETCH, .offset = offset};

	snprintf(ask.release, sizeof(ask.release), "%s", u->id);
	snprintf(ask.wanted, sizeof(ask.wanted), "%s", u->version);
	snprintf(ask.architecture, sizeof(ask.architecture), "%s", u->architecture);
	return agent_ask(answer, piece, &u->talk, &ask, AGENT_WITHIN_MS, err);
}

/* An agent without a link, and one that was restarted, are waited for. */
static bool
may_come(int code)
{
	return code == HW_EUNAVAILABLE || code == HW_ETIMEOUT || code == HW_EFULL;
}

static int
read_piece(void *arg, uint64_t offset, void *p, size_t room, size_t *n, struct hw_err *err)
{
	struct upgrade *u = arg;
	struct courier_answer answer;
	const uint8_t *piece;
	int r = HW_EUNAVAILABLE;

	for (int i = 0; i < TRIES_MAX && may_come(r); i++) {
		if (i > 0)
			usleep(RETRY_WAIT_MS * 1000);
		r = ask_piece(u, offset, &answer, &piece, err);
	}
	if (r < 0)
		return r;
	if (u->id[0] == '\0')
		memcpy(u->id, answer.release, sizeof(u->id));
	*n = answer.len < room ? answer.len : room;
	memcpy(p, piece, *n);
	return 0;
}

/* --- the course ------------------------------------------------------------------------------- */

static int
find_running(struct upgrade *u, struct hw_err *err)
{
	struct courier_ask ask = {.kind = COURIER_STATE};
	struct courier_answer answer;
	const uint8_t *piece;
	struct utsname names;
	int r = agent_ask(&answer, &piece, &u->talk, &ask, AGENT_WITHIN_MS, err);

	if (r < 0)
		return r;
	if (!release_version_valid(answer.agent))
		return hw_err_set(err, HW_EPROTO, "the agent says no version that is one");
	memcpy(u->running, answer.agent, sizeof(u->running));
	uname(&names);
	snprintf(u->architecture, sizeof(u->architecture), "%.16s", names.machine);
	return 0;
}

/* A trial that was left behind is over: nobody watched over it. */
static int
prepare(struct upgrade *u, struct hw_err *err)
{
	int r;

	if ((r = terms_load(&u->terms, u->terms_path, err)) < 0 ||
		(r = slots_open(&u->slots, u->slots_path, true, err)) < 0)
		return r;
	if ((r = file_lock(&u->lock, u->slots, SLOTS_LOCK, err)) == HW_EEXISTS)
		return hw_err_set(err, r, "another upgrade of this agent is under way");
	if (r < 0 || (r = slots_drop(u->slots, SLOTS_TRIAL, err)) < 0)
		return r;
	return find_running(u, err);
}

/* Never the one that `current` names, even while a newer package runs instead; a package's version
 * that is older than the slots' own goes on being the one which they were put over. */
static struct slot
free_slot(const struct upgrade *u, const struct release *r)
{
	struct slot current = slots_read(u->slots, SLOTS_CURRENT), s = {.name = 0};
	bool used = current.name != 0 && strcmp(current.version, u->running) == 0;

	s.name = current.name == 'a' ? 'b' : 'a';
	memcpy(s.version, r->version, sizeof(s.version));
	memcpy(s.over, used ? current.over : u->running, sizeof(s.over));
	return s;
}

/* What runs is the agent's word, and its process is not root's: an old release with a hole is not
 * to come back because that process, taken over, says that it is older still. */
static int
check_installed(const struct upgrade *u, const struct release *r, struct hw_err *err)
{
	if ((u->downgrade && u->terms.downgrade) ||
		release_version_compare(r->version, HAWSER_VERSION) >= 0)
		return 0;
	return hw_err_set(err, HW_EDENIED,
		"the release is %s, which is older than the %s that is installed", r->version,
		HAWSER_VERSION);
}

static int
upgrade(struct upgrade *u, struct hw_err *err)
{
	const struct unpack_source source = {read_piece, u};
	struct release release;
	int r;

	if ((r = prepare(u, err)) < 0 || (r = unpack_head(&release, &source, err)) < 0)
		return r;
	printf("%s runs; release %s for %s, of %llu bytes\n", u->running, release.version,
		release.architecture, (unsigned long long)release.size);
	if ((r = terms_allow(&u->terms, &release, u->running, u->architecture, u->downgrade, err)) <
			0 ||
		(r = check_installed(u, &release, err)) < 0)
		return r;
	struct trial trial = {.slots = u->slots,
		.slots_path = u->slots_path,
		.slot = free_slot(u, &release),
		.running = u->running,
		.within = u->terms.within,
		.talk = &u->talk};
	if ((r = unpack_files(u->slots, trial.slot.name, &release, &source, err)) < 0)
		return r;
	printf("all of it is here, and is what was signed\n");
	if ((r = trial_run(&trial, err)) < 0)
		return r;
	printf("the agent is %s now\n", release.version);
	return 0;
}

static int
take_options(struct upgrade *u, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",	required_argument, NULL, 'd'},
		{"slots",	  required_argument, NULL, 's'},
		{"terms",	  required_argument, NULL, 't'},
		{"release",   required_argument, NULL, 'r'},
		{"version",   required_argument, NULL, 'v'},
		{"downgrade", no_argument,	   NULL, 'g'},
		{NULL,	       0,		  NULL, 0	 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'd')
			u->dir = optarg;
		else if (o == 's')
			u->slots_path = optarg;
		else if (o == 't')
			u->terms_path = optarg;
		else if (o == 'r')
			u->release = optarg;
		else if (o == 'v')
			u->version = optarg;
		else if (o == 'g')
			u->downgrade = true;
		else
			return usage();
	}
	return argc == optind && u->dir != NULL && u->slots_path != NULL && u->terms_path != NULL
		? 0
		: usage();
}

int
main(int argc, char **argv)
{
	static struct upgrade u = {.release = "", .version = "", .slots = -1, .lock = -1};
	struct hw_err err = HW_ERR_INIT;
	int r;

	if ((r = take_options(&u, argc, argv)) != 0)
		return r;
	setvbuf(stdout, NULL, _IOLBF, 0);
	u.talk.dir = u.dir;
	u.talk.fd = -1;
	snprintf(u.id, sizeof(u.id), "%s", u.release);
	r = upgrade(&u, &err);
	agent_hang_up(&u.talk);
	if (r == HW_EEXISTS && u.running[0] != '\0') { /* nothing was to be done */
		printf("%s\n", hw_err_text(&err));
		return 0;
	}
	if (r < 0)
		fprintf(stderr, "hawser-node-upgrade: %s\n", hw_err_text(&err));
	return r < 0;
}
