#include "relay/core/session_idle.h"

#include <stdio.h>

#include "relay/core/session_private.h"

#define WARN_BEFORE (60 * USEC_PER_SEC)

struct unit {
	int64_t seconds;
	const char *name;
};

/* "30 minutes": in the largest unit that says it exactly. */
static void
write_time(char out[64], int64_t seconds)
{
	static const struct unit units[] = {
		{86400, "day"   },
		{3600,  "hour"  },
		{60,    "minute"},
		{1,	    "second"},
	};
	const struct unit *u = units;

	while (seconds % u->seconds != 0)
		u++;
	int64_t n = seconds / u->seconds;
	snprintf(out, 64, "%lld %s%s", (long long)n, u->name, n == 1 ? "" : "s");
}

/* Before the end of a limit; of a short one at half of it. */
static int64_t
warn_before(int64_t limit)
{
	return limit >= 2 * WARN_BEFORE ? WARN_BEFORE : limit / 2;
}

/* Whole seconds, and never none: it is said a moment before. */
static long long
seconds_left(int64_t usec)
{
	return usec > USEC_PER_SEC ? (long long)((usec + USEC_PER_SEC - 1) / USEC_PER_SEC) : 1;
}

static void
tell_all(struct session *s, const char *text)
{
	const struct msg_control c = {.type = CONTROL_NOTICE, .text = text};

	session_notice(s, text);
	session_viewers_tell(s, &c);
}

/* --- its age ---------------------------------------------------------------------------------- */

/* Wall clocks are set, so that one is asked once alone. */
static int64_t
begin_of(const struct session *s, int64_t now)
{
	int64_t age = clock_wall(loop_clock(s->broker->loop)) - s->row->start;

	return now - (age > 0 ? age : 0);
}

static void
warn_of_age(struct session *s, int64_t left)
{
	char text[128];

	s->idle.warned_of_age = true;
	snprintf(text, sizeof(text), "this session ends in %lld seconds: it may be no older",
		seconds_left(left));
	tell_all(s, text);
}

static bool
sweep_age(struct session *s, int64_t now)
{
	int64_t limit = s->broker->config->max_session_seconds * USEC_PER_SEC;
	char age[64], why[128];

	if (s->idle.begun == 0)
		s->idle.begun = begin_of(s, now);
	int64_t left = limit - (now - s->idle.begun);
	if (limit == 0 || left > warn_before(limit))
		return false;
	if (left > 0) {
		if (!s->idle.warned_of_age)
			warn_of_age(s, left);
		return false;
	}
	write_time(age, s->broker->config->max_session_seconds);
	snprintf(why, sizeof(why), "no session may be older than %s", age);
	session_conclude(s, HW_ETERMINATED, why);
	return true;
}

/* --- idle ------------------------------------------------------------------------------------- */

struct way_out {
	int type;
	const char *word;
	void (*take)(struct session *s, const char *why);
};

static void
close_forward(struct session *s, const char *why)
{
	session_conclude(s, HW_ETERMINATED, why);
}

static const struct way_out ways_out[] = {
	{CHANNEL_TYPE_PTY,	   "detached", session_detach},
	{CHANNEL_TYPE_FORWARD, "closed",	 close_forward },
};

/* NULL: it may be idle. A command whose output is awaited says nothing for as long as it likes. */
static const struct way_out *
way_out_of(const struct session *s)
{
	for (size_t i = 0; i < sizeof(ways_out) / sizeof(ways_out[0]); i++)
		if (ways_out[i].type == s->kind->type)
			return &ways_out[i];
	return NULL;
}

/* One whose user is away, or whose node is, is waited for anyway. */
static bool
has_company(const struct session *s)
{
	bool owner = s->to_user != NULL && !channel_is_parked(s->to_user);

	return s->node != NULL && (owner || s->viewers.count > 0);
}

static void
warn_of_idle(struct session *s, const struct way_out *way, int64_t left)
{
	char text[128];
	long long seconds = seconds_left(left);

	s->idle.warned = true;
	snprintf(text, sizeof(text),
		"idle: this %s is %s in %lld second%s unless something happens",
		s->kind->type == CHANNEL_TYPE_FORWARD ? "forward" : "session", way->word, seconds,
		seconds == 1 ? "" : "s");
	tell_all(s, text);
}

void
session_idle_touch(struct session *s)
{
	s->idle.active = session_now(s);
	s->idle.warned = false;
}

static void
sweep_idle(struct session *s, int64_t now)
{
	int64_t limit = s->broker->config->idle_seconds * USEC_PER_SEC;
	const struct way_out *way = way_out_of(s);
	uint64_t count = s->bytes_in + s->bytes_out;
	char time[64], why[96];

	if (limit == 0 || way == NULL)
		return;
	if (s->idle.active == 0 || s->idle.counted != count)
		session_idle_touch(s);
	s->idle.counted = count;
	int64_t left = limit - (now - s->idle.active);
	if (!has_company(s) || left > warn_before(limit))
		return;
	if (left > 0) {
		if (!s->idle.warned)
			warn_of_idle(s, way, left);
		return;
	}
	write_time(time, s->broker->config->idle_seconds);
	snprintf(why, sizeof(why), "idle for %s", time);
	way->take(s, why);
}

bool
session_idle_sweep(struct session *s, int64_t now)
{
	if (s->state != SESSION_LIVE || s->frozen || s->exited_at != 0)
		return false;
	if (!sweep_age(s, now))
		sweep_idle(s, now);
	return s->state == SESSION_OVER;
}
