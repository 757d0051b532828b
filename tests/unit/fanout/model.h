/*
 * The rules of a fan-out once more, as plainly as they can be written: after each event everything
 * is looked at anew. What the real one does is held against it.
 */
#ifndef HAWSER_TESTS_FANOUT_MODEL_H
#define HAWSER_TESTS_FANOUT_MODEL_H

#include "relay/fanout/fanout.h"

#define MODEL_MAX 64

struct model_target {
	enum fanout_state state;
	bool online, delayed, has_it;
	int wave; /* in which it was released; 0: in none */
	bool answered;
};

struct model {
	int n, concurrency, errors;
	bool stopped, cancelled;
	int wave, wave_size, strays; /* strays: of this wave, that answered and wait again */
	struct model_target t[MODEL_MAX];
};

void model_init(struct model *m, int n, int concurrency, int errors);
void model_settle(struct model *m); /* after each of these */

void model_node(struct model *m, int i, bool online);
void model_sent(struct model *m, int i);
void model_acknowledged(struct model *m, int i);
void model_slow(struct model *m, int i);
void model_unreceived(struct model *m, int i);
void model_ended(struct model *m, int i, enum fanout_state end);
void model_cancel(struct model *m, int i);
void model_cancel_all(struct model *m);
void model_delivery_over(struct model *m);
void model_expire(struct model *m);

int model_count(const struct model *m, enum fanout_state s);
int model_under_way(const struct model *m);
int model_ended_count(const struct model *m);
/* "Status/Details" of the command. */
const char *model_words(const struct model *m);

#endif
