/* A step that asks for the machine to be restarted, and begins again then. */
#include <stdio.h>
#include <string.h>

#include "node/commands/invocation_private.h"
#include "node/holder/protocol.h"

#define REBOOT_WITHIN (600 * USEC_PER_SEC)
#define REBOOTS_MAX   8

/* --- restarting the machine
 * ------------------------------------------------------------------------ */

static void
reboot_started(void *arg, const char *run_as, int64_t pid)
{
	(void)arg;
	(void)run_as;
	(void)pid;
}

static size_t
reboot_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	(void)arg;
	(void)stream;
	(void)p;
	return n;
}

void
invocation_not_rebooted(struct invocation *i, const char *why)
{
	char text[WHY_MAX + 64];

	i->rebooting = false;
	snprintf(text, sizeof(text), "the machine could not be restarted: %s\n", why);
	invocation_judge_step(i, (struct flow_end){FLOW_FAILED, FLOW_EXIT_REBOOT}, text);
	invocation_sync(i); /* else the next boot would take it for the one that was asked for */
}

static void
reboot_failed(void *arg, int code, const char *why)
{
	(void)code;
	invocation_not_rebooted(invocation_from(arg), why);
}

/* Lost is what it is when the machine goes down. */
static void
reboot_exit(void *arg, int code, const char *why, const struct program_exit *exit)
{
	struct invocation *i = invocation_from(arg);
	char text[64];

	(void)why;
	if (code == 0 && exit->status != 0) {
		snprintf(text, sizeof(text), "what restarts it exited with %d", exit->status);
		invocation_not_rebooted(i, text);
		return;
	}
	i->host->programs->ops->close(i->job);
	i->job = NULL;
}

static const struct program_events reboot_events = {
	.on_started = reboot_started,
	.on_failed = reboot_failed,
	.on_output = reboot_output,
	.on_output_end = invocation_on_output_end,
	.on_consumed = invocation_on_consumed,
	.on_screen = invocation_on_screen,
	.on_exit = reboot_exit,
};

static int
ask_for_reboot(struct invocation *i, struct hw_err *err)
{
	char id[64];
	const struct program_spec spec = {
		.type = CHANNEL_TYPE_EXEC,
		.script = true,
		.session_id = id,
		.document = i->order->document_name,
		.run_as = i->order->run_as,
		.command = i->host->reboot,
		.seconds = 60,
	};

	snprintf(id, sizeof(id), "~%s.boot", i->id);
	return i->host->programs->ops->start(&i->job, i->host->programs, &spec, &reboot_events, i,
		err);
}

const char *
invocation_boot_id(const struct invocation *i)
{
	return i->host->boot_id != NULL ? i->host->boot_id : "";
}

/* The step is begun again when the machine is back; nothing else of the command runs before. */
void
invocation_reboot(struct invocation *i)
{
	struct invocation_step *s = invocation_current(i);
	struct orders_reboot r = {
		.step = (uint32_t)i->done,
		.out = {s->spool[SPOOL_OUT].total, s->spool[SPOOL_ERR].total}
	     };
	struct hw_err err = HW_ERR_INIT;

	invocation_close_job(i);
	snprintf(r.boot_id, sizeof(r.boot_id), "%s", invocation_boot_id(i));
	if (++i->reboots > REBOOTS_MAX)
		hw_err_set(&err, HW_ELIMIT, "the step has asked for it %d times already",
			REBOOTS_MAX);
	else if (orders_reboot(i->host->journal, i->id, &r, &err) == 0)
		ask_for_reboot(i, &err);
	if (err.code != 0) {
		invocation_not_rebooted(i, hw_err_text(&err));
		return;
	}
	log_info(i->host, "command.reboot", "command=%s", i->id);
	i->rebooting = true;
	loop_timer_start(i->host->loop, &i->deadline, REBOOT_WITHIN);
}

void
invocation_after_reboot(struct invocation *i, const struct orders_entry *e)
{
	struct hw_err err = HW_ERR_INIT;

	i->reboots = e->reboots;
	i->base[SPOOL_OUT] = e->reboot.out[SPOOL_OUT];
	i->base[SPOOL_ERR] = e->reboot.out[SPOOL_ERR];
	if (strcmp(e->reboot.boot_id, invocation_boot_id(i)) == 0) { /* it is still to come */
		i->rebooting = true;
		loop_timer_start(i->host->loop, &i->deadline, REBOOT_WITHIN);
		return;
	}
	for (int k = 0; k < SPOOL_STREAMS; k++) {
		struct spool *s = &invocation_current(i)->spool[k];
		s->cut = s->kept < i->base[k];
		s->total = i->base[k];
	}
	if (i->cancelled)
		invocation_end_step(i, (struct flow_end){FLOW_CANCELLED, FLOW_EXIT_KILLED}, NULL,
			NULL);
	else if (invocation_prepare(i, &err) < 0)
		invocation_fail_step(i, "%s", hw_err_text(&err));
	else if (invocation_write_step(i, true, &err) < 0)
		invocation_end_failed(i, "the step %.128s was not begun again: %s",
			invocation_current(i)->name, hw_err_text(&err));
	else
		invocation_begin_program(i);
}
