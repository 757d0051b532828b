/* What the files of an invocation share; see invocation.h. */
#ifndef HAWSER_NODE_INVOCATION_PRIVATE_H
#define HAWSER_NODE_INVOCATION_PRIVATE_H

#include "node/commands/invocation.h"
#include "node/commands/orders.h"
#include "node/plugins/plugins.h"
#include "node/programs.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/loop.h"
#include "proto/document/document.h"

#define WHY_MAX		       512
#define INVOCATION_RETRY_AFTER (50 * USEC_PER_MSEC) /* the monitor's queue is full */

/* The command's own document, and those within it, each run by a step of the one before. */
#define INVOCATION_FRAMES 4

struct invocation_frame {
	struct document *document;
	struct document_values *values;
	const char *name; /* of the relay's document; NULL: a file's, or the command's own */
	bool last_is_finally, stopped;
	/* Of its step under way. */
	struct flow_rules rules;
	struct arena_mark mark;
	/* Not of the first, whose steps are the invocation's. */
	size_t n, done;
	enum flow_status worst; /* of those done */
	int code;		/* of the first that did not go well */
};

/* A step waits for a document: from the relay, or from a file that is being read. */
enum invocation_seek { SEEK_NOTHING, SEEK_RELAY, SEEK_FILE };

struct invocation {
	const struct invocation_host *host;
	char id[ID_UUID_LEN + 1];
	int64_t deliver_before;
	uint64_t output_left; /* bytes that may still be kept */
	uint64_t spooled;     /* that count among those of all invocations */
	enum invocation_state state;
	bool was_started; /* by an earlier agent */

	/* While it runs. */
	struct arena *run;
	const struct msg_invocation_order *order;
	struct invocation_frame frames[INVOCATION_FRAMES];
	size_t depth; /* of the frame that is under way */
	bool cancelled;
	bool lost; /* nobody knows how a step ended: no other is begun */
	struct loop_task next;

	size_t inner_bytes; /* of documents that its steps run */

	struct arena *names;
	struct invocation_step *steps;
	size_t n, done;

	/* Of the step under way. */
	struct plugin_program program;
	struct plugin_wish wish;
	enum invocation_seek seeking;
	struct buf read; /* of a file */
	struct job *job;
	enum flow_killer killer;
	uint64_t base[SPOOL_STREAMS]; /* where the program's own offsets begin in the stream */
	uint32_t inner;		      /* programs begun within it, by documents that it runs */
	int reboots;
	bool rebooting;
	const char *work; /* its own directory; NULL: it needs none */
	bool has_files;	  /* there may be something in it */
	bool cleaning;	  /* which is being removed; nothing else is left to do */
	bool end_failed;  /* its end is written down: it has failed, whatever its steps say */
	struct loop_timer deadline, kill, retry;

	/* Of the whole. */
	int status; /* INVOCATION_STATUS_* */
	const char *details;
	int code;
	char reason[WHY_MAX];
	int64_t started, ended;
	bool unsynced;
};

static inline struct invocation *
invocation_from(void *arg)
{
	struct invocation *i = arg;

	hw_assert(i->host != NULL && i->state <= INVOCATION_ENDED);
	return i;
}

static inline int64_t
invocation_wall(const struct invocation *i)
{
	return clock_wall(loop_clock(i->host->loop));
}

static inline void
invocation_changed(struct invocation *i)
{
	i->host->on_change(i->host->arg, i);
}

static inline struct invocation_step *
invocation_current(struct invocation *i)
{
	hw_assert(i->done < i->n);
	return &i->steps[i->done];
}

static inline struct invocation_frame *
invocation_top(struct invocation *i)
{
	return &i->frames[i->depth];
}

/* The place of its step under way in the document that is. */
static inline size_t
invocation_place(const struct invocation *i)
{
	return i->depth == 0 ? i->done : i->frames[i->depth].done;
}

static inline const struct document_step *
invocation_document_step(const struct invocation *i)
{
	return document_step(i->frames[i->depth].document, invocation_place(i));
}

/* --- the whole: invocation.c ------------------------------------------------------------------ */

void invocation_log_trouble(const struct invocation *i, const char *event,
	const struct hw_err *err);
/* FLOW_WAITING when it is not over. */
enum flow_status invocation_status_of(const struct msg_invocation_step *said);
void invocation_say_step(struct msg_invocation_step *ret, const struct invocation_step *s);

