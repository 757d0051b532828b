#include "tests/unit/fanout/model.h"

#include <string.h>

static bool
over(enum fanout_state s)
{
	switch (s) {
	case FANOUT_WAITING:
	case FANOUT_RELEASED:
	case FANOUT_SENT:
	case FANOUT_RUNNING:
	case FANOUT_CANCELLING:
		return false;
	default:
		return true;
	}
}

int
model_count(const struct model *m, enum fanout_state s)
{
	int n = 0;

	for (int i = 0; i < m->n; i++)
		n += m->t[i].state == s;
	return n;
}

int
model_ended_count(const struct model *m)
{
	int n = 0;

	for (int i = 0; i < m->n; i++)
		n += over(m->t[i].state);
	return n;
}

int
model_under_way(const struct model *m)
{
	return m->n - model_count(m, FANOUT_WAITING) - model_ended_count(m);
}

void
model_init(struct model *m, int n, int concurrency, int errors)
{
	memset(m, 0, sizeof(*m));
	m->n = n;
	m->concurrency = concurrency;
	m->errors = errors;
	m->wave = m->wave_size = 1;
}

/* --- what follows from how things stand --------------------------------------------------------
 */

static void
stop(struct model *m, enum fanout_state how)
{
	m->stopped = true;
	for (int i = 0; i < m->n; i++)
		if (m->t[i].state == FANOUT_WAITING || m->t[i].state == FANOUT_RELEASED)
			m->t[i].state = how;
}

/* Whether this wave takes one more; the next one begins when all of it have answered. */
static bool
wave_has_room(struct model *m)
{
	for (;;) {
		int members = m->strays, waiting = 0;
		if (m->wave_size >= m->concurrency)
			return true;
		for (int i = 0; i < m->n; i++) {
			members += m->t[i].wave == m->wave;
			waiting += m->t[i].wave == m->wave && !m->t[i].answered;
		}
		if (members < m->wave_size)
			return true;
		if (waiting > 0)
			return false;
		m->wave++;
		m->wave_size *= 2;
		m->strays = 0;
	}
}

static int
next_one(const struct model *m)
{
	for (int i = 0; i < m->n; i++)
		if (m->t[i].state == FANOUT_WAITING && m->t[i].online)
			return i;
	return -1;
}

void
model_settle(struct model *m)
{
	int i;

	if (!m->stopped &&
		model_count(m, FANOUT_FAILED) + model_count(m, FANOUT_TIMED_OUT) > m->errors)
		stop(m, FANOUT_TERMINATED);
	while (!m->stopped && model_under_way(m) < m->concurrency && wave_has_room(m) &&
		(i = next_one(m)) >= 0) {
		m->t[i].state = FANOUT_RELEASED;
		m->t[i].answered = false;
		m->t[i].wave = m->wave_size >= m->concurrency ? 0 : m->wave;
	}
}

/* --- events -------------------------------------------------------------------------------------
 */

static void
wait_again(struct model *m, struct model_target *t)
{
	t->state = FANOUT_WAITING;
	if (t->answered && t->wave == m->wave)
		m->strays++;
	t->wave = 0;
}

void
model_node(struct model *m, int i, bool online)
{
	struct model_target *t = &m->t[i];

	t->online = online;
	if (online)
		return;
	if (t->state == FANOUT_RELEASED)
		wait_again(m, t);
	if (t->state == FANOUT_WAITING)
		t->delayed = true;
	if (t->state == FANOUT_SENT)
		t->answered = true;
}

void
model_sent(struct model *m, int i)
{
	if (m->t[i].state == FANOUT_RELEASED)
		m->t[i].state = FANOUT_SENT;
}

void
model_acknowledged(struct model *m, int i)
{
	struct model_target *t = &m->t[i];

	if (t->state == FANOUT_SENT) {
		t->state = FANOUT_RUNNING;
		t->answered = t->has_it = true;
	} else if (t->state == FANOUT_CANCELLING) {
		t->has_it = true;
	}
}

void
model_slow(struct model *m, int i)
{
	if (m->t[i].state == FANOUT_SENT || m->t[i].state == FANOUT_RELEASED)
		m->t[i].answered = true;
}

static void
end(struct model *m, int i, enum fanout_state how)
{
	m->t[i].state = how;
	m->t[i].answered = true;
}

void
model_unreceived(struct model *m, int i)
{
	if (m->t[i].has_it)
		return;
	if (m->t[i].state == FANOUT_SENT)
		end(m, i, FANOUT_NOT_DELIVERED);
	else if (m->t[i].state == FANOUT_CANCELLING)
		end(m, i, FANOUT_CANCELLED);
}

void
model_ended(struct model *m, int i, enum fanout_state how)
{
	if (!over(m->t[i].state))
		end(m, i, how);
}

void
model_cancel(struct model *m, int i)
{
	enum fanout_state s = m->t[i].state;

	if (s == FANOUT_WAITING || s == FANOUT_RELEASED)
		end(m, i, FANOUT_CANCELLED);
	else if (s == FANOUT_SENT || s == FANOUT_RUNNING)
		end(m, i, FANOUT_CANCELLING);
}

void
model_cancel_all(struct model *m)
{
	if (model_ended_count(m) == m->n)
		return;
	m->cancelled = m->stopped = true;
	for (int i = 0; i < m->n; i++)
		model_cancel(m, i);
}

void
model_delivery_over(struct model *m)
{
	stop(m, FANOUT_NOT_DELIVERED);
}

void
model_expire(struct model *m)
{
	m->stopped = true;
	for (int i = 0; i < m->n; i++)
		model_ended(m, i, FANOUT_NOT_DELIVERED);
}

/* --- the whole ----------------------------------------------------------------------------------
 */

const char *
model_words(const struct model *m)
{
	int good = model_count(m, FANOUT_SUCCESS), failed = model_count(m, FANOUT_FAILED);
	int errors = failed + model_count(m, FANOUT_TIMED_OUT);
	int late = model_count(m, FANOUT_NOT_DELIVERED),
	    denied = model_count(m, FANOUT_ACCESS_DENIED);
	int unreached = denied + model_count(m, FANOUT_UNDELIVERABLE) +
		model_count(m, FANOUT_INVALID_PLATFORM);

	if (model_ended_count(m) < m->n && m->cancelled)
		return "Cancelling/Cancelling";
	if (model_count(m, FANOUT_WAITING) == m->n)
		return "Pending/Pending";
	if (model_ended_count(m) < m->n)
		return "InProgress/InProgress";
	if (m->cancelled && model_count(m, FANOUT_CANCELLED) > 0)
		return "Cancelled/Cancelled";
	if (errors > m->errors)
		return failed > 0 ? "Failed/Failed" : "Failed/ExecutionTimedOut";
	if (good == 0 && late > 0 && late >= m->errors)
		return "TimedOut/DeliveryTimedOut";
	if (good == m->n)
		return "Success/Success";
	if (unreached == m->n)
		return denied == m->n ? "Failed/AccessDenied" : "Failed/Failed";
	return good > 0 && good + unreached == m->n ? "Success/Success" : "Failed/Incomplete";
}
