/* Holds: sessions whose recordings are not deleted. All functions run inside store_read() or
 * store_write(). */
#ifndef HAWSER_STORE_HOLDS_H
#define HAWSER_STORE_HOLDS_H

#include "relay/store/db.h"

#define HOLDS_MAX 1000

/* What is "" or 0 is no condition. */
struct hold_row {
	char id[37];
	char session_id[97], user[129], node_id[65];
	int64_t after, before; /* started: inclusive, exclusive */
	char reason[257], created_by[257];
	int64_t created;
};

/* Whether there is, or was, what it names: a name that was mistyped would keep nothing, and say
 * nothing. HW_ENOTFOUND. */
int hold_check(struct db *db, const struct hold_row *row, struct hw_err *err);
int hold_insert(struct db *db, const struct hold_row *row, struct hw_err *err); /* HW_ELIMIT */
int hold_delete(struct db *db, const char *id, struct hw_err *err);		/* HW_ENOTFOUND */
/* The oldest first, after the one of that id; the next: 1, or 0 after the last. */
int hold_list(struct query *q, struct db *db, const char *after_id, struct hw_err *err);
int hold_next(struct query *q, struct hold_row *ret, struct hw_err *err);

/* What else keeps recordings, beside holds. */
struct kept_rule {
	bool uploaded;	       /* those that are not in their bucket yet */
	int64_t fetched_after; /* those that came back from it then or later */
};

/* Sessions that have ended and may still have a recording, and that no hold keeps: the next one
 * after (ended, id) whose end lies before `before`. 1, or 0 after the last. One that nobody has put
 * into the queue of uploads is told, too. */
struct kept_session {
	char id[97];
	int64_t ended;
};
int kept_next(struct kept_session *ret, struct db *db, const struct kept_session *after,
	int64_t before, const struct kept_rule *rule, struct hw_err *err);
/* *ret: nothing keeps it, and nobody has deleted it. *uploaded: it is in its bucket. */
int kept_is_free(bool *ret, bool *uploaded, struct db *db, const char *session_id,
	const struct kept_rule *rule, struct hw_err *err);
/* Its recording has gone `now`; -1: it never had one. */
int kept_forget(struct db *db, const char *session_id, int64_t now, struct hw_err *err);
/* *when: 0 or less when it has not. HW_ENOSESSION is no error: 0. */
int kept_gone(int64_t *when, struct db *db, const char *session_id, struct hw_err *err);

#endif
