/* A session's recording, event by event, fetched from the relay page by page as it is read. */
#ifndef HAWSER_CLIENT_TAPE_H
#define HAWSER_CLIENT_TAPE_H

#include "audit/recording.h"

struct client;
struct tape;

/* Fetches the first page. */
int tape_open(struct tape **ret, struct client *c, const char *session_id, struct hw_err *err);
void tape_close(struct tape *t); /* NULL is fine */

const struct msg_recording_meta *tape_meta(const struct tape *t);
/* The next event: 1, and its bytes are good until the next call; 0 at the end. */
int tape_next(struct event *ev, struct tape *t, struct hw_err *err);
/* At the end: whether the session had ended, too. */
bool tape_is_complete(const struct tape *t);

#endif
