#include "relay/core/retention.h"

#include "proto/base/clock.h"
#include "relay/core/config.h"
#include "relay/core/outputs.h"
#include "relay/store/commands.h"
#include "relay/store/store.h"

#define AT_ONCE	  100  /* commands of one call */
#define IN_ONE	  1000 /* invocations of one write */
#define ARENA_MAX 65536
#define DAY	  (86400 * USEC_PER_SEC)
#define FRESH	  (3600 * USEC_PER_SEC) /* what has just ended is still looked at */

struct keeping {
	struct arena *arena;
	int64_t before, ended_before, total;
	struct msg_strs old;
	struct command_row oldest;
	const char *id;
	bool more;
};

static int
read_old(void *arg, struct db *db, struct hw_err *err)
{
	struct keeping *k = arg;

	return command_list_old(db, k->arena, k->before, AT_ONCE, &k->old, err);
}

static int
write_deletion(void *arg, struct db *db, struct hw_err *err)
{
	struct keeping *k = arg;

	return command_delete(db, k->id, IN_ONE, &k->more, err);
}

/* Others write in between. */
static int
write_in_pieces(struct keeping *k, struct store *store, store_fn *fn, struct hw_err *err)
{
	int r;

	do {
		k->more = false;
		r = store_write(store, fn, k, err);
	} while (r == 0 && k->more);
	return r;
}

/* The files first: what is in the store can be found again. */
static int
drop_old(struct keeping *k, struct store *store, struct outputs *outputs, struct hw_err *err)
{
	int r = store_read(store, read_old, k, err);

	for (size_t i = 0; r == 0 && i < k->old.n; i++) {
		k->id = k->old.v[i];
		if ((r = outputs_drop(outputs, k->id, err)) == 0)
			r = write_in_pieces(k, store, write_deletion, err);
	}
	return r;
}

static int
read_size(void *arg, struct db *db, struct hw_err *err)
{
	struct keeping *k = arg;

	return command_output_total(db, &k->total, err);
}

static int
read_oldest(void *arg, struct db *db, struct hw_err *err)
{
	struct keeping *k = arg;

	return command_oldest_output(db, k->ended_before, &k->oldest, err);
}

static int
write_gone(void *arg, struct db *db, struct hw_err *err)
{
	const struct keeping *k = arg;

	return command_set_output_gone(db, k->oldest.id, err);
}

static int
write_forgotten(void *arg, struct db *db, struct hw_err *err)
{
	struct keeping *k = arg;

	return command_forget_output(db, k->oldest.id, IN_ONE, &k->more, err);
}

/* The files of live commands count too. Where some was refused already, a 10th of it all goes. */
static int64_t
most_of(struct keeping *k, struct outputs *outputs, int64_t most, bool refused)
{
	int64_t files = outputs_total(outputs);

	if (files > k->total)
		k->total = files;
	if (!refused)
		return most;
	return (k->total < most ? k->total : most) / 10 * 9;
}

/* Here the store first: nobody looks for files that are just being removed. These go before what
 * takes long, because nobody looks for them after a kill, either. */
static int
drop_much(struct keeping *k, struct store *store, struct outputs *outputs, int64_t most,
	bool refused, struct hw_err *err)
{
	int r = store_read(store, read_size, k, err);

	most = most_of(k, outputs, most, refused);
	for (int i = 0; r == 0 && k->total > most && i < AT_ONCE; i++) {
		if ((r = store_read(store, read_oldest, k, err)) < 0)
			return r == HW_ECOMMAND ? 0 : r;
		if ((r = store_write(store, write_gone, k, err)) == 0 &&
			(r = outputs_drop(outputs, k->oldest.id, err)) == 0)
			r = write_in_pieces(k, store, write_forgotten, err);
		k->total -= k->oldest.output_bytes;
	}
	return r;
}

int
retention_run(const struct retention_env *env, struct hw_err *err)
{
	struct keeping k = {
		.arena = arena_new(ARENA_MAX),
		.before = env->now - env->config->command_days * DAY,
		.ended_before = env->now - FRESH,
	};
	int r = 0;

	if (k.arena == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for looking after commands");
	if (!env->is_doubtful)
		r = drop_old(&k, env->store, env->outputs, err);
	if (r == 0)
		r = drop_much(&k, env->store, env->outputs,
			(int64_t)env->config->command_outputs_mib << 20, env->refused, err);
	arena_free(k.arena);
	return r;
}
