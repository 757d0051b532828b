/*
 * What the uplink asks of the monitor, and the answer: one fixed-layout message each, over a
 * SOCK_SEQPACKET pair. Nothing here has a length that is not checked against the message's own.
 */
#ifndef HAWSER_MONITOR_REQUEST_H
#define HAWSER_MONITOR_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#define REQUEST_MAGIC		UINT32_C(0x48574d51)
#define REQUEST_VERSION		6
#define REQUEST_COMMAND_MAX	(128 * 1024)
#define REQUEST_DIRECTORY_MAX	4096 /* with its NUL */
#define REQUEST_ENVIRONMENT_MAX (64 * 1024)
#define REQUEST_VARIABLES_MAX	128
#define REQUEST_SECONDS_MAX	(48 * 3600)
#define REQUEST_MAX                                                                         \
	(sizeof(struct monitor_request) + REQUEST_DIRECTORY_MAX + REQUEST_ENVIRONMENT_MAX + \
		REQUEST_COMMAND_MAX)
#define REQUEST_SNDBUF	    (256 * 1024) /* of the pair: one message must fit */
#define REQUEST_WITHIN_MAX  3
#define REQUEST_DOWNLOADS   "/downloads/"
#define REQUEST_SCRIPT_MARK '~' /* in no user's name, so a script's id is no session's */
#define REQUEST_LETTERS	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* A forward starts nothing: it asks whether this machine allows its document. A script is a step of
 * a command: no login, no input, and what it leaves behind when it ends by itself is left alone. */
enum request_kind { REQUEST_PTY = 1, REQUEST_EXEC, REQUEST_FORWARD, REQUEST_SCRIPT };

/* Texts end in NUL, and all after it is zero. Behind the struct follow a script's directory, with
 * its NUL, or nothing; its environment, each NAME=VALUE with a NUL; then the bytes of the command
 * or script, without one: none at all is a login shell. */
struct monitor_request {
	uint32_t magic;
	uint16_t version, kind;
	uint32_t id; /* comes back in the answer */
	uint16_t cols, rows;
	char run_as[65];     /* empty: the node's default */
	char session_id[97]; /* of a script, and of nothing else, it begins with REQUEST_SCRIPT_MARK
			      */
	char document[129];  /* whose session it is; empty: the built-in one that does what is asked
			      */
	char term[65];
	char lang[65];
	char colorterm[33];
	uint8_t directory_optional; /* 1: where there is none such, it is the root */
	char zero[1];
	uint32_t command_len;
	uint32_t directory_len, environment_len;
	uint32_t seconds; /* a script has so long; for a while more than that it waits for an uplink
			   */
	/* So many bytes of a script's directory name the command's own one, behind which
	 * REQUEST_DOWNLOADS comes: neither is entered unless it is whose the script is. 0: it is a
	 * directory like any other. */
	uint32_t work_len;
	/* The documents that a script is of, each within the one before, which is the first within
	 * `document`; this machine is asked about all of them. Empty: there are no more. */
	char within[REQUEST_WITHIN_MAX][129];
	char zero2[1];
};

/* With code 0 the holder's socket comes along; with that of a forward nothing does, and pid is 0.
 */
struct monitor_reply {
	uint32_t magic;
	uint16_t version, zero;
	uint32_t id;
	int32_t code; /* HW_E*, with its sentence in text */
	uint32_t pid; /* of the program */
	char run_as[65];
	char text[191];
};

_Static_assert(sizeof(struct monitor_request) == 880, "fixed layout");
_Static_assert(sizeof(struct monitor_reply) == 276, "fixed layout");

/* Checks every byte. *command leads into the message and has ret->command_len bytes; a script's
 * environment, and before it its directory, end where it begins. HW_EVALIDATION, and *why names the
 * field. */
int request_parse(struct monitor_request *ret, const char **command, const void *p, size_t n,
	const char **why);

static inline const char *
request_environment(const struct monitor_request *r, const char *command)
{
	return command - r->environment_len;
}

/* NULL when none is named. */
static inline const char *
request_directory(const struct monitor_request *r, const char *command)
{
	return r->directory_len > 0 ? command - r->environment_len - r->directory_len : NULL;
}

/* The same for an answer: a holder runs as a user by the time that it answers. */
int reply_parse(struct monitor_reply *ret, const void *p, size_t n);

/* Over a pair, with a descriptor unless that is -1; it stays the caller's. -1 and errno. */
int reply_send(int fd, const struct monitor_reply *reply, int passed);

/* 0; HW_EIO when there is none to be had (the pair is closed); HW_EVALIDATION. *passed is then -1,
 * and else the descriptor that came along, or -1. 1 when there is none yet. */
int reply_receive(struct monitor_reply *ret, int *passed, int fd);

#endif
