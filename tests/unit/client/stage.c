#include "tests/unit/client/stage.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/commands.h"

#define WORDS_MAX 32

static struct stage *
set_up(struct rig *rig)
{
	struct stage *s = calloc(1, sizeof(*s));

	s->rig = rig;
	s->client = (struct client){.loop = rig->loop,
		.arena = rig->arena,
		.conn = rig->conn,
		.timeout = CLIENT_TIMEOUT};
	log_ctx_init(&s->client.log, NULL);
	snprintf(s->client.home.user, sizeof(s->client.home.user), "alice");
	snprintf(s->client.home.relay, sizeof(s->client.home.relay), "https://relay.example:8443");
	return s;
}

struct stage *
stage_new(void)
{
	return set_up(rig_new());
}

struct stage *
stage_new_real(void)
{
	return set_up(rig_new_real());
}

void
stage_free(struct stage *s)
{
	rig_free(s->rig);
	free(s->asked);
	free(s->out);
	free(s->said);
	free(s);
}

/* --- standard files -------------------------------------------------------------------------- */

/* Puts a file of memory in the place of a descriptor; the old one is returned. */
static int
divert(int fd, const char *content)
{
	int old = dup(fd), memory = memfd_create("stage", MFD_CLOEXEC);

	cr_assert(ge(int, memory, 0));
	cr_assert(eq(sz, (size_t)write(memory, content, strlen(content)), strlen(content)));
	cr_assert(eq(int, (int)lseek(memory, 0, SEEK_SET), 0));
	cr_assert(ge(int, dup2(memory, fd), 0));
	close(memory);
	return old;
}

static char *
restore(int fd, int old)
{
	size_t n = (size_t)lseek(fd, 0, SEEK_END);
	char *text = calloc(1, n + 1);

	cr_assert(eq(sz, (size_t)pread(fd, text, n, 0), n));
	dup2(old, fd);
	close(old);
	return text;
}

/* --- running --------------------------------------------------------------------------------- */

static void
call(struct stage *s, const struct command *command, const struct input *in)
{
	int fds[3] = {divert(0, s->input != NULL ? s->input : ""), divert(1, ""), divert(2, "")};

	if ((s->status = client_configure(&s->client, in, &s->err)) == 0)
		s->status = command->run(&s->client, in, &s->err);
	fflush(stdout);
	fflush(stderr);
	s->said = restore(2, fds[2]);
	s->out = restore(1, fds[1]);
	free(restore(0, fds[0]));
}

/* One may run several, one after the other. */
static void
forget(struct stage *s)
{
	free(s->asked);
	free(s->out);
	free(s->said);
	s->asked = s->out = s->said = NULL;
	s->err = (struct hw_err)HW_ERR_INIT;
	s->client.hint[0] = '\0';
	s->client.exit_status = 0;
	s->client.format = OUTPUT_TABLE;
}

void
stage_run(struct stage *s, const char *line, const struct rig_answer *answers)
{
	static const struct rig_answer none[] = {{0}};
	char *text = strdup(line), *rest = text, *argv[WORDS_MAX] = {NULL};
	const struct command *command;
	struct input *in;
	int argc = 0, used = 0;

	forget(s);
	while ((argv[argc] = strsep(&rest, " ")) != NULL)
		cr_assert(lt(int, ++argc, WORDS_MAX));
	command = command_find(&used, argc, argv);
	cr_assert(command != NULL, "%s", line);
	s->rig->answers = answers != NULL ? answers : none;
	s->status = input_read(&in, command, argc - used + 1, argv + used - 1, &s->err);
	if (s->status == 0) {
		call(s, command, in);
		input_free(in);
	}
	cr_assert(s->rig->answers->op == NULL, "%s did not ask %s: %s", line, s->rig->answers->op,
		s->err.text);
	s->rig->answers = NULL;
	s->asked = strdup(buf_str(&s->rig->asked));
	free(text);
}

struct stage *
stage_ok(const char *line, const struct rig_answer *answers, const char *asked)
{
	struct stage *s = stage_new();

	stage_run(s, line, answers);
	cr_assert(eq(int, s->status, 0), "%s: %s", line, s->err.text);
	cr_assert_str_eq(s->asked, asked);
	return s;
}

struct stage *
stage_fails(const char *line, const struct rig_answer *answers, int code, const char *why)
{
	struct stage *s = stage_new();

	stage_run(s, line, answers);
	cr_assert(eq(int, s->status, code), "%s: %d, %s", line, s->status, s->err.text);
	stage_has(s->err.text, why);
	return s;
}

void
stage_has(const char *all, const char *part)
{
	cr_assert(strstr(all, part) != NULL, "'%s' is not in:\n%s", part, all);
}

void
stage_lacks(const char *all, const char *part)
{
	cr_assert(strstr(all, part) == NULL, "'%s' is in:\n%s", part, all);
}
