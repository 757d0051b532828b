/* A real monitor in a process of its own, served over a pair, and one holder's connection at a
 * time. */
#ifndef HAWSER_TESTS_UNIT_NODE_RIG_H
#define HAWSER_TESTS_UNIT_NODE_RIG_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/holder/protocol.h"
#include "node/monitor/request.h"
#include "proto/base/buf.h"

struct rig_options {
	const char *run_as; /* root's node; NULL: rootless */
	int grace_seconds;  /* 0: 60 */
	int holders_max;    /* 0: as the monitor has it */
	int answers_in_ms;  /* likewise */
	const char *pam;    /* a PAM service, and who asks it; NULL: none is asked */
	const char *pam_program;
	int pam_within_ms;  /* as the monitor has it */
	const char *policy; /* the text of its policy file; NULL: there is none */
};

struct rig {
	struct rig_options options;
	char dir[64];
	pid_t monitor;
	int monitor_fd; /* requests go in here */

	/* Of the program that runs. */
	int fd;
	struct monitor_reply reply;
	uint8_t *in;
	size_t in_len;
	struct buf out[HOLDER_STREAMS];
	bool ended[HOLDER_STREAMS];
	uint64_t typed, consumed;
	int echo; /* of the last credit */
	bool exited;
	struct holder_exit exit;
	int abilities; /* flags of its STATE */
	struct buf screen;
	uint64_t screen_offset;
	int screens, parts; /* whole ones, and parts in all */
};

#define rig_new(...) rig_new_with((struct rig_options){__VA_ARGS__})
struct rig *rig_new_with(struct rig_options options);
/* Ends what runs and the monitor; fails unless everything is gone: processes, sockets, the pty. */
void rig_free(struct rig *r);

/* Returns the answer's code; with 0 the program runs, with all the credit that there can be. */
int rig_start(struct rig *r, enum request_kind kind, const char *command);
int rig_start_as(struct rig *r, enum request_kind kind, const char *command, const char *run_as);
int rig_start_document(struct rig *r, enum request_kind kind, const char *command,
	const char *run_as, const char *document);

/* For a session of that id; nothing is to run: returns the answer's code. */
int rig_try(struct rig *r, enum request_kind kind, const char *command, const char *session_id);

/* Its holders live on; and another one in its place, with the same options. */
void rig_kill_monitor(struct rig *r);
void rig_new_monitor(struct rig *r);
/* The id of the one session that has a socket. */
void rig_only_session(const struct rig *r, char id[128]);

void rig_send(struct rig *r, enum holder_type type, int stream, uint16_t flags, uint64_t offset,
	const void *body, size_t n);
void rig_type(struct rig *r, const char *text);
void rig_credit(struct rig *r, int stream, uint64_t consumed, uint64_t limit);

/* Takes messages until `text` was in stdout, `n` bytes of input are consumed, or the program has
 * exited; each fails the test after 20 seconds. */
void rig_until_shown(struct rig *r, const char *text);
void rig_until_consumed(struct rig *r, uint64_t n);
int rig_until_exit(struct rig *r);
/* Asks for the screen, and waits for all of it. */
void rig_repaint(struct rig *r);
void rig_until_screens(struct rig *r, int n);
const char *rig_text(struct rig *r, int stream);

/* Says CLOSE, and waits until the holder is gone. */
void rig_close(struct rig *r);
/* Waits until no file of a session is left in DIR/run. */
void rig_until_no_socket(struct rig *r);

bool rig_alive(pid_t pid);
void rig_until_dead(pid_t pid);

#endif
