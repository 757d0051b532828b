/*
 * Where sessions get their programs from: the monitor's holders (programs_monitor.h), or a script
 * in a test. Loop thread only; no event is called from inside of a function here.
 */
#ifndef HAWSER_NODE_PROGRAMS_H
#define HAWSER_NODE_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hw_err;
struct job; /* one shell or command; each kind of programs has its own */
struct programs;

struct program_spec {
	int type; /* CHANNEL_TYPE_* */
	const char *session_id;
	const char *document; /* NULL or empty: the built-in one of its type */
	const char
		*within[3];  /* documents within it that a script is of, outermost first; or NULL */
	const char *run_as;  /* NULL or empty: the node's default */
	const char *command; /* NULL or empty: a login shell */
	/* `command` is a script's text, to be run as a file and not as a login; of type EXEC. */
	bool script;
	const char *directory;	 /* absolute; NULL or empty: the root */
	bool directory_optional; /* where there is none such, it is the root too */
	size_t work_len;	 /* of the directory: see node/monitor/request.h; or 0 */
	const char *environment; /* each NAME=VALUE with a NUL, environment_len bytes in all */
	size_t environment_len;
	int seconds; /* how long it has; the caller ends it, and its holder where no caller is */
	const char *term, *lang, *colorterm;
	int cols, rows;
};

struct program_exit {
	int status; /* 128+n when a signal ended it */
	int signal; /* 0 when none did */
};

/* Where one stands that an earlier agent started, by stream. */
struct program_state {
	uint64_t received, consumed; /* of its input */
	int echo;		     /* enum frame_echo, of what it consumed from echo_from on */
	uint64_t echo_from;
	uint64_t start[3], end[3]; /* of its output: what it has said, and nobody has consumed */
};

struct program_events {
	/* First; or on_failed, which is then the last: it did not start, or nobody knows whether it
	 * did, which is HW_ENOSESSION. */
	void (*on_started)(void *arg, const char *run_as, int64_t pid);
	/* In place of on_started, of adopt(): input goes on from `received`, output from `start`.
	 */
	void (*on_adopted)(void *arg, const struct program_state *state);
	void (*on_failed)(void *arg, int code, const char *why);
	/* Output in order; returns how many bytes were taken. After fewer than all nothing more
	 * comes until more(). */
	size_t (*on_output)(void *arg, int stream, const uint8_t *p, size_t n);
	void (*on_output_end)(void *arg, int stream);
	/* The next n bytes of input were written to the program; echo is enum frame_echo. */
	void (*on_consumed)(void *arg, size_t n, int echo);
	/* A part of what draws its screen as its output up to `offset` made it; with `more` another
	 * follows. One part that is empty: no screen is kept. Also after on_exit. */
	void (*on_screen)(void *arg, uint64_t offset, const uint8_t *p, size_t n, bool more);
	/* After all output; the last but for screens. With a code it is lost: nobody knows how it
	 * ended. What the job keeps of its output and its end it keeps until close(). */
	void (*on_exit)(void *arg, int code, const char *why, const struct program_exit *exit);
};

struct programs_ops {
	/* Copies what it needs of the spec. */
	int (*start)(struct job **ret, struct programs *ps, const struct program_spec *spec,
		const struct program_events *events, void *arg, struct hw_err *err);
	/* Takes over what an earlier agent started for that session. on_failed: it is gone. */
	int (*adopt)(struct job **ret, struct programs *ps, const char *session_id,
		const struct program_events *events, void *arg, struct hw_err *err);
	/* Takes all: the caller keeps within the credit that on_consumed gives back. */
	void (*write)(struct job *j, const void *p, size_t n);
	void (*end_input)(struct job *j);
	/* Of an output stream: what was consumed, and how far it may go. The first HOLDER_RING_MAX
	 * bytes of a script's need none. */
	void (*credit)(struct job *j, int stream, uint64_t consumed, uint64_t limit);
	void (*more)(struct job *j);
	void (*resize)(struct job *j, int cols, int rows);
	void (*signal)(struct job *j, int signo);
	/* Asks for its screen, also after on_exit. What is asked again before the first part of the
	 * answer is answered once. False: nobody can answer. */
	bool (*repaint)(struct job *j);
	/* At any time, also after the last event, and once: ends the program and all of its
	 * session. No event is called any more; j is dead. */
	void (*close)(struct job *j);
	/* Instead: the program goes on by itself, for the next agent to adopt. */
	void (*leave)(struct job *j);
};

struct programs {
	const struct programs_ops *ops;
};

#endif