void invocation_close_job(struct invocation *i);
/* What it needs while it runs alone. */
void invocation_drop_run(struct invocation *i);
/* Its end follows from its steps; those not done are given up. */
void invocation_conclude(struct invocation *i);
/* What a frame's steps refer to can be had, and whether the last always runs is looked up. */
int invocation_check_frame(struct invocation_frame *f, struct hw_err *err);
void invocation_drop_frame(struct invocation_frame *f);
void invocation_end_failed(struct invocation *i, const char *fmt, ...) HW_PRINTF(2, 3);
/* A sentence for the relay. */
void invocation_say_reason(struct invocation *i, const char *fmt, ...) HW_PRINTF(2, 3);

/* Room for n steps, of which nothing is known. */
int invocation_make_steps(struct invocation *i, size_t n, struct hw_err *err);
int invocation_name_step(struct invocation *i, size_t k, const char *name, const char *action,
	struct hw_err *err);

/* --- one step: invocation_step.c -------------------------------------------------------------- */

extern const struct program_events invocation_adopted_events;

void invocation_on_next(void *arg); /* the next one, or the end */
void invocation_on_deadline(void *arg);
void invocation_on_killed(void *arg);
void invocation_on_retry(void *arg);
/* A script has no input and no screen. */
void invocation_on_output_end(void *arg, int stream);
void invocation_on_consumed(void *arg, size_t n, int echo);
void invocation_on_screen(void *arg, uint64_t offset, const uint8_t *p, size_t n, bool more);

/* The names of the documents within the command's own that a program is of. */
void invocation_name_documents(struct program_spec *spec, const struct invocation *i);
void invocation_session_name(char out[64], const struct invocation *i);
struct flow_rules invocation_rules_of(const struct invocation_frame *f, const json_t *inputs);
/* Its rules, and then its program or what it wishes for. */
int invocation_prepare(struct invocation *i, struct hw_err *err);
/* The program of one that wished for this content. */
int invocation_prepare_with(struct invocation *i, const char *content, const char *file_name,
	struct hw_err *err);
/* Once it is written down. */
void invocation_begin_program(struct invocation *i);
/* Takes over what an earlier agent began under this name at that time. */
void invocation_adopt(struct invocation *i, const char *session_id, int64_t started);
void invocation_kill_step(struct invocation *i, enum flow_killer killer);

int invocation_write_step(struct invocation *i, bool lasting, struct hw_err *err);
/* With words of ours behind what it wrote, or NULL. */
void invocation_end_step(struct invocation *i, struct flow_end end, const char *out,
	const char *errors);
/* The same once its rules have had their say. */
void invocation_judge_step(struct invocation *i, struct flow_end end, const char *errors);
void invocation_fail_step(struct invocation *i, const char *fmt, ...) HW_PRINTF(2, 3);
/* Whatever it did, it is not done again, and what was to come after it was to come after its end.
 */
void invocation_lose_step(struct invocation *i, const char *why);

/* --- documents within a step: invocation_inner.c ------------------------------------------------
 */

/* Of a step that wishes: gets the document, and goes on with it. */
void invocation_seek(struct invocation *i);
/* What was begun of it by an earlier agent. */
void invocation_seek_again(struct invocation *i, const struct orders_entry *e);
/* All steps of the document under way are done: that is the end of the step which runs it. */
void invocation_ascend(struct invocation *i);
/* The step under way is of such a document, and has ended. */
void invocation_end_inner(struct invocation *i, struct flow_end end);
/* Whatever is under way, it is the command's own step that ends now. */
void invocation_unwind(struct invocation *i);

/* --- its own directory: invocation_clean.c ------------------------------------------------------
 */

/* Has it removed, and then the invocation ends; false when there is nothing to remove. */
bool invocation_clean(struct invocation *i);
void invocation_clean_again(struct invocation *i); /* the monitor was busy */
void invocation_clean_late(struct invocation *i);  /* it takes too long: what is left stays */
void invocation_cleaned(struct invocation *i);

/* --- restarting the machine: invocation_reboot.c ---------------------------------------------- */

/* The step is begun again when the machine is back; nothing else of the command runs before. */
void invocation_reboot(struct invocation *i);
void invocation_not_rebooted(struct invocation *i, const char *why);
const char *invocation_boot_id(const struct invocation *i);
/* For an earlier agent's: it is still to come, or the step begins again. */
void invocation_after_reboot(struct invocation *i, const struct orders_entry *e);

/* --- what an earlier agent began: invocation_restore.c ---------------------------------------- */

void invocation_go_on(struct invocation *i, const struct orders_entry *e);
/* One that has ended. */
bool invocation_restore_end(struct invocation *i, const struct orders_entry *e);

#endif
