/*
 * Programs that are scripts in memory, for a node in a test. What a job does follows from its
 * command:
 *
 *   (none)      a shell: shows a prompt and what is typed; the line "exit N" ends it
 *   cat         gives its input back; ends with it
 *   print N     writes N bytes (fake_program_byte), ends
 *   exit N      ends with N
 *   password    asks, reads a line without showing it, says "ok", ends
 *   stall       takes no input, says nothing
 *   split       "out" and "err" apart, ends with 3
 *   paint N     has a screen of N bytes more
 *   blank N     has a screen of N parts in which nothing is
 *   restart     ends, as what restarts the machine does
 *   sleep       lives until it is signalled or closed
 *
 * A program's screen is "\033c" and the last 1000 bytes that it wrote, in parts of 100, one a turn;
 * that of "stall" is never told.
 *
 * Output keeps to its credit. Nothing happens inside of a call: all of it at the end of the turn.
 */
#ifndef HAWSER_TESTS_WORLD_FAKE_PROGRAMS_H
#define HAWSER_TESTS_WORLD_FAKE_PROGRAMS_H

#include "node/programs.h"

struct fake_programs;
struct loop;

struct fake_programs *fake_programs_new(struct loop *loop);
void fake_programs_free(struct fake_programs *f); /* all jobs are closed */
struct programs *fake_programs_base(struct fake_programs *f);

/* The next starts fail: with `later` by on_failed, else at once. Code 0 ends that. */
void fake_programs_refuse(struct fake_programs *f, int code, const char *why, int later);

struct fake_count {
	int started, live; /* live: not closed yet */
	int resizes, cols, rows, signals, last_signal, repaints;
	/* Of the last start: */
	char run_as[65], session_id[97], document[129], command[256], term[65];
};
const struct fake_count *fake_programs_count(const struct fake_programs *f);

/* Programs that are adopted from now on are of an older version, which has no screens. */
void fake_programs_grow_old(struct fake_programs *f);

uint8_t fake_program_byte(uint64_t offset);

#endif
