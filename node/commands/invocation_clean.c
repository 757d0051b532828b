/* What a command has downloaded is removed when all of its steps are over, by who put it there. */
#include <stdio.h>

#include "node/commands/invocation_private.h"
#include "node/holder/protocol.h"

#define CLEAN_WITHIN (60 * USEC_PER_SEC)

static void
clean_started(void *arg, const char *run_as, int64_t pid)
{
	(void)arg;
	(void)run_as;
	(void)pid;
}

static size_t
clean_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	(void)arg;
	(void)stream;
	(void)p;
	return n;
}

/* It is nothing that the command has done or not done: only the log is told. */
static void
clean_over(struct invocation *i, const char *why)
{
	struct hw_err err = HW_ERR_INIT;

	if (why != NULL) {
		hw_err_set(&err, HW_EIO, "%s: %s", i->work, why);
		invocation_log_trouble(i, "command.not_cleaned", &err);
	}
	invocation_cleaned(i);
}

static void
clean_failed(void *arg, int code, const char *why)
{
	(void)code;
	clean_over(invocation_from(arg), why);
}

static void
clean_exit(void *arg, int code, const char *why, const struct program_exit *exit)
{
	bool well = code == 0 && exit->status == 0;

	clean_over(invocation_from(arg), well ? NULL : code != 0 ? why : "it could not be removed");
}

static const struct program_events clean_events = {
	.on_started = clean_started,
	.on_failed = clean_failed,
	.on_output = clean_output,
	.on_output_end = invocation_on_output_end,
	.on_consumed = invocation_on_consumed,
	.on_screen = invocation_on_screen,
	.on_exit = clean_exit,
};

static int
start_cleaning(struct invocation *i, struct hw_err *err)
{
	const char *work = plugin_quote(i->run, i->work);
	char id[64];
	struct program_spec spec = {
		.type = CHANNEL_TYPE_EXEC,
		.script = true,
		.session_id = id,
		.document = i->order->document_name,
		.run_as = i->order->run_as,
		.seconds = (int)(CLEAN_WITHIN / USEC_PER_SEC),
	};

	if (work == NULL ||
		(spec.command = arena_printf(i->run, "exec rm -rf -- %s\n", work)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	snprintf(id, sizeof(id), "~%s.clean", i->id);
	return i->host->programs->ops->start(&i->job, i->host->programs, &spec, &clean_events, i,
		err);
}

/* The monitor may have as much to do as it takes: then it is asked again. */
static bool
go_on(struct invocation *i)
{
	struct hw_err err = HW_ERR_INIT;
	int r = start_cleaning(i, &err);

	if (r == HW_EFULL)
		loop_timer_start(i->host->loop, &i->retry, INVOCATION_RETRY_AFTER);
	else if (r < 0)
		invocation_log_trouble(i, "command.not_cleaned", &err);
	return r == 0 || r == HW_EFULL;
}

bool
invocation_clean(struct invocation *i)
{
	if (!i->has_files || i->work == NULL || !go_on(i))
		return false;
	i->cleaning = true;
	loop_timer_start(i->host->loop, &i->deadline, CLEAN_WITHIN);
	return true;
}

void
invocation_clean_again(struct invocation *i)
{
	if (!go_on(i))
		invocation_cleaned(i);
}

void
invocation_clean_late(struct invocation *i)
{
	clean_over(i, "it was not removed in a minute");
}
